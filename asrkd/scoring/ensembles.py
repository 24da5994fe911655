"""The report's figures of ensembles: how they grow with their teachers, and what other combinations of all give.

Read from ``eval/ensemble.N``, the first N teachers (1 is teacher.1, all of them are ensemble), and from the frames of
``eval/combined.geometric``, ``combined.arithmetic_learnt`` and ``combined.geometric_learnt``, where these are there.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from asrkd.core.files import read_json
from asrkd.scoring.significance import PairedBootstrap

COMBINED = {
    "ensemble": ("arithmetic", False),
    "combined.arithmetic_learnt": ("arithmetic", True),
    "combined.geometric": ("geometric", False),
    "combined.geometric_learnt": ("geometric", True),
}
"""By system: combination, and whether its weights were learnt."""

Scores = Mapping[str, Mapping[str, Any]]  # system -> words.json or frames.json


def growing_names(experiment: Path, teachers: Sequence[str]) -> list[str]:
    """Systems of the first 1, 2, ... of ``teachers``; none unless each has been scored."""
    names = [f"ensemble.{count}" for count in range(2, len(teachers))]
    if len(teachers) < 2 or not all((experiment / "eval" / name).is_dir() for name in (*names, "ensemble")):
        return []
    return [teachers[0], *names, "ensemble"]


def combined_names(experiment: Path) -> list[str]:
    """Systems of `COMBINED` that have been scored; none where there is but the ensemble itself."""
    names = [name for name in COMBINED if (experiment / "eval" / name).is_dir()]
    return names if len(names) > 1 and "ensemble" in names else []


def rates(scores: Mapping[str, Scores], bootstrap: PairedBootstrap, name: str, metric: str) -> dict[str, float]:
    """A system's rate on each set of ``scores``, with its interval on test."""
    interval = bootstrap.rate(name)
    return {**{where: each[name][metric] for where, each in scores.items()}, "low": interval.low, "high": interval.high}


def growing(
    names: Sequence[str],
    metrics: Mapping[str, str],
    scores: Mapping[str, Mapping[str, Scores]],
    bootstraps: Mapping[str, PairedBootstrap],
) -> list[dict[str, Any]]:
    """A row for each number of teachers; ``gain`` is in frame accuracy, over the row before."""
    rows: list[dict[str, Any]] = []
    for count, name in enumerate(names, 1):
        row: dict[str, Any] = {"teachers": count}
        row |= {metric: rates(scores[kind], bootstraps[kind], name, metric) for metric, kind in metrics.items()}
        if count > 1:
            row["gain"] = _gain(bootstraps["frames"], name, names[count - 2])
        rows.append(row)
    return rows


def combinations(
    experiment: Path, names: Sequence[str], frames: Mapping[str, Scores], bootstrap: PairedBootstrap
) -> list[dict[str, Any]]:
    """A row for each combination of all teachers, with its weights if they were learnt; ``gain`` is over the first."""
    rows: list[dict[str, Any]] = []
    for name in names:
        combination, learnt = COMBINED[name]
        row: dict[str, Any] = {
            "combination": combination,
            "frame_accuracy": rates(frames, bootstrap, name, "frame_accuracy"),
            "cross_entropy": {where: each[name]["cross_entropy"] for where, each in frames.items()},
        }
        if learnt:
            row["weights"] = read_json(experiment / "weights" / combination / "weights.json")["weights"]
        if rows:
            row["gain"] = _gain(bootstrap, name, names[0])
        rows.append(row)
    return rows


def _gain(bootstrap: PairedBootstrap, name: str, over: str) -> dict[str, float]:
    difference = bootstrap.difference(name, over)
    return {"difference": difference.estimate, "low": difference.low, "high": difference.high}
