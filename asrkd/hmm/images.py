"""Images as the folders that acoustic verbs take: an image is an utterance of one frame, its class that frame's pdf."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asrkd.core.archive import ArchiveWriter, join_indices, write_sharded
from asrkd.corpora.digits import NUM_CLASSES, Images
from asrkd.features.store import write_tables
from asrkd.hmm.alignment import write_alignment


@dataclass(frozen=True)
class Classes:
    """Classes in place of tied states: transition-id ``class + 1`` is of the pdf ``class``."""

    num_pdfs: int

    @cached_property
    def hash(self) -> str:
        return hashlib.sha256(f"classes {self.num_pdfs}".encode()).hexdigest()

    @property
    def pdf_of_tid(self) -> NDArray[np.int64]:
        return np.maximum(np.arange(self.num_pdfs + 1) - 1, 0)


def write_parts(work: Path, parts: Mapping[str, Images], jobs: int = 1) -> dict[str, Any]:
    """Write ``features/PART`` and ``ali/PART`` of each part; returns how many images each has."""
    for name, images in parts.items():
        utt_ids = [f"{name}-{number:06d}" for number in range(len(images))]
        _write_features(work / "features" / name, utt_ids, images, jobs)
        place = {utt_id: number for number, utt_id in enumerate(utt_ids)}

        def align(utt_id: str, images: Images = images, place: Mapping[str, int] = place) -> NDArray[np.int32]:
            return images.labels[place[utt_id]][None] + np.int32(1)

        write_alignment(work / "ali" / name, Classes(NUM_CLASSES), utt_ids, align, max_failed=0, jobs=jobs)
    return {name: len(images) for name, images in parts.items()}


def _write_features(folder: Path, utt_ids: list[str], images: Images, jobs: int) -> None:
    """Pixels as they are: CMVN statistics of one speaker, of mean 0."""
    folder.mkdir(parents=True, exist_ok=True)
    _, height, width = images.pixels.shape
    rows = dict(zip(utt_ids, images.pixels.reshape(len(images), 1, -1), strict=True))
    write_sharded(folder, "feats", utt_ids, rows.__getitem__, jobs=jobs, description="images")
    with ArchiveWriter(folder / "cmvn.ark") as writer:
        nothing = np.zeros((2, height * width + 1))
        nothing[0, -1] = len(images)
        writer.write("images", nothing)
    join_indices(folder / "cmvn.scp", [folder / "cmvn.ark"])
    description = {
        "kind": "images",
        "dim": height * width,
        "height": height,
        "width": width,
        "norm_vars": False,
        "identity": f"images{height}x{width}",
    }
    write_tables(folder, dict.fromkeys(utt_ids, 1), dict.fromkeys(utt_ids, "images"), description)
