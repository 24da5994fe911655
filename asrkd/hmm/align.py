"""Forced alignment: the best path of an utterance's frames through the HMMs of its transcript (Viterbi, by Kaldi)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass as plain_dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import kaldi_hmm_gmm
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from asrkd.core.config import STRICT
from asrkd.core.datadir import read_data_dir
from asrkd.core.errors import DataError, MismatchError
from asrkd.features.store import FeatureDir
from asrkd.hmm.alignment import write_alignment
from asrkd.hmm.gmm import FloatArray, IntArray, one_thread
from asrkd.hmm.gmm_features import GmmFeatures
from asrkd.hmm.kaldi_io import kaldi_errors
from asrkd.hmm.tied_states import TiedStates, check_phones
from asrkd.hmm.transitions import Int32Array
from asrkd.lang.fst import FstArrays, from_kaldifst, to_kaldifst
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
    _check_finite(utt_id, log_likelihoods)
    weighted = WeightedGraph.of(config, model, graph)
    return weighted.best_path(config, utt_id, log_likelihoods[:, weighted.pdfs])


@plain_dataclass(frozen=True)
class WeightedGraph:
    """A training graph with transition probabilities, over the few transition-ids and pdfs that its words have.

    ``ids`` (n,) are its transition-ids, sorted: label k + 1 of ``arrays`` is ``ids[k]``. ``pdfs`` (m,) are their
    pdfs, and ``columns`` (n,) says which of them each id has. A large model has tens of thousands of ids; scores of
    all of them, frame by frame, would take longer than the search.
    """

    arrays: FstArrays
    ids: IntArray
    pdfs: IntArray
    columns: IntArray

    @classmethod
    def of(cls, config: AlignConfig, model: TiedStates, graph: Any) -> "WeightedGraph":
        """``graph`` with the probabilities of ``model``."""
        kaldi_hmm_gmm.add_transition_probs(
            trans_model=model.transition_model,
            transition_scale=config.transition_scale,
            self_loop_scale=config.self_loop_scale,
            fst=graph,
        )
        arrays = from_kaldifst(graph)
        labels = arrays.arcs["ilabel"].astype(np.int64)
        ids = np.unique(labels[labels > 0])
        pdfs, columns = np.unique(model.pdf_of_tid[ids], return_inverse=True)
        arrays = arrays.relabelled(np.where(labels > 0, np.searchsorted(ids, labels) + 1, 0))
        return cls(arrays, ids, pdfs, columns.ravel())

    def best_path(self, config: AlignConfig, utt_id: str, log_likelihoods: FloatArray) -> Int32Array:
        """As `viterbi`, from log-likelihoods of ``pdfs`` alone, shape (num_frames, m)."""
        if not len(log_likelihoods) or not len(self.ids):
            return np.zeros(0, np.int32)
        scaled = (config.acoustic_scale * log_likelihoods).astype(np.float32)[:, self.columns]
        result = kaldi_hmm_gmm.align_utterance_wrapper(
            config=kaldi_hmm_gmm.AlignConfig(beam=config.beam, retry_beam=config.retry_beam),
            utt=utt_id,
            acoustic_scale=config.acoustic_scale,
            fst=to_kaldifst(self.arrays),
            decodable=kaldi_hmm_gmm.DecodableCtc(scaled),
            num_done=0,
            num_error=0,
            num_retried=0,
            tot_like=0.0,
            frame_count=0,
        )
        return self.ids[np.array(result[5], np.int64) - 1].astype(np.int32)


def _check_finite(utt_id: str, log_likelihoods: FloatArray) -> None:
    if not np.isfinite(log_likelihoods).all():
        frame = int(np.argwhere(~np.isfinite(log_likelihoods))[0][0])
        raise DataError(f"{utt_id}: log-likelihood at frame {frame} is NaN or infinite: diverged, or damaged audio?")


def aligner(
    config: AlignConfig, graphs: TrainingGraphs, log_likelihoods: Callable[[str], NDArray[np.float32]]
) -> Callable[[str], Int32Array]:
    """The function that aligns an utterance by its id, with any acoustic model over the pdfs of ``graphs.model``."""

    def align(utt_id: str) -> Int32Array:
        with one_thread():
            return viterbi(config, graphs.model, utt_id, graphs.compile(utt_id), log_likelihoods(utt_id))

    return align


def gmm_aligner(config: AlignConfig, graphs: TrainingGraphs, store: FeatureDir) -> Callable[[str], Int32Array]:
    """`aligner` with the likelihoods of the model's own Gaussians, of the pdfs that an utterance may need."""
    model = graphs.model
    features = GmmFeatures(store, model.transform)

    def align(utt_id: str) -> Int32Array:
        with one_thread():
            weighted = WeightedGraph.of(config, model, graphs.compile(utt_id))
            log_likelihoods = model.gmms.log_likelihoods(features.load(utt_id), weighted.pdfs)
            _check_finite(utt_id, log_likelihoods)
            return weighted.best_path(config, utt_id, log_likelihoods)

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
    align = gmm_aligner(config, TrainingGraphs(model, opened, texts), store)
    return write_alignment(work, model, list(texts), align, max_failed=config.max_failed, jobs=jobs)
