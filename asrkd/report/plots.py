"""The report's figures: systems, learning curves, calibration, tuning, time.

Colours are Okabe and Ito's, told apart by readers with any colour vision; markers and line styles differ too.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from asrkd.report import formats
from asrkd.report.drawing import HALF, WIDE, Drawing, Plot, draw
from asrkd.report.schema import Epoch, Rate, Report, System
from asrkd.report.tables import system_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_GREY = "#595959"
_STYLES = {
    "gmm": ("#999999", "v", ":"),
    "baseline": (_GREY, "s", "-."),
    "ensemble": ("#0072B2", "o", "-"),
    "distilled": ("#D55E00", "D", "-"),
    "distilled_labelled": ("#CC79A7", "P", "--"),
    "distilled_small": ("#009E73", "^", "--"),
}
_OTHERS = [("#56B4E9", "X", "--"), ("#E69F00", "*", ":"), ("#000000", "<", "-."), ("#0072B2", "o", "-")]
_OTHERS += [("#D55E00", "D", "--"), ("#009E73", "^", "-.")]


def figures(report: Report) -> dict[str, Plot]:
    """Every figure that the report has the data for, by name."""
    return draw(FIGURES, report)


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


def plain_style(index: int) -> dict[str, Any]:
    """Colour, marker and line of what is no system: another for each ``index``."""
    return _style("", index)


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


def _draw_growing(report: Report, figure: "Figure") -> None:
    accuracy, words = figure.subplots(1, 2)
    counts = [each.teachers for each in report.growing]
    for axes, metric, label in ((accuracy, "frame_accuracy", "Frame accuracy"), (words, "wer", "WER")):
        for name in ("baseline", "distilled"):
            _draw_level(axes, report.system(name), metric)
        rates = [getattr(each, metric) for each in report.growing]
        style = {**_style("ensemble"), "label": "First teachers, averaged", "markersize": 5}
        axes.plot(counts, [100 * rate.test for rate in rates], **style)
        known = [(n, rate) for n, rate in zip(counts, rates, strict=True) if rate.low is not None]
        bounds = [[100 * getattr(rate, end) for _, rate in known] for end in ("low", "high")]
        axes.vlines([n for n, _ in known], *bounds, color=style["color"], linewidth=1.6, alpha=0.6)
        better = "higher" if metric == "frame_accuracy" else "lower"
        axes.set_title(f"{label} on test, % ({better} is better)")
        axes.set_xlabel("Teachers")
        axes.set_xticks(counts)
        axes.margins(x=0.08)
    figure.legend(*accuracy.get_legend_handles_labels(), loc="outside lower center", ncols=3)


def _draw_level(axes: "Axes", system: System | None, metric: str) -> None:
    """A horizontal line where a system lies."""
    rate: Rate | None = getattr(system, metric) if system else None
    if system and rate:
        style = _style(system.name)
        label = {"baseline": "Mean single net"}.get(system.name, system_name(system.name))
        axes.axhline(100 * rate.test, color=style["color"], linestyle=":", linewidth=1.4, label=label)


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


FIGURES: Mapping[str, Drawing[Report]] = {
    "systems": Drawing(
        _draw_systems,
        lambda report: (WIDE, 0.9 + 0.42 * len(_nets(report))),
        lambda report: True,
        "Frame accuracy and word error rate of every net on test with 95 % intervals, and the single nets.",
        "Look at where the distilled net lies between baseline and ensemble. Bars are 95 % intervals, hollow dots the "
        "single nets; two bars that overlap may still differ, which the paired comparisons below decide.",
    ),
    "growing": Drawing(
        _draw_growing,
        lambda report: (WIDE, 3.2),
        lambda report: len(report.growing) > 1,
        "Frame accuracy and word error rate on test against the number of teachers, with 95 % intervals, and the "
        "levels of the mean single net and the distilled net.",
        "Look at where the line flattens: from there on a further teacher buys little. All points are of the same test "
        "utterances, so they are told apart better than their intervals suggest.",
    ),
    "tuning": Drawing(
        _draw_tuning,
        lambda report: (WIDE, 2.6),
        lambda report: bool(report.tuning),
        "Frame accuracy on dev against temperature, a line for each weight alpha; the chosen point is ringed.",
        "Look at how flat the lines are: the less accuracy depends on temperature and alpha, the less the choice "
        "(ringed) matters.",
    ),
    "curves": Drawing(
        _draw_curves,
        lambda report: (WIDE, 3.1),
        lambda report: any(report.curves.values()),
        "Frame accuracy and cross-entropy on dev by epoch; teachers as thin lines, students as thick ones.",
        "Look at whether the students (thick) end above the teachers (thin), and whether a cross-entropy that rises "
        "again shows overfitting. The axes leave out the steep start.",
    ),
    "reliability": Drawing(
        _draw_reliability,
        lambda report: (HALF, 4.0),
        lambda report: bool(report.calibration),
        "Share of frames that are right against the confidence of the prediction, with the diagonal.",
        "Look at the distance from the dotted diagonal: below it a system is surer than it is right; ECE is the mean "
        "distance.",
    ),
    "temperature": Drawing(
        _draw_temperature,
        lambda report: (HALF, 4.0),
        lambda report: any(report.temperature_curves.values()),
        "Cross-entropy on test against the temperature that divides the logits, the minimum of each system ringed.",
        "Look at where each curve is lowest (ringed): a minimum right of T = 1 (dotted) means that the system is too "
        "sure of itself.",
    ),
    "seconds": Drawing(
        _draw_seconds,
        lambda report: (WIDE, 0.7 + 0.27 * len(report.seconds)),
        lambda report: bool(report.seconds),
        "Seconds of each stage as horizontal bars.",
        "Look at the longest bar: there a faster machine or more processes pay off first.",
    ),
}
"""Every figure by name, in the order of the page."""
