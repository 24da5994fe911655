"""Forced alignment: the best path of an utterance's frames through the HMMs of its transcript (Viterbi, by Kaldi)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass as plain_dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import kaldi_hmm_gmm
import numpy as np
import torch
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from asrkd.core.config import STRICT
from asrkd.core.datadir import read_data_dir
from asrkd.core.errors import DataError, MismatchError
from asrkd.features.store import FeatureDir
from asrkd.hmm.alignment import write_alignment
from asrkd.hmm.deltas import add_deltas
from asrkd.hmm.gmm import FloatArray
from asrkd.hmm.kaldi_io import kaldi_errors
from asrkd.hmm.tied_states import TiedStates, check_phones
from asrkd.hmm.transitions import Int32Array
from asrkd.lang.prepare import Lang


@dataclass(frozen=True, config=STRICT)
class AlignConfig:
    """How wide the search is, how likelihoods weigh in it, and how many utterances may fail."""

    beam: float = Field(default=10.0, gt=0)
    """Costs this far above the best are dropped (natural logs, scaled)."""
    retry_beam: float = Field(default=40.0, ge=0)
    """For utterances that fail with `beam`; 0 for no second try."""
    acoustic_scale: float = Field(default=0.1, gt=0)
    """Factor on acoustic log-likelihoods, whose frames are not independent."""
    transition_scale: float = Field(default=1.0, ge=0)
    """Factor on the log probabilities of leaving a state."""
    self_loop_scale: float = Field(default=0.1, ge=0)
    """Factor on the log probabilities of staying in one."""
    max_failed: float = Field(default=0.05, ge=0, le=1)
    """Share of the utterances that may fail to align; more are an error."""

    @model_validator(mode="after")
    def _beams(self) -> "AlignConfig":
        if 0 < self.retry_beam <= self.beam:
            raise ValueError(
                f"retry_beam {self.retry_beam} must be wider than beam {self.beam}, or 0 for no second try"
            )
        return self


@plain_dataclass(frozen=True)
class GmmFeatures:
    """What a GMM sees of a feature folder: normalised features and their derivatives."""

    store: FeatureDir
    delta_order: int = 2
    delta_window: int = 2

    @property
    def dim(self) -> int:
        return self.store.dim * (1 + self.delta_order)

    def load(self, utt_id: str) -> FloatArray:
        """Features of an utterance, shape (num_frames, dim)."""
        return add_deltas(self.store.load(utt_id), self.delta_order, self.delta_window)


@plain_dataclass(frozen=True)
class TrainingGraphs:
    """Compiles the HMM of an utterance's transcript, without transition probabilities.

    ``texts`` are word ids by utterance id.
    """

    model: TiedStates
    lang: Lang
    texts: Mapping[str, list[int]]

    @cached_property
    def _compiler(self) -> Any:
        # Scales of zero, since add_transition_probs puts the probabilities on: they would count twice.
        options = kaldi_hmm_gmm.TrainingGraphCompilerOptions(0.0, 0.0, True)
        disambiguation = [number for symbol, number in self.lang.phones.items() if symbol.startswith("#")]
        return kaldi_hmm_gmm.TrainingGraphCompiler(
            self.model.transition_model, self.model.tree, self.lang.fst, disambiguation, opts=options
        )

    def compile(self, utt_id: str) -> Any:
        """The graph (a kaldifst.StdVectorFst) with transition-ids on its input side."""
        with kaldi_errors(f"training graph of {utt_id}"):
            return self._compiler.compile_graph_from_text(self.texts[utt_id])


def viterbi(config: AlignConfig, model: TiedStates, utt_id: str, graph: Any, log_likelihoods: FloatArray) -> Int32Array:
    """Transition-ids of the best path, int32 (num_frames,); empty where no path survives.

    ``graph`` is a training graph, which gets the model's transition probabilities; ``log_likelihoods`` has shape
    (num_frames, num_pdfs), unscaled. Raises DataError for NaN or infinity, which Kaldi would pass over in silence.
    """
    if log_likelihoods.ndim != 2 or log_likelihoods.shape[1] != model.num_pdfs:
        raise MismatchError(
            f"{utt_id}: log-likelihoods of shape {log_likelihoods.shape} for {model.num_pdfs} pdfs: of another model?"
        )
    if not np.isfinite(log_likelihoods).all():
        frame = int(np.argwhere(~np.isfinite(log_likelihoods))[0][0])
        raise DataError(f"{utt_id}: log-likelihood at frame {frame} is NaN or infinite: diverged, or damaged audio?")
    if len(log_likelihoods) == 0:
        return np.zeros(0, np.int32)
    kaldi_hmm_gmm.add_transition_probs(
        trans_model=model.transition_model,
        transition_scale=config.transition_scale,
        self_loop_scale=config.self_loop_scale,
        fst=graph,
    )
    scaled = (config.acoustic_scale * log_likelihoods).astype(np.float32)[:, model.pdf_of_tid[1:]]
    result = kaldi_hmm_gmm.align_utterance_wrapper(
        config=kaldi_hmm_gmm.AlignConfig(beam=config.beam, retry_beam=config.retry_beam),
        utt=utt_id,
        acoustic_scale=config.acoustic_scale,
        fst=graph,
        decodable=kaldi_hmm_gmm.DecodableCtc(scaled),
        num_done=0,
        num_error=0,
        num_retried=0,
        tot_like=0.0,
        frame_count=0,
    )
    return np.array(result[5], np.int32)


def aligner(
    config: AlignConfig, graphs: TrainingGraphs, log_likelihoods: Callable[[str], FloatArray]
) -> Callable[[str], Int32Array]:
    """The function that aligns an utterance by its id, with any acoustic model over the pdfs of ``graphs.model``."""

    def align(utt_id: str) -> Int32Array:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # sums, and so bytes, must not depend on the number of jobs
        try:
            return viterbi(config, graphs.model, utt_id, graphs.compile(utt_id), log_likelihoods(utt_id))
        finally:
            torch.set_num_threads(threads)

    return align


def transcripts(data: Path, features: FeatureDir, lang: Lang) -> dict[str, list[int]]:
    """Word ids of the utterances that have features, sorted.

    Raises DataError where transcripts are missing or hold words outside the lexicon, MismatchError where the data dir
    and the features have different utterances.
    """
    text = read_data_dir(data, allow_pipes=True).text
    if text is None:
        raise DataError(f"{data / 'text'} is missing: an alignment needs transcripts")
    if difference := sorted(set(text) ^ set(features.utt_ids)):
        raise MismatchError(
            f"{difference[0]} is in only one of {data} and {features.path} ({len(difference)} such): "
            "were the features made from this data dir?"
        )
    return {utt: lang.word_ids(utt, text[utt].split()) for utt in sorted(text)}


def align_stage(  # noqa: PLR0917 (inputs first, output last)
    config: AlignConfig, features: Path, data: Path, lang: Path, tied_states: Path, work: Path, jobs: int
) -> dict[str, Any]:
    """Align a data dir with the Gaussians of a tied-state model: an alignment folder in ``work``."""
    model, opened, store = TiedStates.load_gmm(tied_states), Lang.open(lang), FeatureDir.open(features)
    check_phones(tied_states, model.phones, lang, opened.phones)
    texts = transcripts(data, store, opened)
    align = gmm_aligner(config, TrainingGraphs(model, opened, texts), GmmFeatures(store))
    return write_alignment(work, model, list(texts), align, max_failed=config.max_failed, jobs=jobs)


def gmm_aligner(config: AlignConfig, graphs: TrainingGraphs, features: GmmFeatures) -> Callable[[str], Int32Array]:
    """`aligner` with the likelihoods of the model's own Gaussians."""
    return aligner(config, graphs, lambda utt_id: graphs.model.log_likelihoods(features.load(utt_id)))
