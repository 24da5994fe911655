"""Rescoring against all paths of lattices, and against a search that has the other language model from the start."""

import itertools
import math
from dataclasses import replace
from pathlib import Path

import kaldiio
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrkd.core.errors import DataError, MismatchError
from asrkd.core.files import write_json
from asrkd.decoding.acoustic import scaled
from asrkd.decoding.config import DecodeConfig
from asrkd.decoding.lattice import LatticeSearch
from asrkd.decoding.rescore import Rescorer, RescoringSearcher, open_rescorer
from asrkd.decoding.search import Searcher
from asrkd.graph.graph import Graph
from asrkd.graph.hclg import compile_grammar
from asrkd.lang.fst import from_kaldifst, write_fst
from asrkd.lang.lm import LmConfig, make_lm, open_table
from asrkd.lang.ngram import ArpaModel, read_arpa
from asrkd.lang.ngram_table import NgramTable, write_table
from asrkd.lang.phones import read_symbols
from tests.decoding.graphs import WIDE, Case, GraphWriter, WordCosts, cost_of_states, random_graph, random_graphs
from tests.decoding.test_lattice import lattice_paths

LN10 = math.log(10)


def unigrams(costs: dict[str, float], end: float) -> str:
    """An ARPA model of the costs (natural logarithm) of a word loop."""
    lines = [f"{-cost / LN10:.7f}\t{word}" for word, cost in {**costs, "</s>": end}.items()]
    head = f"\\data\\\nngram 1={len(lines) + 1}\n\n\\1-grams:\n-99\t<s>\n"
    return head + "\n".join(lines) + "\n\n\\end\\\n"


def opened(folder: Path, text: str, words: dict[str, int]) -> tuple[NgramTable, ArpaModel]:
    folder.mkdir(exist_ok=True)
    (folder / "lm.arpa").write_text(text)
    write_table(folder / "lm.arpa", words, folder / "table")
    arpa = read_arpa(folder / "lm.arpa")
    return NgramTable.open(folder / "table", words, arpa.order), arpa


def estimated(folder: Path, words: dict[str, int], order: int, seed: int) -> tuple[NgramTable, ArpaModel]:
    """A model of sentences by chance."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(seed)
    spoken = sorted(words.keys() - {"<eps>"})
    sentences = [" ".join(rng.choice(spoken, rng.integers(1, 6))) for _ in range(60)]
    (folder / "text").write_text("\n".join(sentences) + "\n")
    (folder / "words.txt").write_text("".join(f"{word} {number}\n" for word, number in words.items()))
    make_lm(LmConfig(order=order), folder, folder / "text", folder)
    arpa = read_arpa(folder / "lm.arpa")
    return NgramTable.open(folder / "table", words, arpa.order), arpa


def cost_of_words(model: ArpaModel, words: list[str], end: bool = True) -> float:
    history: tuple[str, ...] = ("<s>",)
    total = 0.0
    for word in [*words, *(["</s>"] if end else [])]:
        total -= LN10 * model.log_prob(history, word)
        history = (*history, word)
    return total


@settings(max_examples=60, deadline=None)
@given(random_graphs(), st.integers(1, 4))
def test_the_best_path_is_the_best_of_all_paths(
    write_graph: GraphWriter, tmp_path_factory: pytest.TempPathFactory, case: Case, order: int
) -> None:
    folder = tmp_path_factory.mktemp("random")
    graph = random_graph(write_graph, folder, case)
    lattice = LatticeSearch(graph.arrays(), WIDE).search(case[2])
    if lattice is None:
        return
    words = {word: number for number, word in graph.words.items()}
    (old_table, old_model), (new_table, new_model) = (
        estimated(folder / name, words, order, seed) for name, order, seed in (("old", 1, 1), ("new", order, 2))
    )
    expected = math.inf
    for ids, cost in lattice_paths(lattice):
        spelled = [graph.words[number] for number in ids]
        change = [cost_of_words(model, spelled, not lattice.partial) for model in (old_model, new_model)]
        expected = min(expected, cost - change[0] + change[1])
    best = Rescorer(old_table, new_table).best(lattice)
    assert best is not None
    assert best[0] == pytest.approx(expected, abs=1e-3)
    same = Rescorer(old_table, old_table).best(lattice)
    assert same is not None
    assert same[0] == pytest.approx(min(cost for _, cost in lattice_paths(lattice)), abs=1e-4)


def test_it_finds_what_a_search_with_the_other_model_finds(
    word_loop: Graph, word_costs: WordCosts, tmp_path: Path
) -> None:
    """The loop's costs are a model of one word; the other has two."""
    lexicon, stay, end = word_costs
    words = {word: number for number, word in word_loop.words.items()}
    old, _ = opened(tmp_path / "old", unigrams({word: cost for word, (_, cost) in lexicon.items()}, end), words)
    new, model = estimated(tmp_path / "new", words, 2, 7)
    searcher = RescoringSearcher(word_loop, WIDE, Rescorer(old, new))
    changed = 0
    for seed in range(8):
        matrix = np.random.default_rng(seed).normal(0, 1, (7, 4)).astype(np.float32)
        costs = {}
        for length in (1, 2, 3):
            for said in itertools.product(lexicon, repeat=length):
                states = [pdf for word in said for pdf in lexicon[word][0]]
                costs[said] = cost_of_states(states, matrix, stay) + cost_of_words(model, list(said))
        path = searcher.decode("u", matrix)
        assert path.words == min(costs, key=lambda said: costs[said])
        assert path.score == pytest.approx(-min(costs.values()), abs=1e-3)
        assert (path.partial, path.failed, path.num_frames) == (False, False, 7)
        changed += path.words != RescoringSearcher(word_loop, WIDE, Rescorer(old, old)).decode("u", matrix).words
    assert changed


def test_no_path_and_no_frames_are_failures(word_loop: Graph, word_costs: WordCosts, tmp_path: Path) -> None:
    lexicon, _, end = word_costs
    words = {word: number for number, word in word_loop.words.items()}
    old, _ = opened(tmp_path / "old", unigrams({word: cost for word, (_, cost) in lexicon.items()}, end), words)
    none, _ = opened(tmp_path / "none", unigrams({}, end), words)
    path = RescoringSearcher(word_loop, WIDE, Rescorer(old, old)).decode("u", np.zeros((0, 4), np.float32))
    assert (path.words, path.failed, path.num_frames) == ((), True, 0)
    path = RescoringSearcher(word_loop, WIDE, Rescorer(old, none)).decode("u", np.zeros((4, 4), np.float32))
    assert (path.words, path.failed, path.partial) == ((), True, False)
    path = RescoringSearcher(word_loop, WIDE, Rescorer(old, old)).decode("u", np.zeros((1, 4), np.float32))
    assert (path.words, path.failed, path.partial) == (("ONE",), False, True)
    with pytest.raises(MismatchError, match="utt-3: log-likelihoods have shape"):
        RescoringSearcher(word_loop, WIDE, Rescorer(old, old)).decode("utt-3", np.zeros((4, 3), np.float32))


def test_models_must_be_the_graphs_own_and_of_its_words(
    word_loop: Graph, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = {"own": "ONE TWO NO\nTWO\n", "other": "ONE\nTWO NO NO\n"}
    for name, text in texts.items():
        (tmp_path / name).mkdir()
        (tmp_path / "text").write_text(text)
        make_lm(LmConfig(order=2), word_loop.path, tmp_path / "text", tmp_path / name)
    open_rescorer(word_loop, tmp_path / "own", tmp_path / "other")  # a graph made elsewhere does not say which
    (tmp_path / "few").mkdir()
    (tmp_path / "arpa").write_text(unigrams({"ONE": 1.0, "NO": 1.0}, 1.0))
    make_lm(LmConfig(), word_loop.path, tmp_path / "arpa", tmp_path / "few")
    capsys.readouterr()
    open_rescorer(word_loop, tmp_path / "own", tmp_path / "few")
    assert "few lacks 1 words of the graph, such as TWO: they are never recognised" in capsys.readouterr().err
    with pytest.raises(MismatchError, match="few is not the language model that graph"):
        open_rescorer(word_loop, tmp_path / "few", tmp_path / "own")
    (tmp_path / "other/words.txt").write_text("<eps> 0\nONE 1\n")
    (tmp_path / "text").write_text("ONE ONE\nONE\n")
    make_lm(LmConfig(order=1), tmp_path / "other", tmp_path / "text", tmp_path / "few")
    with pytest.raises(MismatchError, match="few is a model of other words"):
        open_rescorer(word_loop, tmp_path / "own", tmp_path / "few")
    with pytest.raises(DataError, match="is no language model of `asrkd lm`"):
        open_rescorer(word_loop, tmp_path / "own", word_loop.path)


def grammar_graph(folder: Path, arpa: Path) -> Graph:
    """The grammar of an ARPA model as a graph in which each word takes one frame, of a pdf of its own."""
    grammar = from_kaldifst(compile_grammar(arpa, folder / "words.txt"))
    back_off = read_symbols(folder / "words.txt")["#0"]
    labels = grammar.arcs["ilabel"]
    hclg = grammar.relabelled(np.where(labels == back_off, 0, labels))
    assert (labels == back_off).any()
    write_fst(folder / "HCLG.pdf.fst", hclg)
    sizes = {"num_states": hclg.num_states, "num_arcs": len(hclg.arcs)}
    write_json(folder / "graph.json", {"num_pdfs": back_off, "tied_states": "abc", **sizes})
    return Graph.open(folder)


@pytest.mark.parametrize("order", [2, 3])
def test_what_the_graph_backed_off_is_taken_off(tmp_path: Path, order: int) -> None:
    """The graph may leave an n-gram for a dearer word's cheaper way round; its cost is that of the cheaper."""
    words = {"<eps>": 0, "A": 1, "B": 2, "C": 3, "#0": 4, "<s>": 5, "</s>": 6}
    tables = []
    for name, seed in (("old", 3), ("new", 4)):
        rng = np.random.default_rng(seed)
        text = [" ".join(rng.choice(["A", "B", "C"], rng.integers(1, 6), p=[0.7, 0.2, 0.1])) for _ in range(60)]
        (tmp_path / name).mkdir()
        (tmp_path / name / "words.txt").write_text("".join(f"{word} {number}\n" for word, number in words.items()))
        (tmp_path / name / "text").write_text("\n".join(text) + "\n")
        make_lm(LmConfig(order=order), tmp_path / name, tmp_path / name / "text", tmp_path / name)
        tables.append(open_table(tmp_path / name))
    graph = grammar_graph(tmp_path / "old", tmp_path / "old/lm.arpa")
    models = [read_arpa(tmp_path / name / "lm.arpa") for name in ("old", "new")]
    config = replace(WIDE, lattice_beam=500.0)
    dearer = 0
    for seed in range(20):
        matrix = np.random.default_rng(seed).normal(0, 1, (4, 4)).astype(np.float32)
        for model, table in zip(models, tables, strict=True):
            costs = {}
            for said in itertools.product("ABC", repeat=4):
                sound = -sum(float(matrix[frame, words[word] - 1]) for frame, word in enumerate(said))
                costs[said] = sound + cost_of_words(model, list(said))
            path = RescoringSearcher(graph, config, Rescorer(tables[0], table)).decode("u", matrix)
            assert path.words == min(costs, key=lambda said: costs[said])
            assert path.score == pytest.approx(-min(costs.values()), abs=1e-3)
            if table is tables[0]:
                dearer += -Searcher(graph, config).decode("u", matrix).score < min(costs.values()) - 1e-3
    assert dearer


def test_kaldis_words_stay_under_the_graphs_own_model(shared_dir: Path, kaldi_graph: Graph, tmp_path: Path) -> None:
    """The graph's score is better where it backs off although it need not; under no grammar at all other words win."""
    test = shared_dir / "kaldi-exp" / "data" / "test"
    expected = dict(line.split(maxsplit=1) for line in (test / "hyp_kaldi_tri1.txt").read_text().splitlines())
    spoken = sorted({word for word in kaldi_graph.words.values() if word[0] not in "<#"})
    (tmp_path / "flat.arpa").write_text(unigrams(dict.fromkeys(spoken, 5.0), 5.0))
    tables = []
    for name, source in (("own", shared_dir / "kaldi-exp/lang/lm.arpa"), ("flat", tmp_path / "flat.arpa")):
        (tmp_path / name).mkdir()
        make_lm(LmConfig(), kaldi_graph.path, source, tmp_path / name)
        tables.append(tmp_path / name)
    config = DecodeConfig(beam=13.0, lattice_beam=8.0, max_active=7000)
    same = RescoringSearcher(kaldi_graph, config, open_rescorer(kaldi_graph, tables[0], tables[0]))
    other = RescoringSearcher(kaldi_graph, config, open_rescorer(kaldi_graph, tables[0], tables[1]))
    changed = 0
    for utt_id, matrix in kaldiio.load_ark(str(test / "loglikes-first5.ark")):
        path = same.decode(utt_id, scaled(matrix, 1 / 13))
        assert " ".join(path.words) == expected[utt_id].strip()
        assert path.score < Searcher(kaldi_graph, config).decode(utt_id, scaled(matrix, 1 / 13)).score + 1e-2
        changed += other.decode(utt_id, scaled(matrix, 1 / 13)).words != path.words
    assert changed
