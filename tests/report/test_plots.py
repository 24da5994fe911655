import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from asrkd.report.plots import FIGURES, figures
from asrkd.report.schema import parse_report

Report = dict[str, Any]


def _texts(svg: str) -> list[str]:
    return ["".join(element.itertext()).strip() for element in ET.fromstring(svg).iter() if element.tag == "text"]


def test_every_figure_is_sound_and_keeps_its_text(report: Report) -> None:
    drawn = figures(parse_report(report))
    assert list(drawn) == list(FIGURES)
    assert {"Baseline", "Ensemble", "Distilled", "Distilled, small"} <= set(_texts(drawn["systems"].svg))
    assert {"Teachers (5)", "Ensemble, ECE 2.1 %"} <= set(_texts(drawn["reliability"].svg))
    assert {"alpha = 0.5", "alpha = 0.9"} <= set(_texts(drawn["tuning"].svg))
    assert {"First teachers, averaged", "Mean single net", "Distilled", "5"} <= set(_texts(drawn["growing"].svg))
    assert {"corpus", "50.1 s", "402.7 s (0:06:43)"} <= set(_texts(drawn["seconds"].svg))


def test_a_schedule_has_a_line_of_its_own_in_the_tuning(report: Report) -> None:
    for trial in report["tuning"][:2]:
        trial["alpha"] = "1 to 0.5, linear"
    texts = _texts(figures(parse_report(report))["tuning"].svg)
    assert {"alpha = 0.5", "alpha = 0.9", "alpha = 1 to 0.5, linear"} <= set(texts)


def test_ids_are_unique_over_all_figures_and_references_lead_somewhere(report: Report) -> None:
    together = "".join(plot.svg for plot in figures(parse_report(report)).values())
    ids = re.findall(r'\sid="([^"]+)"', together)
    assert len(ids) == len(set(ids))
    assert {*re.findall(r"url\(#([^)]+)\)", together), *re.findall(r'href="#([^"]+)"', together)} <= set(ids)


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("growing", "growing"),
        ("tuning", "tuning"),
        ("curves", "curves"),
        ("calibration", "reliability"),
        ("temperature_curves", "temperature"),
    ],
)
def test_what_is_absent_is_not_drawn(report: Report, key: str, name: str) -> None:
    del report[key]
    assert name not in figures(parse_report(report))


def test_names_are_text_even_where_they_look_like_formulas(report: Report) -> None:
    report["seconds"] = {r"$\frac{<b>": 1.0}
    report["curves"] = {"_odd$": report["curves"]["distilled"][:1]}
    drawn = figures(parse_report(report))
    assert r"$\frac{<b>" in _texts(drawn["seconds"].svg)
    assert "odd$" in _texts(drawn["curves"].svg)


def test_reading_the_report_does_not_import_matplotlib() -> None:
    code = "import sys, asrkd.report; sys.exit('matplotlib' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_one_teacher_alone_is_no_curve(report: Report) -> None:
    report["growing"] = report["growing"][:1]
    assert "growing" not in figures(parse_report(report))


def test_a_growing_ensemble_without_intervals(report: Report) -> None:
    for row in report["growing"]:
        for metric in ("frame_accuracy", "wer"):
            del row[metric]["low"], row[metric]["high"]
    assert "growing" in figures(parse_report(report))
