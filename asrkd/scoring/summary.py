"""The report's numbers: every system's scores, compared on the same resamples, as one mapping.

Reads an experiment folder by its layout: ``eval/SYSTEM/SET/{words,frames}`` of the systems gmm, teacher.1 ...,
ensemble, distilled, distilled_labelled (without the transfer set's unlabelled part) and distilled_small;
``teachers/N``, ``student``, ``student_labelled`` and ``student_small`` for their learning curves;
``soft_targets``, ``tune`` and all stages' descriptions; ``study/sweep.json``, where `asrkd sweep` has been run. The
baseline is the mean over the teachers. `ensembles` says what is read of smaller ensembles and other combinations.
"""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from pydantic.dataclasses import dataclass

from asrkd.core.archive import read_scp
from asrkd.core.config import STRICT
from asrkd.core.datadir import read_durations
from asrkd.core.errors import DataError
from asrkd.core.files import read_json
from asrkd.core.stage import describe
from asrkd.losses.mixing import alpha_of
from asrkd.scoring.ensembles import Scores, combinations, combined_names, growing, growing_names
from asrkd.scoring.matched_pairs import with_holm
from asrkd.scoring.significance import PairedBootstrap
from asrkd.scoring.systems import METRICS

SETS = ("dev", "test")
"""As the report calls them; ``test`` may be a part of another name."""
SINGLE = ("gmm", "ensemble", "distilled", "distilled_labelled", "distilled_small")
STUDENTS = ("student", "student_labelled", "student_small")
PAIRS = (
    ("ensemble", "baseline"),
    ("distilled", "baseline"),
    ("distilled", "ensemble"),
    ("distilled_labelled", "baseline"),
    ("distilled", "distilled_labelled"),
    ("distilled_small", "baseline"),
    ("baseline", "gmm"),
)

ORDER = (
    *(
        "corpus",
        "all",
        "split",
        "data",
        "features",
        "fbank",
        "mfcc",
        "lang",
        "lm",
        "mono",
        "tri",
        "ali",
        "graph",
        "teachers",
        "tune",
    ),
    *("chosen", "soft_targets", "student", "student_labelled", "student_small", "weights", "eval"),
)

STUDY = "study"
"""The sweep whose results the report holds, and whose time is no part of the pipeline's."""

PAPER = (
    {"name": "baseline", "frame_accuracy": 0.589, "wer": 0.109},
    {"name": "ensemble", "frame_accuracy": 0.611, "wer": 0.107},
    {"name": "distilled", "frame_accuracy": 0.608, "wer": 0.107},
)
"""Hinton, Vinyals and Dean 2015, table 1."""


@dataclass(frozen=True, config=STRICT)
class ReportConfig:
    """What the report says of itself, and the seed of its resamples."""

    recipe: str = "recipe"
    note: str = ""  # one sentence that says what the data are
    seed: int = 0


def summarise(config: ReportConfig, experiment: Path, test: str = "test") -> dict[str, Any]:
    """report.json's content, where ``test`` is the part to report on. DataError when a system has not been scored."""
    teachers = sorted((path.name for path in (experiment / "eval").glob("teacher.*")), key=_number)
    if not teachers:
        raise DataError(f"{experiment}/eval holds no teacher's scores: have the scoring stages been run?")
    names = [*teachers, *(name for name in SINGLE if (experiment / "eval" / name).is_dir())]
    grown, combined = growing_names(experiment, teachers), combined_names(experiment)
    parts, scored = {"dev": "dev", "test": test}, {"words": [*names, *grown], "frames": [*names, *grown, *combined]}
    scores = {
        kind: {where: _read(experiment, scored[kind], parts[where], kind) for where in SETS}
        for kind in METRICS.values()
    }
    bootstraps = {kind: _bootstrap(scores[kind]["test"], config.seed) for kind in scores}
    soft_targets = describe(experiment / "soft_targets")["summary"]
    student = describe(experiment / "student")
    ratio = bootstraps["frames"].transfer_ratio(teachers, "ensemble", "distilled")
    return {
        "recipe": config.recipe,
        "num_pdfs": soft_targets["dense_bytes_per_frame"] // 4,
        "num_teachers": len(teachers),
        "temperature": soft_targets["temperature"],
        "alpha": alpha_of(student["config"].get("loss", {})),
        "test_part": test,
        "data": {**_data(experiment), "note": config.note},
        "systems": [_system(name, teachers, scores, bootstraps) for name in _order(names)],
        "transfer_ratio": {"value": ratio.estimate, "low": ratio.low, "high": ratio.high, "reliable": ratio.reliable},
        "comparisons": _comparisons(bootstraps, teachers, names),
        "growing": growing(grown, METRICS, scores, bootstraps),
        "combinations": combinations(experiment, combined, scores["frames"], bootstraps["frames"]),
        "soft_targets": soft_targets,
        "tuning": _tuning(experiment),
        "curves": _curves(experiment),
        "calibration": {
            name: {"ece": scores["frames"]["test"][name]["ece"], "bins": scores["frames"]["test"][name]["calibration"]}
            for name in names
        },
        "temperature_curves": {
            name: scores["frames"]["test"][name]["temperature_curve"]
            for name in names
            if "temperature_curve" in scores["frames"]["test"][name]
        },
        "paper": list(PAPER),
        "seconds": _seconds(experiment),
        "sweep": _sweep(experiment, test),
        "environment": {"device": student["summary"]["device"], "torch": version("torch"), "asrkd": version("asrkd")},
    }


def _number(name: str) -> int:
    return int(name.rpartition(".")[2])


def _order(names: Sequence[str]) -> list[str]:
    return [name for name in ("gmm", "baseline", *SINGLE[1:]) if name == "baseline" or name in names]


def _read(experiment: Path, names: Sequence[str], part: str, kind: str) -> dict[str, Any]:
    return {name: read_json(experiment / "eval" / name / part / kind / f"{kind}.json") for name in names}


def _bootstrap(scores: Scores, seed: int) -> PairedBootstrap:
    return PairedBootstrap.of_pairs({name: score["utterances"] for name, score in scores.items()}, seed=seed)


def _system(
    name: str,
    teachers: Sequence[str],
    scores: Mapping[str, Mapping[str, Scores]],
    bootstraps: Mapping[str, PairedBootstrap],
) -> dict[str, Any]:
    members = list(teachers) if name == "baseline" else [name]

    def mean(kind: str, where: str, field: str) -> float:
        return fmean(scores[kind][where][member][field] for member in members)

    words = [scores["words"]["test"][member] for member in members]
    system: dict[str, Any] = {
        "name": name,
        "parameters": round(mean("frames", "test", "parameters")),
        "cross_entropy": {where: mean("frames", where, "cross_entropy") for where in SETS},
        "ece": mean("frames", "test", "ece"),
        **{field: fmean(w[field] for w in words) for field in ("errors", "substitutions", "deletions", "insertions")},
        "words": words[0]["words"],
        "acoustic_scale": fmean(w["decoding"]["acoustic_scale"] for w in words),
        "real_time_factor": fmean(w["decoding"]["rtf"] for w in words),
    }
    for metric, kind in METRICS.items():
        interval = bootstraps[kind].rate(*members)
        system[metric] = {where: mean(kind, where, metric) for where in SETS}
        system[metric] |= {"low": interval.low, "high": interval.high}
    if name == "baseline":
        system["per_seed"] = [_seed(member, scores) for member in members]
        system["spread"] = {
            metric: {
                where: stdev(scores[kind][where][member][metric] for member in members) if len(members) > 1 else 0.0
                for where in SETS
            }
            for metric, kind in METRICS.items()
        }
    return system


def _seed(member: str, scores: Mapping[str, Mapping[str, Scores]]) -> dict[str, Any]:
    row: dict[str, Any] = {"seed": _number(member), "errors": scores["words"]["test"][member]["errors"]}
    for metric, kind in METRICS.items():
        row[metric] = {where: scores[kind][where][member][metric] for where in SETS}
    return row


def _comparisons(
    bootstraps: Mapping[str, PairedBootstrap], teachers: Sequence[str], names: Sequence[str]
) -> list[dict[str, Any]]:
    found = []
    for metric, kind in METRICS.items():
        rows = []
        for a, b in PAIRS:
            if all(name == "baseline" or name in names for name in (a, b)):
                first, second = (teachers if name == "baseline" else name for name in (a, b))
                rows.append(bootstraps[kind].difference(first, second).row(a, b, metric))
        found += with_holm(rows)
    return sorted(found, key=lambda row: PAIRS.index((row["a"], row["b"])))


def _data(experiment: Path) -> dict[str, Any]:
    sets = {}
    for folder in sorted(path for path in (experiment / "data").iterdir() if (path / "utt2dur").is_file()):
        durations, speakers = read_durations(folder), read_scp(folder / "utt2spk")
        sets[folder.name] = {
            "hours": round(sum(durations.values()) / 3600, 4),
            "utterances": len(speakers),
            "speakers": len(set(speakers.values())),
        }
    return sets


def _tuning(experiment: Path) -> list[dict[str, Any]]:
    chosen = experiment / "chosen"
    return read_json(chosen / "tried.json") if chosen.is_dir() else []


def _sweep(experiment: Path, test: str) -> dict[str, Any] | None:
    results = experiment / STUDY / "sweep.json"
    sweep = read_json(results) if results.is_file() else None
    return sweep if sweep and sweep["test_part"] == test else None


def _curves(experiment: Path) -> dict[str, Any]:
    folders = {f"teacher.{path.name}": path for path in sorted((experiment / "teachers").iterdir())}
    folders |= {name.replace("student", "distilled"): experiment / name for name in STUDENTS}
    return {
        name: read_json(path / "log.json")["curve"] for name, path in folders.items() if (path / "log.json").is_file()
    }


def _seconds(experiment: Path) -> dict[str, float]:
    """Seconds by the folder that holds a stage's output, in the pipeline's order."""
    seconds: dict[str, float] = dict.fromkeys(ORDER, 0.0)
    for path in sorted(experiment.rglob("stage.json")):
        description = read_json(path)
        name = str(path.parent.relative_to(experiment).parts[0])
        if description["stage"] in ("report", "compare") or name == STUDY:
            continue
        seconds[name] = round(seconds.get(name, 0.0) + description["seconds"], 2)
    return {name: value for name, value in seconds.items() if value}
