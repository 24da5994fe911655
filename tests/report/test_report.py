import math
from pathlib import Path
from typing import Any

import pytest

from asrkd.core.errors import DataError
from asrkd.core.files import read_json
from asrkd.report import render

Report = dict[str, Any]

NAMES = ["report.html", "report.json", "report.md"]


def test_three_files_and_the_figures_as_they_came(report: Report, tmp_path: Path) -> None:
    report["unknown"] = {"kept": [1, 2]}
    render(report, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == NAMES
    assert read_json(tmp_path / "report.json") == report


def test_the_same_report_gives_the_same_bytes(report: Report, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        render(report, tmp_path / name)
    for name in NAMES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_the_least_that_a_report_may_hold(report: Report, tmp_path: Path) -> None:
    needed = ["recipe", "num_pdfs", "num_teachers", "temperature", "systems", "transfer_ratio", "comparisons"]
    least = {key: report[key] for key in [*needed, "soft_targets", "seconds"]}
    render(least, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == NAMES


def test_nothing_is_written_of_a_report_that_is_refused(report: Report, tmp_path: Path) -> None:
    report["systems"][2]["wer"]["test"] = math.nan
    with pytest.raises(DataError, match="not a finite number"):
        render(report, tmp_path)
    assert list(tmp_path.iterdir()) == []
