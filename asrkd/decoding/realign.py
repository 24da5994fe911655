"""Forced alignment by nets: posteriors over priors take the place of the Gaussians, over the same tied states."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from asrkd.core.archive import shards
from asrkd.core.errors import MismatchError
from asrkd.core.parallel import map_shards
from asrkd.decoding.sources import Source, nets
from asrkd.features.store import FeatureDir
from asrkd.hmm.align import AlignConfig, TrainingGraphs, aligner, transcripts
from asrkd.hmm.alignment import write_alignment
from asrkd.hmm.tied_states import TiedStates, check_phones
from asrkd.hmm.transitions import Int32Array
from asrkd.lang.prepare import Lang

Align = Callable[[str], Int32Array]


def realign_stage(  # noqa: PLR0917 (inputs first, output last)
    config: AlignConfig,
    features: Path,
    data: Path,
    lang: Path,
    tied_states: Path,
    models: Sequence[Path],
    work: Path,
    jobs: int,
) -> dict[str, Any]:
    """Align a data dir with one net or the average of several: an alignment folder in ``work``.

    Raises MismatchError for nets of other tied states or features, and what `write_alignment` raises.
    """
    model, opened, store = TiedStates.load(tied_states), Lang.open(lang), FeatureDir.open(features)
    check_phones(tied_states, model.phones, lang, opened.phones)
    source = nets(store, models)
    if source.tied_states != model.hash:
        raise MismatchError(
            f"{models[0]} belongs to tied states {source.tied_states[:12]}, {tied_states} are {model.hash[:12]}: "
            "was the tree built again? Give the tied-state model that the nets were trained on"
        )
    texts = transcripts(data, store, opened)
    graphs = TrainingGraphs(model, opened, texts)
    if source.on_gpu:
        align, jobs = _in_two_steps(config, graphs, source, list(texts), jobs), 1
    else:
        align = aligner(config, graphs, source.log_likelihoods)
    return write_alignment(work, model, list(texts), align, max_failed=config.max_failed, jobs=jobs)


def _in_two_steps(
    config: AlignConfig, graphs: TrainingGraphs, source: Source, utt_ids: Sequence[str], jobs: int
) -> Align:
    """Shard by shard: log-likelihoods here, on the GPU, which forked workers can't use; then the search in workers."""
    shard_of = {utt: shard for shard in shards(utt_ids) for utt in shard}
    done: dict[str, Int32Array] = {}

    def align(utt_id: str) -> Int32Array:
        if utt_id not in done:
            done.clear()
            shard = shard_of[utt_id]
            ready: Mapping[str, Any] = {utt: source.log_likelihoods(utt) for utt in shard}
            done.update(zip(shard, map_shards(aligner(config, graphs, ready.__getitem__), shard, jobs), strict=True))
        return done[utt_id]

    return align
