"""Which systems are compared, where their results lie, and which of them is what.

A system is a folder ``eval/SYSTEM/SET``, with the words in ``decode/hyp.txt`` and the frames in ``frames``, or a file
of hypotheses alone. Reads no results and imports nothing heavy.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from asrkd.core.config import nearest
from asrkd.core.errors import ConfigError, DataError

METRICS = {"frame_accuracy": "frames", "wer": "words"}
"""What systems are judged by, and the folder and file of each system that it is read from."""

BASELINE = "baseline"
"""The row of the mean over several systems."""


@dataclass(frozen=True)
class System:
    """A finished system; what it lacks is None."""

    name: str
    hypotheses: Path | None
    frames: Path | None

    @property
    def inputs(self) -> list[Path]:
        return [path for path in (self.hypotheses, self.frames) if path is not None]


@dataclass(frozen=True)
class Row:
    """A line of the tables: one system, or the mean over several."""

    name: str
    members: tuple[str, ...]


@dataclass(frozen=True)
class Roles:
    """Names of the systems: of the baseline, whose mean it is, of the teacher and of what was distilled from it."""

    baseline: tuple[str, ...] = ()
    teacher: str | None = None
    students: tuple[str, ...] = ()

    def rows(self, names: Sequence[str]) -> list[Row]:
        """The baseline first, then teacher, students and all others in their order."""
        baseline = (
            [Row(BASELINE if len(self.baseline) > 1 else self.baseline[0], self.baseline)] if self.baseline else []
        )
        singles = [*([self.teacher] if self.teacher else []), *self.students]
        singles += [name for name in names if name not in (*self.baseline, *singles)]
        return [*baseline, *(Row(name, (name,)) for name in singles)]


def locate(arguments: Sequence[str]) -> list[System]:
    """Systems of ``NAME=PATH`` or ``PATH`` arguments.

    Without a name, a folder eval/SYSTEM/SET is SYSTEM and a file is its stem. Raises DataError where nothing to compare
    is there, ConfigError for two systems of one name.
    """
    systems = [_locate(argument) for argument in arguments]
    name, times = Counter(system.name for system in systems).most_common(1)[0]
    if times > 1:
        raise ConfigError(f"two systems are called {name!r}: give names as NAME=PATH")
    return systems


def _locate(argument: str) -> System:
    name, equals, rest = argument.partition("=")
    named = bool(equals) and "/" not in name
    if named and not (name and rest):
        raise ConfigError(f"{argument!r}: expected NAME=PATH")
    path = Path(rest if named else argument)
    if path.is_file():
        return System(name if named else path.stem, path, None)
    if not path.is_dir():
        raise DataError(f"system {path} does not exist: has it been decoded and scored?")
    hypotheses = next((file for file in (path / "decode" / "hyp.txt", path / "hyp.txt") if file.is_file()), None)
    frames = next((folder for folder in (path / "frames", path) if (folder / "frames.json").is_file()), None)
    if hypotheses is None and frames is None:
        raise DataError(f"{path} holds neither decode/hyp.txt nor frames: is it a folder eval/SYSTEM/SET?")
    return System(name if named else path.resolve().parent.name, hypotheses, frames)


def assign_roles(
    names: Sequence[str], baseline: Sequence[str] = (), teacher: str | None = None, students: Sequence[str] = ()
) -> Roles:
    """Who is what, by option or else by name, as the recipes call them.

    Without options, the baseline is ``baseline`` or all of ``teacher.1`` ..., the teacher ``ensemble``, and students
    are ``distilled`` ... Raises ConfigError for an unknown name, and for one that is to be two things at once.
    """
    given = [*baseline, *([teacher] if teacher else []), *students]
    for name in given:
        if name not in names:
            raise ConfigError(f"no system is called {name!r}{nearest(name, names)}")
        if given.count(name) > 1:
            raise ConfigError(f"{name!r} is given twice as baseline, teacher or student")
    free = [name for name in names if name not in given]
    called_baseline = [name for name in free if name == BASELINE] or [n for n in free if n.startswith("teacher.")]
    roles = Roles(
        tuple(baseline or called_baseline),
        teacher or next((name for name in free if name == "ensemble"), None),
        tuple(students or [name for name in free if name.startswith("distilled")]),
    )
    if len(roles.baseline) > 1 and BASELINE in names and BASELINE not in roles.baseline:
        raise ConfigError(
            f"{BASELINE!r} is the mean of {', '.join(roles.baseline)}: give the system of that name another"
        )
    return roles
