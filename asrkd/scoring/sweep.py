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
from asrkd.core.random import random_share
from asrkd.core.stage import describe
from asrkd.core.sweep import Plan, Row, SoftTargets, Study, StudyConfig, SweepConfig, Trial
from asrkd.hmm.alignment import Alignment
from asrkd.hmm.classes import pdf_mask
from asrkd.scoring.recall import recall
from asrkd.scoring.seeds import difference_over_seeds, rate_over_seeds, recovered_over_seeds, share_over_seeds
from asrkd.scoring.significance import PairedBootstrap
from asrkd.scoring.systems import METRICS
from asrkd.targets import Codec, build_codec

Trials = Mapping[str, Mapping[str, Any]]
Bootstraps = Mapping[str, PairedBootstrap]


def summarise_sweep(  # noqa: PLR0917
    plan: Plan,
    failed: Mapping[str, str],
    output: Path,
    nets: Mapping[str, Sequence[Path]],
    sweep: SweepConfig,
    experiment: Path,
) -> dict[str, Any]:
    """sweep.json's content; ``nets`` by trial. Trials that failed are named with their errors, and no figure is made
    of them.

    Raises DataError where no trial stands.
    """
    finished = [trial for trial in plan.trials.values() if trial.name not in failed]
    if not finished:
        raise DataError(f"no trial stands: {next(iter(failed.values()))}")
    counts: dict[str, dict[str, Any]] = {"frames": {}, "words": {}}
    trials = {trial.name: _trial(trial, output, nets[trial.name], sweep, counts) for trial in finished}
    bootstraps = {metric: PairedBootstrap.of_pairs(counts[kind]) for metric, kind in METRICS.items() if counts[kind]}
    return {
        "title": sweep.title,
        "test_part": sweep.test,
        "studies": [
            _study(study, trials, {**bootstraps, **_of_recall(study, trials, output, sweep, experiment)})
            for study in plan.studies
        ],
        "trials": list(trials.values()),
        "failed": dict(failed),
    }


def _trial(
    trial: Trial, output: Path, models: Sequence[Path], sweep: SweepConfig, counts: Mapping[str, dict[str, Any]]
) -> dict[str, Any]:
    """One trial's figures; its counts by utterance go to ``counts``."""
    test, folder = sweep.test, output / "trials" / trial.name
    nets = [describe(model) for model in models]
    soft = describe(output / "archives" / trial.soft_targets.name)["summary"] if trial.soft_targets else {}
    row: dict[str, Any] = {
        "name": trial.name,
        "train": trial.train,
        "soft_targets": trial.soft_targets and asdict(trial.soft_targets),
        "online": trial.online,
        "teacher": trial.teacher,
        "passes": trial.passes,
        "teachers": trial.teachers,
        "parameters": sum(net["summary"]["parameters"] for net in nets),
        "best_epoch": nets[0]["summary"].get("best_epoch") if len(nets) == 1 else None,
        "offset": nets[0]["summary"].get("offset"),
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
    if trial.train_accuracy:
        seen = read_json(folder / sweep.train / "frames/frames.json")["utterances"]
        row["frame_accuracy"]["train"] = _accuracy_on_share(seen, nets[0]["config"].get("fraction", 1))
    if trial.words:
        row |= {"errors": scores["test"]["errors"], "words": scores["test"]["words"]}
        row["acoustic_scale"] = scores["test"]["decoding"]["acoustic_scale"]
    return row


def _accuracy_on_share(counts: Mapping[str, Sequence[int]], fraction: float) -> float:
    """On the utterances that a net with this setting `fraction` was trained on; correct frames and all by utterance."""
    seen = [counts[utt_id] for utt_id in random_share(counts, fraction)]
    return sum(correct for correct, _ in seen) / sum(total for _, total in seen)


def _codec(soft: SoftTargets) -> Codec:
    return build_codec(soft.posteriors.get("codec", {}), 2, soft.name)


def _of_recall(
    study: Study, trials: Trials, output: Path, sweep: SweepConfig, experiment: Path
) -> dict[str, PairedBootstrap]:
    """Of the study's trials, where it asks for the recall of some classes on test."""
    if not study.config.recall:
        return {}
    alignment = Alignment.open(experiment / sweep.alignments / sweep.test)
    where = f"studies.{study.name}: recall"
    model = experiment / "tri" if any(isinstance(name, str) for name in study.config.recall) else None
    mask = pdf_mask(study.config.recall, alignment.num_pdfs, alignment.tied_states, model, where)
    names = {name for row in study.rows for name in row.trials.values() if name in trials}
    folders = {name: output / "trials" / name / sweep.test / "frames" for name in names}
    counts = {name: recall(folder, alignment, mask) for name, folder in folders.items()}
    return {"recall": PairedBootstrap.of_pairs(counts)}


def _study(study: Study, trials: Trials, bootstraps: Bootstraps) -> dict[str, Any]:
    rows = []
    for row, *places in zip(study.rows, study.references, study.floors, strict=True):
        against, floor = (None if place is None else study.rows[place] for place in places)
        rows.append(_row(row, against, study.config, trials, bootstraps))
        if recovered := _recovered(row, floor, against, trials, bootstraps):
            rows[-1] |= recovered
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
        "note": config.note,
        "gap_from": {axis: label(value) for axis, value in config.gap_from.items()},
        "paper": config.paper and asdict(config.paper),
        "rows": rows,
    }


def _row(row: Row, against: Row | None, config: StudyConfig, trials: Trials, bootstraps: Bootstraps) -> dict[str, Any]:
    members = {seed: name for seed, name in row.trials.items() if name in trials}
    nets = list(dict.fromkeys(members.values()))  # a teacher is one whatever the seed
    first = trials[nets[0]] if nets else {}
    result: dict[str, Any] = {
        "labels": dict(row.labels),
        "seeds": len(members),
        "seeds_wanted": len(row.trials),
        **{name: first.get(name) for name in ("parameters", "bytes_per_frame", "kl_nats")},
        "random": first.get("random", False),
        "dev": _mean([trials[name]["frame_accuracy"]["dev"] for name in nets]),
        "rates": {},
        "differences": {},
    }
    if offsets := [trials[name]["offset"] for name in nets if trials[name]["offset"] is not None]:
        result["offset"] = _mean(offsets)
    if config.train_accuracy:
        result["train"] = _mean([trials[name]["frame_accuracy"]["train"] for name in nets])
    for metric in ("frame_accuracy", *["recall"] * bool(config.recall), *["wer"] * config.words):
        if not members:
            continue
        result["rates"][metric] = asdict(rate_over_seeds(bootstraps[metric], nets))
        if against is None or against.trials == row.trials:
            continue
        pairs = [(name, against.trials[seed]) for seed, name in members.items() if against.trials[seed] in trials]
        if pairs:
            ours, theirs = zip(*pairs, strict=True)
            result["differences"][metric] = asdict(difference_over_seeds(bootstraps[metric], ours, theirs))
            if config.share and metric == "frame_accuracy":
                result["share"] = asdict(share_over_seeds(bootstraps[metric], ours, theirs))
    return result


def _recovered(
    row: Row, floor: Row | None, top: Row | None, trials: Trials, bootstraps: Bootstraps
) -> dict[str, Any] | None:
    """The share that ``row`` has of the gap from ``floor`` to ``top``, and whether there is one beyond chance.

    None where it is one of them, or a net of theirs is missing.
    """
    if floor is None or top is None or row.trials in (floor.trials, top.trials) or floor.trials == top.trials:
        return None
    seeds = [seed for seed in row.trials if all(each.trials[seed] in trials for each in (row, floor, top))]
    if not seeds:
        return None
    ours, low, high = ([each.trials[seed] for seed in seeds] for each in (row, floor, top))
    recovered = recovered_over_seeds(bootstraps["frame_accuracy"], ours, low, high)
    if recovered is None:
        return None
    gap = difference_over_seeds(bootstraps["frame_accuracy"], high, low)
    return {"recovered": asdict(recovered), "has_gap": not gap.low <= 0 <= gap.high}


def _mean(values: Sequence[float]) -> dict[str, float | None] | None:
    if not values:
        return None
    return {"estimate": fmean(values), "deviation": stdev(values) if len(values) > 1 else None}
