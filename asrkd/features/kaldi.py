"""Features that Kaldi computed, used where they lie: a feature folder whose feats.scp points at Kaldi's archives.

Compressed archives are read as they are. CMVN statistics, which are small, are copied; where a data dir has none they
are computed, as ``steps/compute_cmvn_stats.sh`` would.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import Field
from pydantic.dataclasses import dataclass

from asrkd.core.archive import Archive, ArchiveWriter, is_pipe, join_indices, read_scp, write_sharded
from asrkd.core.audio import Seconds, announced_seconds
from asrkd.core.config import STRICT
from asrkd.core.datadir import read_durations, read_speakers
from asrkd.core.errors import DataError, MismatchError
from asrkd.core.files import atomic_write, read_lines
from asrkd.core.parallel import map_shards, split_shards
from asrkd.features.store import normalisation, write_feature_dir, write_tables

SHARD_SIZE = 500
FRAME_SHIFT: Seconds = 0.01
"""Kaldi's default, where a data dir has no ``frame_shift``."""
SLACK: Seconds = 0.1
"""What the frames may lack of the audio: more than a window, which snip_edges leaves out at the end."""
RELATIVE_SLACK = 0.01


@dataclass(frozen=True, config=STRICT)
class ImportFeaturesConfig:
    """``front_end`` names what computed the features: sets of one name are taken to be alike, of another never.

    ``norm_vars``: whether CMVN scales variances too; False is Kaldi's default, and what its GMMs saw.
    """

    front_end: str = Field(default="kaldi", pattern=r"^[A-Za-z0-9_.-]+$")
    norm_vars: bool = True


def import_features(
    config: ImportFeaturesConfig, data: Path, work: Path, jobs: int = 1, allow_pipes: bool = False
) -> dict[str, Any]:
    """Make a feature folder of a data dir's feats.scp, cmvn.scp and utt2spk in ``work``.

    Every matrix is read once: dimensions must be alike, and lengths those of utt2num_frames and, by the data dir's
    frame_shift, of utt2dur or the audio, where these are there. Commands in feats.scp are refused unless
    ``allow_pipes``; they are then run once and what they give is kept. Raises DataError and MismatchError, naming
    file and utterance.
    """
    speakers, archive = read_speakers(data), Archive.open(data / "feats.scp", allow_pipes)
    if difference := sorted(set(archive) ^ set(speakers)):
        raise MismatchError(
            f"{data}: {difference[0]} is in only one of feats.scp and utt2spk ({len(difference)} such): "
            "did its features fail? utils/fix_data_dir.sh mends that"
        )
    utt2spk = {utt: speakers[utt] for utt in sorted(speakers)}
    if not utt2spk:
        raise DataError(f"{data}: holds no utterances")
    shift = read_frame_shift(data)
    archive = _take_over(archive, list(utt2spk), work, jobs)
    lengths, dim = _measure(archive, list(utt2spk), data, jobs)
    _check_lengths(lengths, data, shift)
    identity = front_end_identity(config, dim, shift)
    description = {
        "kind": config.front_end,
        "dim": dim,
        "frame_shift_ms": round(1000 * shift, 6),
        "norm_vars": config.norm_vars,
        "identity": identity,
        "source": os.path.abspath(data),  # noqa: PTH100 (links stay links)
    }
    if (data / "cmvn.scp").is_file():
        _copy_cmvn(data, sorted(set(utt2spk.values())), dim, work)
        write_tables(work, lengths, utt2spk, description)
    else:
        write_feature_dir(work, utt2spk, description)
    return {"utterances": len(utt2spk), "frames": sum(lengths.values()), "dim": dim, "identity": identity}


def front_end_identity(config: ImportFeaturesConfig, dim: int, frame_shift: Seconds) -> str:
    """Names the front end by what is known of it."""
    known = repr((config.front_end, dim, f"{frame_shift:g}", config.norm_vars))
    return f"{config.front_end}{dim}-{hashlib.sha256(known.encode()).hexdigest()[:12]}"


def read_frame_shift(data: Path) -> Seconds:
    """Seconds between frames by the data dir's ``frame_shift``; Kaldi's default where there is none."""
    path = data / "frame_shift"
    if not path.is_file():
        return FRAME_SHIFT
    text = " ".join(read_lines(path)).strip()
    try:
        shift = float(text)
    except ValueError:
        shift = 0.0
    if not 0.001 <= shift <= 0.1:
        raise DataError(f"{path}: {text[:40]!r} can't be a frame shift: is it in seconds?")
    return shift


def _take_over(archive: Archive, utt_ids: Sequence[str], work: Path, jobs: int) -> Archive:
    """Write feats.scp, which points at the archives or, where some are commands, at a copy of what they give."""
    if archive.has_pipes:
        write_sharded(work, "feats", utt_ids, archive.__getitem__, jobs=jobs, description="features")
        return Archive.open(work / "feats.scp")
    with atomic_write(work / "feats.scp") as file:
        for utt_id in utt_ids:
            file.write(f"{utt_id} {archive.place(utt_id)}\n")
    return archive


def _measure(archive: Archive, utt_ids: Sequence[str], data: Path, jobs: int) -> tuple[dict[str, int], int]:
    """Frames of each utterance, and the dimension of all."""
    shards = split_shards(utt_ids, max(jobs, len(utt_ids) // SHARD_SIZE))
    shapes = [shape for part in map_shards(partial(_shapes, archive), shards, jobs, "features") for shape in part]
    dim = shapes[0][1]
    for utt_id, shape in zip(utt_ids, shapes, strict=True):
        if shape[1] != dim or 0 in shape:
            raise MismatchError(
                f"{data / 'feats.scp'}: {utt_id} has shape {shape}, {utt_ids[0]} has {dim} dimensions: "
                "were archives of two front ends mixed?"
            )
    return {utt_id: shape[0] for utt_id, shape in zip(utt_ids, shapes, strict=True)}, dim


def _shapes(archive: Archive, utt_ids: Sequence[str]) -> list[tuple[int, int]]:
    shapes = []
    for utt_id in utt_ids:
        matrix = archive[utt_id]
        if matrix.ndim != 2 or matrix.dtype.kind != "f":
            raise DataError(f"{archive.scp}: {utt_id} holds no matrix: are these features?")
        shapes.append((matrix.shape[0], matrix.shape[1]))
    return shapes


def _check_lengths(lengths: Mapping[str, int], data: Path, shift: Seconds) -> None:
    counted = read_scp(data / "utt2num_frames") if (data / "utt2num_frames").is_file() else {}
    seconds = _durations(data)
    for utt_id, count in lengths.items():
        if utt_id in counted and counted[utt_id] != str(count):
            raise MismatchError(
                f"{data}: {utt_id} has {count} frames, utt2num_frames says {counted[utt_id]}: "
                "were features computed again since?"
            )
        if utt_id in seconds and abs(count * shift - seconds[utt_id]) > SLACK + RELATIVE_SLACK * seconds[utt_id]:
            raise MismatchError(
                f"{data}: {utt_id} has {count} frames of {1000 * shift:g} ms for {seconds[utt_id]:g} s of audio: "
                "is the frame shift another (a file frame_shift in the data dir says it, in seconds)?"
            )


def _durations(data: Path) -> dict[str, Seconds]:
    """Seconds of the utterances whose length the data dir says, else of audio files that can be read as they are."""
    if known := read_durations(data):
        return known
    if not (data / "wav.scp").is_file() or (data / "segments").is_file():
        return {}
    found = {}
    for utt_id, entry in read_scp(data / "wav.scp", allow_pipes=True).items():  # commands are not run
        seconds = None if is_pipe(entry) or not Path(entry).is_file() else announced_seconds(Path(entry))
        if seconds is not None:
            found[utt_id] = seconds
    return found


def _copy_cmvn(data: Path, speakers: Sequence[str], dim: int, work: Path) -> None:
    stats = Archive.open(data / "cmvn.scp")
    if missing := [speaker for speaker in speakers if speaker not in stats]:
        raise MismatchError(
            f"{data / 'cmvn.scp'}: no statistics of speaker {missing[0]}, whom utt2spk has ({len(missing)} such): "
            "are they another data dir's? steps/compute_cmvn_stats.sh makes them again"
        )
    with ArchiveWriter(work / "cmvn.ark") as writer:
        for speaker in speakers:
            value = stats[speaker]
            if value.shape != (2, dim + 1):
                raise MismatchError(
                    f"{data / 'cmvn.scp'}: {speaker} has statistics of shape {value.shape}, features of {dim} "
                    f"dimensions need (2, {dim + 1}): were they computed for other features?"
                )
            try:
                normalisation(value, norm_vars=True)
            except DataError as error:
                raise DataError(f"{data / 'cmvn.scp'}: {speaker}: {error}") from None
            writer.write(speaker, value)
    join_indices(work / "cmvn.scp", [work / "cmvn.ark"])
