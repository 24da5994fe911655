"""The report: one folder with report.json, report.md and a page that needs nothing else. Reads results only.

`render` checks the figures (`schema`), writes each once (`formats`), sorts them into tables (`tables`), says in plain
words what was found (`findings`) and draws (`plots`); `markdown` and `html` lay that out.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asrkd.core.config import parse
from asrkd.core.files import atomic_write, write_json
from asrkd.report.drawing import Plot
from asrkd.report.html import html_page, render_html
from asrkd.report.markdown import markdown_page, render_markdown
from asrkd.report.schema import parse_report
from asrkd.report.sections import Page, study_sections
from asrkd.report.sweep_plots import study_figures
from asrkd.report.sweep_schema import Sweep


def render(report: Mapping[str, Any], work: Path) -> None:
    """Write report.json, report.md and report.html into ``work``; the same report gives the same bytes.

    Raises DataError for a figure that is missing, malformed, NaN or infinite (see `schema.Report`).
    """
    parsed = parse_report(report)
    _write(work, "report", report, render_markdown(parsed), render_html(parsed))


def render_sweep(results: Mapping[str, Any], output: Path) -> None:
    """Write sweep.json, sweep.md and sweep.html into ``output``."""
    sweep = parse(Sweep, results, "sweep")
    page = Page(sweep.title, sweep.setting, sweep.findings, study_sections(sweep))
    write_page(output, "sweep", results, page, study_figures(sweep))


def write_page(folder: Path, name: str, content: Mapping[str, Any], page: Page, drawn: Mapping[str, Plot]) -> None:
    """Write ``name`` .json, .md and .html into a folder; ``drawn`` are the page's figures by name."""
    _write(folder, name, content, markdown_page(page), html_page(page, drawn))


def _write(folder: Path, name: str, content: Mapping[str, Any], markdown: str, html: str) -> None:
    write_json(folder / f"{name}.json", content)
    for suffix, text in (("md", markdown), ("html", html)):
        with atomic_write(folder / f"{name}.{suffix}") as file:
            file.write(text)
