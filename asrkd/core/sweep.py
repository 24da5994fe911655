"""What a sweep is to run: studies, each a grid over settings, written out as trials. No work is done here.

Trials that come out the same are one trial, of whichever study comes first; soft targets that come out the same are one
archive.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass as plain_dataclass
from dataclasses import replace
from typing import Any

from pydantic import Field
from pydantic.dataclasses import dataclass

from asrkd.core.config import STRICT, nearest, put, section
from asrkd.core.errors import ConfigError
from asrkd.core.grid import NUM_TEACHERS, ONLINE, SECTION, SHORT, TEACHER, Settings, label, points, slug

MEASURES = ("parameters", "bytes_per_frame")


@dataclass(frozen=True, config=STRICT)
class StudyConfig:
    """One question: every combination of the values of ``grid``, with every seed.

    An axis of the grid is a setting with a list of values; or, under a name of its own, a mapping from names of values
    to the settings that each stands for. ``reference`` names, by values of some axes, the row that a row is compared
    with: the one that is the same but for these.
    """

    grid: dict[str, list[Any] | dict[str, Settings]]
    title: str = ""
    fixed: Settings = Field(default_factory=dict)  # settings of all trials
    reference: Settings = Field(default_factory=dict)
    words: bool = False  # decode, too
    share: bool = False  # frame accuracy as a share of the reference's, too
    against: str = ""  # x of the plot: bytes_per_frame, parameters or an axis; by default the first


@dataclass(frozen=True, config=STRICT)
class SweepConfig:
    """Studies, and what all their trials share: folders of the experiment, and the seeds."""

    studies: dict[str, StudyConfig] = Field(min_length=1)
    seeds: tuple[int, ...] = Field(default=(101, 102, 103), min_length=1)
    section: str = "student"
    features: str = "fbank"
    alignments: str = "ali"
    teachers: str = "teachers"
    train: str = "train"
    unlabelled: tuple[str, ...] = ()  # features without transcripts, for losses that take soft targets
    test: str = "test"
    keep_archives: bool = True  # false: an archive is removed once all that is trained on it stands


@plain_dataclass(frozen=True)
class SoftTargets:
    """An archive to dump: its folder's name, the section ``posteriors``, the number of teachers."""

    name: str
    posteriors: Settings
    num_teachers: int


@plain_dataclass(frozen=True)
class Trial:
    """One net to train and measure: its folder's name, its section, the soft targets that its loss takes, if any.

    ``online``: in place of an archive, the number of teachers that are asked. ``teacher``: the number of the teacher
    that is measured, and nothing is trained.
    """

    name: str
    section: str
    train: Settings
    soft_targets: SoftTargets | None
    words: bool
    online: int = 0
    teacher: int = 0


@plain_dataclass(frozen=True)
class Row:
    """A point of a grid: by axis the name of its value; by seed the name of its trial."""

    labels: Mapping[str, str]
    trials: Mapping[int, str]


@plain_dataclass(frozen=True)
class Study:
    """``references``: for each row the number of the row that it is compared with; its own for a reference."""

    name: str
    config: StudyConfig
    rows: Sequence[Row]
    references: Sequence[int | None]


@plain_dataclass(frozen=True)
class Plan:
    """All studies; all trials and all archives by name, each once."""

    studies: Sequence[Study]
    trials: Mapping[str, Trial]

    @property
    def archives(self) -> dict[str, SoftTargets]:
        soft = (trial.soft_targets for trial in self.trials.values())
        return {each.name: each for each in soft if each is not None}


@plain_dataclass(frozen=True)
class Planner:
    """Writes grids out. ``where`` names the configuration in errors; ``is_soft`` says whether a section ``train``
    takes soft targets."""

    sweep: SweepConfig
    recipe: Mapping[str, Any]
    num_teachers: int
    is_soft: Callable[[Settings], bool]
    where: str

    def plan(self) -> Plan:
        """Raises ConfigError for unknown settings, sections and values, empty grids, and what is given twice."""
        seeds = self.sweep.seeds
        if twice := [seed for seed in seeds if seeds.count(seed) > 1]:
            raise ConfigError(f"{self.where}: seeds: {twice[0]} is there twice")
        trials: dict[str, Trial] = {}
        names: dict[str, str] = {}  # of the trial that stands for all with an identity
        studies = []
        for name, config in self.sweep.studies.items():
            where = f"{self.where}: studies.{name}"
            _check_name(name, where)
            _check_against(config, where)
            rows = []
            for labels, settings in points(config.grid, config.fixed, where):
                folder = f"{name}/{slug(','.join(f'{axis}={value}' for axis, value in labels.items()))}"
                members: dict[int, str] = {}
                for seed in seeds:
                    trial = self._trial(f"{folder}/{seed}", {**settings, "train.seed": seed}, config.words, where)
                    members[seed] = names.setdefault(_identity(trial), trial.name)
                    first = trials.setdefault(members[seed], trial)
                    trials[first.name] = replace(first, words=first.words or trial.words)
                rows.append(Row(labels, members))
            studies.append(Study(name, config, rows, _references(config, rows, where)))
        return Plan(studies, trials)

    def _trial(self, name: str, settings: Settings, words: bool, where: str) -> Trial:
        chosen = str(settings.get(SECTION, self.sweep.section))
        if chosen not in self.recipe:
            raise ConfigError(f"{where}: there is no section {chosen!r}{nearest(chosen, list(self.recipe))}")
        if TEACHER in settings:
            return Trial(name, chosen, {}, None, words, teacher=self._count(TEACHER, settings, where))
        base = {"train": section(self.recipe, chosen), "posteriors": section(self.recipe, "posteriors")}
        config = _whole(base)
        for short, value in settings.items():
            for key in SHORT.get(short, (short,)):
                put(config, key, _whole(value), where)
        train, posteriors = config["train"], config["posteriors"]
        if not self.is_soft(train):
            return Trial(name, chosen, train, None, words)
        num_teachers = self._count(NUM_TEACHERS, settings, where)
        if settings.get(ONLINE):
            return Trial(name, chosen, train, None, words, online=num_teachers)
        loss = train["loss"]
        if loss.get("alpha") == 0 and "temperature" in base["posteriors"]:
            # No weight on the soft targets: any do, and so one net stands for all.
            posteriors, num_teachers = _whole(base["posteriors"]), self.num_teachers
            loss["temperature"] = posteriors["temperature"]
        return Trial(name, chosen, train, _soft_targets(posteriors, num_teachers), words)

    def _count(self, name: str, settings: Settings, where: str) -> int:
        """A setting that is a number of teachers, or of a teacher; all of them by default."""
        value = settings.get(name, self.num_teachers)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= self.num_teachers:
            raise ConfigError(f"{where}: {name} {value!r}: there are {self.num_teachers} teachers")
        return value


def _whole(value: Any) -> Any:
    """A copy in which 2.0 is 2: settings that mean the same are to have the same identity."""
    if isinstance(value, dict):
        return {key: _whole(child) for key, child in value.items()}
    if isinstance(value, list):
        return [_whole(child) for child in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _identity(trial: Trial) -> str:
    """Equal for trials that give the same net."""
    soft = trial.soft_targets and trial.soft_targets.name
    return json.dumps([trial.train, soft, trial.online, trial.teacher], sort_keys=True)


def _soft_targets(posteriors: Settings, num_teachers: int) -> SoftTargets:
    readable = ",".join(f"{key}={label(value)}" for key, value in sorted(posteriors.items()))
    digest = hashlib.sha256(json.dumps([posteriors, num_teachers], sort_keys=True).encode()).hexdigest()[:8]
    return SoftTargets(f"{slug(readable)[:120]},teachers={num_teachers},{digest}", posteriors, num_teachers)


def _check_name(name: str, where: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise ConfigError(f"{where}: a study's name is made of letters, digits, _ and -")


def _check_against(config: StudyConfig, where: str) -> None:
    known = [*MEASURES, *config.grid]
    if config.against and config.against not in known:
        raise ConfigError(
            f"{where}: against: {config.against!r} is neither measure nor axis{nearest(config.against, known)}"
        )


def _references(config: StudyConfig, rows: Sequence[Row], where: str) -> list[int | None]:
    """For each row the number of its reference."""
    if not config.reference:
        return [None] * len(rows)
    wanted = {axis: label(value) for axis, value in config.reference.items()}
    for axis, text in wanted.items():
        if axis not in config.grid:
            raise ConfigError(f"{where}: reference: {axis!r} is no axis{nearest(axis, list(config.grid))}")
        known = list(dict.fromkeys(row.labels[axis] for row in rows))
        if text not in known:
            raise ConfigError(f"{where}: reference.{axis}: {text!r} is no value of it{nearest(text, known)}")
    numbers = {tuple(row.labels.values()): number for number, row in enumerate(rows)}
    return [numbers[tuple({**row.labels, **wanted}.values())] for row in rows]
