"""What Gaussians see of a feature folder: cepstra and their derivatives, or a linear transform of several frames.

The transform (LDA + MLLT) is part of a tied-state model and lies in its folder as Kaldi keeps it: ``final.mat``, and
``splice_opts`` with the frames of context.
"""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from asrkd.core.errors import DataError, MismatchError
from asrkd.core.files import atomic_write, read_lines
from asrkd.features.store import FeatureDir
from asrkd.features.window import Window, splice
from asrkd.hmm.deltas import add_deltas
from asrkd.hmm.gmm import FloatArray, one_thread
from asrkd.hmm.kaldi_io import BINARY_HEADER, write_float_matrix
from asrkd.hmm.kaldi_text import open_kaldi

TRANSFORM = "final.mat"
SPLICE = "splice_opts"
_KALDI_CONTEXT = 4  # of splice-feats, where splice_opts is silent
_OPTION = re.compile(r"--(left|right)-context=(\d{1,3})")


@dataclass(frozen=True)
class SplicedTransform:
    """``matrix`` (D, size * dim) or, with an offset, (D, size * dim + 1) is applied to windows of ``window.size``
    frames; those at an utterance's ends repeat its first and last frame."""

    matrix: FloatArray
    window: Window

    @property
    def dim(self) -> int:
        return len(self.matrix)

    def spliced(self, feats: FloatArray) -> FloatArray:
        """The windows that the matrix is applied to, shape (num_frames, size * dim), from (num_frames, dim)."""
        if not len(feats):
            return np.zeros((0, self.window.size * feats.shape[1]), np.float32)
        return splice(torch.from_numpy(np.ascontiguousarray(feats)), self.window).contiguous().numpy()

    def apply(self, feats: FloatArray) -> FloatArray:
        """(num_frames, dim) -> (num_frames, D). Raises MismatchError for features of another dimension."""
        windows = self.spliced(feats)
        width = windows.shape[1]
        if self.matrix.shape[1] - width not in (0, 1):
            raise MismatchError(
                f"{self.window.size} frames of {feats.shape[1]} dimensions for a transform of {self.matrix.shape[1]}: "
                "of another front end?"
            )
        with one_thread():
            linear = torch.from_numpy(np.ascontiguousarray(self.matrix[:, :width].T))
            result: FloatArray = torch.mm(torch.from_numpy(windows), linear).numpy()
        return result + self.matrix[:, width] if self.matrix.shape[1] > width else result

    def then(self, matrix: NDArray[Any]) -> "SplicedTransform":
        """This transform followed by ``matrix`` (D, D)."""
        return replace(self, matrix=(matrix @ self.matrix.astype(np.float64)).astype(np.float32))

    def write(self, folder: Path) -> None:
        """Write the folder's ``final.mat`` and ``splice_opts``."""
        write_matrix(folder / TRANSFORM, self.matrix)
        with atomic_write(folder / SPLICE) as file:
            file.write(f"--left-context={self.window.left} --right-context={self.window.right}\n")


def write_matrix(path: Path, matrix: FloatArray) -> None:
    """Write a file with one matrix, as Kaldi's tools do."""
    with atomic_write(path, "wb") as file:
        file.write(BINARY_HEADER + write_float_matrix(matrix))


def read_matrix(path: Path) -> FloatArray:
    """Read a file with one matrix, binary or text. DataError for all else, damage, and values that are not finite."""
    reader = open_kaldi(path)
    matrix = reader.float_matrix()
    if not reader.at_end or not matrix.size or not np.isfinite(matrix).all():
        raise reader.error("no transform: empty, with NaN or infinity, or followed by something")
    return matrix


def read_transform(folder: Path) -> SplicedTransform | None:
    """The transform of a tied-state model's folder; None where it has none. DataError for damaged files."""
    if not (folder / TRANSFORM).is_file():
        return None
    context = {"left": _KALDI_CONTEXT, "right": _KALDI_CONTEXT}
    if (folder / SPLICE).is_file():
        for option in " ".join(read_lines(folder / SPLICE)).split():
            if (match := _OPTION.fullmatch(option)) is None:
                raise DataError(f"{folder / SPLICE}: {option!r} is no --left-context=N or --right-context=N")
            context[match[1]] = int(match[2])
    return SplicedTransform(read_matrix(folder / TRANSFORM), Window(**context))


@dataclass(frozen=True)
class GmmFeatures:
    """What a GMM sees of a feature folder's normalised features: their derivatives, or ``transform`` of them."""

    store: FeatureDir
    transform: SplicedTransform | None = None
    delta_order: int = 2
    delta_window: int = 2

    @property
    def dim(self) -> int:
        return self.transform.dim if self.transform else self.store.dim * (1 + self.delta_order)

    def load(self, utt_id: str) -> FloatArray:
        """Features of an utterance, shape (num_frames, dim)."""
        feats = self.store.load(utt_id)
        return self.transform.apply(feats) if self.transform else add_deltas(feats, self.delta_order, self.delta_window)
