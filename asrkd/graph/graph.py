"""A graph dir opened for the search: loaded once, shared by forked workers."""

from dataclasses import dataclass
from pathlib import Path

import kaldifst
import numpy as np
from numpy.typing import NDArray

from asrkd.core.errors import DataError, MismatchError
from asrkd.core.files import read_fields
from asrkd.lang.fst import FstArrays, read_fst
from asrkd.lang.phones import read_symbols


@dataclass(frozen=True)
class Graph:
    """HCLG with pdf + 1 on the input side and word ids on the output side.

    ``fst`` must outlive every decoder on it: the wheels hold no reference. ``words`` is keyed by word id.
    ``word_ids`` are those on its arcs, sorted, without epsilon. ``lm`` is the identity of its language model, None
    where the graph was made elsewhere.
    """

    path: Path
    fst: kaldifst.StdConstFst
    words: dict[int, str]
    num_pdfs: int
    tied_states: str
    word_ids: NDArray[np.int32]
    lm: str | None = None

    def arrays(self) -> FstArrays:
        """``fst`` as arrays, read anew: they may be large."""
        return read_fst(self.path / "HCLG.pdf.fst")

    @classmethod
    def open(cls, path: Path) -> "Graph":
        """Load a graph dir. DataError where it is missing, damaged, or where its files are not of one build."""
        if not path.is_dir():
            raise DataError(f"graph {path} does not exist: has the stage that makes it been run?")
        description = read_fields(path / "graph.json", num_pdfs=int, tied_states=str, num_states=int, num_arcs=int)
        arrays = read_fst(path / "HCLG.pdf.fst")
        words = {number: word for word, number in read_symbols(path / "words.txt").items()}
        num_pdfs = int(description["num_pdfs"])
        if (arrays.num_states, len(arrays.arcs)) != (description["num_states"], description["num_arcs"]):
            raise DataError(f"{path}: HCLG.pdf.fst is not the graph of graph.json: were files of two builds mixed?")
        if not 0 <= arrays.start < arrays.num_states:
            raise DataError(f"{path}: HCLG.pdf.fst has no start state: is it empty?")
        if len(arrays.arcs) and not 0 <= arrays.arcs["ilabel"].min() <= arrays.arcs["ilabel"].max() <= num_pdfs:
            raise DataError(f"{path}: HCLG.pdf.fst has labels beyond its {num_pdfs} pdfs: was HCLG.fst copied over it?")
        labels = np.unique(arrays.arcs["olabel"])
        if unknown := sorted(set(labels.tolist()) - words.keys()):
            raise DataError(f"{path / 'words.txt'}: has no word {unknown[0]}, which HCLG holds: is it another graph's?")
        del arrays
        fst = kaldifst.StdVectorFst.read(str(path / "HCLG.pdf.fst"))
        tied_states, lm = str(description["tied_states"]), description.get("lm")
        return cls(path, kaldifst.StdConstFst(fst), words, num_pdfs, tied_states, labels[labels > 0], lm)

    def check_tied_states(self, tied_states: str, whose: str) -> None:
        """MismatchError unless ``tied_states`` (the hash that ``whose`` carries) is the graph's own."""
        if tied_states != self.tied_states:
            raise MismatchError(
                f"{whose} belongs to tied states {tied_states[:12]}, graph {self.path} to {self.tied_states[:12]}: "
                "was the tree built again? Make the graph again from the same tied-state model"
            )
