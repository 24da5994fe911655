"""Decoding a set: log-likelihoods in, hypotheses out, over forked workers; and choosing the acoustic scale on dev.

Hypotheses are committed a shard at a time, so a run that was cut off goes on where it was. Shards hold a fixed number
of utterances, whatever the number of jobs.
"""

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asrkd.core.audio import Seconds
from asrkd.core.errors import AsrkdError, DataError
from asrkd.core.files import atomic_write, read_json, write_json
from asrkd.core.messages import say
from asrkd.core.parallel import map_shards
from asrkd.core.stage import scratch
from asrkd.decoding.acoustic import scaled
from asrkd.decoding.config import DecodeConfig
from asrkd.decoding.rescore import Rescorer, RescoringSearcher
from asrkd.decoding.search import BestPath, Searcher
from asrkd.graph.graph import Graph

LogLikelihoods = Callable[[str], NDArray[np.float32]]
"""Unscaled log p(x | pdf) of an utterance, float32 of shape (num_frames, num_pdfs)."""

CountErrors = Callable[[Mapping[str, str]], tuple[int, int]]
"""Word errors and reference words of a set of hypotheses."""

FRAME_SHIFT: Seconds = 0.01
SHARD_SIZE = 20
"""Utterances whose hypotheses are committed together: what is lost at most by a kill."""


@dataclass(frozen=True)
class Decoded:
    """The best paths of a set at one acoustic scale, in the order of the utterances."""

    acoustic_scale: float
    paths: Sequence[BestPath]
    log_likelihood_seconds: Seconds

    @property
    def hypotheses(self) -> dict[str, str]:
        return {path.utt_id: " ".join(path.words) for path in self.paths}

    def summary(self) -> dict[str, Any]:
        """decode.json: ``rtf`` is the search's time on one core over the time of the speech."""
        speech = FRAME_SHIFT * sum(path.num_frames for path in self.paths)
        seconds = sum(path.seconds for path in self.paths)
        failed = [path.utt_id for path in self.paths if path.failed]
        return {
            "acoustic_scale": self.acoustic_scale,
            "num_utterances": len(self.paths),
            "num_partial": sum(path.partial for path in self.paths),
            "num_failed": len(failed),
            "failed": failed,
            "speech_seconds": round(speech, 2),
            "seconds": round(seconds, 3),
            "rtf": round(seconds / speech, 5) if speech else 0.0,
            "log_likelihood_seconds": round(self.log_likelihood_seconds, 3),
        }


def decode(
    config: DecodeConfig,
    graph: Graph,
    log_likelihoods: LogLikelihoods,
    utt_ids: Sequence[str],
    work: Path,
    *,
    acoustic_scale: float | None = None,
    rescorer: Rescorer | None = None,
    jobs: int = 1,
    in_parent: bool = False,
) -> dict[str, Any]:
    """Decode ``utt_ids`` and write hyp.txt and decode.json to ``work``; returns decode.json's content.

    ``log_likelihoods`` is called in the workers, or with ``in_parent`` here (for a net on a GPU, which forked workers
    can't use). A ``rescorer`` puts another language model in place of the graph's. ``acoustic_scale`` is the
    configuration's unless given. An utterance for which no path survives gets an empty hypothesis and is listed.
    """
    scale = config.acoustic_scale if acoustic_scale is None else acoustic_scale
    (decoded,) = decode_at_scales(
        config, graph, log_likelihoods, utt_ids, work, scales=[scale], rescorer=rescorer, jobs=jobs, in_parent=in_parent
    )
    write_hypotheses(work / "hyp.txt", decoded.hypotheses)
    summary = {**decoded.summary(), "graph_tied_states": graph.tied_states, "beam": config.beam}
    summary["rescored_by"] = rescorer and rescorer.name
    write_json(work / "decode.json", summary)
    _report(summary)
    return summary


def tune_scale(
    config: DecodeConfig,
    graph: Graph,
    log_likelihoods: LogLikelihoods,
    utt_ids: Sequence[str],
    work: Path,
    *,
    count_errors: CountErrors,
    rescorer: Rescorer | None = None,
    jobs: int = 1,
    in_parent: bool = False,
) -> dict[str, Any]:
    """Decode a dev set at each of ``config.acoustic_scales`` and take the one with the fewest word errors.

    Writes hyp.SCALE.txt for each, scales.json (the table and the choice), and hyp.txt and decode.json of the choice.
    Of scales that do equally well the one nearest to the middle of those tried is taken.
    """
    scales = sorted(set(config.acoustic_scales))
    tried = decode_at_scales(
        config, graph, log_likelihoods, utt_ids, work, scales=scales, rescorer=rescorer, jobs=jobs, in_parent=in_parent
    )
    table = []
    for decoded in tried:
        write_hypotheses(work / f"hyp.{decoded.acoustic_scale:g}.txt", decoded.hypotheses)
        errors, words = count_errors(decoded.hypotheses)
        table.append({**decoded.summary(), "errors": errors, "words": words, "wer": errors / words})
    best = choose_scale(scales, [int(row["errors"]) for row in table])
    chosen = tried[scales.index(best)]
    at_edge = len(scales) > 1 and best in (scales[0], scales[-1])
    if at_edge:
        say(f"acoustic scale {best:g} is at the edge of those tried: widen acoustic_scales")
    summary = {**table[scales.index(best)], "at_edge": at_edge, "rescored_by": rescorer and rescorer.name}
    write_json(work / "scales.json", {"acoustic_scale": best, "at_edge": at_edge, "tried": table})
    write_hypotheses(work / "hyp.txt", chosen.hypotheses)
    write_json(work / "decode.json", summary)
    _report(summary)
    return summary


def choose_scale(scales: Sequence[float], errors: Sequence[int]) -> float:
    """The scale with the fewest errors; among equals the nearest, by ratio, to the middle of all (then the smaller)."""
    middle = float(np.median(np.log(scales)))
    return min(zip(errors, scales, strict=True), key=lambda row: (row[0], round(abs(np.log(row[1]) - middle), 9)))[1]


def decode_at_scales(
    config: DecodeConfig,
    graph: Graph,
    log_likelihoods: LogLikelihoods,
    utt_ids: Sequence[str],
    work: Path,
    *,
    scales: Sequence[float],
    rescorer: Rescorer | None = None,
    jobs: int = 1,
    in_parent: bool = False,
) -> list[Decoded]:
    """Best paths at each scale; each utterance's log-likelihoods are computed once.

    With a ``rescorer``, its language model decides between the paths that the search finds.
    """
    if not utt_ids:
        raise DataError("there are no utterances to decode: is the data dir empty?")
    parts = scratch(work) / "parts"
    parts.mkdir(exist_ok=True)
    shards = [list(utt_ids[start : start + SHARD_SIZE]) for start in range(0, len(utt_ids), SHARD_SIZE)]
    names = [parts / f"{number}.json" for number in range(1, len(shards) + 1)]
    todo = [(name, shard) for name, shard in zip(names, shards, strict=True) if not name.exists()]
    # The wheel's decoder is made anew in each worker; arrays are shared.
    shared = None if rescorer is None else RescoringSearcher(graph, config, rescorer)
    decode_shard = partial(_decode_shard, lambda: shared or Searcher(graph, config), scales)
    if not in_parent:
        map_shards(partial(decode_shard, log_likelihoods), todo, jobs, "decode")
    else:
        for start in range(0, len(todo), max(jobs, 1)):
            group = todo[start : start + max(jobs, 1)]
            ready = {utt_id: log_likelihoods(utt_id) for utt_id in itertools.chain(*(shard for _, shard in group))}
            map_shards(partial(decode_shard, ready.__getitem__), group, jobs, f"decode {start}/{len(todo)}")
    return _gather([read_json(name) for name in names], utt_ids, scales, work)


def _decode_shard(
    make_searcher: Callable[[], Searcher | RescoringSearcher],
    scales: Sequence[float],
    log_likelihoods: LogLikelihoods,
    item: tuple[Path, Sequence[str]],
) -> None:
    name, utt_ids = item
    searcher = make_searcher()
    rows, computing = [], 0.0
    for utt_id in utt_ids:
        start = time.perf_counter()
        unscaled = _of(utt_id, log_likelihoods)
        computing += time.perf_counter() - start
        rows.append([asdict(searcher.decode(utt_id, scaled(unscaled, scale))) for scale in scales])
    write_json(name, {"scales": list(scales), "log_likelihood_seconds": computing, "paths": rows})


def _of(utt_id: str, log_likelihoods: LogLikelihoods) -> NDArray[np.float32]:
    try:
        return log_likelihoods(utt_id)
    except AsrkdError as error:
        if utt_id in str(error):
            raise
        raise type(error)(f"{utt_id}: {error}") from None


def _gather(parts: list[Any], utt_ids: Sequence[str], scales: Sequence[float], work: Path) -> list[Decoded]:
    rows, folder = [row for part in parts for row in part["paths"]], scratch(work)
    if [row[0]["utt_id"] for row in rows] != list(utt_ids) or any(p["scales"] != list(scales) for p in parts):
        raise DataError(f"{folder}: holds hypotheses of another set or other scales: remove the folder")
    computing = sum(part["log_likelihood_seconds"] for part in parts)
    return [
        Decoded(scale, [BestPath(**{**row[i], "words": tuple(row[i]["words"])}) for row in rows], computing)
        for i, scale in enumerate(scales)
    ]


def write_hypotheses(path: Path, hypotheses: Mapping[str, str]) -> None:
    """``utt_id WORDS`` a line; an empty hypothesis is a line with the id alone."""
    with atomic_write(path) as file:
        file.writelines(f"{utt_id} {words}".rstrip() + "\n" for utt_id, words in hypotheses.items())


def _report(summary: Mapping[str, Any]) -> None:
    if summary["num_failed"]:
        say(
            f"{summary['num_failed']} of {summary['num_utterances']} utterances have no path in the graph and an empty "
            f"hypothesis, {summary['failed'][0]} first: is the beam too narrow or the model untrained?"
        )
