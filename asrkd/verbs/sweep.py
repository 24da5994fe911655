"""The verb that runs studies: many small trainings, each made of the stages of the other verbs."""

import shutil
from argparse import Namespace
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from asrkd.core.config import parse, section
from asrkd.core.errors import AsrkdError, ConfigError, DataError
from asrkd.core.messages import say
from asrkd.core.parallel import Task, run_tasks
from asrkd.core.stage import Stage, free, run_stage, stands
from asrkd.core.sweep import Plan, Planner, SoftTargets, StudyConfig, SweepConfig, Trial
from asrkd.verbs.verb import OUTPUT, REPEATED, Section, Verb, flag, path

Recipe = Mapping[str, Any]


@dataclass(frozen=True)
class _Stages:
    """The stages of trials and archives, as the command lines of their verbs make them."""

    sweep: SweepConfig
    recipe: Recipe
    experiment: Path
    output: Path
    teachers: Callable[[str], Sequence[Path]]
    make: Callable[[Sequence[str], Recipe], Stage]

    def check(self, words: bool) -> None:
        """A DataError, before any work, where the experiment lacks what trials read."""
        labelled = (self.sweep.train, "dev", self.sweep.test)
        needed = [self._fbank(part) for part in (*labelled, *self.sweep.unlabelled)] + [*map(self._ali, labelled)]
        if words:
            needed += [str(self.experiment / name) for name in ("graph", "data/dev", f"data/{self.sweep.test}")]
        if missing := [name for name in needed if not Path(name).is_dir()]:
            raise DataError(
                f"{missing[0]} is missing: has the recipe been run, and is it named so in the section sweep?"
            )

    def archive(self, soft: SoftTargets) -> Stage:
        sets = [
            part for name in (self.sweep.train, *self.sweep.unlabelled) for part in ("--features", self._fbank(name))
        ]
        chosen = self.teachers(soft.teachers)[soft.first - 1 :][: soft.num_teachers]
        argv = ["posteriors", *sets, *map(str, chosen), self._archive(soft)]
        return self.make(argv, {"posteriors": soft.posteriors})

    def net(self, trial: Trial) -> Stage:
        parts = (("", self.sweep.train), ("dev-", "dev"))
        argv = ["train", "--section", trial.section]
        for prefix, part in parts:
            argv += [f"--{prefix}features", self._fbank(part), f"--{prefix}alignment", self._ali(part)]
        if trial.soft_targets:
            argv += ["--soft-targets", self._archive(trial.soft_targets)]
        for teacher in self.teachers(trial.teachers)[: trial.online] if trial.online else ():
            argv += ["--teacher", str(teacher)]
        argv += self._phones([name for key in ("omit", "only") for name in trial.train.get(key, ())])
        for part in self.sweep.unlabelled if trial.soft_targets or trial.online else ():
            argv += ["--unlabelled", self._fbank(part)]
        return self.make([*argv, str(self._trained(trial))], {trial.section: trial.train})

    def biased(self, trial: Trial) -> Stage:
        """The net with biases raised."""
        classes = [part for name in trial.bias for part in ("--class", str(name))]
        dev = [self._fbank("dev"), self._ali("dev")]
        argv = [
            "bias",
            *classes,
            *self._phones(trial.bias),
            str(self._trained(trial)),
            *dev,
            self._trial(trial, "biased"),
        ]
        return self.make(argv, self.recipe)

    def _phones(self, classes: Sequence[int | str]) -> list[str]:
        """The option that phones among the classes need."""
        named = any(isinstance(name, str) for name in classes)
        return ["--tied-states", str(self.experiment / "tri")] if named else []

    def _trained(self, trial: Trial) -> Path:
        return self.output / "trials" / trial.net / "net"

    def measured(self, trial: Trial) -> Sequence[Path]:
        """Folders of what is measured: the net, or teachers together."""
        if trial.teacher:
            return self.teachers(trial.teachers)[trial.teacher - 1 : trial.last]
        return [Path(self._trial(trial, "biased")) if trial.bias else self._trained(trial)]

    def scores(self, trial: Trial) -> Iterator[Stage]:
        """Those that follow the net, each planned once what it reads stands."""
        nets, exp = [*map(str, self.measured(trial))], self.experiment
        passes = ["--passes", str(trial.passes)] if trial.passes else []
        for part in (*[self.sweep.train] * trial.train_accuracy, "dev", self.sweep.test):
            out = self._trial(trial, part)
            argv = ["frames", *passes, self._fbank(part), self._ali(part), *nets, f"{out}/frames"]
            yield self.make(argv, self.recipe)
            if not trial.words or part == self.sweep.train:
                continue
            scale = ["--tune", f"{exp}/data/dev"] if part == "dev" else ["--scale-of", self._trial(trial, "dev/decode")]
            yield self.make(["decode", *scale, f"{exp}/graph", self._fbank(part), *nets, f"{out}/decode"], self.recipe)
            yield self.make(["score", f"{exp}/data/{part}", f"{out}/decode", f"{out}/words"], self.recipe)

    def _fbank(self, part: str) -> str:
        return str(self.experiment / self.sweep.features / part)

    def _ali(self, part: str) -> str:
        return str(self.experiment / self.sweep.alignments / part)

    def _archive(self, soft: SoftTargets) -> str:
        return str(self.output / "archives" / soft.name)

    def _trial(self, trial: Trial, folder: str) -> str:
        return str(self.output / "trials" / trial.name / folder)


def plan_sweep(arguments: Namespace, recipe: Section) -> None:
    """Run what of the studies does not stand yet, then write their results."""
    from asrkd.losses import build_loss

    where = ", ".join(arguments.config) or "configuration"
    sweep = parse(SweepConfig, section(recipe, "sweep"), f"{where}: sweep")

    def teachers(folder: str) -> Sequence[Path]:
        own = arguments.output.parent / folder
        return _teachers(own if folder and own.is_dir() else arguments.experiment / (folder or sweep.teachers))

    teachers("")  # where there are none, that is the first thing to say

    def is_soft(train: Recipe) -> bool:
        return build_loss(train.get("loss", {}), f"{where}: loss").temperature is not None

    def planned(studies: Mapping[str, StudyConfig]) -> Plan:
        config = replace(sweep, studies=dict(studies))
        return Planner(config, recipe, lambda folder: len(teachers(folder)), is_soft, f"{where}: sweep").plan()

    whole = planned(_that_can_be(planned, sweep.studies, arguments.only))
    plan = whole.only(arguments.only or list(sweep.studies))
    for trial in plan.trials.values():
        _check(trial, f"{where}: {trial.name}")
    stages = _Stages(sweep, recipe, arguments.experiment, arguments.output, teachers, arguments.plan)
    stages.check(words=any(trial.words for trial in plan.trials.values()))
    to_do = [trial for trial in plan.trials.values() if not _stands(stages, trial)]
    needed = [trial for trial in to_do if trial.soft_targets and not _net_stands(stages, trial)]
    archives = {each.soft_targets.name: each.soft_targets for each in needed if each.soft_targets}
    archives = {name: soft for name, soft in archives.items() if not stands(stages.archive(soft))}
    say(f"sweep: {len(plan.trials)} trials, {len(plan.trials) - len(to_do)} of them stand")
    _check_disk(list(archives.values()), stages, arguments.jobs)
    if arguments.dry_run:
        for trial in plan.trials.values():
            print(f"{'to do ' if trial in to_do else 'stands'}  {trial.name}")
        return
    failed = _run(plan, to_do, archives, stages, arguments.jobs)
    _write_results(whole.only(_shown(whole, plan, stages)), failed, stages)
    if failed:
        name, error = next(iter(failed.items()))
        raise AsrkdError(f"{len(failed)} of {len(plan.trials)} trials failed, {name} first: {error}")


def _that_can_be(
    planned: Callable[[Mapping[str, StudyConfig]], Plan], studies: Mapping[str, StudyConfig], only: Sequence[str]
) -> Mapping[str, StudyConfig]:
    """Without those that are not asked for and can't be planned, as while their teachers are not trained."""

    def can_be(name: str) -> bool:
        try:
            planned({name: studies[name]})
        except AsrkdError:
            return False
        return True

    return {name: study for name, study in studies.items() if not only or name in only or can_be(name)}


def _shown(whole: Plan, run: Plan, stages: _Stages) -> list[str]:
    """Names of the studies that were run, and of all others that are whole: these stay in the results."""
    studies = {study.name: whole.only([study.name]).trials.values() for study in whole.studies}
    ran = {study.name for study in run.studies}
    return [name for name, trials in studies.items() if name in ran or all(_stands(stages, each) for each in trials)]


def _teachers(folder: Path) -> list[Path]:
    folders = [path for path in folder.glob("*") if path.name.isdecimal()]
    if not folders:
        raise DataError(f"{folder} holds no teacher: has the recipe been run up to its teachers?")
    return sorted(folders, key=lambda path: int(path.name))


def _check(trial: Trial, where: str) -> None:
    """Parse all that a trial is made by, so that a slip shows before an hour of work, not after."""
    from asrkd.losses import build_loss
    from asrkd.models import build_model
    from asrkd.targets import build_codec
    from asrkd.targets.dump import PosteriorsConfig
    from asrkd.training.train import TrainConfig, check_followed

    if trial.teacher:
        if trial.passes and trial.words:
            raise ConfigError(f"{where}: words are decoded by plain inference alone: take words: false, or passes: 0")
        return
    config = parse(TrainConfig, trial.train, where)
    loss = build_loss(config.loss, f"{where}: loss")
    build_model(config.model, 1, 1, f"{where}: model")
    check_followed(config, loss, trial.online, where)
    if trial.soft_targets:
        posteriors = parse(PosteriorsConfig, trial.soft_targets.posteriors, where)
        build_codec(posteriors.codec, 2, f"{where}: codec")
        if posteriors.temperature != loss.temperature:
            raise ConfigError(
                f"{where}: soft targets at temperature {posteriors.temperature:g} for a loss at {loss.temperature:g}: "
                "the setting `temperature` sets both"
            )


def _net_stands(stages: _Stages, trial: Trial) -> bool:
    """The net; and its soft targets, or what remains of them, are those that it was trained on."""
    if trial.teacher:
        return True
    if trial.soft_targets and not stands(stages.archive(trial.soft_targets), or_freed=True):
        return False
    return stands(stages.net(trial)) and (not trial.bias or stands(stages.biased(trial)))


def _stands(stages: _Stages, trial: Trial) -> bool:
    return _net_stands(stages, trial) and all(map(stands, stages.scores(trial)))


def _check_disk(archives: Sequence[SoftTargets], stages: _Stages, jobs: int) -> None:
    """Say how much the archives take, before any is dumped; a DataError where the disk can't hold them."""
    from asrkd.core.files import read_fields
    from asrkd.features.store import FeatureDir
    from asrkd.targets import build_codec
    from asrkd.targets.packed import size_range

    if not archives:
        return
    sweep, exp = stages.sweep, stages.experiment
    num_pdfs = read_fields(exp / sweep.alignments / sweep.train / "alignment.json", num_pdfs=int)["num_pdfs"]
    parts = [FeatureDir.open(exp / sweep.features / part) for part in (sweep.train, *sweep.unlabelled)]
    frames = sum(sum(part.num_frames.values()) for part in parts)
    codecs = [build_codec(soft.posteriors.get("codec", {}), num_pdfs, "codec") for soft in archives]
    at_once = None if sweep.keep_archives else jobs + 1
    sizes = zip(*(size_range(codec.dtype, frames) for codec in codecs), strict=True)
    least, most = (sum(sorted(each, reverse=True)[:at_once]) for each in sizes)
    existing = next(folder for folder in (stages.output, *stages.output.absolute().parents) if folder.exists())
    free_bytes = shutil.disk_usage(existing).free
    say(f"sweep: {len(archives)} archives to dump, up to {most / 1e9:.2f} of {free_bytes / 1e9:.1f} GB that are free")
    if least > free_bytes:
        hint = "" if not sweep.keep_archives else "keep_archives: false, "
        raise DataError(
            f"{stages.output}: the archives do not fit on the disk: take {hint}fewer codecs, or another disk"
        )


def _run(
    plan: Plan, to_do: Sequence[Trial], archives: Mapping[str, SoftTargets], stages: _Stages, jobs: int
) -> dict[str, str]:
    """Run the trials that are to do, each behind its archive; returns errors by trial."""
    done = {trial.name for trial in plan.trials.values() if trial not in to_do}
    failed: dict[str, str] = {}
    _free_unneeded(plan, done, stages)
    for task, error in run_tasks(list(_tasks(to_do, archives, stages)), jobs):
        say(f"sweep: {task.name}: {error or 'done'}")
        if task.name not in plan.trials:
            continue
        if error:
            failed[task.name] = error
        else:
            done.add(task.name)
        _free_unneeded(plan, {*done, *failed}, stages)
        say(f"sweep: {len(done)} of {len(plan.trials)} trials stand")
    return failed


def _tasks(trials: Sequence[Trial], archives: Mapping[str, SoftTargets], stages: _Stages) -> Iterator[Task]:
    """An archive, then what is trained on it, then the next."""
    logs = stages.output / "logs"
    by_archive: dict[str, list[Trial]] = {}
    for trial in trials:
        by_archive.setdefault(trial.soft_targets.name if trial.soft_targets else "", []).append(trial)
    for name, members in by_archive.items():
        if name in archives:
            yield Task(f"archive {name}", partial(run_stage, stages.archive(archives[name])), logs / f"{name}.log")
        after = [f"archive {name}"] if name in archives else []
        names = {trial.name for trial in members}
        for trial in members:
            waits = [trial.net] if trial.net != trial.name and trial.net in names else []
            yield Task(trial.name, partial(_run_trial, stages, trial), logs / f"{trial.name}.log", after + waits)


def _run_trial(stages: _Stages, trial: Trial) -> None:
    if not trial.teacher:
        run_stage(stages.net(trial))  # which stands where it is another trial's, too
    if trial.bias:
        run_stage(stages.biased(trial))
    for stage in stages.scores(trial):
        run_stage(stage)


def _free_unneeded(plan: Plan, done: Collection[str], stages: _Stages) -> None:
    """Remove the archives that no trial waits for, where they are not to be kept; ``done``: or failed."""
    if stages.sweep.keep_archives:
        return
    waiting = [trial.soft_targets for trial in plan.trials.values() if trial.name not in done]
    for soft in plan.archives.values():
        if soft not in waiting and stands(stages.archive(soft)):
            free(stages.archive(soft).output)


def _write_results(plan: Plan, failed: Mapping[str, str], stages: _Stages) -> None:
    from asrkd.report import render_sweep
    from asrkd.scoring.sweep import summarise_sweep

    output, nets = stages.output, {trial.name: stages.measured(trial) for trial in plan.trials.values()}
    render_sweep(summarise_sweep(plan, failed, output, nets, stages.sweep, stages.experiment), output)
    print((output / "sweep.md").read_text(encoding="utf-8"))


VERBS: Sequence[Verb] = (
    Verb(
        "sweep",
        "Run studies: grids over settings, each point with several seeds; what stands is skipped",
        "asrkd sweep --config recipes/mini/recipe.yaml --config recipes/mini/study.yaml exp/mini exp/mini/study",
        None,
        [
            path("experiment", "experiment folder with features, alignments, teachers and graph"),
            OUTPUT,
            (("--only",), {"metavar": "STUDY", "help": "run this study alone; may be repeated", **REPEATED}),
            flag("--dry-run", "say which trials there are and which of them stand, and run nothing"),
        ],
        plan_sweep,
    ),
)
