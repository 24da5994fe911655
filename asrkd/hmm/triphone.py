"""Triphone models with tied states: a tree over the alignment of an earlier model, and Gaussians for its leaves."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from asrkd.core.config import STRICT
from asrkd.core.parallel import map_shards
from asrkd.features.store import FeatureDir
from asrkd.hmm.align import GmmFeatures, TrainingGraphs, gmm_aligner, transcripts
from asrkd.hmm.alignment import Alignment, convert_alignment, write_alignment
from asrkd.hmm.em import EmConfig, TrainingSet, shards, train_passes
from asrkd.hmm.gmm import DiagGmms, DoubleArray
from asrkd.hmm.tied_states import TiedStates, check_phones
from asrkd.hmm.transitions import Int32Array, TransitionModel
from asrkd.hmm.tree import BuiltTree, TreeLimits, TreeRoots, build_tree
from asrkd.hmm.tree_statistics import VARIANCE_FLOOR, TreeStatistics, collect, merge, phone_questions
from asrkd.lang.prepare import Lang


@dataclass(frozen=True, config=STRICT)
class TriphoneConfig(EmConfig):
    """The tree's size, and training of its leaves' Gaussians."""

    num_leaves: int = Field(default=480, ge=1)
    """Tied states (pdfs) at most."""
    min_leaf_count: float = Field(default=60.0, ge=0)
    """Frames that each leaf must have."""
    realign_passes: tuple[int, ...] = (4, 7, 10)
    num_gauss: int = Field(default=2800, ge=1)


def triphone_stage(  # noqa: PLR0917 (inputs first, output last)
    config: TriphoneConfig, features: Path, data: Path, lang: Path, previous: Path, work: Path, jobs: int
) -> dict[str, Any]:
    """Train triphones on the alignment ``previous/ali``: a tied-state model in ``work``, its alignment in ``work/ali``.

    Raises DataError for what can't be aligned, MismatchError for inputs that do not belong together.
    """
    opened, store = Lang.open(lang), FeatureDir.open(features)
    old, alignment = TiedStates.load(previous), Alignment.open(previous / "ali")
    check_phones(previous, old.phones, lang, opened.phones)
    alignment.check_tied_states(old.hash, str(previous))
    texts = transcripts(data, store, opened)
    training = TrainingSet(GmmFeatures(store), opened, texts, jobs)
    built, substitutes = grow_tree(config, old, alignment, training)
    start = start_model(old, built)
    convert = convert_alignment(old, start)

    def first_alignment(utt_id: str) -> Int32Array:
        if utt_id not in alignment.num_frames:
            return np.zeros(0, np.int32)
        return convert(alignment.transition_ids(utt_id))

    model, history = train_passes(config, start, training, first_alignment, work)
    align = gmm_aligner(config.align, TrainingGraphs(model, opened, texts), training.features)
    aligned = write_alignment(work / "ali", model, list(texts), align, max_failed=config.align.max_failed, jobs=jobs)
    names = {number: symbol for symbol, number in opened.phones.items()}
    description = model.write(
        work,
        history=history,
        phones_without_data=[names[phone] for phone in sorted(substitutes)],
        tree_gain_per_frame=round(built.gain / float(built.sums[:, 0].sum()), 4),
    )
    shutil.rmtree(work / "passes", ignore_errors=True)
    return {key: value for key, value in description.items() if key != "history"} | {
        "log_likelihood": history[-1]["log_likelihood"],
        "num_failed": len(aligned["failed"]),
    }


def grow_tree(
    config: TriphoneConfig, old: TiedStates, alignment: Alignment, training: TrainingSet
) -> tuple[BuiltTree, dict[int, int]]:
    """The tree over an alignment by ``old``, and the phones without frames, which take silence's leaves."""
    silence = training.lang.silence_phones
    aligned = [utt for utt in training.utt_ids if utt in alignment.num_frames]

    def statistics_of(utt_ids: Sequence[str]) -> TreeStatistics:
        ids = [alignment.transition_ids(utt) for utt in utt_ids]
        return collect(ids, [training.features.load(utt) for utt in utt_ids], old.tables, silence)

    statistics = merge(map_shards(statistics_of, shards(aligned), training.jobs, "tree statistics"))
    topology = old.transitions.topology
    seen = set(statistics.phones)
    substitutes = {phone: silence[0] for phone in topology.phones if phone not in seen and phone != silence[0]}
    questions = phone_questions(statistics, [*topology.phones])
    roots = TreeRoots(
        {phone: topology.num_pdf_classes(phone) for phone in topology.phones},
        unsplit=[phone for phone in silence if phone not in substitutes],
        substitutes=substitutes,
    )
    built = build_tree(statistics, questions, roots, TreeLimits(config.num_leaves, config.min_leaf_count))
    return built, substitutes


def start_model(old: TiedStates, built: BuiltTree) -> TiedStates:
    """The tree's tied states with one Gaussian each; a leaf without frames has that of all frames."""
    topology = old.transitions.topology
    means, variances = _moments(built.sums)
    num_pdfs = built.tree.num_pdfs
    gmms = DiagGmms.from_moments(np.ones(num_pdfs), means, variances, np.arange(num_pdfs))
    return TiedStates(built.tree, TransitionModel.for_tree(topology, built.tree), gmms, old.phones)


def _moments(sums: DoubleArray) -> tuple[DoubleArray, DoubleArray]:
    dim = (sums.shape[1] - 1) // 2
    filled = np.where(sums[:, :1] > 0, sums, sums.sum(axis=0))
    means = filled[:, 1 : 1 + dim] / filled[:, :1]
    return means, np.maximum(filled[:, 1 + dim :] / filled[:, :1] - means**2, VARIANCE_FLOOR)
