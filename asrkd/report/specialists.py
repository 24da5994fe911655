"""What specialists bring, as a page: specialists.json, specialists.md and specialists.html, the paper's tables beside.

Rates are fractions; means over seeds with intervals that cover seeds and utterances (scoring/seeds.py).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field
from pydantic.dataclasses import dataclass

from asrkd.core.config import STRICT, parse
from asrkd.report import formats, write_page
from asrkd.report.drawing import WIDE, Drawing, draw
from asrkd.report.plots import plain_style
from asrkd.report.sections import Page, Section
from asrkd.report.sweep_schema import Estimate
from asrkd.report.tables import INTERVAL, METRICS, Column, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SYSTEMS = {"generalist": "Generalist", "specialised": "Generalist and specialists"}

PAPER_TOTALS = [["Baseline", "43.1", "25.0"], ["and 61 specialists", "45.9", "26.1"]]
PAPER_COVERING = [
    *(("0", 350_037, 0, 0.0), ("1", 141_993, 1421, 3.4), ("2", 67_161, 1572, 7.4), ("3", 38_801, 1124, 8.8)),
    *(("4", 26_298, 835, 10.5), ("5", 16_474, 561, 11.1), ("6", 10_682, 362, 11.3), ("7", 7376, 232, 12.8)),
    *(("8", 4703, 182, 13.6), ("9", 4706, 208, 16.6), ("10 or more", 9082, 324, 14.1)),
]
"""Tables 3 and 4 of Hinton, Vinyals and Dean (2015), of 15,000 classes of images."""


@dataclass(frozen=True, config=STRICT)
class Compared:
    """Both systems' rates, and the difference."""

    generalist: Estimate
    specialised: Estimate
    gain: Estimate


@dataclass(frozen=True, config=STRICT)
class Row:
    """Frames whose pdf ``covering`` specialists hold; ``conditional`` where some do."""

    covering: str
    frames: int
    top: Compared
    conditional: Compared | None = None


@dataclass(frozen=True, config=STRICT)
class Measured:
    """A system's rate, and its differences from the first of the systems and from the one before it."""

    rate: Estimate
    from_first: Estimate | None = None
    from_last: Estimate | None = None


@dataclass(frozen=True, config=STRICT)
class System:
    """A system that was evaluated with every seed."""

    name: str
    parameters: int | None
    frame_accuracy: Measured
    wer: Measured | None = None


@dataclass(frozen=True, config=STRICT)
class Results:
    """The whole of a specialists.json; ``called`` is how many specialists a frame is given to on the average."""

    seeds: int
    specialists: int
    num_pdfs: int
    covered_pdfs: int
    pdfs_each: float
    called: float
    parameters: dict[str, int]
    rows: list[Row]
    systems: list[System] = Field(default_factory=list)

    def row(self, covering: str) -> Row | None:
        return next((row for row in self.rows if row.covering == covering), None)


def render_specialists(content: Mapping[str, Any], work: Path) -> None:
    """Write the page's three files into ``work``."""
    results = parse(Results, content, "specialists")
    setting = (
        f"{results.specialists} specialists of {results.pdfs_each:g} of {results.num_pdfs:,} tied states, "
        f"{results.covered_pdfs:,} in one or more; {results.called:.2f} run on a frame; {results.seeds} seeds"
    )
    sections = [
        Section("results", "Results", _totals(results)),
        Section("systems", "Systems", _evaluated(results)),
        Section("covering", "By how many specialists hold the frame's state", [_covering(results)], list(FIGURES)),
        Section("paper", "Beside the paper", _paper()),
    ]
    page = Page("Specialists", setting, _findings(results), sections)
    write_page(work, "specialists", content, page, draw(FIGURES, results))


def _totals(results: Results) -> list[Table]:
    everywhere, some = results.row("all"), results.row("1 or more")
    measured: dict[str, Compared | None] = {
        METRICS["frame_accuracy"]: everywhere.top if everywhere else None,
        "Conditional accuracy": some.conditional if some else None,
    }
    return [_systems(name, each, results) for name, each in measured.items() if each is not None]


def _systems(name: str, compared: Compared, results: Results) -> Table:
    columns = [Column("System", numeric=False), Column("Parameters"), Column(f"{name}, %"), Column(INTERVAL)]
    columns += [Column(each, "From the generalist") for each in ("points", INTERVAL)]
    rows = []
    for system, title in SYSTEMS.items():
        rate, gain = getattr(compared, system), _difference(compared.gain if system == "specialised" else None)
        spread = formats.spread(rate.estimate, rate.deviation)
        rows.append([title, formats.parameters(results.parameters[system]), spread, _interval(rate), *gain])
    return Table(name, columns, rows)


def _evaluated(results: Results) -> list[Table]:
    """A table for each measure of the systems that were evaluated."""
    return [
        _measured(METRICS[metric], rows)
        for metric in METRICS
        if (rows := {system: each for system in results.systems if (each := getattr(system, metric)) is not None})
    ]


def _measured(name: str, rows: Mapping[System, Measured]) -> Table:
    first = next(iter(rows)).name
    columns = [Column("System", numeric=False), Column("Parameters"), Column(f"{name}, %"), Column(INTERVAL)]
    columns += [
        Column(each, group) for group in (f"From {first}", "From the row above") for each in ("points", INTERVAL)
    ]
    cells = [
        [
            *(system.name, formats.parameters(system.parameters)),
            *(formats.spread(each.rate.estimate, each.rate.deviation), _interval(each.rate)),
            *(*_difference(each.from_first), *_difference(each.from_last)),
        ]
        for system, each in rows.items()
    ]
    return Table(name, columns, cells)


def _difference(estimate: Estimate | None) -> list[str]:
    if estimate is None:
        return [formats.ABSENT] * 2
    return [formats.points(estimate.estimate, 2), _interval(estimate, 2)]


def _covering(results: Results) -> Table:
    groups = ("Frame accuracy, %", "Conditional accuracy, %")
    columns = [Column("Specialists", numeric=False), Column("frames")]
    columns += [Column(name, group) for group in groups for name in ("generalist", "with them", "gain", INTERVAL)]
    columns.append(Column("Relative, %"))
    rows = []
    for row in results.rows:
        cells = [row.covering, formats.count(row.frames), *_compared(row.top), *_compared(row.conditional)]
        before = row.top.generalist.estimate
        rows.append([*cells, formats.points(row.top.gain.estimate / before) if before else formats.ABSENT])
    note = (
        f"Means over {results.seeds} seeds; intervals cover seeds and utterances. Conditional accuracy: of frames "
        "whose state some specialist holds, predictions restricted to such states."
    )
    return Table("By specialists that hold the state", columns, rows, [note])


def _compared(compared: Compared | None) -> list[str]:
    if compared is None:
        return [formats.ABSENT] * 4
    rates = [formats.percent(each.estimate) for each in (compared.generalist, compared.specialised)]
    return [*rates, *_difference(compared.gain)]


def _interval(estimate: Estimate, decimals: int = 1) -> str:
    return formats.interval(estimate.low, estimate.high, decimals)


def _paper() -> list[Table]:
    totals = [Column("System", numeric=False), Column("Conditional accuracy, %"), Column("Accuracy, %")]
    covering = [Column(name, numeric=index > 0) for index, name in enumerate(("Specialists", "images"))]
    covering += [Column("more right"), Column("relative, %")]
    rows = [[name, *map(formats.count, (images, more)), f"+{share}"] for name, images, more, share in PAPER_COVERING]
    return [
        Table("The paper's, 15,000 classes of images", totals, PAPER_TOTALS),
        Table("By specialists that hold the class", covering, rows),
    ]


def _findings(results: Results) -> list[str]:
    """Whether there is a gain."""
    row = results.row("all")
    if row is None:
        return []
    gain = row.top.gain
    low, high = _bounds(gain)
    verdict = "excludes" if low > 0 or high < 0 else "does not exclude"
    change = f"{formats.points(gain.estimate, 2)} points {_interval(gain, 2)}"
    return [f"Specialists change frame accuracy by {change}, which {verdict} 0."]


def _bounds(estimate: Estimate) -> tuple[float, float]:
    """The interval; the estimate itself where none is known."""
    low, high = (estimate.estimate if bound is None else bound for bound in (estimate.low, estimate.high))
    return low, high


def _draw_gains(results: Results, figure: "Figure") -> None:
    axes = figure.subplots()
    rows = _numbered(results)
    for index, (kind, label) in enumerate((("top", "frame accuracy"), ("conditional", "conditional accuracy"))):
        found = {int(row.covering): getattr(row, kind).gain for row in rows if getattr(row, kind) is not None}
        ys = [100 * gain.estimate for gain in found.values()]
        bounds = [_bounds(gain) for gain in found.values()]
        below = [y - 100 * low for y, (low, _) in zip(ys, bounds, strict=True)]
        above = [100 * high - y for y, (_, high) in zip(ys, bounds, strict=True)]
        xs = [number + 0.1 * index for number in found]
        axes.errorbar(
            xs, ys, [below, above], label=label, capsize=2.5, elinewidth=1, markersize=5, **plain_style(index)
        )
    axes.axhline(0, color="#767676", linewidth=0.8)
    axes.set_xticks([int(row.covering) for row in rows])
    axes.set(xlabel="Specialists that hold the frame's state")
    axes.set_title("Gain by specialists, points of accuracy on test")
    axes.legend(loc="best")


def _numbered(results: Results) -> Sequence[Row]:
    return [row for row in results.rows if row.covering.isdecimal()]


FIGURES: dict[str, Drawing[Results]] = {
    "gains": Drawing(
        _draw_gains,
        lambda results: (WIDE, 3.6),
        lambda results: len(_numbered(results)) > 1,
        "Gain in frame accuracy and in conditional accuracy by how many specialists hold the frame's state.",
        "Look at whether the gain grows with the number of specialists, and which bars hold 0.",
    )
}
