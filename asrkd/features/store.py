"""Feature folders: matrices by utterance id, and the statistics that normalise them per speaker.

``feats.scp`` + ``feats.N.ark`` hold what the front end gave; ``cmvn.scp`` + ``cmvn.ark`` hold, per speaker and in
Kaldi's layout, a matrix of shape (2, dim + 1): sums and count, then sums of squares. Normalisation is applied on
reading, so that the archives stay what any Kaldi tool would expect.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asrkd.core.archive import Archive, ArchiveWriter, join_indices
from asrkd.core.datadir import read_num_frames, read_speakers, spk2utt
from asrkd.core.errors import DataError, MismatchError
from asrkd.core.files import absent, atomic_write, read_fields, write_json

Features = NDArray[np.float32]
CmvnStats = NDArray[np.float64]

VARIANCE_FLOOR = 1e-10


@dataclass
class FeatureDir:
    """A finished feature folder, read by utterance id with normalisation applied."""

    path: Path
    description: Mapping[str, object]
    num_frames: Mapping[str, int]
    utt2spk: Mapping[str, str]
    _features: Archive
    _cmvn: Archive
    _scales: dict[str, tuple[Features, Features]] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path) -> "FeatureDir":
        """Open a feature folder; DataError when it is missing or its files disagree on utterances."""
        if not path.is_dir():
            raise DataError(f"feature folder {path} {absent(path)}: has the stage that makes it been run?")
        features = Archive.open(path / "feats.scp")
        num_frames, utt2spk = read_num_frames(path), read_speakers(path)
        for name, ids in (("utt2num_frames", num_frames), ("utt2spk", utt2spk)):
            if difference := sorted(set(features) ^ set(ids)):
                raise DataError(f"{path}: {difference[0]} is in only one of feats.scp and {name}")
        description = read_fields(path / "features.json", dim=int, identity=str, norm_vars=bool)
        return cls(path, description, num_frames, utt2spk, features, Archive.open(path / "cmvn.scp"))

    @property
    def utt_ids(self) -> list[str]:
        return list(self._features)

    @property
    def dim(self) -> int:
        return int(str(self.description["dim"]))

    @property
    def identity(self) -> str:
        """What a model that was trained on these features must find again: the front end's settings."""
        return str(self.description["identity"])

    def load(self, utt_id: str) -> Features:
        """Normalised features of an utterance, float32 of shape (num_frames, dim)."""
        raw = self._features[utt_id]
        if raw.shape != (self.num_frames[utt_id], self.dim):
            raise MismatchError(
                f"{self.path}: {utt_id} has shape {raw.shape}, utt2num_frames and features.json say "
                f"({self.num_frames[utt_id]}, {self.dim}): were files of two runs mixed?"
            )
        offset, scale = self._normalisation(self.utt2spk[utt_id])
        return (raw - offset) * scale

    def _normalisation(self, speaker: str) -> tuple[Features, Features]:
        if speaker not in self._scales:
            stats = self._cmvn[speaker]
            self._scales[speaker] = normalisation(stats, bool(self.description["norm_vars"]))
        return self._scales[speaker]

    def check_same_front_end(self, other: "FeatureDir") -> None:
        """MismatchError unless both were made by the same front end."""
        if self.identity != other.identity:
            raise MismatchError(
                f"{self.path} ({self.identity}) and {other.path} ({other.identity}) were made by different front ends"
            )


def accumulate_cmvn(features: Features) -> CmvnStats:
    """Kaldi's CMVN statistics of a matrix (num_frames, dim): shape (2, dim + 1)."""
    values = features.astype(np.float64)
    stats = np.zeros((2, values.shape[1] + 1))
    stats[0, :-1], stats[0, -1] = values.sum(axis=0), len(values)
    stats[1, :-1] = np.square(values).sum(axis=0)
    return stats


def normalisation(stats: CmvnStats, norm_vars: bool) -> tuple[Features, Features]:
    """Offset and scale, each (dim,): normalised = (features - offset) * scale."""
    count = stats[0, -1]
    if count < 1:
        raise DataError("CMVN statistics of no frames: does the speaker have any audio?")
    if (stats[1, :-1] < 0).any():
        raise DataError("CMVN statistics with negative sums of squares: is the archive damaged?")
    mean = stats[0, :-1] / count
    if not norm_vars:
        return mean.astype(np.float32), np.ones_like(mean, dtype=np.float32)
    variance = np.maximum(stats[1, :-1] / count - mean**2, VARIANCE_FLOOR)
    return mean.astype(np.float32), (1 / np.sqrt(variance)).astype(np.float32)


def write_feature_dir(work: Path, utt2spk: Mapping[str, str], description: Mapping[str, object]) -> int:
    """Finish a folder that holds feats.scp: lengths, speakers, CMVN statistics, description. Returns the frames."""
    archive = Archive.open(work / "feats.scp")
    lengths: dict[str, int] = {}
    with ArchiveWriter(work / "cmvn.ark") as writer:
        for speaker, utt_ids in spk2utt(utt2spk).items():
            matrices = [archive[utt_id] for utt_id in utt_ids]
            lengths.update(zip(utt_ids, map(len, matrices), strict=True))
            writer.write(speaker, np.sum([accumulate_cmvn(matrix) for matrix in matrices], axis=0))
    join_indices(work / "cmvn.scp", [work / "cmvn.ark"])
    write_tables(work, lengths, utt2spk, description)
    return sum(lengths.values())


def write_tables(
    work: Path, lengths: Mapping[str, int], utt2spk: Mapping[str, str], description: Mapping[str, object]
) -> None:
    """Write utt2num_frames, utt2spk and, last, the description."""
    for name, table in (("utt2num_frames", lengths), ("utt2spk", utt2spk)):
        with atomic_write(work / name) as file:
            file.writelines(f"{utt_id} {table[utt_id]}\n" for utt_id in sorted(table))
    write_json(work / "features.json", description)
