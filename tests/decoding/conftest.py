"""A graph of three words that is small enough to search by hand."""

from collections.abc import Callable
from pathlib import Path

import kaldifst
import pytest

from asrkd.core.files import write_json
from asrkd.graph.graph import Graph
from asrkd.graph.hclg import import_graph
from asrkd.lang.fst import from_kaldifst, write_fst

GraphWriter = Callable[[Path, str, dict[str, int], int], Graph]

WORDS = {"ONE": ((0, 1), 0.7), "TWO": ((2, 1), 1.1), "NO": ((2, 3), 1.3)}
STAY, END = 0.3, 0.6


def _write_graph(folder: Path, text: str, words: dict[str, int], num_pdfs: int) -> Graph:
    arrays = from_kaldifst(kaldifst.compile(text, acceptor=False))
    write_fst(folder / "HCLG.pdf.fst", arrays)
    (folder / "words.txt").write_text("".join(f"{word} {number}\n" for word, number in {"<eps>": 0, **words}.items()))
    sizes = {"num_states": arrays.num_states, "num_arcs": len(arrays.arcs)}
    write_json(folder / "graph.json", {"num_pdfs": num_pdfs, "tied_states": "abc", **sizes})
    return Graph.open(folder)


@pytest.fixture(scope="session")
def write_graph() -> GraphWriter:
    """``write_graph(folder, text, words, num_pdfs)``: a graph dir of an FST in text form, opened."""
    return _write_graph


@pytest.fixture(scope="session")
def word_costs() -> tuple[dict[str, tuple[tuple[int, int], float]], float, float]:
    """Of `word_loop`: each word's two pdfs and its cost; the cost of staying in a state; that of the end."""
    return WORDS, STAY, END


@pytest.fixture(scope="session")
def word_loop(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    """Any sequence of three words, over 4 pdfs."""
    lines = []
    for number, ((first, second), cost) in enumerate(WORDS.values(), 1):
        a, b = 2 * number - 1, 2 * number
        lines += [f"0 {a} {first + 1} {number} {cost}", f"{a} {a} {first + 1} 0 {STAY}", f"{a} {b} {second + 1} 0 0"]
        lines += [f"{b} {b} {second + 1} 0 {STAY}", f"{b} 0 0 0 0"]
    text = "\n".join([*lines, f"0 {END}", ""])
    return _write_graph(tmp_path_factory.mktemp("loop"), text, {word: i for i, word in enumerate(WORDS, 1)}, 4)


@pytest.fixture(scope="session")
def kaldi_graph(shared_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Graph:
    """Of a Kaldi experiment, made by Kaldi."""
    folder = tmp_path_factory.mktemp("kaldi")
    import_graph(shared_dir / "kaldi-exp" / "graph", shared_dir / "kaldi-exp" / "tri1_ali", folder)
    return Graph.open(folder)
