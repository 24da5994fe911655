"""Tied-state models: tree, transition model and Gaussians in one folder, in Kaldi's own binary formats.

``final.mdl`` and ``tree`` are what Kaldi's tools read and write, byte for byte. Beside them lie ``phones.txt``,
``topo`` and ``tied_states.json``, whose ``hash`` names the tied states: whatever has pdf-ids in it carries the hash
and must find it again.
"""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asrkd.core.errors import DataError, MismatchError
from asrkd.core.files import absent, atomic_write, read_fields, read_json, write_json
from asrkd.hmm.event_map import ContextTree, read_tree
from asrkd.hmm.gmm import DiagGmms, FloatArray, read_gmms
from asrkd.hmm.gmm_features import SplicedTransform, read_transform
from asrkd.hmm.kaldi_io import BINARY_HEADER
from asrkd.hmm.kaldi_text import open_kaldi
from asrkd.hmm.transitions import TransitionModel, TransitionTables, read_transition_model
from asrkd.lang.phones import read_symbols, write_symbols

MODEL = "final.mdl"
TREE = "tree"
DESCRIPTION = "tied_states.json"
GMM_INPUT = "gmm_input"
"""Field of the description, where the Gaussians are over other features than MFCC with deltas: which."""


@dataclass(frozen=True)
class TiedStates:
    """Which pdf each phone in context has, how its states follow each other, and its Gaussians.

    ``phones`` is the symbol table of the phones; ``transform`` gives the features that the Gaussians are over, where
    these are not the derivatives.
    """

    context_tree: ContextTree
    transitions: TransitionModel
    gmms: DiagGmms
    phones: dict[str, int]
    transform: SplicedTransform | None = None

    @classmethod
    def load(cls, folder: Path) -> "TiedStates":
        """Read a folder written by `write` or by Kaldi (tree, final.mdl, phones.txt; final.mat where there is one).

        Raises DataError for files that are missing, damaged, of a neural or chain model, or not of one model;
        MismatchError where tied_states.json is of another tree.
        """
        if not folder.is_dir():
            raise DataError(f"tied-state model {folder} {absent(folder)}: has the stage that makes it been run?")
        tree = read_tree(folder / TREE)
        transitions, gmms = read_model(folder / MODEL)
        if not tree.num_pdfs == transitions.num_pdfs == gmms.num_pdfs:
            raise DataError(
                f"{folder}: tree has {tree.num_pdfs} pdfs, final.mdl {transitions.num_pdfs} with mixtures for "
                f"{gmms.num_pdfs}: are both files of one model?"
            )
        transform = read_transform(folder)
        if transform and transform.dim != gmms.dim:
            raise DataError(
                f"{folder}: final.mat gives {transform.dim} dimensions, the Gaussians of final.mdl have {gmms.dim}: "
                "are both files of one model?"
            )
        model = cls(tree, transitions, gmms, read_symbols(folder / "phones.txt"), transform)
        if (folder / DESCRIPTION).is_file() and read_fields(folder / DESCRIPTION, hash=str)["hash"] != model.hash:
            raise MismatchError(f"{folder}: tied_states.json is of another tree: were files of two models mixed?")
        return model

    @classmethod
    def load_gmm(cls, folder: Path) -> "TiedStates":
        """As `load`, to use its Gaussians. MismatchError where they are over features that can't be computed here."""
        model = cls.load(folder)
        if (folder / DESCRIPTION).is_file() and (seen := read_json(folder / DESCRIPTION).get(GMM_INPUT)):
            raise MismatchError(
                f"{folder}: its Gaussians are over {seen}, which are not computed here, so that they can neither "
                "align nor decode: nets of these tied states can decode, and Kaldi aligns (steps/align_*.sh)"
            )
        return model

    def write(self, folder: Path, **details: Any) -> dict[str, Any]:
        """Write the folder's files; ``details`` go into tied_states.json, whose content is returned."""
        folder.mkdir(parents=True, exist_ok=True)
        write_model(folder / MODEL, self.transitions, self.gmms)
        with atomic_write(folder / TREE, "wb") as file:
            file.write(self.context_tree.to_bytes())
        with atomic_write(folder / "topo") as file:
            file.write(self.transitions.topology.to_text())
        write_symbols(folder / "phones.txt", self.phones)
        if self.transform:
            self.transform.write(folder)
        description = {
            "hash": self.hash,
            "num_pdfs": self.num_pdfs,
            "num_gauss": self.gmms.num_gauss,
            "num_transition_ids": self.transitions.num_transition_ids,
            "dim": self.gmms.dim,
            "context_width": self.context_tree.context_width,
            **details,
        }
        write_json(folder / DESCRIPTION, description)
        return description

    @cached_property
    def hash(self) -> str:
        """SHA-256 of tree, topology and number of pdfs: equal means that pdf- and transition-ids mean the same."""
        digest = hashlib.sha256(self.context_tree.to_bytes())
        digest.update(self.transitions.topology.to_bytes())
        digest.update(str(self.num_pdfs).encode())
        return digest.hexdigest()

    @property
    def num_pdfs(self) -> int:
        return self.gmms.num_pdfs

    @property
    def tables(self) -> TransitionTables:
        """What each transition-id stands for."""
        return self.transitions.tables

    @property
    def pdf_of_tid(self) -> NDArray[np.int64]:
        """The pdf of each transition-id, shape (num_transition_ids + 1,); entry 0 means nothing."""
        return self.tables.pdf

    def log_likelihoods(self, feats: FloatArray) -> FloatArray:
        """log p(x | pdf), shape (num_frames, num_pdfs), of what `GmmFeatures` gives (num_frames, dim)."""
        return self.gmms.log_likelihoods(feats)

    @property
    def tree(self) -> Any:
        """The tree as an object of kaldi_hmm_gmm; it must outlive what is built on it."""
        return self.context_tree.kaldi

    @cached_property
    def transition_model(self) -> Any:
        """The transition model as an object of kaldi_hmm_gmm; it must outlive what is built on it."""
        return self.transitions.to_kaldi(self.context_tree)

    def retrained(
        self, transitions: TransitionModel, gmms: DiagGmms, transform: SplicedTransform | None = None
    ) -> "TiedStates":
        """The same tied states with other parameters; with the same transform unless one is given."""
        return replace(self, transitions=transitions, gmms=gmms, transform=transform or self.transform)


def read_model(path: Path) -> tuple[TransitionModel, DiagGmms]:
    """Read a ``final.mdl``, binary or text. DataError for chain and neural models, and, naming the byte, for damage."""
    reader = open_kaldi(path)
    return read_transition_model(reader), read_gmms(reader)


def write_model(path: Path, transitions: TransitionModel, gmms: DiagGmms) -> None:
    """Write a ``final.mdl``, as Kaldi's tools do."""
    with atomic_write(path, "wb") as file:
        file.write(BINARY_HEADER + transitions.to_bytes() + gmms.to_bytes())


def check_phones(where: Path, phones: dict[str, int], lang: Path, lang_phones: dict[str, int]) -> None:
    """MismatchError unless both tables give the phones that have models the same ids."""
    ours, theirs = (
        {symbol: number for symbol, number in table.items() if not symbol.startswith("#")}
        for table in (phones, lang_phones)
    )
    if ours != theirs:
        symbol = min(set(ours.items()) ^ set(theirs.items()))[0]
        raise MismatchError(
            f"{where} and {lang} number phone {symbol} differently: was the lexicon changed in between?"
        )
