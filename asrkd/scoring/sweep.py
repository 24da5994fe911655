"""A sweep's numbers, as one mapping: a row a trial, and a row a point of each study's grid with means over seeds.

Reads what `asrkd sweep` made: nets, ``trials/NAME/SET/{frames,words}`` and ``archives/NAME``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from asrkd.core.errors import DataError
from asrkd.core.files import read_json
from asrkd.core.grid import label
from asrkd.core.stage import describe
from asrkd.core.sweep import Plan, Row, SoftTargets, Study, StudyConfig, Trial
from asrkd.scoring.seeds import difference_over_seeds, rate_over_seeds, share_over_seeds
from asrkd.scoring.significance import PairedBootstrap
from asrkd.targets import Codec, build_codec

METRICS = {"frame_accuracy": "frames", "wer": "words"}

Trials = Mapping[str, Mapping[str, Any]]
Bootstraps = Mapping[str, PairedBootstrap]


def summarise_sweep(
    plan: Plan, failed: Mapping[str, str], output: Path, nets: Mapping[str, Path], test: str
) -> dict[str, Any]:
    """sweep.json's content; ``nets`` by trial. Trials that failed are named with their errors, and no figure is made
    of them.

    Raises DataError where no trial stands.
    """
    finished = [trial for trial in plan.trials.values() if trial.name not in failed]
    if not finished:
        raise DataError(f"no trial stands: {next(iter(failed.values()))}")
    counts: dict[str, dict[str, Any]] = {"frames": {}, "words": {}}
    trials = {trial.name: _trial(trial, output, nets[trial.name], test, counts) for trial in finished}
    bootstraps = {metric: _bootstrap(counts[kind]) for metric, kind in METRICS.items() if counts[kind]}
    return {
        "test_part": test,
        "studies": [_study(study, trials, bootstraps) for study in plan.studies],
        "trials": list(trials.values()),
        "failed": dict(failed),
    }


def _trial(trial: Trial, output: Path, model: Path, test: str, counts: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """One trial's figures; its counts by utterance go to ``counts``."""
    folder = output / "trials" / trial.name
    net = describe(model)
    soft = describe(output / "archives" / trial.soft_targets.name)["summary"] if trial.soft_targets else {}
    row: dict[str, Any] = {
        "name": trial.name,
        "train": trial.train,
        "soft_targets": trial.soft_targets and asdict(trial.soft_targets),
        "online": trial.online,
        "teacher": trial.teacher,
        "parameters": net["summary"]["parameters"],
        "best_epoch": net["summary"]["best_epoch"],
        "bytes_per_frame": soft.get("bytes_per_frame"),
        "kl_nats": soft.get("kl_nats"),
        "random": trial.soft_targets is not None and _codec(trial.soft_targets).random,
        "seconds": round(sum(read_json(path)["seconds"] for path in folder.rglob("stage.json")), 2),
    }
    for metric, kind in METRICS.items():
        if kind == "words" and not trial.words:
            continue
        scores = {"dev": read_json(folder / "dev" / kind / f"{kind}.json")}
        scores["test"] = read_json(folder / test / kind / f"{kind}.json")
        row[metric] = {part: score[metric] for part, score in scores.items()}
        counts[kind][trial.name] = scores["test"]["utterances"]
    if trial.words:
        row |= {"errors": scores["test"]["errors"], "words": scores["test"]["words"]}
        row["acoustic_scale"] = scores["test"]["decoding"]["acoustic_scale"]
    return row


def _codec(soft: SoftTargets) -> Codec:
    return build_codec(soft.posteriors.get("codec", {}), 2, soft.name)


def _bootstrap(counts: Mapping[str, Mapping[str, Sequence[float]]]) -> PairedBootstrap:
    """Of all trials, on the same draws."""
    numerators = {name: {utt: pair[0] for utt, pair in each.items()} for name, each in counts.items()}
    return PairedBootstrap(numerators, {utt: pair[1] for utt, pair in next(iter(counts.values())).items()})


def _study(study: Study, trials: Trials, bootstraps: Bootstraps) -> dict[str, Any]:
    rows = []
    for row, reference in zip(study.rows, study.references, strict=True):
        against = None if reference is None else study.rows[reference]
        rows.append(_row(row, against, study.config, trials, bootstraps))
        rows[-1]["is_reference"] = against is not None and against.trials == row.trials
    measured = [row for row in rows if row["dev"]]
    best = max(measured, key=lambda row: float(row["dev"]["estimate"]), default=None)
    for each in rows:
        each["chosen"] = each is best
    config = study.config
    return {
        "name": study.name,
        "title": config.title or study.name,
        "axes": list(config.grid),
        "reference": {axis: label(value) for axis, value in config.reference.items()},
        "against": config.against,
        "rows": rows,
    }


def _row(row: Row, against: Row | None, config: StudyConfig, trials: Trials, bootstraps: Bootstraps) -> dict[str, Any]:
    members = {seed: name for seed, name in row.trials.items() if name in trials}
    first = trials[next(iter(members.values()))] if members else {}
    result: dict[str, Any] = {
        "labels": dict(row.labels),
        "seeds": len(members),
        "seeds_wanted": len(row.trials),
        **{name: first.get(name) for name in ("parameters", "bytes_per_frame", "kl_nats")},
        "random": first.get("random", False),
        "dev": _dev([trials[name]["frame_accuracy"]["dev"] for name in members.values()]),
        "rates": {},
        "differences": {},
    }
    for metric in METRICS if config.words else ("frame_accuracy",):
        if not members:
            continue
        result["rates"][metric] = asdict(rate_over_seeds(bootstraps[metric], list(members.values())))
        if against is None or against.trials == row.trials:
            continue
        pairs = [(name, against.trials[seed]) for seed, name in members.items() if against.trials[seed] in trials]
        if pairs:
            ours, theirs = zip(*pairs, strict=True)
            result["differences"][metric] = asdict(difference_over_seeds(bootstraps[metric], ours, theirs))
            if config.share and metric == "frame_accuracy":
                result["share"] = asdict(share_over_seeds(bootstraps[metric], ours, theirs))
    return result


def _dev(values: Sequence[float]) -> dict[str, float | None] | None:
    if not values:
        return None
    return {"estimate": fmean(values), "deviation": stdev(values) if len(values) > 1 else None}
