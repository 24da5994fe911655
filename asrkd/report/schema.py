"""What a report holds: result files' figures as frozen dataclasses, checked before anything is drawn.

All rates are fractions, not per cent; intervals are 95 % bootstrap intervals on test. A part that is None, or an
empty list or mapping, is left out of what is rendered. Keys that are not named here are carried in report.json.
"""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from asrkd.core.errors import DataError
from asrkd.report.sweep_schema import Sweep

CHECKED = ConfigDict(extra="ignore", strict=True, allow_inf_nan=False)

Figures = TypeVar("Figures")

NETS = ("baseline", "ensemble", "distilled")
"""The systems that a comparison is made of; the ``gmm`` and further students may come with them."""


@dataclass(frozen=True, config=CHECKED)
class Rate:
    """A fraction on dev and on test, with the interval of the latter."""

    dev: float
    test: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, config=CHECKED)
class Seed:
    """One single net of the baseline."""

    seed: int
    frame_accuracy: Rate
    wer: Rate
    errors: float | None = None


@dataclass(frozen=True, config=CHECKED)
class Spread:
    """Standard deviations over the seeds."""

    frame_accuracy: Rate
    wer: Rate


@dataclass(frozen=True, config=CHECKED)
class CrossEntropy:
    """Nats a frame."""

    test: float
    dev: float | None = None


@dataclass(frozen=True, config=CHECKED)
class System:
    """One system's figures; those of the baseline are means over its seeds."""

    name: str
    wer: Rate
    parameters: int | None = None
    frame_accuracy: Rate | None = None
    errors: float | None = None
    words: float | None = None
    substitutions: float | None = None
    deletions: float | None = None
    insertions: float | None = None
    acoustic_scale: float | None = None
    real_time_factor: float | None = None
    cross_entropy: CrossEntropy | None = None
    ece: float | None = None
    per_seed: list[Seed] = Field(default_factory=list)
    spread: Spread | None = None


@dataclass(frozen=True, config=CHECKED)
class TransferRatio:
    """Share of the ensemble's gain in frame accuracy that the distilled net keeps; None where there is no gain.

    It is ``reliable`` where the gain's own interval excludes 0; else a ratio to it says nothing.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    reliable: bool = True


@dataclass(frozen=True, config=CHECKED)
class Comparison:
    """``difference`` = a - b on test, from a paired bootstrap over utterances; ``p_holm`` for all of its metric."""

    a: str
    b: str
    metric: str
    difference: float
    low: float
    high: float
    p: float | None = None
    p_holm: float | None = None


@dataclass(frozen=True, config=CHECKED)
class Gain:
    """A paired difference of frame accuracies on test."""

    difference: float
    low: float
    high: float


@dataclass(frozen=True, config=CHECKED)
class Growth:
    """An ensemble of the first ``teachers``; ``gain`` is over the one with a teacher less."""

    teachers: int
    frame_accuracy: Rate
    wer: Rate
    gain: Gain | None = None


@dataclass(frozen=True, config=CHECKED)
class Combination:
    """All teachers, combined in one way; ``weights`` were learnt on dev, or are None where all are the same.

    ``gain`` is over the first such row, the ensemble itself.
    """

    combination: str
    frame_accuracy: Rate
    cross_entropy: CrossEntropy
    weights: list[float] | None = None
    gain: Gain | None = None


@dataclass(frozen=True, config=CHECKED)
class SoftTargets:
    """What the archive costs and loses. ``encode_share`` is the share of the dump's time that encoding takes."""

    bytes_per_frame: float
    dense_bytes_per_frame: float
    kl_nats: float | None = None
    random: bool = False  # drawn at random: right on the average, whatever the KL of single frames
    frames_per_second: float | None = None
    frames: int | None = None
    temperature: float | None = None
    encode_share: float | None = None


@dataclass(frozen=True, config=CHECKED)
class DataSet:
    hours: float
    utterances: int
    speakers: int


@dataclass(frozen=True, config=CHECKED)
class Trial:
    """One student of the search over temperature and weight of the soft targets."""

    temperature: float
    alpha: float | str  # text for a schedule
    dev_frame_accuracy: float
    chosen: bool = False


@dataclass(frozen=True, config=CHECKED)
class Epoch:
    epoch: float
    dev_frame_accuracy: float
    dev_cross_entropy: float
    train_loss: float | None = None
    learning_rate: float | None = None


@dataclass(frozen=True, config=CHECKED)
class Bin:
    """Frames whose highest posterior lies in one bin: mean confidence, share that is right, number of frames."""

    confidence: float
    accuracy: float
    count: int


@dataclass(frozen=True, config=CHECKED)
class Calibration:
    ece: float
    bins: list[Bin]


@dataclass(frozen=True, config=CHECKED)
class TemperaturePoint:
    temperature: float
    cross_entropy: float


@dataclass(frozen=True, config=CHECKED)
class PaperSystem:
    name: str
    frame_accuracy: float
    wer: float


@dataclass(frozen=True, config=CHECKED)
class Report:
    """The whole of a report.json."""

    recipe: str
    num_pdfs: int
    num_teachers: int
    temperature: float
    systems: list[System]
    transfer_ratio: TransferRatio
    comparisons: list[Comparison]
    soft_targets: SoftTargets
    seconds: dict[str, float]
    test_part: str = "test"
    alpha: float | str | None = None
    data: dict[str, DataSet | str] = Field(default_factory=dict)  # by set; "note" is one sentence on all
    growing: list[Growth] = Field(default_factory=list)
    combinations: list[Combination] = Field(default_factory=list)
    tuning: list[Trial] = Field(default_factory=list)
    curves: dict[str, list[Epoch]] = Field(default_factory=dict)
    calibration: dict[str, Calibration] = Field(default_factory=dict)
    temperature_curves: dict[str, list[TemperaturePoint]] = Field(default_factory=dict)
    paper: list[PaperSystem] = Field(default_factory=list)
    environment: dict[str, str | float | None] = Field(default_factory=dict)
    sweep: Sweep | None = None

    def system(self, name: str) -> System | None:
        """The system ``name``, or None."""
        return next((system for system in self.systems if system.name == name), None)

    def comparison(self, a: str, b: str, metric: str) -> Comparison | None:
        """The comparison of ``a`` with ``b``, or None."""
        wanted = (a, b, metric)
        return next((each for each in self.comparisons if (each.a, each.b, each.metric) == wanted), None)


def parse_report(report: Mapping[str, Any]) -> Report:
    """``report`` checked and typed.

    Raises DataError, naming the key, for what is missing, of a wrong type, NaN or infinite, and when the baseline,
    the ensemble or the distilled net lacks its parameters or frame accuracy.
    """
    parsed = parse_figures(Report, report, "report")
    for name in NETS:
        _check_net(parsed.system(name), name)
    return parsed


def parse_figures(kind: type[Figures], figures: Mapping[str, Any], what: str) -> Figures:
    """``figures`` as a dataclass. Raises DataError, naming the key, for what `parse_report` says of keys."""
    if not_finite := next(_not_finite(figures, ""), None):
        raise DataError(f"{what}: {not_finite} is not a finite number: did a training run diverge?")
    try:
        # Through JSON, as it will be read back: strict validation of Python objects would want dataclasses.
        return TypeAdapter(kind).validate_json(json.dumps(figures))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(_readable(part, figures, first["loc"][:i]) for i, part in enumerate(first["loc"]))
        if first["type"] == "missing":
            raise DataError(f"{what}: {where} is missing: was it written by an older version?") from None
        raise DataError(f"{what}: {where}: {first['msg'].lower()} (given {first['input']!r})") from None
    except TypeError as error:
        raise DataError(f"{what}: holds what JSON cannot ({error})") from None


def _check_net(system: System | None, name: str) -> None:
    if system is None:
        raise DataError(f"report: systems has no {name!r}: was its scoring skipped?")
    for key in ("parameters", "frame_accuracy"):
        if getattr(system, key) is None:
            raise DataError(f"report: systems.{name}.{key} is missing: was it written by an older version?")


def _readable(part: str | int, report: Any, path: tuple[str | int, ...]) -> str:
    """A list's index as the name of what stands there (a system's), where it has one."""
    if isinstance(part, str):
        return part
    node = report
    for key in (*path, part):
        node = node[key]
    return str(node["name"]) if isinstance(node, Mapping) and "name" in node else str(part)


def _not_finite(value: Any, path: str) -> Iterator[str]:
    """Paths of the numbers that are NaN or infinite."""
    if isinstance(value, float) and not math.isfinite(value):
        yield path
    elif isinstance(value, Mapping):
        for key, child in value.items():
            yield from _not_finite(child, f"{path}.{key}" if path else str(key))
    elif isinstance(value, (list, tuple)):
        for index, child in enumerate(value):
            yield from _not_finite(child, f"{path}.{index}")
