"""report.html: one page that stands alone, with style and figures inside and nothing fetched."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import groupby

from asrkd.report import plots
from asrkd.report.drawing import Plot
from asrkd.report.schema import Report
from asrkd.report.sections import Page, page
from asrkd.report.sweep_plots import study_figures
from asrkd.report.tables import Column, Table

_TEMPLATE = "report.html.j2"


@dataclass(frozen=True)
class Cell:
    """A figure cut before its decimal point; ``tail`` gets the same width all down a column, so points align."""

    head: str
    tail: str


@dataclass(frozen=True)
class Heading:
    """A heading cell; ``span`` columns wide and ``rows`` rows high."""

    text: str
    span: int
    rows: int
    numeric: bool


def render_html(report: Report) -> str:
    """The report as a page."""
    studies = study_figures(report.sweep) if report.sweep else {}
    return html_page(page(report), plots.figures(report) | studies)


def html_page(page: Page, drawn: Mapping[str, Plot]) -> str:
    """A page with its figures by name. Text is escaped; figures come from matplotlib, which escapes its own."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    shown = [
        (section, [drawn[name] for name in section.figures if name in drawn])
        for section in page.sections
        if section.tables or any(name in drawn for name in section.figures)
    ]
    engine = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    engine.globals |= {"headings": headings, "widths": tail_widths, "cell": split_cell, "svg": lambda p: Markup(p.svg)}  # noqa: S704
    source = files("asrkd.report").joinpath(_TEMPLATE).read_text(encoding="utf-8")
    return engine.from_string(source).render(
        title=page.title,
        setting=page.setting,
        findings=page.findings,
        sections=shown,
        environment=page.environment,
    )


def split_cell(text: str) -> Cell:
    """``58.9 ± 0.3`` -> ``58`` and ``.9 ± 0.3``; what has no decimal point is all head."""
    head, point, tail = text.partition(".")
    return Cell(head, point + tail)


def tail_widths(table: Table) -> list[int]:
    """For each column the most characters that stand behind a decimal point."""
    return [
        max((len(split_cell(row[index]).tail) for row in table.rows), default=0) if column.numeric else 0
        for index, column in enumerate(table.columns)
    ]


def headings(columns: Sequence[Column]) -> list[list[Heading]]:
    """One row of headings, or two where columns are grouped."""
    if not any(column.group for column in columns):
        return [[Heading(column.name, 1, 1, column.numeric) for column in columns]]
    top: list[Heading] = []
    for group, members in groupby(columns, key=lambda column: column.group):
        inside = list(members)
        if group:
            top.append(Heading(group, len(inside), 1, True))
        else:
            top += [Heading(column.name, 1, 2, column.numeric) for column in inside]
    return [top, [Heading(column.name, 1, 1, column.numeric) for column in columns if column.group]]
