"""Search, lattices and their rescoring on one core; n-gram lookups.

python -m bench.rescoring EXPERIMENT [PART]       (an experiment run with --rescore, after its stage 8; PART: test)

The peer of the lattices' search is Kaldi's, as its wheel has it, which gives the best path alone; of the lookups KenLM,
where it is installed.
"""

import importlib.util
import itertools
import math
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import torch

from asrkd.core.files import read_lines
from asrkd.decoding.acoustic import scaled
from asrkd.decoding.config import DecodeConfig
from asrkd.decoding.lattice import LatticeSearch
from asrkd.decoding.rescore import RescoringSearcher, open_rescorer
from asrkd.decoding.search import Searcher
from asrkd.decoding.sources import nets
from asrkd.features.store import FeatureDir
from asrkd.graph.graph import Graph
from asrkd.lang.lm import ARPA, open_table
from asrkd.lang.phones import read_symbols
from bench.table import print_table

UTTERANCES = 25
ACOUSTIC_SCALE = 0.08
BEAMS = ((11.0, 1000), (13.0, 7000))
NUM_LOOKUPS = 200_000


def searches(experiment: Path, part: str) -> None:
    """Real-time factors, each search over the same utterances in turn."""
    features, graph = FeatureDir.open(experiment / "fbank" / part), Graph.open(experiment / "graph")
    source = nets(features, [experiment / "student"], device="cpu")
    ready = {utt: scaled(source.log_likelihoods(utt), ACOUSTIC_SCALE) for utt in features.utt_ids[:UTTERANCES]}
    num_frames = sum(map(len, ready.values()))
    rescorer = open_rescorer(graph, experiment / "lm", experiment / "lm_rescore")
    rows = []
    for beam, max_active in BEAMS:
        config = DecodeConfig(beam=beam, max_active=max_active)
        kaldi, lattices = Searcher(graph, config), LatticeSearch(graph.arrays(), config)
        rescoring = RescoringSearcher(graph, config, rescorer)
        seconds, arcs = [0.0, 0.0, 0.0], 0
        for utt, matrix in ready.items():
            times = [time.perf_counter()]
            kaldi.decode(utt, matrix)
            times.append(time.perf_counter())
            lattice = lattices.search(matrix)
            times.append(time.perf_counter())
            rescoring.decode(utt, matrix)
            times.append(time.perf_counter())
            seconds = [total + after - before for total, (before, after) in zip(seconds, pairwise(times), strict=True)]
            arcs += 0 if lattice is None else len(lattice.cost)
        rates = [f"{100 * total / num_frames:.3f}" for total in seconds]
        rows.append([f"{beam:g}", f"{max_active}", *rates, f"{arcs / num_frames:.0f}"])
    header = ["beam", "max-active", "Kaldi's search", "lattices", "lattices, rescored", "arcs a frame"]
    print_table(f"real-time factors on {part}", header, rows)


def lookups(experiment: Path) -> None:
    """Words scored a second, each after the state that the word before left; the sentences are of the hypotheses."""
    lm = experiment / "lm_rescore"
    names = read_symbols(lm / "words.txt")
    lines = itertools.chain.from_iterable(map(read_lines, sorted(experiment.glob("eval/*/*/decode/hyp.txt"))))
    sentences = [words for line in lines if (words := line.split()[1:])]
    total = sum(len(words) for words in sentences)
    repeated = list(itertools.islice(itertools.cycle(sentences), math.ceil(NUM_LOOKUPS * len(sentences) / total)))
    ids = [[names[word] for word in words] for words in repeated]
    table = open_table(lm)

    def ours() -> None:
        for words in ids:
            state = table.start
            for word in words:
                _, state = table.score(state, word)

    rows = [[f"asrkd, {table.order}-grams", f"{rate(ours, ids):,.0f}"]]
    if importlib.util.find_spec("kenlm"):
        import kenlm

        model = kenlm.Model(str(lm / ARPA))

        def peer() -> None:
            for words in repeated:
                state, following = kenlm.State(), kenlm.State()
                model.BeginSentenceWrite(state)
                for word in words:
                    model.BaseScore(state, word, following)
                    state, following = following, state

        rows.append(["KenLM", f"{rate(peer, ids):,.0f}"])
    print_table("n-gram lookups", ["model", "words/s"], rows)


def rate(function: Callable[[], None], ids: list[list[int]]) -> float:
    start = time.perf_counter()
    function()
    return sum(map(len, ids)) / (time.perf_counter() - start)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: python -m bench.rescoring EXPERIMENT [PART]")
    torch.set_num_threads(1)
    searches(Path(sys.argv[1]), (sys.argv[2:] or ["test"])[0])
    lookups(Path(sys.argv[1]))
