"""Triphone models with tied states: a tree over the alignment of an earlier model, and Gaussians for its leaves."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from asrkd.core.archive import shards
from asrkd.core.config import STRICT
from asrkd.core.parallel import add_up, fold_shards
from asrkd.core.stage import scratch
from asrkd.features.store import FeatureDir
from asrkd.features.window import Window
from asrkd.hmm.align import TrainingGraphs, gmm_aligner, transcripts
from asrkd.hmm.alignment import Alignment, convert_alignment, write_alignment
from asrkd.hmm.em import EmConfig, TrainingSet, finish, train_passes
from asrkd.hmm.gmm import DiagGmms, DoubleArray
from asrkd.hmm.gmm_features import GmmFeatures, SplicedTransform
from asrkd.hmm.lda import ClassStatistics, lda
from asrkd.hmm.sizes import TIED_STATES, TRIPHONE_GAUSSIANS, Size
from asrkd.hmm.tied_states import TiedStates, check_phones
from asrkd.hmm.transitions import Int32Array, TransitionModel
from asrkd.hmm.tree import BuiltTree, TreeLimits, TreeRoots, build_tree
from asrkd.hmm.tree_statistics import VARIANCE_FLOOR, TreeStatistics, collect, merge, phone_questions
from asrkd.lang.prepare import Lang


@dataclass(frozen=True, config=STRICT)
class LdaConfig:
    """Gaussians over neighbouring frames in place of derivatives: LDA, then MLLT re-estimated while training."""

    dim: int = Field(default=40, ge=1)
    """Dimensions that LDA leaves."""
    context: int = Field(default=3, ge=0)
    """Frames on either side."""
    mllt_passes: tuple[int, ...] = (2, 4, 6, 9)
    """Passes that begin with a new MLLT."""


@dataclass(frozen=True, config=STRICT)
class TriphoneConfig(EmConfig):
    """The tree's size, and training of its leaves' Gaussians."""

    max_utterances: int | None = Field(default=None, ge=1)
    """Train on this many of the utterances, spread evenly over all of them as they are sorted, and so over speakers;
    on all without it."""
    num_leaves: Size = 480
    """Tied states (pdfs) at most, or `auto` (see `asrkd.hmm.sizes`)."""
    min_leaf_count: float = Field(default=60.0, ge=0)
    """Frames that each leaf must have."""
    realign_passes: tuple[int, ...] = (4, 7, 10)
    num_gauss: Size = 2800
    lda: LdaConfig | None = None
    """LDA and MLLT; derivatives without it."""


def triphone_stage(  # noqa: PLR0917 (inputs first, output last)
    config: TriphoneConfig, features: Path, data: Path, lang: Path, previous: Path, work: Path, jobs: int
) -> dict[str, Any]:
    """Train triphones on what ``previous`` aligns: a tied-state model in ``work``, its alignment in ``work/ali``.

    ``previous/ali`` is used where it covers the utterances; otherwise they are aligned with the model.
    Raises DataError for what can't be aligned, MismatchError for inputs that do not belong together.
    """
    opened, store = Lang.open(lang), FeatureDir.open(features)
    old = TiedStates.load(previous)
    check_phones(previous, old.phones, lang, opened.phones)
    texts = transcripts(data, store, opened)
    training = TrainingSet(store, opened, spread(texts, config.max_utterances), jobs)
    config = sized(config, training.num_frames)
    alignment = starting_alignment(config, previous, old, training, work)
    transform = lda_transform(config.lda, old, alignment, training) if config.lda else None
    built, substitutes = grow_tree(config, old, alignment, training, transform)
    start = start_model(old, built, transform)
    convert = convert_alignment(old, start)

    def first_alignment(utt_id: str) -> Int32Array:
        if utt_id not in alignment.num_frames:
            return np.zeros(0, np.int32)
        return convert(alignment.transition_ids(utt_id))

    mllt_passes = config.lda.mllt_passes if config.lda else ()
    model, history = train_passes(config, start, training, first_alignment, work, mllt_passes)
    gain = round(built.gain / float(built.sums[:, 0].sum()), 4)
    everything = replace(training, texts=texts)
    return finish(config, model, everything, work, history, substitutes, tree_gain_per_frame=gain)


def spread(texts: Mapping[str, list[int]], count: int | None) -> dict[str, list[int]]:
    """``count`` of the entries, at equal distances (Kaldi's ``subset_data_dir.sh``); all where there are no more."""
    utt_ids = list(texts)
    if count is None or count >= len(utt_ids):
        return dict(texts)
    return {utt: texts[utt] for utt in (utt_ids[number * len(utt_ids) // count] for number in range(count))}


def sized(config: TriphoneConfig, num_frames: int) -> TriphoneConfig:
    """``config`` with numbers in place of `auto`."""
    return replace(
        config,
        num_leaves=TIED_STATES.size(config.num_leaves, num_frames),
        num_gauss=TRIPHONE_GAUSSIANS.size(config.num_gauss, num_frames),
    )


def starting_alignment(
    config: TriphoneConfig, previous: Path, old: TiedStates, training: TrainingSet, work: Path
) -> Alignment:
    """The alignment in ``previous`` where it covers the utterances, else one by ``old``, which is left in ``work``."""
    if (previous / "ali").is_dir():
        alignment = Alignment.open(previous / "ali")
        alignment.check_tied_states(old.hash, str(previous))
        if training.texts.keys() <= {*alignment.num_frames, *alignment.failed}:
            return alignment
    align = gmm_aligner(config.align, TrainingGraphs(old, training.lang, training.texts), training.store)
    write_alignment(
        scratch(work) / "first", old, training.utt_ids, align, max_failed=config.align.max_failed, jobs=training.jobs
    )
    return Alignment.open(scratch(work) / "first")


def lda_transform(config: LdaConfig, old: TiedStates, alignment: Alignment, training: TrainingSet) -> SplicedTransform:
    """LDA over the pdfs of an alignment by ``old``; frames of silence are left out."""
    window = Window(config.context, config.context)
    size = window.size * training.store.dim
    spliced = SplicedTransform(np.zeros((0, size), np.float32), window).spliced
    silence = np.isin(old.tables.phone, training.lang.silence_phones)

    def shard(utt_ids: Sequence[str]) -> ClassStatistics:
        ids = np.concatenate([alignment.transition_ids(utt) for utt in utt_ids])
        feats = np.concatenate([spliced(training.store.load(utt)) for utt in utt_ids])
        speech = ~silence[ids]
        return ClassStatistics.collect(feats[speech], old.pdf_of_tid[ids[speech]], old.num_pdfs)

    aligned = [utt for utt in training.utt_ids if utt in alignment.num_frames]
    statistics = fold_shards(shard, shards(aligned), add_up, training.jobs, "LDA")
    return SplicedTransform(lda(statistics, config.dim).astype(np.float32), window)


def grow_tree(
    config: TriphoneConfig,
    old: TiedStates,
    alignment: Alignment,
    training: TrainingSet,
    transform: SplicedTransform | None = None,
) -> tuple[BuiltTree, dict[int, int]]:
    """The tree over an alignment by ``old``, and the phones without frames, which take silence's leaves."""
    assert config.num_leaves is not None, "auto is resolved by the stage"
    silence = training.lang.silence_phones
    features = GmmFeatures(training.store, transform)

    def statistics_of(utt_ids: Sequence[str]) -> TreeStatistics:
        ids = [alignment.transition_ids(utt) for utt in utt_ids]
        return collect(ids, [features.load(utt) for utt in utt_ids], old.tables, silence)

    aligned = [utt for utt in training.utt_ids if utt in alignment.num_frames]
    statistics = fold_shards(statistics_of, shards(aligned), merge, training.jobs, "tree statistics")
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


def start_model(old: TiedStates, built: BuiltTree, transform: SplicedTransform | None = None) -> TiedStates:
    """The tree's tied states with one Gaussian each; a leaf without frames has that of all frames."""
    topology = old.transitions.topology
    means, variances = _moments(built.sums)
    num_pdfs = built.tree.num_pdfs
    gmms = DiagGmms.from_moments(np.ones(num_pdfs), means, variances, np.arange(num_pdfs))
    return TiedStates(built.tree, TransitionModel.for_tree(topology, built.tree), gmms, old.phones, transform)


def _moments(sums: DoubleArray) -> tuple[DoubleArray, DoubleArray]:
    dim = (sums.shape[1] - 1) // 2
    filled = np.where(sums[:, :1] > 0, sums, sums.sum(axis=0))
    means = filled[:, 1 : 1 + dim] / filled[:, :1]
    return means, np.maximum(filled[:, 1 + dim :] / filled[:, :1] - means**2, VARIANCE_FLOOR)
