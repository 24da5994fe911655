"""Viterbi training of the Gaussians: passes of alignment, statistics, update and splitting; each pass is committed.

A folder ``passes`` holds the last pass's model (NN.mdl, and NN.mat, its transform, where it has one), its history
(NN.json) and the alignments that it was trained on (ali-NN). A run that was cut off goes on at the pass it was in, and
ends with the same bytes: whatever one pass hands to the next goes through these files' precision, and no sum depends
on the number of jobs. No more than a shard's features and alignments are in memory at a time.
"""

import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass as plain_dataclass
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from asrkd.core.archive import Archive, shards, write_sharded
from asrkd.core.config import STRICT
from asrkd.core.files import read_json, write_json
from asrkd.core.parallel import add_up, fold_shards
from asrkd.core.random import rng_for
from asrkd.core.stage import scratch
from asrkd.features.store import FeatureDir
from asrkd.hmm.align import AlignConfig, TrainingGraphs, gmm_aligner
from asrkd.hmm.alignment import check_failed, lengths, write_alignment
from asrkd.hmm.gmm import FloatArray, one_thread
from asrkd.hmm.gmm_features import GmmFeatures, read_matrix, write_matrix
from asrkd.hmm.gmm_training import GmmStatistics, UpdateLimits, accumulate, split, split_targets, update
from asrkd.hmm.mllt import MlltStatistics, accumulate_mllt, estimate_mllt, transformed_means
from asrkd.hmm.sizes import Size
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
    num_gauss: Size = 600
    """Components in all, about, or `auto` (see `asrkd.hmm.sizes`). They are reached by even steps, the last of them
    `settle_passes` before the end."""
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
    align_all: bool = True
    """Leave an alignment of all the data in `ali`, for a next stage to start from. Without it that stage aligns what
    it trains on, which is less work where that is a part of the data."""


@plain_dataclass(frozen=True)
class TrainingSet:
    """Utterances to train on: features, and word ids by utterance id."""

    store: FeatureDir
    lang: Lang
    texts: Mapping[str, list[int]]
    jobs: int

    @property
    def utt_ids(self) -> list[str]:
        return list(self.texts)

    @property
    def num_frames(self) -> int:
        return sum(self.store.num_frames[utt] for utt in self.texts)

    def frames(self, model: TiedStates, vectors: Mapping[str, Int32Array], utt_ids: Sequence[str]) -> "Frames":
        """What ``model`` sees of some utterances; those whose alignment in ``vectors`` is empty are left out."""
        features = GmmFeatures(self.store, model.transform)
        aligned = [(utt, ids) for utt in utt_ids if len(ids := vectors[utt])]
        transition_ids = np.concatenate([np.zeros(0, np.int32), *(ids for _, ids in aligned)])
        nothing = np.zeros((0, model.gmms.dim), np.float32)
        return Frames(transition_ids, np.concatenate([nothing, *(features.load(utt) for utt, _ in aligned)]))


@plain_dataclass(frozen=True)
class Frames:
    """Aligned frames of several utterances: ``transition_ids`` (num_frames,), ``feats`` (num_frames, dim)."""

    transition_ids: Int32Array
    feats: FloatArray


def train_passes(  # noqa: PLR0917
    config: EmConfig,
    start: TiedStates,
    data: TrainingSet,
    first_alignment: Callable[[str], Int32Array],
    work: Path,
    mllt_passes: Sequence[int] = (),
) -> tuple[TiedStates, list[dict[str, Any]]]:
    """Train ``start`` by ``config``; pass 1 uses ``first_alignment`` (transition-ids; empty where it has none).

    Passes of ``mllt_passes`` begin with a new MLLT on top of the transform that ``start`` must have. Returns the model
    and, for each pass, the average log-likelihood of a frame before its update and the number of components after it.
    Raises DataError when too many utterances fail to align.
    """
    folder = scratch(work) / "passes"
    folder.mkdir(exist_ok=True)
    done = max((int(path.stem) for path in folder.glob("*.mdl")), default=0)
    model, history = start, []
    if done:
        model, history = _read_pass(folder / f"{done:02d}", start), read_json(folder / f"{done:02d}.json")
    for number in range(done + 1, config.num_passes + 1):
        alignment = _alignment_of_pass(config, number)
        if alignment == number:
            compute = first_alignment
            if number > 1:
                compute = gmm_aligner(config.align, TrainingGraphs(model, data.lang, data.texts), data.store)
            _align(config, folder / f"ali-{number:02d}", data, compute)
        vectors = Archive.open(folder / f"ali-{alignment:02d}" / "ali.scp")
        entry: dict[str, Any] = {"pass": number}
        if number in mllt_passes:
            model, gain = _with_mllt(model, data, vectors)
            entry["mllt_gain"] = round(gain, 6)
        model, statistics = _update(config, number, model, data, vectors)
        entry |= {"log_likelihood": round(statistics.per_frame, 6), "num_frames": statistics.num_frames}
        history.append({**entry, "num_gauss": model.gmms.num_gauss})
        write_json(folder / f"{number:02d}.json", history)
        _write_pass(folder / f"{number:02d}", model)
        _clear(folder, number, alignment)
    return model, history


def _write_pass(path: Path, model: TiedStates) -> None:
    if model.transform:
        write_matrix(path.with_suffix(".mat"), model.transform.matrix)
    write_model(path.with_suffix(".mdl"), model.transitions, model.gmms)


def _read_pass(path: Path, start: TiedStates) -> TiedStates:
    transitions, gmms = read_model(path.with_suffix(".mdl"))
    transform = start.transform and replace(start.transform, matrix=read_matrix(path.with_suffix(".mat")))
    return start.retrained(transitions, gmms, transform)


def _alignment_of_pass(config: EmConfig, number: int) -> int:
    """The pass whose alignments pass ``number`` trains on."""
    return max([1, *(realigned for realigned in config.realign_passes if 1 < realigned <= number)])


def _align(config: EmConfig, folder: Path, data: TrainingSet, compute: Callable[[str], Int32Array]) -> None:
    if (folder / "ali.scp").exists():
        return
    folder.mkdir(exist_ok=True)
    write_sharded(folder, "ali", data.utt_ids, compute, jobs=data.jobs, description=folder.name)
    num_frames = lengths(Archive.open(folder / "ali.scp"), data.utt_ids, data.jobs)
    check_failed([utt for utt in data.utt_ids if not num_frames[utt]], len(num_frames), config.align.max_failed)


def _update(
    config: EmConfig, number: int, model: TiedStates, data: TrainingSet, vectors: Archive
) -> tuple[TiedStates, GmmStatistics]:
    assert config.num_gauss is not None, "auto is resolved by the stage"
    statistics, counts = _statistics(model, data, vectors)
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
    """For the Gaussians, and counts of the transition-ids, (num_transition_ids + 1,)."""
    size = model.transitions.num_transition_ids + 1

    def shard(utt_ids: Sequence[str]) -> tuple[GmmStatistics, np.ndarray]:
        with one_thread():
            frames = data.frames(model, vectors, utt_ids)
            counts = np.bincount(frames.transition_ids, minlength=size).astype(np.float64)
            return accumulate(model.gmms, frames.feats, model.pdf_of_tid[frames.transition_ids]), counts

    def total(parts: Iterable[tuple[GmmStatistics, np.ndarray]]) -> tuple[GmmStatistics, np.ndarray]:
        statistics, counts = next(iterator := iter(parts))
        for more_statistics, more_counts in iterator:
            statistics += more_statistics
            counts += more_counts
        return statistics, counts

    return fold_shards(shard, shards(data.utt_ids), total, data.jobs, "statistics")


def _with_mllt(model: TiedStates, data: TrainingSet, vectors: Archive) -> tuple[TiedStates, float]:
    """``model`` with an MLLT of its speech frames on top of its transform, and what a frame's log-likelihood gains."""
    assert model.transform is not None
    silence = np.isin(model.tables.phone, data.lang.silence_phones)

    def shard(utt_ids: Sequence[str]) -> MlltStatistics:
        with one_thread():
            frames = data.frames(model, vectors, utt_ids)
            speech = ~silence[frames.transition_ids]
            pdf_ids = model.pdf_of_tid[frames.transition_ids[speech]]
            return accumulate_mllt(model.gmms, frames.feats[speech], pdf_ids)

    matrix, gain = estimate_mllt(fold_shards(shard, shards(data.utt_ids), add_up, data.jobs, "MLLT"))
    gmms = transformed_means(model.gmms, matrix)
    return model.retrained(model.transitions, gmms, model.transform.then(matrix)), gain


def finish(  # noqa: PLR0917
    config: EmConfig,
    model: TiedStates,
    data: TrainingSet,
    work: Path,
    history: Sequence[Mapping[str, Any]],
    substituted: Iterable[int],
    **details: Any,
) -> dict[str, Any]:
    """Write the model to ``work`` and, with `align_all`, its alignment of all of ``data`` to ``work/ali``.

    ``substituted`` are phones that had no data; they and ``details`` go into tied_states.json. Returns a summary.
    """
    summary: dict[str, Any] = {"log_likelihood": history[-1]["log_likelihood"]}
    if config.align_all:
        align = gmm_aligner(config.align, TrainingGraphs(model, data.lang, data.texts), data.store)
        max_failed = config.align.max_failed
        aligned = write_alignment(work / "ali", model, data.utt_ids, align, max_failed=max_failed, jobs=data.jobs)
        summary["num_failed"] = len(aligned["failed"])
    names = {number: symbol for symbol, number in data.lang.phones.items()}
    without_data = [names[phone] for phone in sorted(substituted)]
    description = model.write(work, history=history, phones_without_data=without_data, **details)
    return {key: value for key, value in description.items() if key != "history"} | summary


def _clear(folder: Path, number: int, alignment: int) -> None:
    """Remove what a resumed run would not need."""
    for path in folder.iterdir():
        stale = path.suffix in (".mdl", ".mat", ".json") and int(path.stem) < number
        if path.is_dir() and int(path.name.removeprefix("ali-")) < alignment:
            shutil.rmtree(path)
        elif stale:
            path.unlink()
