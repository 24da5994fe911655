"""The comparison of finished systems: compare.json, compare.md and compare.html. Reads results only.

As for the report, `schema` checks, `tables` sorts and `plots` draws; `page` puts it together.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asrkd.core.files import atomic_write, write_json
from asrkd.report.comparison.page import page
from asrkd.report.comparison.plots import FIGURES
from asrkd.report.comparison.schema import parse_comparison
from asrkd.report.drawing import draw
from asrkd.report.html import html_page
from asrkd.report.markdown import markdown_page


def render_comparison(comparison: Mapping[str, Any], work: Path) -> None:
    """Write compare.json, compare.md and compare.html into ``work``; the same figures give the same bytes.

    Raises DataError for a figure that is missing, malformed, NaN or infinite.
    """
    parsed = parse_comparison(comparison)
    said = page(parsed)
    markdown, html = markdown_page(said), html_page(said, draw(FIGURES, parsed))
    write_json(work / "compare.json", comparison)
    for name, text in (("compare.md", markdown), ("compare.html", html)):
        with atomic_write(work / name) as file:
            file.write(text)
