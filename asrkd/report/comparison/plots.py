"""Confusions of phones as pictures: rows are aligned phones, columns predicted ones, in the order of their classes.

Colours go by steps that about double, since most cells are small and the diagonal is large; each step is one path of
the SVG, so that a picture of forty phones stays small.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from asrkd.report import formats
from asrkd.report.comparison.schema import Compared, ComparedSystem
from asrkd.report.drawing import HALF, WIDE, Drawing
from asrkd.report.tables import system_name, within

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

Matrix: TypeAlias = NDArray[np.float64]

_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
_BLUES = ("#dbe9f6", "#b3d1ea", "#7fb3d9", "#4290c4", "#1966a5", "#08306b")
_CHANGES = (0.01, 0.02, 0.05, 0.1)
_MORE = ("#c6dbef", "#6baed6", "#2171b5", "#08306b")
_LESS = ("#fdd9b5", "#fdae6b", "#e6550d", "#8c2d04")


def shares(counts: Sequence[Sequence[int]]) -> Matrix:
    """Frames as shares of the aligned phone's, shape (num_phones, num_phones); a phone without frames has zeros."""
    table = np.array(counts, np.float64)
    return table / np.maximum(table.sum(axis=1, keepdims=True), 1)


def _shown(compared: Compared) -> ComparedSystem:
    """Whose confusions: the first student's, else the last system's that has any."""
    known = [each for each in compared.systems if compared.confusions(each)]
    return compared.student if compared.student in known and compared.student else known[-1]


def _present(compared: Compared) -> NDArray[np.intp]:
    """Numbers of the phones that any frame is aligned to or predicted as."""
    assert compared.phones
    total = np.sum([np.array(matrix) for matrix in compared.phones.confusions.values()], axis=0)
    return np.flatnonzero(total.sum(axis=0) + total.sum(axis=1))


def _draw_shown(compared: Compared, figure: "Figure") -> None:
    _draw_confusions(compared, _shown(compared), figure, size=7.5)


def _draw_baseline(compared: Compared, figure: "Figure") -> None:
    assert compared.baseline
    _draw_confusions(compared, compared.baseline, figure, size=5)


def _draw_confusions(compared: Compared, system: ComparedSystem, figure: "Figure", size: float) -> None:
    counts = compared.confusions(system)
    assert counts
    axes = _phone_axes(compared, figure, size)
    present = _present(compared)
    key = _steps(axes, shares(counts)[np.ix_(present, present)], _STEPS, _BLUES)
    figure.legend(handles=key, loc="outside lower center", ncols=len(key), fontsize=size + 1)
    axes.set_title(f"{system_name(system.name)}: share of the aligned phone's frames, %")


def _draw_change(compared: Compared, figure: "Figure") -> None:
    student, baseline = compared.student, compared.baseline
    assert student
    assert baseline
    (ours, theirs), present = (compared.confusions(each) for each in (student, baseline)), _present(compared)
    assert ours
    assert theirs
    change = (shares(ours) - shares(theirs))[np.ix_(present, present)]
    axes = _phone_axes(compared, figure, 5)
    key = [*_steps(axes, change, _CHANGES, _LESS, -1)[::-1], *_steps(axes, change, _CHANGES, _MORE, 1)]
    figure.legend(handles=key, loc="outside lower center", ncols=4, fontsize=6)
    axes.set_title(f"{system_name(student.name)} {formats.MINUS} {within(system_name(baseline.name))}, points")


def _phone_axes(compared: Compared, figure: "Figure", size: float) -> "Axes":
    """Axes with a cell for each pair of phones, and lines between classes."""
    assert compared.phones
    phones = [compared.phones.classes[number] for number in _present(compared)]
    axes = figure.subplots()
    axes.set(xlim=(-0.5, len(phones) - 0.5), ylim=(len(phones) - 0.5, -0.5), aspect="equal")
    names = [each.phone for each in phones]
    axes.set_xticks(range(len(phones)), names, fontsize=size, rotation=90)
    axes.set_yticks(range(len(phones)), names, fontsize=size)
    axes.tick_params(length=0, pad=2)
    axes.grid(visible=False)
    axes.set_xlabel("Predicted", fontsize=size + 1.5)
    axes.set_ylabel("Aligned", fontsize=size + 1.5)
    start = 0
    for name, members in groupby(phones, key=lambda each: each.class_):
        end = start + len(list(members))
        if start:
            axes.axhline(start - 0.5, color="#b0b0b0", linewidth=0.6)
            axes.axvline(start - 0.5, color="#b0b0b0", linewidth=0.6)
        axes.text(len(phones) - 0.2, (start + end - 1) / 2, name, fontsize=size, va="center", color="#595959")
        start = end
    for side in ("top", "right"):
        axes.spines[side].set_visible(True)
    return axes


def _steps(
    axes: "Axes", values: Matrix, steps: Sequence[float], colours: Sequence[str], sign: int = 0
) -> "list[Patch]":
    """Paint cells by the step that their value reaches, and return the key; a ``sign`` of -1 paints those below 0."""
    from matplotlib.patches import Patch

    key, mark = [], {0: "", 1: "+", -1: formats.MINUS}[sign]
    reached = values if sign >= 0 else -values
    for low, high, colour in zip(steps, [*steps[1:], np.inf], colours, strict=True):
        _paint(axes, (reached >= low) & (reached < high), colour)
        beyond = "" if high < np.inf else " or less" if sign < 0 else " or more"
        key.append(Patch(color=colour, label=f"{mark}{100 * low:g}{beyond}"))
    return key


def _paint(axes: "Axes", cells: NDArray[np.bool_], colour: str) -> None:
    """Fill cells as one path."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    rows, columns = np.nonzero(cells)
    if not len(rows):
        return
    square = np.array([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5), (-0.5, -0.5)])
    corners = np.stack([columns, rows], axis=1)[:, None, :] + square
    codes = np.tile([Path.MOVETO, *[Path.LINETO] * 3, Path.CLOSEPOLY], len(rows))
    axes.add_patch(PathPatch(Path(corners.reshape(-1, 2), codes), facecolor=colour, linewidth=0))


def _has_pair(compared: Compared) -> bool:
    """Whether student and baseline both have confusions."""
    return bool(compared.confusions(compared.student) and compared.confusions(compared.baseline))


FIGURES: Mapping[str, Drawing[Compared]] = {
    "confusions": Drawing(
        _draw_shown,
        lambda compared: (WIDE, WIDE),
        lambda compared: bool(compared.phones and compared.phones.confusions),
        "Share of each aligned phone's frames that is predicted as each phone, in the order of the classes of phones.",
        "Look at what lies off the diagonal: blocks within a class are confusions of like sounds, the columns of "
        "silence are speech that is not heard. Cells below 1 % are left white.",
    ),
    "confusions-baseline": Drawing(
        _draw_baseline,
        lambda compared: (HALF, HALF + 0.5),
        _has_pair,
        "The same of the baseline.",
        "The baseline's, on the same scale; of several systems, their frames taken together.",
    ),
    "confusions-change": Drawing(
        _draw_change,
        lambda compared: (HALF, HALF + 0.5),
        _has_pair,
        "Confusions of the student minus those of the baseline, by phone.",
        "Blue is more often, orange less often than the baseline: better is blue on the diagonal and orange elsewhere.",
    ),
}
"""Every figure by name, in the order of the page."""
