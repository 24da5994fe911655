"""The report's figures as inline SVG, the same bytes for the same report. Matplotlib is imported only to draw.

Colours are Okabe and Ito's, told apart by readers with any colour vision; markers and line styles differ too, and
text stays text, so that it takes the page's font and can be searched and read aloud.
"""

import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asrkd.report import formats
from asrkd.report.schema import Epoch, Rate, Report, System
from asrkd.report.tables import system_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDE, _HALF = 8.8, 4.3
"""Inches: the page's whole width, and what two figures side by side get."""

_GREY = "#595959"
_STYLES = {
    "gmm": ("#999999", "v", ":"),
    "baseline": (_GREY, "s", "-."),
    "ensemble": ("#0072B2", "o", "-"),
    "distilled": ("#D55E00", "D", "-"),
    "distilled_labelled": ("#CC79A7", "P", "--"),
    "distilled_small": ("#009E73", "^", "--"),
}
_OTHERS = [("#56B4E9", "X", "--"), ("#E69F00", "*", ":"), ("#000000", "<", "-.")]
_SETTINGS: Any = {
    "svg.hashsalt": "asrkd",
    "svg.fonttype": "none",
    "text.parse_math": False,  # a name may hold a dollar sign
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#767676",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "figure.constrained_layout.wspace": 0.06,
    "legend.fontsize": 8.5,
}


@dataclass(frozen=True)
class Plot:
    """``caption`` says what to look at; ``alt`` what is drawn, for who cannot see it."""

    name: str
    alt: str
    caption: str
    svg: str
    half: bool


@dataclass(frozen=True)
class _Drawing:
    draw: "Callable[[Report, Figure], None]"
    size: Callable[[Report], tuple[float, float]]
    known: Callable[[Report], bool]
    alt: str
    caption: str


def figures(report: Report) -> dict[str, Plot]:
    """Every figure that the report has the data for, by name."""
    return {
        name: Plot(name, each.alt, each.caption, _svg(name, each, report), each.size(report)[0] < _WIDE)
        for name, each in FIGURES.items()
        if each.known(report)
    }


def _svg(name: str, drawing: _Drawing, report: Report) -> str:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    buffer = io.StringIO()
    with rc_context(_SETTINGS):
        figure = Figure(figsize=drawing.size(report), layout="constrained")
        drawing.draw(report, figure)
        # Date and the names of standards would be links, and a different byte each day.
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return _inline(buffer.getvalue(), name)


def _inline(svg: str, name: str) -> str:
    """A whole SVG file as an element of a page: no prolog, its ids its own, its size the page's affair."""
    svg = svg[svg.index("<svg") :].strip()
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", svg, count=1, flags=re.DOTALL)
    svg = re.sub(r'\sid="([^"]+)"', rf' id="{name}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", svg)
    svg = re.sub(r'xlink:href="#([^"]+)"', rf'href="#{name}-\1"', svg)
    box = re.search(r'viewBox="[^"]+"', svg)
    assert box, "matplotlib writes a viewBox"
    return re.sub(r"<svg[^>]*>", f'<svg {box[0]} aria-hidden="true" focusable="false">', svg, count=1)


def _teachers(names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith("teacher")]


def _labelled_style(name: str, names: Iterable[str], note: str = "") -> dict[str, Any]:
    """A line's style and label: single nets are thin grey lines under one label, systems have their own."""
    teachers = _teachers(names)
    if name in teachers:
        label = f"Teachers ({len(teachers)})" if name == teachers[0] else None
        return {"color": _GREY, "linewidth": 0.9, "alpha": 0.75, "label": label}
    others = [each for each in names if each not in _STYLES and each not in teachers]
    style = _style(name, others.index(name) if name in others else 0)
    # Matplotlib leaves out of the legend what starts with an underscore.
    return {**style, "label": (system_name(name) + note).lstrip("_") or "unnamed", "markersize": 4.5}


def _style(name: str, index: int = 0) -> dict[str, Any]:
    colour, marker, line = _STYLES.get(name, _OTHERS[index % len(_OTHERS)])
    return {"color": colour, "marker": marker, "linestyle": line}


def _nets(report: Report) -> list[System]:
    """All but the GMM, which lies so far from the nets that it would press them together."""
    return [system for system in report.systems if system.name != "gmm"]


def _draw_systems(report: Report, figure: "Figure") -> None:
    systems = _nets(report)
    accuracy, words = figure.subplots(1, 2, sharey=True)
    for axes, metric, label in ((accuracy, "frame_accuracy", "Frame accuracy"), (words, "wer", "WER")):
        for row, system in enumerate(systems):
            _draw_system(axes, system, metric, row)
        better = "higher" if metric == "frame_accuracy" else "lower"
        axes.set_title(f"{label} on test, % ({better} is better)")
        axes.grid(visible=False, axis="y")
        axes.margins(x=0.08)
        axes.tick_params(axis="y", length=0)
    accuracy.set_yticks(range(len(systems)), [system_name(each.name) for each in systems])
    accuracy.set_ylim(len(systems) - 0.5, -0.5)


def _draw_system(axes: "Axes", system: System, metric: str, row: int) -> None:
    rate: Rate | None = getattr(system, metric)
    if rate is None:
        return
    style = _style(system.name, row)
    if rate.low is not None and rate.high is not None:
        axes.hlines(row, 100 * rate.low, 100 * rate.high, color=style["color"], linewidth=2)
    axes.plot(100 * rate.test, row, color=style["color"], marker=style["marker"], markersize=7)
    seeds = [100 * getattr(each, metric).test for each in system.per_seed]
    axes.plot(seeds, [row + 0.28] * len(seeds), "o", markersize=4, markerfacecolor="none", color=style["color"])


def _draw_curves(report: Report, figure: "Figure") -> None:
    accuracy, loss = figure.subplots(1, 2)
    for name, epochs in report.curves.items():
        style = {"linewidth": 2.4, **_labelled_style(name, report.curves)}
        x = [each.epoch for each in epochs]
        accuracy.plot(x, [100 * each.dev_frame_accuracy for each in epochs], **style)
        loss.plot(x, [each.dev_cross_entropy for each in epochs], **style)
    accuracy.set_title("Frame accuracy on dev, %")
    loss.set_title("Cross-entropy on dev, nats a frame")
    for axes in (accuracy, loss):
        axes.set_xlabel("Epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
    curves = [epochs for epochs in report.curves.values() if epochs]
    accuracy.set_ylim(bottom=100 * min(_settled(epochs).dev_frame_accuracy for epochs in curves))
    loss.set_ylim(top=max(_settled(epochs).dev_cross_entropy for epochs in curves))
    accuracy.legend(loc="lower right")


def _settled(epochs: Sequence[Epoch]) -> Epoch:
    """Where the steep start is over: it would press all that follows into one line."""
    return epochs[len(epochs) // 4]


def _draw_reliability(report: Report, figure: "Figure") -> None:
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="#767676", linewidth=1, linestyle=(0, (2, 2)))
    for name, each in report.calibration.items():
        bins = [part for part in each.bins if part.count]
        style = _labelled_style(name, report.calibration, f", ECE {formats.percent(each.ece)} %")
        axes.plot([part.confidence for part in bins], [part.accuracy for part in bins], **style)
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel="Confidence", ylabel="Share of frames that are right")
    axes.set_title("Reliability on test")
    axes.legend(loc="upper left")


def _draw_temperature(report: Report, figure: "Figure") -> None:
    axes = figure.subplots()
    for name, points in report.temperature_curves.items():
        style = _labelled_style(name, report.temperature_curves)
        curve = sorted((each.temperature, each.cross_entropy) for each in points)
        axes.plot([temperature for temperature, _ in curve], [nats for _, nats in curve], **style)
        if curve and not name.startswith("teacher"):
            best = min(curve, key=lambda point: point[1])
            axes.plot(*best, "o", markersize=10, markerfacecolor="none", color=style["color"])
    axes.axvline(1, color="#767676", linewidth=1, linestyle=(0, (2, 2)))
    axes.set(xlabel="Temperature", ylabel="Cross-entropy, nats a frame")
    axes.set_title("Cross-entropy on test")
    axes.legend(loc="best")


def _draw_tuning(report: Report, figure: "Figure") -> None:
    axes = figure.subplots()
    alphas = sorted({each.alpha for each in report.tuning}, key=formats.plain)
    for index, alpha in enumerate(alphas):
        trials = sorted((each.temperature, each.dev_frame_accuracy) for each in report.tuning if each.alpha == alpha)
        style = _style("", index)
        heights = [100 * accuracy for _, accuracy in trials]
        axes.plot([t for t, _ in trials], heights, label=f"alpha = {formats.plain(alpha)}", markersize=5, **style)
    for each in report.tuning:
        if each.chosen:
            height = 100 * each.dev_frame_accuracy
            axes.plot(each.temperature, height, "o", markersize=12, markerfacecolor="none", color="black")
    axes.set_xticks(sorted({each.temperature for each in report.tuning}))
    axes.set_xlabel("Temperature")
    axes.set_title("Student's frame accuracy on dev, %")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))


def _draw_seconds(report: Report, figure: "Figure") -> None:
    axes = figure.subplots()
    stages = list(report.seconds)
    bars = axes.barh(range(len(stages)), list(report.seconds.values()), color="#0072B2", height=0.65)
    axes.bar_label(bars, [formats.duration(each) for each in report.seconds.values()], padding=4, fontsize=8.5)
    axes.set_yticks(range(len(stages)), stages)
    axes.set_ylim(len(stages) - 0.5, -0.5)
    axes.margins(x=0.16)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("Seconds")


FIGURES: Mapping[str, _Drawing] = {
    "systems": _Drawing(
        _draw_systems,
        lambda report: (_WIDE, 0.9 + 0.42 * len(_nets(report))),
        lambda report: True,
        "Frame accuracy and word error rate of every net on test with 95 % intervals, and the single nets.",
        "Look at where the distilled net lies between baseline and ensemble. Bars are 95 % intervals, hollow dots the "
        "single nets; two bars that overlap may still differ, which the paired comparisons below decide.",
    ),
    "tuning": _Drawing(
        _draw_tuning,
        lambda report: (_WIDE, 2.6),
        lambda report: bool(report.tuning),
        "Frame accuracy on dev against temperature, a line for each weight alpha; the chosen point is ringed.",
        "Look at how flat the lines are: the less accuracy depends on temperature and alpha, the less the choice "
        "(ringed) matters.",
    ),
    "curves": _Drawing(
        _draw_curves,
        lambda report: (_WIDE, 3.1),
        lambda report: any(report.curves.values()),
        "Frame accuracy and cross-entropy on dev by epoch; teachers as thin lines, students as thick ones.",
        "Look at whether the students (thick) end above the teachers (thin), and whether a cross-entropy that rises "
        "again shows overfitting. The axes leave out the steep start.",
    ),
    "reliability": _Drawing(
        _draw_reliability,
        lambda report: (_HALF, 4.0),
        lambda report: bool(report.calibration),
        "Share of frames that are right against the confidence of the prediction, with the diagonal.",
        "Look at the distance from the dotted diagonal: below it a system is surer than it is right; ECE is the mean "
        "distance.",
    ),
    "temperature": _Drawing(
        _draw_temperature,
        lambda report: (_HALF, 4.0),
        lambda report: any(report.temperature_curves.values()),
        "Cross-entropy on test against the temperature that divides the logits, the minimum of each system ringed.",
        "Look at where each curve is lowest (ringed): a minimum right of T = 1 (dotted) means that the system is too "
        "sure of itself.",
    ),
    "seconds": _Drawing(
        _draw_seconds,
        lambda report: (_WIDE, 0.7 + 0.27 * len(report.seconds)),
        lambda report: bool(report.seconds),
        "Seconds of each stage as horizontal bars.",
        "Look at the longest bar: there a faster machine or more processes pay off first.",
    ),
}
"""Every figure by name, in the order of the page."""
