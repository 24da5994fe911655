"""Dumping soft targets: every frame through all teachers, combined, encoded, written in shards."""

import shutil
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass as plain_dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from pydantic.dataclasses import dataclass

from asrkd.core.config import STRICT
from asrkd.core.device import choose_device, has_fast_bfloat16
from asrkd.core.errors import DataError, MismatchError
from asrkd.core.files import read_json, write_json
from asrkd.core.messages import say
from asrkd.core.parallel import map_shards
from asrkd.core.stage import scratch
from asrkd.features.store import FeatureDir
from asrkd.losses.events import FLOOR
from asrkd.models.saved import check_belongs
from asrkd.targets import DEFAULT_CODEC, Codec, Records, build_codec, dense_posteriors, fields
from asrkd.targets.archive import (
    commit_shard,
    index_shard,
    read_index,
    shard_path,
    write_header,
    write_index,
)
from asrkd.targets.averaging import Combination, Ensemble
from asrkd.targets.entry import Entry
from asrkd.targets.header import Header
from asrkd.targets.packed import pack, size_range
from asrkd.targets.weights import open_ensemble, teacher_id

SHARD_FRAMES = 20_000
"""Frames in a shard: what a kill loses at most."""


@dataclass(frozen=True, config=STRICT)
class PosteriorsConfig:
    """``temperature`` T of the softened posteriors; ``combination`` of the teachers; ``codec`` of a frame; stochastic
    ``passes`` of teachers with dropout that are averaged, 0 for plain inference."""

    temperature: float = Field(default=2.0, gt=0)
    combination: Combination = "arithmetic"
    codec: dict[str, Any] = Field(default_factory=dict)
    precision: Literal["auto", "fp32", "bf16"] = "auto"  # of the nets' products; auto: bf16 where it is fast
    device: str = "auto"
    passes: int = Field(default=0, ge=0)


@plain_dataclass(frozen=True)
class _Dumper:
    """Encodes one shard after another; figures and index of each are scratch until the archive is whole."""

    work: Path
    temperature: float
    ensemble: Ensemble
    codec: Codec
    prior: torch.Tensor
    encoders: int = 1

    def dump(self, number: int, sources: Mapping[str, FeatureDir]) -> None:
        blocks = []
        start, encode_seconds, kl_sum, kl_frames = time.perf_counter(), 0.0, 0.0, 0
        for posteriors, records, seconds in self._encoded(sources):
            blocks.append(records)
            encode_seconds += seconds
            if len(blocks) == 1:
                kl_sum, kl_frames = self._kl_lost(posteriors, records), len(posteriors)
        lengths = {utt_id: len(block) for utt_id, block in zip(sources, blocks, strict=True)}
        measured = {
            "frames": sum(lengths.values()),
            "seconds": time.perf_counter() - start,
            "encode_seconds": encode_seconds / self.encoders,
            "kl_sum": kl_sum,
            "kl_frames": kl_frames,
        }
        packed = pack(np.concatenate(blocks))
        write_index(self._index(number), index_shard(number, packed, lengths))
        write_json(self._measured(number), measured)
        commit_shard(self.work, number, packed)  # last: what a kill leaves is a whole shard or none

    def _encoded(self, sources: Mapping[str, FeatureDir]) -> Iterator[tuple[torch.Tensor, Records, float]]:
        """Each utterance's posteriors, records, and seconds that these took.

        With several ``encoders``, which are threads, the nets go on meanwhile, with as many utterances at most.
        """
        if self.encoders == 1:
            yield from (self._encode(self._posteriors(*source), source[0]) for source in sources.items())
            return
        with ThreadPoolExecutor(self.encoders) as pool:
            waiting: deque[Future[tuple[torch.Tensor, Records, float]]] = deque()
            for source in sources.items():
                if len(waiting) == self.encoders:
                    yield waiting.popleft().result()
                waiting.append(pool.submit(self._encode, self._posteriors(*source), source[0]))
            yield from (each.result() for each in waiting)

    def _posteriors(self, utt_id: str, features: FeatureDir) -> torch.Tensor:
        return self.ensemble.log_posteriors(features.load(utt_id), self.temperature, utt_id).exp()

    def _encode(self, posteriors: torch.Tensor, utt_id: str) -> tuple[torch.Tensor, Records, float]:
        start = time.perf_counter()
        return posteriors, self.codec.encode(posteriors, utt_id), time.perf_counter() - start

    def stands(self, number: int) -> bool:
        return shard_path(self.work, number).exists()

    def index(self, num_shards: int) -> dict[str, Entry]:
        """The entries of all shards."""
        found: dict[str, Entry] = {}
        for number in range(1, num_shards + 1):
            found |= read_index(self._index(number))
        return found

    def _measured(self, number: int) -> Path:
        return scratch(self.work) / f"measured.{number}.json"

    def _index(self, number: int) -> Path:
        return scratch(self.work) / f"index.{number}"

    def _kl_lost(self, posteriors: torch.Tensor, records: Records) -> float:
        """Sum over frames of KL(posteriors || what the records give back), in nats."""
        exact = posteriors.double().cpu()
        stored = dense_posteriors(self.codec.soft_targets(fields(records)), self.prior).double()
        log_stored = stored.clamp_min(FLOOR).log()
        return float((torch.xlogy(exact, exact) - exact * log_stored).sum())


def dump_posteriors(  # noqa: PLR0917 (inputs first)
    config: PosteriorsConfig,
    feature_dirs: Sequence[Path],
    teachers: Sequence[Path],
    work: Path,
    jobs: int = 1,
    weights: Path | None = None,
) -> dict[str, Any]:
    """Write a soft-target archive of all ``feature_dirs`` into ``work``; shards that stand there are kept.

    ``weights``: a folder of the teachers' weights; without it they are all the same.

    ``jobs`` processes work on a shard each; on a GPU it is one, with as many threads that encode. The bytes do not
    depend on their number.

    The disk that it will take is estimated first, and it is refused when it can't fit. Returns frames/s, bytes a
    frame, and the mean KL(full || stored) in nats, measured on the first utterance of each shard.
    """
    device = choose_device(config.device)
    bfloat16 = has_fast_bfloat16(device) if config.precision == "auto" else config.precision == "bf16"
    ensemble = open_ensemble(teachers, device, config.combination, weights, bfloat16, passes=config.passes)
    source = _by_utterance([FeatureDir.open(path) for path in feature_dirs], ensemble)
    lengths = {utt_id: features.num_frames[utt_id] for utt_id, features in source.items()}
    codec = build_codec(config.codec, ensemble.info.num_pdfs, "posteriors: codec")
    prior = np.exp(ensemble.log_priors)
    shards = list(_shards(lengths))
    _check_disk(work, codec, sum(lengths.values()))
    processes, encoders = _workers(device, jobs)
    dumper = _Dumper(work, config.temperature, ensemble, codec, torch.from_numpy(prior), encoders)

    def dump(number: int) -> None:
        if not dumper.stands(number):
            dumper.dump(number, {utt: source[utt] for utt in shards[number - 1]})

    map_shards(dump, range(1, len(shards) + 1), processes, "posteriors")
    header = Header(
        temperature=config.temperature,
        codec={"type": DEFAULT_CODEC, **config.codec},
        combination=config.combination,
        teachers=tuple(map(teacher_id, teachers)),
        num_pdfs=ensemble.info.num_pdfs,
        features=ensemble.info.features,
        tied_states=ensemble.info.tied_states,
        prior=tuple(float(p) for p in prior),
        weights=None if ensemble.weights is None else tuple(ensemble.weights),
    )
    index = dumper.index(len(shards))
    summary = _summary(work, sum(entry.num_bytes(codec.dtype) for entry in index.values()), header, codec.random)
    write_header(work, header, index)
    return summary


def _workers(device: str, jobs: int) -> tuple[int, int]:
    """Processes that dump a shard each, and threads in each that encode: a GPU is one process's."""
    return (jobs, 1) if device == "cpu" else (1, max(jobs, 1))


def _by_utterance(sets: Sequence[FeatureDir], ensemble: Ensemble) -> dict[str, FeatureDir]:
    """Which feature folder holds an utterance; each must be of the teachers' front end, and ids must be unique."""
    source: dict[str, FeatureDir] = {}
    for features in sets:
        check_belongs(ensemble.models[0], features.identity)
        for utt_id in features.utt_ids:
            if utt_id in source:
                raise MismatchError(f"{utt_id} is in {source[utt_id].path} and in {features.path}")
            source[utt_id] = features
    return source


def _shards(lengths: Mapping[str, int]) -> Iterator[list[str]]:
    shard: list[str] = []
    frames = 0
    for utt_id, length in lengths.items():
        shard.append(utt_id)
        frames += length
        if frames >= SHARD_FRAMES:
            yield shard
            shard, frames = [], 0
    if shard:
        yield shard


def _check_disk(work: Path, codec: Codec, num_frames: int) -> None:
    least, most = size_range(codec.dtype, num_frames)
    at_most, at_least = ("up to ", "at least ") if most > least else ("", "")
    stands = sum(file.stat().st_size for file in work.glob("targets.*.npy"))
    free = shutil.disk_usage(work).free
    print(
        f"posteriors: {num_frames} frames of {at_most}{codec.dtype.itemsize} bytes: {at_most}{most / 1e6:.1f} MB",
        flush=True,
    )
    if least - stands > free:
        raise DataError(
            f"{work}: soft targets of {num_frames} frames need {at_least}{(least - stands) / 1e9:.2f} GB, "
            f"{free / 1e9:.2f} GB are free: take a sparser codec (a smaller k), or another disk"
        )
    if most - stands > free:
        say(f"posteriors: {free / 1e9:.2f} GB are free, which may not be enough: what stands then is gone on with")


def _summary(work: Path, stored: int, header: Header, random: bool) -> dict[str, Any]:
    """Totals of what was measured shard by shard, printed and returned; ``stored``: the records' bytes."""
    measured = [read_json(path) for path in sorted(scratch(work).glob("measured.*.json"))]
    total = {name: sum(shard[name] for shard in measured) for name in measured[0]}
    per_frame = round(stored / total["frames"], 1)
    summary = {
        "frames": total["frames"],
        "temperature": header.temperature,
        "bytes_per_frame": int(per_frame) if per_frame.is_integer() else per_frame,
        "dense_bytes_per_frame": 4 * header.num_pdfs,
        "frames_per_second": round(total["frames"] / total["seconds"], 1),
        "encode_share": round(total["encode_seconds"] / total["seconds"], 4),
        "kl_nats": max(total["kl_sum"] / total["kl_frames"], 0.0),  # below 0 by rounding alone
        "random": random,
    }
    # A frame alone is far from what was drawn of it.
    lost = "drawn at random, right on the average" if random else f"KL lost {summary['kl_nats']:.5f} nats a frame"
    print(
        f"posteriors: {total['frames']} frames at {summary['frames_per_second']:.0f} frames/s a process, "
        f"{per_frame:g} bytes a frame (dense: {4 * header.num_pdfs}), {lost}",
        flush=True,
    )
    return summary
