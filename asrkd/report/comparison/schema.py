"""What a compare.json holds, as frozen dataclasses. All rates are fractions; intervals are 95 % bootstrap intervals.

The names of measures are explained in `asrkd.scoring.measures`.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import Field
from pydantic.dataclasses import dataclass

from asrkd.core.errors import DataError
from asrkd.report.schema import CHECKED, Comparison, parse_figures

CLASS = "class:"
"""What the names of measures on one class of phones begin with."""


@dataclass(frozen=True, config=CHECKED)
class Interval:
    """A rate; ``spread`` is the standard deviation over the members of a mean."""

    value: float
    low: float
    high: float
    spread: float | None = None


@dataclass(frozen=True, config=CHECKED)
class ComparedSystem:
    """A row: a system, or the mean over its ``members``."""

    name: str
    members: list[str]
    rates: dict[str, Interval]
    parameters: int | None = None
    ece: float | None = None
    speech_ece: float | None = None
    errors: float | None = None
    missing: int = 0
    first_missing: str | None = None


@dataclass(frozen=True, config=CHECKED)
class Difference(Comparison):
    """A paired difference; ``p_holm`` is adjusted for the number of pairs that are compared by the measure."""

    p_holm: float | None = None


@dataclass(frozen=True, config=CHECKED)
class PairsTest:
    """Matched pairs over ``segments``; ``mean`` is a - b in errors a segment."""

    a: str
    b: str
    segments: int
    mean: float
    p: float
    p_holm: float


@dataclass(frozen=True, config=CHECKED)
class Gain:
    """Of the teacher over the baseline."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True, config=CHECKED)
class Transfer:
    """Share of the teacher's gain that a student keeps; see `asrkd.report.schema.TransferRatio`."""

    student: str
    measure: str
    gain: Gain
    reliable: bool
    estimate: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, config=CHECKED)
class WordSet:
    utterances: int
    words: int


@dataclass(frozen=True, config=CHECKED)
class FrameSet:
    """``classes``: frames of each class of phones."""

    utterances: int
    frames: int
    speech_frames: int | None = None
    classes: dict[str, int] = Field(default_factory=dict)


@dataclass(frozen=True, config=CHECKED)
class Roles:
    baseline: list[str] = Field(default_factory=list)
    teacher: str | None = None
    students: list[str] = Field(default_factory=list)


@dataclass(frozen=True, config=CHECKED)
class PhoneClass:
    phone: str
    class_: str = Field(alias="class")


@dataclass(frozen=True, config=CHECKED)
class Phones:
    """``confusions``: by row, frames by aligned and predicted phone, in the order of ``classes``."""

    classes: list[PhoneClass]
    confusions: dict[str, list[list[int]]]
    shared_pdfs: int = 0
    unclassed: list[str] = Field(default_factory=list)


@dataclass(frozen=True, config=CHECKED)
class Compared:
    """The whole of a compare.json. The first of ``systems`` is the baseline, where there is one."""

    systems: list[ComparedSystem]
    roles: Roles
    comparisons: list[Difference] = Field(default_factory=list)
    matched_pairs: list[PairsTest] = Field(default_factory=list)
    transfer: list[Transfer] = Field(default_factory=list)
    words: WordSet | None = None
    frames: FrameSet | None = None
    phones: Phones | None = None

    def system(self, name: str | None) -> ComparedSystem | None:
        return next((system for system in self.systems if system.name == name), None)

    @property
    def baseline(self) -> ComparedSystem | None:
        """The baseline's row."""
        return self.systems[0] if self.roles.baseline else None

    @property
    def student(self) -> ComparedSystem | None:
        """The first student's row."""
        return self.system(next(iter(self.roles.students), None))

    def difference(self, a: str, b: str, measure: str) -> Difference | None:
        """Of ``a`` and ``b``, in that order; None where it was not made."""
        wanted = (a, b, measure)
        return next((each for each in self.comparisons if (each.a, each.b, each.metric) == wanted), None)

    def confusions(self, system: ComparedSystem | None) -> list[list[int]] | None:
        return self.phones.confusions.get(system.name) if self.phones and system else None


def parse_comparison(comparison: Mapping[str, Any]) -> Compared:
    """``comparison`` checked and typed. Raises DataError, naming the key."""
    parsed = parse_figures(Compared, comparison, "comparison")
    if not parsed.systems:
        raise DataError("comparison: there are no systems")
    size = len(parsed.phones.classes) if parsed.phones else 0
    for name, matrix in parsed.phones.confusions.items() if parsed.phones else ():
        if len(matrix) != size or any(len(row) != size for row in matrix):
            raise DataError(f"comparison: phones.confusions.{name} is not {size} by {size}")
    return parsed
