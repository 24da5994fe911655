"""The comparison of finished systems: compare.json, compare.md and compare.html. Reads results only.

As for the report, `schema` checks, `tables` sorts and `plots` draws; `page` puts it together.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asrkd.report import write_page
from asrkd.report.comparison.page import page
from asrkd.report.comparison.plots import FIGURES
from asrkd.report.comparison.schema import parse_comparison
from asrkd.report.drawing import draw


def render_comparison(comparison: Mapping[str, Any], work: Path) -> None:
    """Write compare.json, compare.md and compare.html into ``work``; the same figures give the same bytes.

    Raises DataError for a figure that is missing, malformed, NaN or infinite.
    """
    parsed = parse_comparison(comparison)
    write_page(work, "compare", comparison, page(parsed), draw(FIGURES, parsed))
