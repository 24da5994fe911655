"""HCLG: what the search walks. From right to left: grammar, lexicon, phonetic context, HMM states.

The recipe is Kaldi's ``utils/mkgraph.sh`` (Mohri, Pereira and Riley 2002, "Weighted finite-state transducers in
speech recognition"): compose and determinise with disambiguation symbols, drop these, minimise, and put the self
loops on last. Two graphs are written: one with transition-ids on the input side, for Kaldi's own tools, and one with
pdf + 1 (0 is epsilon), so that a matrix (frames, num_pdfs) goes into the search as it is.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import kaldi_hmm_gmm as khg
import kaldifst
import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from asrkd.core.config import STRICT
from asrkd.core.errors import DataError, MismatchError
from asrkd.core.files import write_json
from asrkd.hmm.kaldi_io import kaldi_errors
from asrkd.hmm.tied_states import TiedStates, check_phones
from asrkd.lang.fst import FstArrays, from_kaldifst, read_fst, to_kaldifst, write_fst
from asrkd.lang.lm import ARPA, check_words, identity, oov_of
from asrkd.lang.phones import BACKOFF, SymbolTable, disambiguation_ids, read_symbols, write_symbols

_ARPA_TO_FST = f"""
import sys, kaldilm
arpa, words, output = sys.argv[1:]
kaldilm.arpa2fst(arpa, output, disambig_symbol="{BACKOFF}", read_symbol_table=words, max_arpa_warnings=0)
"""


@dataclass(frozen=True, config=STRICT)
class GraphConfig:
    """How transition probabilities weigh in the graph (Kaldi's defaults)."""

    transition_scale: Annotated[float, Field(ge=0)] = 1.0
    """Factor on the log probabilities of leaving an HMM state."""
    self_loop_scale: Annotated[float, Field(ge=0)] = 0.1
    """Factor on the log probabilities of staying in one; near the acoustic scale, since they accrue per frame."""


def make_graph(config: GraphConfig, lang: Path, lm: Path, tied_states: Path, work: Path) -> dict[str, Any]:
    """Build HCLG of a lang dir, a language model and a tied-state model into ``work``; returns graph.json's content.

    Raises MismatchError where they have different phones or words, and DataError for files that are missing, damaged or
    that Kaldi refuses (a lexicon without disambiguation symbols, say).
    """
    model = TiedStates.load(tied_states)
    check_phones(tied_states, model.phones, lang, read_symbols(lang / "phones.txt"))
    check_words(lm, lang)
    hclg = compose_graph(config, lang, lm, model)
    words = read_symbols(lang / "words.txt")
    return write_graph(work, hclg, model, words, config=config, lm=identity(lm), oov=oov_of(lang))


def import_graph(kaldi_graph: Path, tied_states: Path, work: Path) -> dict[str, Any]:
    """Take over a graph dir that Kaldi's ``mkgraph.sh`` made (HCLG.fst, words.txt) for its tied-state model.

    Raises MismatchError where HCLG.fst is of another model, words.txt or phones.txt of another graph, and DataError
    for files that are missing or damaged.
    """
    model = TiedStates.load(tied_states)
    check_phones(tied_states, model.phones, kaldi_graph, read_symbols(kaldi_graph / "phones.txt"))
    hclg, words = read_fst(kaldi_graph / "HCLG.fst"), read_symbols(kaldi_graph / "words.txt")
    if unknown := sorted(set(np.unique(hclg.arcs["olabel"]).tolist()) - set(words.values())):
        raise MismatchError(
            f"{kaldi_graph / 'words.txt'}: has no word {unknown[0]}, which HCLG.fst holds: is it another graph's?"
        )
    with_pdf_labels(hclg, model.pdf_of_tid, str(kaldi_graph / "HCLG.fst"))
    check_self_loops(hclg, model, kaldi_graph / "HCLG.fst")
    return write_graph(work, hclg, model, words)


def check_self_loops(hclg: FstArrays, model: TiedStates, where: Path) -> None:
    """MismatchError unless transition-ids that are self-loops in the model are loops in the graph.

    Ids of another tree are numbers of the same range; this tells them apart.
    """
    labels = hclg.arcs["ilabel"]
    moves_on = np.repeat(np.arange(hclg.num_states), hclg.num_arcs) != hclg.arcs["nextstate"]
    wrong = moves_on & model.tables.self_loop[labels]
    if wrong.any():
        raise MismatchError(
            f"{where}: transition-id {int(labels[wrong][0])} moves on in the graph, but is a self-loop in the "
            "tied-state model: was the graph built with another tree?"
        )


def check_epsilons(hclg: FstArrays) -> None:
    """DataError for a cycle of epsilon arcs, in which no search would come to an end."""
    epsilons = hclg.arcs["ilabel"] == 0
    source = np.repeat(np.arange(hclg.num_states), hclg.num_arcs)[epsilons]
    target = hclg.arcs["nextstate"][epsilons]
    shape = (hclg.num_states, hclg.num_states)
    among = coo_array((np.ones(len(source), np.int8), (source, target)), shape)
    num_components, _ = connected_components(among, connection="strong")
    if num_components < hclg.num_states or (source == target).any():
        raise DataError("the decoding graph has a cycle of epsilon arcs: was it made without disambiguation symbols?")


def compose_graph(config: GraphConfig, lang: Path, lm: Path, model: TiedStates) -> FstArrays:
    """HCLG with transition-ids on the input side, of a lang dir, a language model and a tied-state model."""
    phones, words = read_symbols(lang / "phones.txt"), read_symbols(lang / "words.txt")
    if not {BACKOFF} <= phones.keys() & words.keys():
        raise DataError(f"{lang}: phones.txt and words.txt must both hold {BACKOFF}: is it a lang dir?")
    grammar = compile_grammar(lm / ARPA, lang / "words.txt")
    with kaldi_errors(f"{lang}: graph"):
        lexicon_grammar = compose_lexicon(lang / "L_disambig.fst", grammar, phones, words)
        del grammar
        return compose_states(config, lexicon_grammar, model, disambiguation_ids(phones))


def compile_grammar(arpa: Path, words: Path) -> kaldifst.StdVectorFst:
    """G of an ARPA language model over the ids of words.txt; n-grams with other words are left out, as by Kaldi.

    Raises DataError for a model that is missing or that Kaldi refuses.
    """
    if not arpa.is_file():
        raise DataError(f"{arpa} is missing: is {arpa.parent} what `asrkd lm` made?")
    with tempfile.TemporaryDirectory(prefix="asrkd-") as folder:
        output = Path(folder) / "G.fst"
        # In a process of its own, which the wheel aborts at a malformed model.
        command = [sys.executable, "-I", "-c", _ARPA_TO_FST, str(arpa), str(words), str(output)]
        finished = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        if finished.returncode or not output.is_file():
            raise DataError(
                f"{arpa}: not read as an ARPA model ({_complaint(finished.stderr)}): cut short, or no ARPA?"
            )
        grammar = to_kaldifst(read_fst(output))
    kaldifst.arcsort(grammar, "ilabel")
    return grammar


def _complaint(messages: str) -> str:
    """What Kaldi said last of all, without where in its code."""
    lines = [line.strip() for line in messages.splitlines() if line.startswith(("[E]", "[F]", "[W]"))]
    return lines[-1][3:].strip() if lines else "no reason given"


def compose_lexicon(
    lexicon: Path, grammar: kaldifst.StdVectorFst, phones: SymbolTable, words: SymbolTable
) -> kaldifst.StdVectorFst:
    """min(det(L o G)): phones in, words out."""
    arrays = read_fst(lexicon)
    fst = to_kaldifst(arrays)
    pair = phones[BACKOFF], words[BACKOFF]
    if not (arrays.arcs["ilabel"] == pair[0]).any():  # Kaldi's own L_disambig.fst has them already
        kaldifst.add_self_loops(fst, [pair[0]], [pair[1]])
    kaldifst.arcsort(fst, "olabel")
    composed = kaldifst.compose(fst, grammar)
    if composed.num_states == 0:
        raise DataError(f"{lexicon}: shares no word with the language model: is it of the same words.txt?")
    kaldifst.determinize_star(composed, use_log=True)
    kaldifst.minimize_encoded(composed)
    return composed


def compose_states(
    config: GraphConfig, lexicon_grammar: kaldifst.StdVectorFst, model: TiedStates, disambiguation: list[int]
) -> FstArrays:
    """H o C o (L o G): transition-ids in, words out, with self loops."""
    tree, transitions = model.tree, model.transition_model
    context, windows = kaldifst.compose_context(
        disambig_syms=disambiguation,
        context_width=tree.context_width,
        central_position=tree.central_position,
        ifst=lexicon_grammar,
    )
    kaldifst.arcsort(context, "ilabel")
    states, disambiguation_tids = khg.get_h_transducer(
        ilabel_info=windows,
        ctx_dep=tree,
        trans_model=transitions,
        config=khg.HTransducerConfig(transition_scale=config.transition_scale),
    )
    kaldifst.arcsort(states, "olabel")
    composed = kaldifst.compose(states, context)
    del states, context
    kaldifst.determinize_star(composed, use_log=True)
    arrays = from_kaldifst(composed)
    labels = arrays.arcs["ilabel"]
    composed = to_kaldifst(arrays.relabelled(np.where(np.isin(labels, disambiguation_tids), 0, labels)))
    kaldifst.minimize_encoded(composed)
    with_loops = khg.add_self_loops(
        self_loop_scale=config.self_loop_scale, disambig_syms=[], reorder=True, trans_model=transitions, ifst=composed
    )
    return from_kaldifst(with_loops)


def with_pdf_labels(hclg: FstArrays, pdf_of_tid: NDArray[np.integer[Any]], where: str) -> FstArrays:
    """``hclg`` with pdf + 1 for each transition-id on the input side; epsilons stay 0.

    ``pdf_of_tid`` is indexed by transition-id (entry 0 is no transition). Raises MismatchError for a larger id.
    """
    labels = hclg.arcs["ilabel"]
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(pdf_of_tid):
        raise MismatchError(
            f"{where}: transition-id {int(labels.max())} is in the graph, the tied-state model has "
            f"{len(pdf_of_tid) - 1}: was the graph built with another model?"
        )
    return hclg.relabelled(np.where(labels > 0, np.asarray(pdf_of_tid)[labels] + 1, 0))


def write_graph(
    work: Path,
    hclg: FstArrays,
    model: TiedStates,
    words: SymbolTable,
    *,
    config: GraphConfig | None = None,
    lm: str | None = None,
    oov: str | None = None,
) -> dict[str, Any]:
    """Write a graph dir; scales, language model (its hash) and ``oov`` are unknown (null) for one made elsewhere."""
    if hclg.num_states == 0 or not np.isfinite(hclg.final).any():
        raise DataError("the decoding graph is empty: do lexicon and language model share no words?")
    check_epsilons(hclg)
    write_fst(work / "HCLG.fst", hclg)
    write_fst(work / "HCLG.pdf.fst", with_pdf_labels(hclg, model.pdf_of_tid, str(work / "HCLG.fst")))
    write_symbols(work / "words.txt", words)
    description = {
        "tied_states": model.hash,
        "num_pdfs": model.num_pdfs,
        "num_states": hclg.num_states,
        "num_arcs": len(hclg.arcs),
        "self_loop_scale": None if config is None else config.self_loop_scale,
        "transition_scale": None if config is None else config.transition_scale,
        "lm": lm,
        "oov": oov,
    }
    write_json(work / "graph.json", description)
    return description
