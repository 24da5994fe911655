"""Recall of some classes: of the frames whose pdf is one of theirs, the share whose prediction is, too."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asrkd.core.files import read_json
from asrkd.hmm.alignment import Alignment
from asrkd.scoring.predictions import read_predictions


def recall(frames: Path, alignment: Alignment, mask: NDArray[np.bool_]) -> dict[str, tuple[int, int]]:
    """By utterance of a `frames` folder: frames that are found, and all that are of ``mask``, shape (num_pdfs,)."""
    counts: dict[str, Any] = read_json(frames / "frames.json")["utterances"]
    predicted = read_predictions(frames, {utt: total for utt, (_, total) in counts.items()}, alignment.num_pdfs)
    aligned = {utt: mask[alignment.pdf_ids(utt)] for utt in counts}
    return {utt: (int((mask[predicted[utt]["pdf"]] & of).sum()), int(of.sum())) for utt, of in aligned.items()}
