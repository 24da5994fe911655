"""A graph dir opened: what is checked, and what is in memory."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import kaldifst
import pytest

from asrkd.core.errors import DataError, MismatchError
from asrkd.core.files import write_json
from asrkd.graph.graph import Graph
from asrkd.lang.fst import from_kaldifst, write_fst

TEXT = "0 1 1 1 0.5\n1 1 1 0 0.1\n1 0 0 0\n1 2 3 2 0.5\n2\n"
DESCRIPTION = {"num_pdfs": 3, "tied_states": "0123456789abcdef", "num_states": 3, "num_arcs": 4}


def _write(folder: Path, text: str = TEXT, description: Mapping[str, Any] = DESCRIPTION) -> Path:
    write_fst(folder / "HCLG.pdf.fst", from_kaldifst(kaldifst.compile(text, acceptor=False)))
    (folder / "words.txt").write_text("<eps> 0\nYES 1\nNO 2\n")
    write_json(folder / "graph.json", dict(description))
    return folder


def test_open(tmp_path: Path) -> None:
    graph = Graph.open(_write(tmp_path))
    assert graph.words == {0: "<eps>", 1: "YES", 2: "NO"}
    assert (graph.num_pdfs, graph.tied_states) == (3, "0123456789abcdef")
    assert graph.fst.to_str() == kaldifst.compile(TEXT, acceptor=False).to_str()


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"graph .*none does not exist: has the stage"):
        Graph.open(tmp_path / "none")


def test_missing_description(tmp_path: Path) -> None:
    (_write(tmp_path) / "graph.json").unlink()
    with pytest.raises(DataError, match=r"graph\.json is missing"):
        Graph.open(tmp_path)


def test_graph_of_another_build(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="files of two builds"):
        Graph.open(_write(tmp_path, description={**DESCRIPTION, "num_arcs": 5}))


def test_labels_beyond_the_pdfs(tmp_path: Path) -> None:
    """They would be read from beyond the matrix by the search, unchecked."""
    with pytest.raises(DataError, match="labels beyond its 2 pdfs"):
        Graph.open(_write(tmp_path, description={**DESCRIPTION, "num_pdfs": 2}))


def test_word_without_a_symbol(tmp_path: Path) -> None:
    (_write(tmp_path) / "words.txt").write_text("<eps> 0\nYES 1\n")
    with pytest.raises(DataError, match=r"words\.txt: has no word 2"):
        Graph.open(tmp_path)


def test_truncated_graph(tmp_path: Path) -> None:
    path = _write(tmp_path) / "HCLG.pdf.fst"
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(DataError, match=r"HCLG\.pdf\.fst: .*cut short"):
        Graph.open(tmp_path)


def test_other_tied_states(tmp_path: Path) -> None:
    graph = Graph.open(_write(tmp_path))
    graph.check_tied_states("0123456789abcdef", "student")
    with pytest.raises(MismatchError, match=r"student belongs to tied states ffff.*was the tree built again"):
        graph.check_tied_states("ffff", "student")
