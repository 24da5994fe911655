"""report.md: the tables and the findings as plain text that also reads well unrendered."""

import re
from collections.abc import Sequence

from asrkd.report.schema import Report
from asrkd.report.sections import Page, page
from asrkd.report.tables import Table


def render_markdown(report: Report) -> str:
    """The report without its figures, in GitHub's Markdown."""
    return markdown_page(page(report))


def markdown_page(page: Page) -> str:
    """A page without its figures."""
    blocks = [f"# {_escape(page.title)}", f"{_escape(page.setting)}.", _escape(" ".join(page.findings))]
    for section in page.sections:
        if section.tables:
            blocks.append(f"## {_escape(section.title)}")
            blocks += [block for table in section.tables for block in _table(table, len(section.tables) > 1)]
    if page.environment:
        blocks.append(f"Environment: {_escape(page.environment)}.")
    return "\n\n".join(block for block in blocks if block) + "\n"


def _table(table: Table, captioned: bool) -> list[str]:
    rows = [[_escape(cell) for cell in row] for row in table.rows]
    if table.marked is not None:
        rows[table.marked] = [f"**{cell}**" for cell in rows[table.marked]]
    header = [_escape(column.heading) for column in table.columns]
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    rule = [
        "-" * (width - 1) + ":" if c.numeric else "-" * width for c, width in zip(table.columns, widths, strict=True)
    ]
    lines = [_line(row, widths, table) for row in (header, rule, *rows)]
    caption = [f"{_escape(table.caption)}:"] if captioned else []
    notes = [_escape(note) for note in table.notes]
    if table.marked is not None:
        notes.append("The chosen row is in bold.")
    return [*caption, "\n".join(lines), *notes]


def _line(cells: Sequence[str], widths: Sequence[int], table: Table) -> str:
    padded = [
        cell.rjust(width) if column.numeric else cell.ljust(width)
        for cell, width, column in zip(cells, widths, table.columns, strict=True)
    ]
    return f"| {' | '.join(padded)} |"


def _escape(text: str) -> str:
    """No markup, HTML or cell border out of a name; no line of its own either."""
    text = re.sub(r"<(?=[a-zA-Z/!?])", "&lt;", " ".join(text.split()).replace("&", "&amp;"))
    return re.sub(r"([\\`*_|])", r"\\\1", text).replace("](", "]\\(")
