"""Alignments: one transition-id, and so one pdf-id, for each frame of each utterance, in a folder of their own.

``ali.scp`` indexes vectors of transition-ids, ``pdf.scp`` of pdf-ids (both int32, Kaldi's archives), ``pdf_counts`` is
a Kaldi text vector, and ``alignment.json`` says which tied states the ids are of.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from asrkd.core.archive import Archive, read_scp, shards, write_sharded
from asrkd.core.datadir import read_num_frames
from asrkd.core.errors import DataError, MismatchError
from asrkd.core.files import absent, atomic_write, read_fields, read_lines, write_json
from asrkd.core.parallel import add_up, fold_shards, map_shards
from asrkd.hmm.gmm import IntArray
from asrkd.hmm.tied_states import TiedStates
from asrkd.hmm.transitions import Int32Array, phone_contexts

DESCRIPTION = "alignment.json"
_CUT_SHORT = "was the folder copied while it was being written?"


class States(Protocol):
    """What an alignment needs of a tied-state model: its pdfs, by transition-id, and the hash that names them."""

    @property
    def hash(self) -> str: ...

    @property
    def num_pdfs(self) -> int: ...

    @property
    def pdf_of_tid(self) -> NDArray[np.int64]: ...


@dataclass(frozen=True)
class Alignment:
    """A finished alignment folder. ``tied_states`` is the hash of the model whose ids these are."""

    path: Path
    tied_states: str
    num_pdfs: int
    failed: tuple[str, ...]
    """Utterances that could not be aligned and so are not here."""
    num_frames: Mapping[str, int]
    _transition_ids: Archive
    _pdf_ids: Archive

    @classmethod
    def open(cls, path: Path) -> "Alignment":
        """Open an alignment folder. DataError when it is missing or its files disagree."""
        if not path.is_dir():
            raise DataError(f"alignment {path} {absent(path)}: has the stage that makes it been run?")
        description = read_fields(path / DESCRIPTION, tied_states=str, num_pdfs=int, failed=list)
        num_frames = read_num_frames(path)
        transition_ids, pdf_ids = Archive.open(path / "ali.scp"), Archive.open(path / "pdf.scp")
        for name, ids in (("ali.scp", transition_ids), ("pdf.scp", pdf_ids)):
            if difference := sorted(set(ids) ^ set(num_frames)):
                raise DataError(f"{path}: {difference[0]} is in only one of {name} and utt2num_frames: {_CUT_SHORT}")
        return cls(
            path,
            str(description["tied_states"]),
            int(description["num_pdfs"]),
            tuple(description["failed"]),
            num_frames,
            transition_ids,
            pdf_ids,
        )

    @property
    def utt_ids(self) -> list[str]:
        return list(self.num_frames)

    def transition_ids(self, utt_id: str) -> Int32Array:
        """Transition-ids of an utterance, int32 of shape (num_frames,)."""
        return self._checked(utt_id, self._transition_ids)

    def pdf_ids(self, utt_id: str) -> Int32Array:
        """Pdf-ids of an utterance, int32 of shape (num_frames,)."""
        ids = self._checked(utt_id, self._pdf_ids)
        if len(ids) and not 0 <= ids.min() <= ids.max() < self.num_pdfs:
            raise DataError(f"{self.path}: {utt_id} has pdf {ids.max()}, there are {self.num_pdfs}: of another model?")
        return ids

    def _checked(self, utt_id: str, archive: Archive) -> Int32Array:
        ids = archive[utt_id]
        if ids.ndim != 1 or ids.dtype.kind != "i":
            raise DataError(f"{archive.scp}: {utt_id} holds no integer vector")
        if len(ids) != self.num_frames[utt_id]:
            raise DataError(
                f"{archive.scp}: {utt_id} has {len(ids)} frames, utt2num_frames says {self.num_frames[utt_id]}: "
                "were files of two runs mixed?"
            )
        return ids.astype(np.int32, copy=False)

    @cached_property
    def pdf_counts(self) -> NDArray[np.float64]:
        """Frames of each pdf, shape (num_pdfs,)."""
        path = self.path / "pdf_counts"
        fields = " ".join(read_lines(path)).split()
        try:
            if fields[:1] != ["["] or fields[-1:] != ["]"]:
                raise ValueError("no [ .. ]")
            counts = np.array([float(field) for field in fields[1:-1]])
        except ValueError as error:
            raise DataError(f"{path}: no Kaldi vector ({error}): was it edited or cut short?") from None
        if len(counts) != self.num_pdfs:
            raise DataError(f"{path}: {len(counts)} counts for {self.num_pdfs} pdfs: of another model?")
        return counts

    @property
    def log_priors(self) -> NDArray[np.float64]:
        """`log_priors` of all its frames."""
        return log_priors(self.pdf_counts)

    def check_tied_states(self, tied_states: str, whose: str) -> None:
        """MismatchError unless ``tied_states`` (the hash that ``whose`` carries) is the alignment's own."""
        if tied_states != self.tied_states:
            raise MismatchError(
                f"{whose} belongs to tied states {tied_states[:12]}, alignment {self.path} to {self.tied_states[:12]}: "
                "was the tree built again? Align again with the same tied-state model"
            )


def log_priors(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """log p(pdf) by frames, shape (num_pdfs,), as ``counts``; a pdf that was never seen counts as seen once."""
    counts = np.maximum(counts, 1.0)
    result: NDArray[np.float64] = np.log(counts / counts.sum())
    return result


def write_alignment(
    folder: Path,
    model: States,
    utt_ids: Sequence[str],
    align: Callable[[str], Int32Array],
    *,
    max_failed: float,
    jobs: int = 1,
    description: str = "align",
) -> dict[str, Any]:
    """Write the alignment folder of ``align(utt_id)``, which gives transition-ids, or none where it fails.

    Goes on where an earlier run was cut off. Returns alignment.json's content. Raises DataError, naming them, when
    more than the share ``max_failed`` of the utterances failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_sharded(folder, "ali", utt_ids, align, jobs=jobs, description=description)
    vectors = Archive.open(folder / "ali.scp")
    num_frames = lengths(vectors, utt_ids, jobs)
    failed = [utt for utt in utt_ids if not num_frames[utt]]
    check_failed(failed, len(utt_ids), max_failed)
    done = [utt for utt in utt_ids if num_frames[utt]]
    entries = read_scp(folder / "ali.scp")
    _write_lines(folder / "ali.scp", (f"{utt} {entries[utt]}\n" for utt in done))
    _write_lines(folder / "utt2num_frames", (f"{utt} {num_frames[utt]}\n" for utt in done))
    pdf_of_tid = model.pdf_of_tid.astype(np.int32)
    write_sharded(folder, "pdf", done, lambda utt: pdf_of_tid[vectors[utt]], jobs=jobs, description="pdf-ids")

    def count(part: Sequence[str]) -> IntArray:
        return np.bincount(np.concatenate([pdf_of_tid[vectors[utt]] for utt in part]), minlength=model.num_pdfs)

    counts = fold_shards(count, shards(done), add_up, jobs, "counts")
    _write_lines(folder / "pdf_counts", [f"[ {' '.join(map(str, counts))} ]\n"])
    summary = {
        "tied_states": model.hash,
        "num_pdfs": model.num_pdfs,
        "num_utterances": len(done),
        "num_frames": int(counts.sum()),
        "failed": failed,
    }
    write_json(folder / DESCRIPTION, summary)
    return summary


def lengths(vectors: Archive, utt_ids: Sequence[str], jobs: int) -> dict[str, int]:
    """Frames of each utterance, of which 0 means that it failed to align."""
    parts = map_shards(lambda part: [len(vectors[utt]) for utt in part], shards(utt_ids), jobs, "lengths")
    return dict(zip(utt_ids, itertools.chain(*parts), strict=True))


def check_failed(failed: Sequence[str], total: int, max_failed: float) -> None:
    """DataError when more than the share ``max_failed`` of ``total`` utterances failed to align."""
    if len(failed) > max_failed * total or len(failed) == total:
        named = ", ".join(failed[:5]) + (", .." if len(failed) > 5 else "")
        raise DataError(
            f"{len(failed)} of {total} utterances could not be aligned ({named}): "
            "are the transcripts what is said, or is audio cut short?"
        )


def _write_lines(path: Path, lines: Any) -> None:
    with atomic_write(path) as file:
        file.writelines(lines)


def convert_alignment(old: TiedStates, new: TiedStates) -> Callable[[Int32Array], Int32Array]:
    """A function from transition-ids of ``old`` to those of ``new``: same phones, states and moves, other pdfs.

    Raises MismatchError unless both have one topology.
    """
    if old.transitions.topology != new.transitions.topology:
        raise MismatchError("models of different topologies: was the lang dir changed in between?")
    # Transition-states of the new model by (phone, HMM state, pdf), its own order.
    known = {tuple(row): state for state, row in enumerate(new.transitions.states.tolist())}
    first, width, centre = new.transitions.first_id, new.context_tree.context_width, new.context_tree.central_position
    if (width, centre) not in ((1, 0), (3, 1)):
        raise MismatchError(f"a tree over {width} phones: only single phones and triphones are converted to")
    around = slice(1, 2) if width == 1 else slice(0, 3)
    tables = old.tables

    def state_of(key: Sequence[int]) -> int:
        *context, hmm_state, pdf_class = key
        pdf = new.context_tree.pdf(tuple(context[around]), pdf_class)
        return known[context[1], hmm_state, pdf]

    def convert(transition_ids: Int32Array) -> Int32Array:
        ids = np.asarray(transition_ids)
        keys = np.column_stack([phone_contexts(ids, tables), tables.hmm_state[ids], tables.pdf_class[ids]])
        distinct, inverse = np.unique(keys, axis=0, return_inverse=True)
        states = np.array([state_of(key) for key in distinct.tolist()])
        return (first[states[inverse.ravel()]] + tables.index[ids]).astype(np.int32)

    return convert
