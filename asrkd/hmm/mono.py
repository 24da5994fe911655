"""Monophone models from a flat start: every pdf begins as the same Gaussian, every transcript cut into equal parts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import kaldifst
import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from asrkd.core.archive import shards
from asrkd.core.config import STRICT
from asrkd.core.errors import DataError
from asrkd.core.parallel import map_shards
from asrkd.features.store import FeatureDir
from asrkd.hmm.align import TrainingGraphs, transcripts
from asrkd.hmm.em import EmConfig, TrainingSet, finish, train_passes
from asrkd.hmm.event_map import monophone_tree
from asrkd.hmm.gmm import DiagGmms
from asrkd.hmm.gmm_features import GmmFeatures
from asrkd.hmm.sizes import MONO_GAUSSIANS
from asrkd.hmm.tied_states import TiedStates
from asrkd.hmm.topology import Topology, read_topology
from asrkd.hmm.transitions import Int32Array, TransitionModel
from asrkd.lang.phones import real_phones
from asrkd.lang.prepare import Lang


@dataclass(frozen=True, config=STRICT)
class MonoConfig(EmConfig):
    """Training of monophones."""

    max_utterances: int = Field(default=400, ge=1)
    """Train on this many of the shortest utterances, which a flat start gets right most easily."""


def mono_stage(  # noqa: PLR0917 (inputs first, output last)
    config: MonoConfig, features: Path, data: Path, lang: Path, work: Path, jobs: int
) -> dict[str, Any]:
    """Train monophones on a data dir: a tied-state model in ``work`` and, unless `align_all` is off, the alignment of
    all of it in ``work/ali``.

    Raises DataError for transcripts that can't be aligned, MismatchError for inputs that do not belong together.
    """
    opened, store = Lang.open(lang), FeatureDir.open(features)
    texts = transcripts(data, store, opened)
    topology = read_topology(lang / "topo")
    fit = long_enough(texts, opened, topology, store.num_frames)
    chosen = sorted(fit, key=lambda utt: (store.num_frames[utt], utt))[: config.max_utterances]
    training = TrainingSet(store, opened, {utt: texts[utt] for utt in sorted(chosen)}, jobs)
    config = replace(config, num_gauss=MONO_GAUSSIANS.size(config.num_gauss, training.num_frames))
    start, substitutes = flat_start(topology, training, texts.values())
    graphs = TrainingGraphs(start, opened, training.texts)
    model, history = train_passes(config, start, training, equal_aligner(graphs, store.num_frames), work)
    return finish(config, model, replace(training, texts=texts), work, history, substitutes)


def long_enough(
    texts: Mapping[str, Sequence[int]], lang: Lang, topology: Topology, num_frames: Mapping[str, int]
) -> list[str]:
    """Utterances that have a frame for each state of their transcript's shortest pronunciation.

    Raises DataError where none has.
    """
    needed = {
        lang.words[word]: min(sum(topology.min_frames(lang.phones[p]) for p in phones) for phones in variants)
        for word, variants in lang.lexicon.pronunciations.items()
    }
    fit = [utt for utt, words in texts.items() if num_frames[utt] >= sum(needed[word] for word in words)]
    if not fit:
        utt, words = max(texts.items(), key=lambda item: num_frames[item[0]])
        raise DataError(
            f"no utterance is long enough for its transcript (the longest, {utt}, has {num_frames[utt]} frames for "
            f"{len(words)} words): are transcripts and audio of the same data?"
        )
    return fit


def flat_start(topology: Topology, training: TrainingSet, texts: Any) -> tuple[TiedStates, dict[int, int]]:
    """Monophones that all have the mean and variance of the training data.

    Phones in no pronunciation of the words of ``texts`` would have pdfs without data: they take silence's, and are
    returned with it.
    """
    lang = training.lang
    words = {number: word for word, number in lang.words.items()}
    used = {
        lang.phones[phone]
        for word in {word for text in texts for word in text}
        for variant in lang.lexicon.pronunciations[words[word]]
        for phone in variant
    }
    silence = lang.silence_phones[0]
    substitutes = {phone: silence for phone in real_phones(lang.phones) if phone not in used and phone != silence}
    tree = monophone_tree({phone: topology.num_pdf_classes(phone) for phone in topology.phones}, substitutes)
    mean, variance = _moments(training)
    ones = np.ones((tree.num_pdfs, 1))
    gmms = DiagGmms.from_moments(np.ones(tree.num_pdfs), ones * mean, ones * variance, np.arange(tree.num_pdfs))
    return TiedStates(tree, TransitionModel.for_tree(topology, tree), gmms, lang.phones), substitutes


def _moments(training: TrainingSet) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of all frames, both (dim,)."""
    features = GmmFeatures(training.store)

    def sums(utt_ids: Sequence[str]) -> tuple[int, np.ndarray, np.ndarray]:
        feats = np.concatenate([features.load(utt) for utt in utt_ids]).astype(np.float64)
        return len(feats), feats.sum(axis=0), (feats * feats).sum(axis=0)

    parts = map_shards(sums, shards(training.utt_ids), training.jobs, "moments")
    count = sum(part[0] for part in parts)
    mean = np.sum([part[1] for part in parts], axis=0) / count
    return mean, np.maximum(np.sum([part[2] for part in parts], axis=0) / count - mean**2, 1e-3)


def equal_aligner(graphs: TrainingGraphs, num_frames: Mapping[str, int]) -> Callable[[str], Int32Array]:
    """The function that spreads an utterance's frames evenly over a random way through its graph."""

    def align(utt_id: str) -> Int32Array:
        done, path = kaldifst.equal_align(graphs.compile(utt_id), num_frames[utt_id], rand_seed=1, num_retries=10)
        if not done:
            return np.zeros(0, np.int32)
        return np.array(kaldifst.get_linear_symbol_sequence(path)[1], np.int32)

    return align
