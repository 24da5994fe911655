"""What a decoding graph of a large vocabulary takes: seconds, memory, disk.

python -m bench.graph EXPERIMENT SENTENCES        (an experiment after its stage 4, such as exp/librispeech)

The experiment's own lexicon, and 200,000 words, as many as LibriSpeech's: compounds of its words fill it up, in the
order in which chance draws them. Trigrams of the sentences, pruned, over either. A column's peak memory is
that of its process, language model and graph; of arpa2fst, which is another, it is the larger of the two.
"""

import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from asrkd.graph.hclg import GraphConfig, make_graph
from asrkd.lang.lexicon import Lexicon, read_lexicon
from asrkd.lang.lm import LmConfig, make_lm
from asrkd.lang.prepare import LangConfig, make_lang
from bench.table import print_table

NUM_WORDS = 200_000
PRUNE, SMALLER = 1e-7, 1e-6


def filled_up(lexicon: Lexicon, num_words: int) -> Lexicon:
    """With words of two of its own, up to ``num_words``."""
    words, rng = dict(lexicon.pronunciations), np.random.default_rng(1)
    own = sorted(lexicon.words)
    while len(words) < num_words:
        first, second = (own[number] for number in rng.integers(len(own), size=2))
        together = (*lexicon.pronunciations[first][0], *lexicon.pronunciations[second][0])
        words.setdefault(f"{first}-{second}", (together,))
    return Lexicon(dict(sorted(words.items())))


def measure(experiment: Path, lexicon: Path, sentences: Path, prune: float, work: Path) -> Mapping[str, str]:
    """One column of the table."""
    for name in ("lang", "lm", "graph"):
        (work / name).mkdir(parents=True)
    made = make_lang(LangConfig(vocabulary="lexicon", oov="unk", keep_stress=True), lexicon, None, work / "lang")
    start = time.perf_counter()
    model = make_lm(LmConfig(order=3, prune=prune), work / "lang", sentences, work / "lm")
    estimated = time.perf_counter()
    memory = peak_gb()
    graph = make_graph(GraphConfig(), work / "lang", work / "lm", experiment / "tri", work / "graph")
    seconds = time.perf_counter() - estimated
    return {
        "words": f"{made['num_words']:,}",
        "pruned at": f"{prune:g}",
        "1-grams": f"{model['num_ngrams'][0]:,}",
        "2-grams": f"{model['num_ngrams'][1]:,}",
        "3-grams": f"{model['num_ngrams'][2]:,}",
        "language model, seconds": f"{estimated - start:.0f}",
        "language model, peak memory, GB": f"{memory:.1f}",
        "graph, states": f"{graph['num_states']:,}",
        "graph, arcs": f"{graph['num_arcs']:,}",
        "graph, seconds": f"{seconds:.0f}",
        "graph, GB on disk, for the search": f"{(work / 'graph/HCLG.pdf.fst').stat().st_size / 1e9:.2f}",
        "peak memory, GB": f"{peak_gb():.1f}",
    }


def peak_gb() -> float:
    """Of this process or of one that it ran, whichever is larger."""
    return max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1e6


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit("usage: python -m bench.graph EXPERIMENT SENTENCES")
    experiment, sentences = Path(sys.argv[1]), Path(sys.argv[2])
    own = experiment / "lang/lexicon.txt"
    columns = []
    with tempfile.TemporaryDirectory(prefix="asrkd-") as folder:
        large = Path(folder) / "lexicon.txt"
        filled_up(read_lexicon(own, keep_stress=True), NUM_WORDS).write(large)
        for number, (lexicon, prune) in enumerate([(own, PRUNE), (large, PRUNE), (large, SMALLER)]):
            # Each in a process of its own, whose peak memory is its own.
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                job = pool.submit(measure, experiment, lexicon, sentences, prune, Path(folder) / str(number))
                columns.append(job.result())
    rows = [[name, *(column[name] for column in columns)] for name in columns[0]]
    print_table("Decoding graphs", ["", "its own lexicon", "200,000 words", "the same, pruned further"], rows)


if __name__ == "__main__":
    main()
