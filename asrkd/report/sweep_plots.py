"""A figure for each study: a heat map of two numeric axes, else points with their intervals, else rows of them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from asrkd.report.drawing import WIDE, Plot, plot
from asrkd.report.plots import plain_style
from asrkd.report.sweep_schema import MEASURES, Estimate, Study, StudyRow, Sweep, figure_name
from asrkd.report.sweep_tables import METRICS, axis_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DECADES = 50
"""From how many times the least value on x a scale is logarithmic."""

_ON_ONE_LINE = 2
"""Panels beside each other that have the width for a heading of one line."""


def study_figures(sweep: Sweep) -> dict[str, Plot]:
    """Every figure that the studies have the data for, by name."""
    plots = [study_plot(study) for study in sweep.studies]
    return {each.name: each for each in plots if each is not None}


def study_plot(study: Study) -> Plot | None:
    """The study's figure; None where it has nothing to draw."""
    rows = [row for row in study.rows if row.dev is not None]
    name = figure_name(study)
    if not rows:
        return None
    if len(study.axes) == 2 and not study.against and all(_numbers(rows, axis) for axis in study.axes):
        return plot(
            name,
            lambda figure: _draw_heat_map(study, rows, figure),
            (WIDE, 3.2),
            alt=f"Frame accuracy on dev for each {axis_name(study.axes[0])} and {axis_name(study.axes[1])}.",
            caption="Look at how far the best cell (framed) is from its neighbours. Mean over seeds.",
        )
    against = study.against or study.axes[0]
    metrics = [metric for metric in METRICS if any(metric in row.rates for row in rows)]
    measured = " and ".join(METRICS[metric] for metric in metrics)
    if not _numbers(rows, against):
        if against in MEASURES or not metrics:
            return None
        return plot(
            name,
            lambda figure: _draw_rows(study, rows, metrics, figure),
            (WIDE, 0.9 + 0.3 * len(rows)),
            alt=f"{measured} on test of each {axis_name(against).lower()}, with 95 % intervals.",
            caption="The dotted line is the reference. Bars cover seeds and utterances; those that overlap may still "
            "differ, which the paired differences in the table decide."
            if study.reference
            else "Bars cover seeds and utterances.",
        )
    shown = MEASURES.get(against, axis_name(against))
    return plot(
        name,
        lambda figure: _draw_points(study, rows, against, metrics, figure),
        (WIDE, 3.6),
        alt=f"{measured} on test against {shown.lower()}, with 95 % intervals.",
        caption="Look at where the points stop to rise or fall by more than their bars, which cover seeds and "
        "utterances; bars that overlap may still differ, which the differences in the table decide.",
    )


def _numbers(rows: Sequence[StudyRow], name: str) -> bool:
    """Whether ``name`` is a measure or an axis of numbers, for some of the rows at least."""
    if name not in MEASURES:
        return all(name in row.labels and row.value(name) is not None for row in rows)
    return any(row.value(name) is not None for row in rows)


def _draw_heat_map(study: Study, rows: Sequence[StudyRow], figure: "Figure") -> None:
    down, across = study.axes
    ys, xs = (list(dict.fromkeys(row.labels[axis] for row in study.rows)) for axis in study.axes)
    heights = [[float("nan")] * len(xs) for _ in ys]
    for row in rows:
        assert row.dev is not None
        heights[ys.index(row.labels[down])][xs.index(row.labels[across])] = 100 * row.dev.estimate
    axes = figure.subplots()
    image = axes.imshow(heights, cmap="cividis", aspect="auto")
    axes.set_xticks(range(len(xs)), xs)
    axes.set_yticks(range(len(ys)), ys)
    axes.grid(visible=False)
    middle = sum(image.get_clim()) / 2
    for row in rows:
        y, x = ys.index(row.labels[down]), xs.index(row.labels[across])
        colour = "white" if heights[y][x] < middle else "black"
        axes.text(x, y, f"{heights[y][x]:.1f}", ha="center", va="center", color=colour)
        if row.chosen:
            axes.plot(x, y, "s", markersize=30, markerfacecolor="none", markeredgewidth=2, color="#D55E00")
    axes.set(xlabel=axis_name(across), ylabel=axis_name(down))
    axes.set_title("Frame accuracy on dev, %")


def _draw_points(
    study: Study, rows: Sequence[StudyRow], against: str, metrics: Sequence[str], figure: "Figure"
) -> None:
    panels = figure.subplots(1, len(metrics), squeeze=False)[0]
    for axes, metric in zip(panels, metrics, strict=True):
        _draw_metric(study, rows, against, metric, axes)
        axes.set_title(_heading(metric, len(metrics)))
    if panels[0].get_legend_handles_labels()[1]:
        panels[0].legend(loc="best", fontsize=7.5)


def _draw_metric(study: Study, rows: Sequence[StudyRow], against: str, metric: str, axes: "Axes") -> None:
    for index, (name, members) in enumerate(_lines(study, rows, against).items()):
        style = plain_style(index)
        points = sorted(
            (row for row in members if row.value(against) is not None), key=lambda row: row.value(against) or 0
        )
        points = [row for row in points if metric in row.rates]
        xs = [row.value(against) or 0.0 for row in points]
        rates = [row.rates[metric] for row in points]
        ys = [100 * rate.estimate for rate in rates]
        axes.errorbar(xs, ys, _bars(rates), label=name or None, capsize=2.5, elinewidth=1, markersize=5, **style)
    if against in MEASURES or (xs and 0 < _DECADES * min(xs) <= max(xs)):
        axes.set_xscale("log")
        _plain_ticks(axes)
    axes.set_xlabel(MEASURES.get(against, axis_name(against)))


def _draw_rows(study: Study, rows: Sequence[StudyRow], metrics: Sequence[str], figure: "Figure") -> None:
    """A line a row of the table, in its order: where axes are names, there is no x but the rate."""
    panels = figure.subplots(1, len(metrics), squeeze=False, sharey=True)[0]
    for axes, metric in zip(panels, metrics, strict=True):
        for place, row in enumerate(rows):
            if metric not in row.rates:
                continue
            rate = row.rates[metric]
            style = {**plain_style(0), "linestyle": "none"}
            axes.errorbar(
                100 * rate.estimate, place, xerr=_bars([rate]), capsize=2.5, elinewidth=1, markersize=5, **style
            )
            if row.is_reference and len([each for each in rows if each.is_reference]) == 1:
                axes.axvline(100 * rate.estimate, color="#767676", linestyle=":", linewidth=1)
        axes.set_yticks(range(len(rows)), [study.label(row) for row in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_title(_heading(metric, len(metrics)))


def _bars(rates: Sequence[Estimate]) -> list[list[float]]:
    """How far each interval reaches below and above, in per cent; nowhere where it is not known."""
    bounds = [
        (r.estimate if r.low is None else r.low, r.estimate, r.estimate if r.high is None else r.high) for r in rates
    ]
    return [[100 * (mean - low) for low, mean, _ in bounds], [100 * (high - mean) for _, mean, high in bounds]]


def _heading(metric: str, panels: int) -> str:
    between = "\n" if panels > _ON_ONE_LINE else " "
    return f"{METRICS[metric]} on test, %{between}({'lower' if metric == 'wer' else 'higher'} is better)"


def _plain_ticks(axes: "Axes") -> None:
    """1, 2, 5, 10 ... written out, where matplotlib would write formulas."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _lines(study: Study, rows: Sequence[StudyRow], against: str) -> dict[str, list[StudyRow]]:
    """Rows by the line that they are on: of one codec's type, or of the same values of the axes that are not on x.

    A numeric axis that moves a measure on x is no line of its own.
    """
    lines: dict[str, list[StudyRow]] = {}
    for row in rows:
        others = [axis for axis in study.axes if axis != against]
        if against in MEASURES:
            others = [axis for axis in others if row.value(axis) is None]
        name = study.label(row, others)
        if against == "bytes_per_frame":
            name = name.partition(" ")[0]
        lines.setdefault(name, []).append(row)
    return lines
