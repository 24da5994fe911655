"""The report: one folder with report.json, report.md and a page that needs nothing else. Reads results only.

`render` checks the figures (`schema`), writes each once (`formats`), sorts them into tables (`tables`), says in plain
words what was found (`findings`) and draws (`plots`); `markdown` and `html` lay that out.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asrkd.core.files import atomic_write, write_json
from asrkd.report.html import render_html
from asrkd.report.markdown import render_markdown
from asrkd.report.schema import parse_report


def render(report: Mapping[str, Any], work: Path) -> None:
    """Write report.json, report.md and report.html into ``work``; the same report gives the same bytes.

    Raises DataError for a figure that is missing, malformed, NaN or infinite (see `schema.Report`).
    """
    parsed = parse_report(report)
    markdown, page = render_markdown(parsed), render_html(parsed)
    write_json(work / "report.json", report)
    for name, text in (("report.md", markdown), ("report.html", page)):
        with atomic_write(work / name) as file:
            file.write(text)
