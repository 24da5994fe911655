"""HCLG: what each sequence of words costs, against lexicon, grammar and HMMs taken by hand; and against Kaldi's own."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import kaldifst
import numpy as np
import pytest

from asrkd.core.errors import DataError, MismatchError
from asrkd.core.files import read_json, sha256
from asrkd.graph.graph import Graph
from asrkd.graph.hclg import GraphConfig, compile_grammar, import_graph, make_graph, with_pdf_labels
from asrkd.hmm.event_map import monophone_tree
from asrkd.hmm.gmm import DiagGmms
from asrkd.hmm.tied_states import TiedStates
from asrkd.hmm.topology import read_topology
from asrkd.hmm.transitions import TransitionModel
from asrkd.lang.fst import from_kaldifst, read_fst, to_kaldifst, write_fst
from asrkd.lang.phones import read_symbols
from asrkd.lang.prepare import LangConfig, make_lang

PRONUNCIATIONS = {"AYE": "AY", "EYE": "AY", "ICE": "AY S", "SIGH": "S AY"}  # homophones, and one begins another
LN10 = math.log(10)
# A bigram by hand, in logarithms to base 10; what is not listed backs off.
UNIGRAMS = {"AYE": -0.9, "EYE": -0.7, "ICE": -0.8, "SIGH": -1.0, "</s>": -0.6}
BIGRAMS = {("<s>", "EYE"): -0.3, ("EYE", "ICE"): -0.4, ("ICE", "</s>"): -0.2, ("AYE", "AYE"): -0.5}
BACKOFFS = {"<s>": -0.2, "AYE": -0.25, "EYE": -0.3, "ICE": -0.35, "SIGH": -0.4}


def _arpa() -> str:
    lines = ["\\data\\", f"ngram 1={len(UNIGRAMS) + 1}", f"ngram 2={len(BIGRAMS)}", "", "\\1-grams:"]
    lines.append(f"-99\t<s>\t{BACKOFFS['<s>']}")
    lines += [
        f"{cost}\t{word}" + (f"\t{BACKOFFS[word]}" if word in BACKOFFS else "") for word, cost in UNIGRAMS.items()
    ]
    lines += ["", "\\2-grams:", *(f"{cost}\t{a} {b}" for (a, b), cost in BIGRAMS.items()), "", "\\end\\", ""]
    return "\n".join(lines)


def _grammar_cost(words: Sequence[str]) -> float:
    """The cheaper of bigram and back-off at each word: the graph has both ways."""
    total = 0.0
    for previous, word in itertools.pairwise(["<s>", *words, "</s>"]):
        ways = [BACKOFFS[previous] + UNIGRAMS[word], BIGRAMS.get((previous, word), -math.inf)]
        total -= max(ways) * LN10
    return total


@pytest.fixture(scope="module")
def lang(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lang")
    (folder / "source.txt").write_text("".join(f"{word}  {phones}\n" for word, phones in PRONUNCIATIONS.items()))
    (folder / "text.txt").write_text("\n".join([" ".join(PRONUNCIATIONS), "EYE ICE", "AYE AYE SIGH"]) + "\n")
    config = LangConfig(num_states=2, num_silence_states=1)
    make_lang(config, folder / "source.txt", folder / "text.txt", folder)
    (folder / "lm.arpa").write_text(_arpa())
    return folder


@pytest.fixture(scope="module")
def tied_states(lang: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Monophones: two states a phone, one for silence; the Gaussians are of no account."""
    folder = tmp_path_factory.mktemp("mono")
    topology = read_topology(lang / "topo")
    tree = monophone_tree({phone: topology.num_pdf_classes(phone) for phone in topology.phones}, {})
    owner = np.arange(tree.num_pdfs)
    ones = np.ones((tree.num_pdfs, 1))
    gmms = DiagGmms.from_moments(ones[:, 0], 0 * ones, ones, owner)
    phones = {name: number for name, number in read_symbols(lang / "phones.txt").items() if not name.startswith("#")}
    TiedStates(tree, TransitionModel.for_tree(topology, tree), gmms, phones).write(folder)
    return folder


@pytest.fixture(scope="module")
def graph(lang: Path, tied_states: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("graph")
    make_graph(GraphConfig(), lang, lang, tied_states, folder)
    return folder


def _best_path(graph: Path, words: Sequence[str]) -> tuple[float, list[int], list[int]]:
    """Cost, input labels and output labels of the cheapest path of the graph that says ``words``."""
    ids = read_symbols(graph / "words.txt")
    lines = [f"{i} {i + 1} {ids[word]} {ids[word]}" for i, word in enumerate(words)]
    acceptor = kaldifst.compile("\n".join([*lines, f"{len(words)}\n"]), acceptor=False)
    hclg = to_kaldifst(read_fst(graph / "HCLG.fst"))
    kaldifst.arcsort(hclg, "olabel")
    best = kaldifst.shortest_path(kaldifst.compose(hclg, acceptor))
    found, inputs, outputs, cost = kaldifst.get_linear_symbol_sequence(best)
    assert found
    return cost.value, inputs, outputs


SENTENCES = [words for length in range(4) for words in itertools.product(PRONUNCIATIONS, repeat=length)]


def test_every_sentence_costs_what_its_parts_cost(graph: Path) -> None:
    """Grammar; ln 2 for no silence at the start and after each word; 0.1 x -ln 0.25 for leaving each state once."""
    for words in SENTENCES:
        num_states = sum(2 * len(PRONUNCIATIONS[word].split()) for word in words)
        expected = _grammar_cost(words) + (len(words) + 1) * math.log(2) - 0.1 * num_states * math.log(0.25)
        cost, inputs, _ = _best_path(graph, words)
        assert cost == pytest.approx(expected, abs=0.02), words  # weights are rounded to 1/1024 in minimisation
        assert len(inputs) == num_states


def test_input_labels_spell_the_pronunciation(graph: Path, tied_states: Path) -> None:
    model = TiedStates.load(tied_states)
    phones = {number: name for name, number in model.phones.items()}
    for words in SENTENCES:
        _, inputs, _ = _best_path(graph, words)
        spelt = [phones[phone] for phone in model.tables.phone[inputs].tolist()]
        assert spelt[::2] == spelt[1::2] == " ".join(PRONUNCIATIONS[word] for word in words).split()


def test_pdf_graph_is_the_same_graph(graph: Path, tied_states: Path) -> None:
    model = TiedStates.load(tied_states)
    hclg, pdf_graph = read_fst(graph / "HCLG.fst"), read_fst(graph / "HCLG.pdf.fst")
    tids, labels = hclg.arcs["ilabel"], pdf_graph.arcs["ilabel"]
    assert np.array_equal(labels == 0, tids == 0)
    assert np.array_equal(labels[tids > 0] - 1, model.pdf_of_tid[tids[tids > 0]])
    for field in ("olabel", "weight", "nextstate"):
        assert np.array_equal(hclg.arcs[field], pdf_graph.arcs[field])
    assert set(labels[tids > 0] - 1) == set(range(model.num_pdfs)) - _spoken_noise(model)


def _spoken_noise(model: TiedStates) -> set[int]:
    return set(model.tables.pdf[model.tables.phone == model.phones["SPN"]].tolist())


def test_description(lang: Path, graph: Path, tied_states: Path) -> None:
    hclg = read_fst(graph / "HCLG.fst")
    assert read_json(graph / "graph.json") == {
        "tied_states": TiedStates.load(tied_states).hash,
        "num_pdfs": TiedStates.load(tied_states).num_pdfs,
        "num_states": hclg.num_states,
        "num_arcs": len(hclg.arcs),
        "lm": sha256(lang / "lm.arpa"),
        "oov": "error",
        "self_loop_scale": 0.1,
        "transition_scale": 1.0,
    }


def test_same_input_same_bytes(graph: Path, lang: Path, tied_states: Path, tmp_path: Path) -> None:
    make_graph(GraphConfig(), lang, lang, tied_states, tmp_path)
    for path in sorted(graph.iterdir()):
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name


def test_scales_weigh_the_transitions(lang: Path, tied_states: Path, tmp_path: Path) -> None:
    make_graph(GraphConfig(self_loop_scale=0.0), lang, lang, tied_states, tmp_path)
    expected = _grammar_cost(["ICE"]) + 2 * math.log(2)
    assert _best_path(tmp_path, ["ICE"])[0] == pytest.approx(expected, abs=0.01)


def test_self_loops_are_not_added_twice(lang: Path, tied_states: Path, graph: Path, tmp_path: Path) -> None:
    """A lexicon without the loops of #0 gets them; the lang dir's has them."""
    other = tmp_path / "lang"
    other.mkdir()
    for name in ("phones.txt", "words.txt", "lm.arpa"):
        (other / name).write_bytes((lang / name).read_bytes())
    arrays = read_fst(lang / "L_disambig.fst")
    mark = read_symbols(lang / "phones.txt")["#0"]
    source = np.repeat(np.arange(arrays.num_states), arrays.num_arcs)
    keep = arrays.arcs["ilabel"] != mark
    counts = np.bincount(source[keep], minlength=arrays.num_states)
    assert 0 < (~keep).sum() < len(keep)
    write_fst(other / "L_disambig.fst", type(arrays)(arrays.start, arrays.final, counts, arrays.arcs[keep]))
    (tmp_path / "graph").mkdir()
    make_graph(GraphConfig(), other, other, tied_states, tmp_path / "graph")
    assert read_fst(tmp_path / "graph" / "HCLG.fst").num_states == read_fst(graph / "HCLG.fst").num_states


def test_grammar_leaves_out_words_without_a_symbol(lang: Path, tmp_path: Path) -> None:
    text = _arpa().replace("ngram 1=6", "ngram 1=7").replace("\\2-grams:", "-1.0\tOTHER\n\n\\2-grams:")
    (tmp_path / "lm.arpa").write_text(text)
    other = from_kaldifst(compile_grammar(tmp_path / "lm.arpa", lang / "words.txt"))
    assert len(other.arcs) == len(from_kaldifst(compile_grammar(lang / "lm.arpa", lang / "words.txt")).arcs)


@pytest.mark.parametrize("content", ["", "EYE ICE\n", "\\data\\\nngram 1=2\n\n\\1-grams:\n-1 EYE\n"])
def test_what_is_no_arpa_model(content: str, lang: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "lm.arpa").write_text(content)
    with pytest.raises(DataError, match=r"lm\.arpa: "):
        compile_grammar(tmp_path / "lm.arpa", lang / "words.txt")
    assert capfd.readouterr().err == ""


def test_missing_arpa(lang: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"lm\.arpa is missing: is .* what `asrkd lm` made"):
        compile_grammar(tmp_path / "lm.arpa", lang / "words.txt")


def _changed_lang(lang: Path, folder: Path, name: str, old: str, new: str) -> Path:
    folder.mkdir()
    for path in lang.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / name).write_text((lang / name).read_text().replace(old, new))
    return folder


def test_other_phones_than_the_models(lang: Path, tied_states: Path, tmp_path: Path) -> None:
    other = _changed_lang(lang, tmp_path / "lang", "phones.txt", "AY 3\nS 4", "S 3\nAY 4")
    with pytest.raises(MismatchError, match="number phone AY differently"):
        make_graph(GraphConfig(), other, other, tied_states, tmp_path)


def test_no_disambiguation_symbols(lang: Path, tied_states: Path, tmp_path: Path) -> None:
    other = _changed_lang(lang, tmp_path / "lang", "phones.txt", "#0 ", "NONE ")
    with pytest.raises((DataError, MismatchError), match=r"#0|NONE"):
        make_graph(GraphConfig(), other, other, tied_states, tmp_path)


def test_lexicon_that_can_not_be_determinised(lang: Path, tied_states: Path, tmp_path: Path) -> None:
    other = _changed_lang(lang, tmp_path / "lang", "words.txt", "", "")
    (other / "L_disambig.fst").write_bytes((lang / "L.fst").read_bytes())
    with pytest.raises(DataError, match=r"lang: graph: .*not determinizable"):
        make_graph(GraphConfig(), other, other, tied_states, tmp_path)


def test_grammar_without_words(lang: Path, tied_states: Path, tmp_path: Path) -> None:
    arpa = "\\data\\\nngram 1=2\n\n\\1-grams:\n-99\t<s>\n-0.1\t</s>\n\n\\end\\\n"
    other = _changed_lang(lang, tmp_path / "lang", "lm.arpa", _arpa(), arpa)
    (tmp_path / "graph").mkdir()
    make_graph(GraphConfig(), other, other, tied_states, tmp_path / "graph")  # silence alone is a language too
    assert _best_path(tmp_path / "graph", [])[0] == pytest.approx(0.1 * LN10 + math.log(2), abs=0.01)


def test_transition_ids_of_another_model(graph: Path) -> None:
    with pytest.raises(
        MismatchError, match=r"HCLG\.fst: transition-id \d+ is in the graph, the tied-state model has 2"
    ):
        with_pdf_labels(read_fst(graph / "HCLG.fst"), np.zeros(3, np.int64), "HCLG.fst")


def test_a_cycle_of_epsilons_is_refused(graph: Path, lang: Path, tied_states: Path, tmp_path: Path) -> None:
    other = _as_kaldis(graph, lang, tmp_path / "kaldi")
    hclg = read_fst(graph / "HCLG.fst")
    arcs = hclg.arcs.copy()
    source = np.repeat(np.arange(hclg.num_states), hclg.num_arcs)
    loop = int(np.flatnonzero(source == arcs["nextstate"])[0])
    arcs["ilabel"][loop] = 0
    write_fst(other / "HCLG.fst", replace(hclg, arcs=arcs))
    with pytest.raises(DataError, match="has a cycle of epsilon arcs"):
        import_graph(other, tied_states, tmp_path)


def _as_kaldis(graph: Path, lang: Path, folder: Path) -> Path:
    """What mkgraph.sh leaves."""
    folder.mkdir()
    for source in (graph / "HCLG.fst", graph / "words.txt", lang / "phones.txt"):
        (folder / source.name).write_bytes(source.read_bytes())
    return folder


def test_a_graph_is_taken_over(graph: Path, lang: Path, tied_states: Path, tmp_path: Path) -> None:
    other = _as_kaldis(graph, lang, tmp_path / "kaldi")
    (tmp_path / "graph").mkdir()
    import_graph(other, tied_states, tmp_path / "graph")
    for name in ("HCLG.fst", "HCLG.pdf.fst", "words.txt"):
        assert (tmp_path / "graph" / name).read_bytes() == (graph / name).read_bytes()


def test_a_graph_of_another_tree_or_other_words(graph: Path, lang: Path, tied_states: Path, tmp_path: Path) -> None:
    other = _as_kaldis(graph, lang, tmp_path / "kaldi")
    hclg, last = read_fst(graph / "HCLG.fst"), TiedStates.load(tied_states).transitions.num_transition_ids
    labels = hclg.arcs["ilabel"]
    write_fst(other / "HCLG.fst", hclg.relabelled(np.where(labels > 0, 1 + labels % last, 0)))
    with pytest.raises(MismatchError, match=r"transition-id \d+ moves on in the graph, but is a self-loop"):
        import_graph(other, tied_states, tmp_path)
    (other / "words.txt").write_text("<eps> 0\nAYE 1\n")
    with pytest.raises(MismatchError, match=r"words\.txt: has no word 2, which HCLG\.fst holds"):
        import_graph(other, tied_states, tmp_path)


def _kaldi_model(shared_dir: Path, folder: Path) -> Path:
    folder.mkdir()
    for name in ("tree", "final.mdl", "phones.txt"):
        (folder / name).write_bytes((shared_dir / "kaldi-exp" / "tri1_ali" / name).read_bytes())
    return folder


def test_kaldis_graph_is_taken_over(shared_dir: Path, tmp_path: Path) -> None:
    model = _kaldi_model(shared_dir, tmp_path / "tri")
    (tmp_path / "graph").mkdir()
    description = import_graph(shared_dir / "kaldi-exp" / "graph", model, tmp_path / "graph")
    assert (description["num_pdfs"], description["num_states"], description["num_arcs"]) == (480, 46991, 110748)
    graph = Graph.open(tmp_path / "graph")
    assert graph.num_pdfs == 480
    assert graph.words[1] == (shared_dir / "kaldi-exp" / "graph" / "words.txt").read_text().split("\n")[1].split()[0]


def test_graph_from_kaldis_parts_is_as_large_as_kaldis(shared_dir: Path, tmp_path: Path) -> None:
    """Kaldi removes some epsilons that are left here, so within a few per cent."""
    model = _kaldi_model(shared_dir, tmp_path / "tri")
    (tmp_path / "graph").mkdir()
    lang = shared_dir / "kaldi-exp" / "lang"
    description = make_graph(GraphConfig(), lang, lang, model, tmp_path / "graph")
    assert description["num_states"] == pytest.approx(46991, rel=0.03)
    assert description["num_arcs"] == pytest.approx(110748, rel=0.03)
