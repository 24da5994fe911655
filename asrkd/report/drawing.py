"""Figures as inline SVG: the same bytes for the same data. Matplotlib is imported only to draw.

Text stays text, so that it takes the page's font and can be searched and read aloud.
"""

import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Data = TypeVar("Data")

WIDE, HALF = 8.8, 4.3
"""Inches: the page's whole width, and what two figures side by side get."""

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
class Drawing(Generic[Data]):
    """How a figure is drawn of some data, how large it is in inches, and whether the data are there."""

    draw: "Callable[[Data, Figure], None]"
    size: Callable[[Data], tuple[float, float]]
    known: Callable[[Data], bool]
    alt: str
    caption: str


def draw(drawings: Mapping[str, Drawing[Data]], data: Data) -> dict[str, Plot]:
    """Every figure that there are the data for, by name."""
    return {
        name: plot(name, partial(each.draw, data), each.size(data), alt=each.alt, caption=each.caption)
        for name, each in drawings.items()
        if each.known(data)
    }


def plot(name: str, draw: "Callable[[Figure], None]", size: tuple[float, float], *, alt: str, caption: str) -> Plot:
    """What ``draw`` draws on a figure of ``size``, in inches."""
    return Plot(name, alt, caption, _svg(name, draw, size), size[0] < WIDE)


def _svg(name: str, draw: "Callable[[Figure], None]", size: tuple[float, float]) -> str:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    buffer = io.StringIO()
    with rc_context(_SETTINGS):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
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
