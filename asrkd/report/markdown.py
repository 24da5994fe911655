"""report.md: the tables and the findings as plain text that also reads well unrendered."""

import re
from collections.abc import Sequence

from asrkd.report.findings import findings
from asrkd.report.schema import Report
from asrkd.report.sections import Section, environment, sections, setting, title
from asrkd.report.tables import Table


def render_markdown(report: Report) -> str:
    """The report without its figures, in GitHub's Markdown."""
    return render_text(title(report), setting(report), findings(report), sections(report), environment(report))


def render_text(heading: str, line: str, sentences: Sequence[str], parts: Sequence[Section], machine: str = "") -> str:
    """Sections' tables; `html.render_page` says what the rest is."""
    blocks = [f"# {_escape(heading)}", f"{_escape(line)}."]
    if sentences:
        blocks.append(_escape(" ".join(sentences)))
    for section in parts:
        if section.tables:
            blocks.append(f"## {_escape(section.title)}")
            blocks += [block for table in section.tables for block in _table(table, len(section.tables) > 1)]
    if machine:
        blocks.append(f"Environment: {_escape(machine)}.")
    return "\n\n".join(blocks) + "\n"


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
