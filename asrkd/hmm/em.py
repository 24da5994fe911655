"""Viterbi training of the Gaussians: passes of alignment, statistics, update and splitting; each pass is committed.

A folder ``passes`` holds the last pass's model (NN.mdl), its history (NN.json) and the alignments that it was trained
on (ali-NN). A run that was cut off goes on at the pass it was in, and ends with the same bytes: whatever one pass
hands to the next goes through these files' precision, and no sum depends on the number of jobs.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass as plain_dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field
from pydantic.dataclasses import dataclass

from asrkd.core.archive import SHARD_SIZE, Archive, write_sharded
from asrkd.core.config import STRICT
from asrkd.core.files import read_json, write_json
from asrkd.core.parallel import map_shards
from asrkd.core.random import rng_for
from asrkd.hmm.align import AlignConfig, GmmFeatures, TrainingGraphs, gmm_aligner
from asrkd.hmm.alignment import check_failed
from asrkd.hmm.gmm_training import GmmStatistics, UpdateLimits, accumulate, split, split_targets, update
from asrkd.hmm.tied_states import TiedStates, read_model, write_model
from asrkd.hmm.transitions import Int32Array
from asrkd.lang.prepare import Lang


@dataclass(frozen=True, config=STRICT)
class EmConfig:
    """The schedule of Viterbi training."""

    num_passes: int = Field(default=14, ge=1)
    """Updates of the parameters."""
    realign_passes: tuple[int, ...] = (2, 3, 4, 6, 8, 11)
    """Passes (from 1) that align anew before they update."""
    num_gauss: int = Field(default=600, ge=1)
    """Components in all, about: reached by even steps, the last of them `settle_passes` before the end."""
    settle_passes: int = Field(default=3, ge=0)
    """Passes at the end that split nothing."""
    occupancy_power: float = Field(default=0.25, ge=0, le=1)
    """A pdf's share of the components goes with its frames to this power."""
    min_count: float = Field(default=20.0, ge=0)
    """Frames that each component of a pdf must have for the pdf to be split."""
    perturb: float = Field(default=0.1, gt=0)
    """Halves of a split component are moved apart by this many standard deviations times normal noise. Kaldi's 0.01
    takes more passes to tell them apart."""
    min_variance: float = Field(default=0.001, gt=0)
    """No variance falls below this."""
    min_occupancy: float = Field(default=10.0, ge=0)
    """Components with fewer frames go, but for a pdf's last."""
    seed: int = 0
    """Of the noise that splits means."""
    align: AlignConfig = AlignConfig()
    """How the training's alignments are searched."""


@plain_dataclass(frozen=True)
class TrainingSet:
    """Utterances to train on: features, and word ids by utterance id."""

    features: GmmFeatures
    lang: Lang
    texts: Mapping[str, list[int]]
    jobs: int

    @property
    def utt_ids(self) -> list[str]:
        return list(self.texts)


def train_passes(
    config: EmConfig,
    start: TiedStates,
    data: TrainingSet,
    first_alignment: Callable[[str], Int32Array],
    work: Path,
) -> tuple[TiedStates, list[dict[str, Any]]]:
    """Train ``start`` by ``config``; pass 1 uses ``first_alignment`` (transition-ids; empty where it has none).

    Returns the model and, for each pass, the average log-likelihood of a frame before its update and the number of
    components after it. Raises DataError when too many utterances fail to align.
    """
    folder = work / "passes"
    folder.mkdir(exist_ok=True)
    done = max((int(path.stem) for path in folder.glob("*.mdl")), default=0)
    model, history = start, []
    if done:
        model = start.retrained(*read_model(folder / f"{done:02d}.mdl"))
        history = read_json(folder / f"{done:02d}.json")
    for number in range(done + 1, config.num_passes + 1):
        alignment = _alignment_of_pass(config, number)
        if alignment == number:
            compute = first_alignment
            if number > 1:
                graphs = TrainingGraphs(model, data.lang, data.texts)
                compute = gmm_aligner(config.align, graphs, data.features)
            _align(config, folder / f"ali-{number:02d}", data, compute)
        model, statistics = _update(config, number, model, data, folder / f"ali-{alignment:02d}")
        history.append({"pass": number, "log_likelihood": round(statistics.per_frame, 6)})
        history[-1] |= {"num_frames": statistics.num_frames, "num_gauss": model.gmms.num_gauss}
        write_json(folder / f"{number:02d}.json", history)
        write_model(folder / f"{number:02d}.mdl", model.transitions, model.gmms)
        _clear(folder, number, alignment)
    return model, history


def _alignment_of_pass(config: EmConfig, number: int) -> int:
    """The pass whose alignments pass ``number`` trains on."""
    return max([1, *(realigned for realigned in config.realign_passes if 1 < realigned <= number)])


def _align(config: EmConfig, folder: Path, data: TrainingSet, compute: Callable[[str], Int32Array]) -> None:
    if (folder / "ali.scp").exists():
        return
    folder.mkdir(exist_ok=True)
    write_sharded(folder, "ali", data.utt_ids, compute, jobs=data.jobs, description=folder.name)
    vectors = Archive.open(folder / "ali.scp")
    check_failed([utt for utt in data.utt_ids if not len(vectors[utt])], len(vectors), config.align.max_failed)


def _update(
    config: EmConfig, number: int, model: TiedStates, data: TrainingSet, alignment: Path
) -> tuple[TiedStates, GmmStatistics]:
    statistics, counts = _statistics(model, data, Archive.open(alignment / "ali.scp"))
    limits = UpdateLimits(min_occupancy=config.min_occupancy, min_variance=config.min_variance)
    gmms = update(model.gmms, statistics, limits)
    steps = max(1, config.num_passes - config.settle_passes)
    if number <= steps:
        target = model.num_pdfs + (config.num_gauss - model.num_pdfs) * number // steps
        occupancy = np.add.reduceat(statistics.occupancy, model.gmms.bounds[:-1])
        targets = split_targets(occupancy, target, config.occupancy_power, config.min_count)
        gmms = split(gmms, targets, rng_for(config.seed, "split", number), config.perturb)
    return model.retrained(model.transitions.updated(counts), gmms), statistics


def _statistics(model: TiedStates, data: TrainingSet, vectors: Archive) -> tuple[GmmStatistics, np.ndarray]:
    size = model.transitions.num_transition_ids + 1

    def shard(utt_ids: Sequence[str]) -> tuple[GmmStatistics, np.ndarray] | None:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            aligned = [(utt, ids) for utt in utt_ids if len(ids := vectors[utt])]
            if not aligned:
                return None
            transition_ids = np.concatenate([ids for _, ids in aligned])
            feats = np.concatenate([data.features.load(utt) for utt, _ in aligned])
            counts = np.bincount(transition_ids, minlength=size).astype(np.float64)
            return accumulate(model.gmms, feats, model.pdf_of_tid[transition_ids]), counts
        finally:
            torch.set_num_threads(threads)

    parts = [part for part in map_shards(shard, shards(data.utt_ids), data.jobs, "statistics") if part is not None]
    return reduce(lambda a, b: a + b, (part[0] for part in parts)), sum((part[1] for part in parts), np.zeros(size))


def shards(utt_ids: Sequence[str]) -> list[Sequence[str]]:
    """Runs of a fixed number of utterances, so that sums over them do not depend on the number of jobs."""
    return [utt_ids[start : start + SHARD_SIZE] for start in range(0, len(utt_ids), SHARD_SIZE)]


def _clear(folder: Path, number: int, alignment: int) -> None:
    """Remove what a resumed run would not need."""
    for path in folder.iterdir():
        stale = path.suffix in (".mdl", ".json") and int(path.stem) < number
        if path.is_dir() and int(path.name.removeprefix("ali-")) < alignment:
            shutil.rmtree(path)
        elif stale:
            path.unlink()
