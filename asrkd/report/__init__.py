"""The report: one folder with report.json, report.md and a page that needs nothing else. Reads results only.

`render` checks the figures (`schema`), writes each once (`formats`), sorts them into tables (`tables`), says in plain
words what was found (`findings`) and draws (`plots`); `markdown` and `html` lay that out.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asrkd.core.config import parse
from asrkd.core.files import atomic_write, write_json
from asrkd.report.html import render_html, render_page
from asrkd.report.markdown import render_markdown, render_text
from asrkd.report.schema import parse_report
from asrkd.report.sections import study_sections
from asrkd.report.sweep_plots import study_figures
from asrkd.report.sweep_schema import Sweep


def render(report: Mapping[str, Any], work: Path) -> None:
    """Write report.json, report.md and report.html into ``work``; the same report gives the same bytes.

    Raises DataError for a figure that is missing, malformed, NaN or infinite (see `schema.Report`).
    """
    parsed = parse_report(report)
    markdown, page = render_markdown(parsed), render_html(parsed)
    _write(work, "report", report, markdown, page)


def render_sweep(results: Mapping[str, Any], output: Path) -> None:
    """Write sweep.json, sweep.md and sweep.html into ``output``."""
    sweep = parse(Sweep, results, "sweep")
    heading, parts = "Studies", study_sections(sweep)
    markdown = render_text(heading, sweep.setting, sweep.findings, parts)
    page = render_page(heading, sweep.setting, sweep.findings, parts, study_figures(sweep))
    _write(output, "sweep", results, markdown, page)


def _write(folder: Path, name: str, content: Mapping[str, Any], markdown: str, page: str) -> None:
    write_json(folder / f"{name}.json", content)
    for suffix, text in (("md", markdown), ("html", page)):
        with atomic_write(folder / f"{name}.{suffix}") as file:
            file.write(text)
