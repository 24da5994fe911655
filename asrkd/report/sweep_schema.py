"""What sweep.json holds: figures of `asrkd sweep`, checked before anything is drawn.

Rates are fractions; ``estimate`` is a mean over seeds, ``deviation`` the standard deviation over them; bounds are 95 %
intervals that cover seeds and test utterances alike (scoring/seeds.py).
"""

from collections.abc import Sequence
from typing import Any

from pydantic import Field
from pydantic.dataclasses import dataclass

from asrkd.core.config import STRICT

MEASURES = {"parameters": "Parameters", "bytes_per_frame": "Bytes a frame"}


@dataclass(frozen=True, config=STRICT)
class Estimate:
    """A mean over seeds; on dev without an interval."""

    estimate: float
    deviation: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, config=STRICT)
class StudyRow:
    """A point of the grid: ``labels`` by axis; ``rates`` and ``differences`` on test by metric.

    ``train`` is on what was trained on, ``share`` the frame accuracy over the reference's, ``recovered`` the part of
    the gap to it, where it has a gap beyond chance; ``offset`` what was added to biases.
    """

    labels: dict[str, str]
    seeds: int
    seeds_wanted: int
    dev: Estimate | None
    rates: dict[str, Estimate]
    differences: dict[str, Estimate]
    train: Estimate | None = None
    share: Estimate | None = None
    recovered: Estimate | None = None
    has_gap: bool = True
    offset: Estimate | None = None
    parameters: int | None = None
    bytes_per_frame: float | None = None
    kl_nats: float | None = None
    random: bool = False
    is_reference: bool = False
    chosen: bool = False

    def value(self, name: str) -> float | None:
        """A measure of `MEASURES`, or the label of an axis as a number; None where it is none."""
        if name in MEASURES:
            return getattr(self, name)
        try:
            return float(self.labels[name])
        except ValueError:
            return None


@dataclass(frozen=True, config=STRICT)
class Paper:
    """The paper's own table: text and figures as they are printed there."""

    title: str
    columns: list[str]
    rows: list[list[str | int | float]]
    note: str = ""


@dataclass(frozen=True, config=STRICT)
class Study:
    """A grid and what came of it."""

    name: str
    title: str
    axes: list[str]
    rows: list[StudyRow]
    reference: dict[str, str] = Field(default_factory=dict)
    against: str = ""
    note: str = ""
    gap_from: dict[str, str] = Field(default_factory=dict)
    paper: Paper | None = None

    def varies(self, name: str) -> bool:
        """Whether the rows that have a measure differ in it."""
        return len({getattr(row, name) for row in self.rows} - {None}) > 1

    def label(self, row: StudyRow, axes: Sequence[str] | None = None) -> str:
        return ", ".join(row.labels[axis] for axis in (self.axes if axes is None else axes))


@dataclass(frozen=True, config=STRICT)
class Sweep:
    """The whole of a sweep.json; ``failed`` holds errors by trial."""

    studies: list[Study]
    trials: list[dict[str, Any]]
    title: str = "Studies"
    test_part: str = "test"
    failed: dict[str, str] = Field(default_factory=dict)

    @property
    def setting(self) -> str:
        """One line on what was run."""
        hours = sum(trial["seconds"] for trial in self.trials) / 3600
        return (
            f"{len(self.studies)} studies, {len(self.trials)} trained nets, {hours:.1f} hours of one process, "
            f"test set {self.test_part}"
        )

    @property
    def findings(self) -> list[str]:
        """What kept the studies from being whole."""
        return [f"The trial {name} failed: {error}." for name, error in self.failed.items()]


def figure_name(study: Study) -> str:
    return f"study-{study.name}"
