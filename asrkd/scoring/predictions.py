"""predictions.npy: the most probable pdf of every frame and its probability, four bytes a frame, beside frames.json.

One structured array over all utterances of frames.json, sorted by id, one after the other. What needs a prediction
and no posteriors follows from it: agreement between systems, accuracy on some of the frames, confusions.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from asrkd.core.errors import DataError
from asrkd.core.files import atomic_write, load_array

NAME = "predictions.npy"
_CONFIDENCE = "<f2"

Predictions: TypeAlias = NDArray[np.void]
"""Of one utterance: fields ``pdf`` (an unsigned integer) and ``confidence`` (float16), shape (num_frames,)."""


def predictions(pdfs: NDArray[np.integer[Any]], confidence: NDArray[np.floating[Any]], num_pdfs: int) -> Predictions:
    """One utterance's, from arrays of shape (num_frames,)."""
    rows = np.empty(len(pdfs), [("pdf", "<u2" if num_pdfs <= 1 << 16 else "<u4"), ("confidence", _CONFIDENCE)])
    rows["pdf"], rows["confidence"] = pdfs, confidence
    return rows


def write_predictions(folder: Path, by_utterance: Mapping[str, Predictions]) -> None:
    """Write the file of a set."""
    with atomic_write(folder / NAME, "wb") as file:
        np.save(file, np.concatenate([by_utterance[utt_id] for utt_id in sorted(by_utterance)]), allow_pickle=False)


def read_predictions(folder: Path, num_frames: Mapping[str, int], num_pdfs: int) -> dict[str, Predictions]:
    """Predictions by utterance, given the frames of each. DataError for a missing, damaged or foreign file."""
    path = folder / NAME
    if not path.is_file():
        raise DataError(f"{folder} has no {NAME}: was it made by an older version? Run `asrkd frames` again")
    rows = load_array(path)
    if rows.ndim != 1 or rows.dtype.names != ("pdf", "confidence") or rows.dtype["pdf"].kind != "u":
        raise DataError(f"{path} holds no predictions: is it the right file?")
    if len(rows) != sum(num_frames.values()):
        raise DataError(
            f"{path} has {len(rows)} frames, frames.json {sum(num_frames.values())}: were files of two runs mixed?"
        )
    if len(rows) and not rows["pdf"].max() < num_pdfs:
        raise DataError(f"{path}: pdf {rows['pdf'].max()} is predicted, there are {num_pdfs}: of another model?")
    if not ((rows["confidence"] >= 0) & (rows["confidence"] <= 1)).all():
        raise DataError(f"{path}: a confidence that is no probability: was it edited?")
    ends = np.cumsum([num_frames[utt_id] for utt_id in sorted(num_frames)])
    return dict(zip(sorted(num_frames), np.split(rows, ends[:-1]), strict=True))
