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
from asrkd.core.grid import (
    ALL,
    BIAS,
    NUM_TEACHERS,
    ONLINE,
    OWN,
    PASSES,
    SECTION,
    SHORT,
    TEACHER,
    TEACHERS,
    Adjustment,
    Settings,
    label,
    named,
    points,
    slug,
)

MEASURES = ("parameters", "bytes_per_frame")


@dataclass(frozen=True, config=STRICT)
class PaperConfig:
    """A paper's own table, shown beside ours: headings, and rows of as many cells, of which the first is the name."""

    columns: list[str] = Field(min_length=1)
    rows: list[list[str | int | float]] = Field(min_length=1)
    title: str = "The paper's"
    note: str = ""

    def __post_init__(self) -> None:
        if uneven := next((row for row in self.rows if len(row) != len(self.columns)), None):
            raise ValueError(f"row {uneven} has {len(uneven)} cells for {len(self.columns)} columns")


@dataclass(frozen=True, config=STRICT)
class StudyConfig:
    """One question: every combination of the values of ``grid``, with every seed.

    An axis of the grid is a setting with a list of values; or, under a name of its own, a mapping from names of values
    to the settings that each stands for. ``reference`` names, by values of some axes, the row that a row is compared
    with: the one that is the same but for these. ``gap_from`` names one likewise, and then a row is also told as the
    share that it recovers of the gap from there to the reference, in frame accuracy.
    """

    grid: dict[str, list[Any] | dict[str, Settings]]
    title: str = ""
    fixed: Settings = Field(default_factory=dict)  # settings of all trials
    adjust: list[Adjustment] = Field(default_factory=list)  # settings of some points
    reference: Settings = Field(default_factory=dict)
    words: bool = False  # decode, too
    share: bool = False  # frame accuracy as a share of the reference's, too
    gap_from: Settings = Field(default_factory=dict)
    train_accuracy: bool = False  # frame accuracy on the training part that a net has seen the labels of, too
    against: str = ""  # x of the plot: bytes_per_frame, parameters or an axis; by default the first
    recall: tuple[int | str, ...] = ()  # pdfs or phones: recall of their frames, too
    note: str = ""  # below the table
    paper: PaperConfig | None = None


@dataclass(frozen=True, config=STRICT)
class SweepConfig:
    """Studies, and what all their trials share: folders of the experiment, and the seeds."""

    studies: dict[str, StudyConfig] = Field(min_length=1)
    title: str = "Studies"
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
    """An archive to dump: its folder's name, the section ``posteriors``, the number of teachers from ``first`` on, and
    where these are not the sweep's own, their folder."""

    name: str
    posteriors: Settings
    num_teachers: int
    first: int = 1
    teachers: str = ""


@plain_dataclass(frozen=True)
class Trial:
    """One net to train and measure: its folder's name, its section, the soft targets that its loss takes, if any.

    ``online``: in place of an archive, the number of teachers that are asked. ``teacher``: the number of the teacher
    that is measured, with all to the number ``last``, in so many stochastic ``passes``, and nothing is trained.
    ``teachers``: their folder, where it is not the sweep's own. ``net``: the trial whose net it is,
    its own or one that differs in ``bias`` alone; these are the classes whose biases are raised.
    """

    name: str
    section: str
    train: Settings
    soft_targets: SoftTargets | None
    words: bool
    online: int = 0
    teacher: int = 0
    last: int = 0
    passes: int = 0
    teachers: str = ""
    train_accuracy: bool = False
    net: str = ""
    bias: tuple[int | str, ...] = ()


@plain_dataclass(frozen=True)
class Row:
    """A point of a grid: by axis the name of its value; by seed the name of its trial."""

    labels: Mapping[str, str]
    trials: Mapping[int, str]


@plain_dataclass(frozen=True)
class Study:
    """``references``: for each row the number of the row that it is compared with; its own for a reference.
    ``floors``: likewise, where its gap to that begins."""

    name: str
    config: StudyConfig
    rows: Sequence[Row]
    references: Sequence[int | None]
    floors: Sequence[int | None]


@plain_dataclass(frozen=True)
class Plan:
    """All studies; all trials and all archives by name, each once."""

    studies: Sequence[Study]
    trials: Mapping[str, Trial]

    def only(self, names: Sequence[str]) -> "Plan":
        """The studies of these names, and their trials. ConfigError for an unknown one."""
        known = [study.name for study in self.studies]
        if unknown := [name for name in names if name not in known]:
            raise ConfigError(f"--only {unknown[0]}: no such study{nearest(unknown[0], known)}")
        studies = [study for study in self.studies if study.name in names]
        wanted = {name for study in studies for row in study.rows for name in row.trials.values()}
        wanted |= {self.trials[name].net for name in wanted}
        return Plan(studies, {name: trial for name, trial in self.trials.items() if name in wanted})

    @property
    def archives(self) -> dict[str, SoftTargets]:
        soft = (trial.soft_targets for trial in self.trials.values())
        return {each.name: each for each in soft if each is not None}


@plain_dataclass(frozen=True)
class Planner:
    """Writes grids out. ``where`` names the configuration in errors; ``is_soft`` says whether a section ``train``
    takes soft targets, ``num_teachers`` how many there are in a folder of them, "" for the sweep's own."""

    sweep: SweepConfig
    recipe: Mapping[str, Any]
    num_teachers: Callable[[str], int]
    is_soft: Callable[[Settings], bool]
    where: str

    def plan(self) -> Plan:
        """Raises ConfigError for unknown settings, sections and values, empty grids, and what is given twice."""
        seeds = self.sweep.seeds
        if twice := [seed for seed in seeds if seeds.count(seed) > 1]:
            raise ConfigError(f"{self.where}: seeds: {twice[0]} is there twice")
        trials: dict[str, Trial] = {}
        names: dict[str, str] = {}  # of the trial that stands for all with an identity
        nets: dict[str, str] = {}  # and of the one that trains their net
        studies = []
        for name, config in self.sweep.studies.items():
            where = f"{self.where}: studies.{name}"
            _check_name(name, where)
            _check_against(config, where)
            rows = []
            for labels, settings in points(config.grid, config.fixed, where, config.adjust):
                _check_online(settings, config, where)
                folder = f"{name}/{slug(','.join(f'{axis}={value}' for axis, value in labels.items()))}"
                members: dict[int, str] = {}
                for place, seed in enumerate(seeds, start=1):
                    chosen = {**settings, "train.seed": seed}
                    for key in (NUM_TEACHERS, TEACHER):
                        if settings.get(key) == OWN:
                            chosen[key] = place
                    trial = self._trial(f"{folder}/{seed}", chosen, settings.get(NUM_TEACHERS) == OWN, where)
                    net = nets.setdefault(_identity(trial), trial.name)
                    bias = _bias(settings, trial, config, where)
                    trial = replace(trial, words=config.words, train_accuracy=config.train_accuracy, net=net, bias=bias)
                    members[seed] = names.setdefault(_identity(trial), trial.name)
                    first = trials.setdefault(members[seed], trial)
                    trials[first.name] = replace(
                        first,
                        words=first.words or trial.words,
                        train_accuracy=first.train_accuracy or trial.train_accuracy,
                    )
                rows.append(Row(labels, members))
            if config.gap_from and not config.reference:
                raise ConfigError(f"{where}: gap_from: the gap ends at the reference: name that, too")
            references = _references("reference", config.reference, config, rows, where)
            floors = _references("gap_from", config.gap_from, config, rows, where)
            studies.append(Study(name, config, rows, references, floors))
        return Plan(studies, trials)

    def _trial(self, name: str, settings: Settings, own: bool, where: str) -> Trial:
        """``own``: the number of teachers is that of the only one."""
        chosen = str(settings.get(SECTION, self.sweep.section))
        if chosen not in self.recipe:
            raise ConfigError(f"{where}: there is no section {chosen!r}{nearest(chosen, list(self.recipe))}")
        folder = str(settings.get(TEACHERS, ""))
        if TEACHER in settings:
            passes = settings.get(PASSES, 0)
            if isinstance(passes, bool) or not isinstance(passes, int) or passes < 0:
                raise ConfigError(f"{where}: passes {passes!r} is not a whole number")
            together = settings[TEACHER] == ALL
            last = self._count(NUM_TEACHERS if together else TEACHER, settings, where)
            first = 1 if together else last
            return Trial(name, chosen, {}, None, False, teacher=first, last=last, passes=passes, teachers=folder)
        base = {"train": section(self.recipe, chosen), "posteriors": section(self.recipe, "posteriors")}
        config = _whole(base)
        for short, value in settings.items():
            for key in SHORT.get(short, (short,)):
                put(config, key, _whole(value), where)
        train, posteriors = config["train"], config["posteriors"]
        if not self.is_soft(train):
            return Trial(name, chosen, train, None, False)
        num_teachers = self._count(NUM_TEACHERS, settings, where)
        if settings.get(ONLINE):
            if own:
                raise ConfigError(f"{where}: {NUM_TEACHERS}: {OWN} is for soft targets from an archive, not online")
            return Trial(name, chosen, train, None, False, online=num_teachers, teachers=folder)
        first = num_teachers if own else 1
        loss = train["loss"]
        if loss.get("alpha") == 0 and "temperature" in base["posteriors"]:
            # No weight on the soft targets: any do, and so one net stands for all.
            posteriors, folder = _whole(base["posteriors"]), ""
            first, num_teachers, own = 1, self.num_teachers(""), False
            loss["temperature"] = posteriors["temperature"]
        return Trial(name, chosen, train, _soft_targets(posteriors, 1 if own else num_teachers, first, folder), False)

    def _count(self, name: str, settings: Settings, where: str) -> int:
        """A setting that is a number of teachers, or of a teacher; all of them by default."""
        there = self.num_teachers(str(settings.get(TEACHERS, "")))
        value = settings.get(name, there)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= there:
            raise ConfigError(f"{where}: {name} {value!r}: there are {there} teachers")
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
    asked = [trial.online, trial.teacher, trial.last, trial.passes, trial.teachers]
    return json.dumps([trial.train, soft, *asked, *trial.bias], sort_keys=True)


def _bias(settings: Settings, trial: Trial, config: StudyConfig, where: str) -> tuple[int | str, ...]:
    """The setting, checked."""
    classes = settings.get(BIAS, [])
    if not isinstance(classes, list) or not all(type(name) in (int, str) for name in classes):
        raise ConfigError(f"{where}: {BIAS} {classes!r} is no list of pdfs and phones")
    if classes and (trial.teacher or config.train_accuracy):
        raise ConfigError(f"{where}: {BIAS} goes with neither teacher nor train_accuracy")
    return tuple(classes)


def _soft_targets(posteriors: Settings, num_teachers: int, first: int, folder: str) -> SoftTargets:
    which = [first, folder] if (first, folder) != (1, "") else []
    readable = ",".join(f"{key}={label(value)}" for key, value in sorted(posteriors.items()))
    identity = json.dumps([posteriors, num_teachers, *which], sort_keys=True)
    digest = hashlib.sha256(identity.encode()).hexdigest()[:8]
    name = f"{slug(readable)[:120]},teachers={num_teachers},{digest}"
    return SoftTargets(name, posteriors, num_teachers, first, folder)


def _check_online(settings: Settings, config: StudyConfig, where: str) -> None:
    """ConfigError for what is of archives alone, where none is made."""
    if not settings.get(ONLINE):
        return
    for short in settings.keys() - config.fixed.keys():
        keys = SHORT.get(short, (short,))
        if any(key.startswith("posteriors.") and key != "posteriors.temperature" for key in keys):
            raise ConfigError(f"{where}: {short} is of archives of soft targets, and says nothing where online is true")


def _check_name(name: str, where: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise ConfigError(f"{where}: a study's name is made of letters, digits, _ and -")


def _check_against(config: StudyConfig, where: str) -> None:
    known = [*MEASURES, *config.grid]
    if config.against and config.against not in known:
        raise ConfigError(
            f"{where}: against: {config.against!r} is neither measure nor axis{nearest(config.against, known)}"
        )


def _references(key: str, values: Settings, config: StudyConfig, rows: Sequence[Row], where: str) -> list[int | None]:
    """For each row the number of the one that is the same but for ``values``, which are the study's ``key``."""
    if not values:
        return [None] * len(rows)
    known = {axis: list(dict.fromkeys(row.labels[axis] for row in rows)) for axis in config.grid}
    wanted = named(values, known, f"{where}: {key}")
    numbers = {tuple(row.labels.values()): number for number, row in enumerate(rows)}
    return [numbers[tuple({**row.labels, **wanted}.values())] for row in rows]
