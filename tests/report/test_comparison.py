"""compare.json as tables, pictures and pages: every part, the parts alone, hostile names, the same bytes twice."""

import copy
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asrkd.core.errors import DataError
from asrkd.report.comparison import render_comparison, tables
from asrkd.report.comparison.page import findings, page
from asrkd.report.comparison.plots import FIGURES, shares
from asrkd.report.comparison.schema import parse_comparison
from asrkd.report.drawing import draw
from asrkd.report.formats import ABSENT, MINUS
from asrkd.report.html import html_page
from asrkd.report.markdown import markdown_page
from asrkd.report.tables import Table

PHONES = [("AA", "vowels"), ("IY", "vowels"), ("T", "stops"), ("SIL", "silence"), ("SPN", "silence")]


def _rate(value: float, spread: float | None = None) -> dict[str, float | None]:
    return {"value": value, "low": value - 0.02, "high": value + 0.02, "spread": spread}


def _system(name: str, accuracy: float, wer: float, members: list[str]) -> dict[str, Any]:
    spread = 0.004 if len(members) > 1 else None
    rates = {"wer": wer, "ser": 3 * wer, "substitutions": wer / 2, "deletions": wer / 4, "insertions": wer / 4}
    rates |= {"frame_accuracy": accuracy, "speech_accuracy": accuracy - 0.1, "phone_accuracy": accuracy + 0.1}
    rates |= {"agreement": 0.7, "phone_agreement": 0.8, "class:vowels": accuracy - 0.2, "class:silence": 0.9}
    return {
        "name": name,
        "members": members,
        "rates": {measure: _rate(value, spread) for measure, value in rates.items()},
        "parameters": 500_000,
        "ece": 0.05,
        "speech_ece": 0.07,
        "errors": 1291 * wer,
        "missing": 0,
        "first_missing": None,
    }


def _pair(a: str, b: str, metric: str, difference: float) -> dict[str, Any]:
    bounds = {"low": difference - 0.01, "high": difference + 0.01}
    return {"a": a, "b": b, "metric": metric, "difference": difference, "p": 0.01, "p_holm": 0.03, **bounds}


def _confusions(right: int) -> list[list[int]]:
    counts = np.full((5, 5), 2) + np.diag([right] * 5)
    counts[4] = counts[:, 4] = 0
    return counts.tolist()


_NAMES = [("distilled", "baseline"), ("ensemble", "baseline"), ("distilled", "ensemble")]
_COMPARED: dict[str, Any] = {
    "words": {"utterances": 174, "words": 1291},
    "frames": {"utterances": 171, "frames": 45251, "speech_frames": 34915, "classes": {"vowels": 9, "silence": 7}},
    "roles": {"baseline": ["teacher.1", "teacher.2"], "teacher": "ensemble", "students": ["distilled"]},
    "systems": [
        _system("baseline", 0.36, 0.31, ["teacher.1", "teacher.2"]),
        _system("ensemble", 0.40, 0.27, ["ensemble"]),
        _system("distilled", 0.39, 0.28, ["distilled"]),
    ],
    "comparisons": [
        *(_pair(a, b, "wer", -0.03) for a, b in _NAMES),
        *(_pair(a, b, "frame_accuracy", 0.03) for a, b in _NAMES),
        *(_pair(a, b, "speech_accuracy", 0.02) for a, b in _NAMES),
        *(_pair(a, b, "class:vowels", 0.025) for a, b in _NAMES),
    ],
    "matched_pairs": [{"a": a, "b": b, "segments": 168, "mean": 0.2, "p": 0.004, "p_holm": 0.012} for a, b in _NAMES],
    "transfer": [
        {
            "student": "distilled",
            "measure": "frame_accuracy",
            "estimate": 0.75,
            "low": 0.6,
            "high": 0.9,
            "gain": {"estimate": 0.04, "low": 0.03, "high": 0.05, "p_value": 0.001},
            "reliable": True,
        }
    ],
    "phones": {
        "classes": [{"phone": phone, "class": name} for phone, name in PHONES],
        "unclassed": [],
        "shared_pdfs": 2,
        "confusions": {"baseline": _confusions(50), "ensemble": _confusions(70), "distilled": _confusions(60)},
    },
}


@pytest.fixture
def compared() -> dict[str, Any]:
    """A copy that a test may change."""
    return copy.deepcopy(_COMPARED)


def _rows(table: Table | None) -> dict[str, list[str]]:
    assert table is not None
    assert all(len(row) == len(table.columns) for row in table.rows)
    return {row[0]: list(row[1:]) for row in table.rows}


def _render(compared: dict[str, Any]) -> str:
    parsed = parse_comparison(compared)
    return html_page(page(parsed), draw(FIGURES, parsed))


def test_tables(compared: dict[str, Any]) -> None:
    parsed = parse_comparison(compared)
    frames = _rows(tables.frames_table(parsed))
    assert frames["Baseline, mean of 2"][:4] == ["0.50 M", "36.0 ± 0.4", "[34.0, 38.0]", "26.0 ± 0.4"]
    assert _rows(tables.calibration_table(parsed))["Ensemble"] == ["5.0", "7.0", ABSENT, ABSENT, ABSENT]
    assert _rows(tables.calibration_table(parsed))["Distilled"][2:] == ["70.0", "[68.0, 72.0]", "80.0"]
    assert _rows(tables.words_table(parsed))["Distilled"][:5] == ["28.0", "[26.0, 30.0]", "14.0", "7.0", "7.0"]
    assert _rows(tables.transfer_table(parsed))["Distilled"][1:] == ["+4.0", "[3.0, 5.0]", "75", "[60, 90]"]
    pair = _rows(tables.word_pairs_table(parsed))[f"Distilled {MINUS} baseline"]
    assert pair == [f"{MINUS}3.00", f"[{MINUS}4.00, {MINUS}2.00]", "0.010", "0.030", "168", "0.004", "0.012"]
    assert len(_rows(tables.frame_pairs_table(parsed))[f"Ensemble {MINUS} baseline"]) == 8
    assert _rows(tables.classes_table(parsed))["Vowels"] == ["9", "16.0", "20.0", "19.0", "+2.5", "[1.5, 3.5]"]
    confused = tables.confused_table(parsed)
    assert confused is not None
    assert confused.rows[0] == ["AA", "IY", "3.4", "2.6", "2.9"]
    assert len(confused.rows) == 12


def test_findings(compared: dict[str, Any]) -> None:
    said = findings(parse_comparison(compared))
    assert said[0] == "Of the teacher's gain in frame accuracy over the baseline, distilled keeps 75 % [60, 90]."
    assert said[1] == "It predicts the teacher's state in 70.0 % of the frames, the baseline in 70.0 %."
    assert said[2].replace(MINUS, "-") == (
        "From the baseline, distilled differs by -3.0 points of WER [-4.0, -2.0], which excludes 0."
    )
    compared["transfer"][0]["reliable"] = False
    assert "no gain over the baseline" in findings(parse_comparison(compared))[0]
    assert _rows(tables.transfer_table(parse_comparison(compared)))["Distilled"][3:] == [ABSENT, ABSENT]
    compared["comparisons"][0] |= {"low": -0.05, "high": 0.01}
    assert "does not exclude 0" in findings(parse_comparison(compared))[2]
    compared["roles"] = {"baseline": [], "teacher": None, "students": []}
    assert findings(parse_comparison(compared)) == []


def test_missing_hypotheses_and_unknown_phones_are_said(compared: dict[str, Any]) -> None:
    compared["systems"][2] |= {"missing": 3, "first_missing": "utt-7"}
    compared["phones"]["unclassed"] = ["XX"]
    text = markdown_page(page(parse_comparison(compared)))
    assert "Distilled: 3 utterances have no hypothesis, utt-7 first: deletions." in text
    assert "No class is known of XX" in text
    assert "2 tied states serve several phones" in text


def test_shares_are_of_the_aligned_phone() -> None:
    assert shares([[3, 1], [0, 0]]).tolist() == [[0.75, 0.25], [0, 0]]


def test_confusions_are_drawn_in_the_order_of_classes(compared: dict[str, Any]) -> None:
    drawn = draw(FIGURES, parse_comparison(compared))
    assert list(drawn) == ["confusions", "confusions-baseline", "confusions-change"]
    texts = ["".join(each.itertext()).strip() for each in ET.fromstring(drawn["confusions"].svg).iter("text")]
    assert texts[:4] == ["AA", "IY", "T", "SIL"]  # SPN has no frames
    assert "SPN" not in texts
    assert {"vowels", "stops", "silence", "50 or more"} <= set(texts)
    assert f"Distilled {MINUS} baseline, points" in drawn["confusions-change"].svg
    together = "".join(plot.svg for plot in drawn.values())
    ids = re.findall(r'\sid="([^"]+)"', together)
    assert len(ids) == len(set(ids))


def test_forty_phones_make_a_small_picture(compared: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    compared["phones"]["classes"] = [{"phone": f"P{n}", "class": f"class {n // 7}"} for n in range(40)]
    compared["phones"]["confusions"] = {
        name: rng.integers(1, 100, (40, 40)).tolist() for name in ("baseline", "ensemble", "distilled")
    }
    assert len(_render(compared)) < 600_000


@pytest.mark.parametrize("without", [["words"], ["frames", "phones"], ["phones"]])
def test_half_a_comparison(compared: dict[str, Any], without: list[str]) -> None:
    for key in without:
        compared[key] = None
    if "words" in without:
        compared["matched_pairs"] = []
        compared["comparisons"] = [each for each in compared["comparisons"] if each["metric"] != "wer"]
    if "frames" in without:
        compared["transfer"] = []
        compared["comparisons"] = [each for each in compared["comparisons"] if each["metric"] == "wer"]
    if "phones" in without and "frames" not in without:
        compared["frames"] |= {"speech_frames": None, "classes": {}}
    text = _render(compared)
    assert ("matched pairs" in text) == ("words" not in without)
    assert ("Calibration" in text) == ("frames" not in without)
    assert ("Confusions" in text) == ("phones" not in without)


def test_systems_without_roles(compared: dict[str, Any]) -> None:
    compared["roles"] = {}
    compared["transfer"] = []
    assert list(draw(FIGURES, parse_comparison(compared))) == ["confusions"]
    assert "Transfer" not in _render(compared)
    assert 'class="findings"' not in _render(compared)


def test_the_page_fetches_nothing_and_hostile_names_stay_text(compared: dict[str, Any]) -> None:
    hostile = "<script>alert('x')</script>\"&$|_"
    text = json.dumps(compared).replace('"distilled"', json.dumps(hostile)).replace('"IY"', json.dumps(hostile))
    page_text = _render(json.loads(text))
    assert "<script" not in page_text
    assert "&lt;script&gt;" in page_text
    assert not re.search(r"https?:|@import|url\((?!#)|<(link|img|iframe|object|image)", page_text)
    assert all(link.startswith("#") for link in re.findall(r'(?:src|href)="([^"]*)"', page_text))


def test_the_same_figures_give_the_same_bytes(compared: dict[str, Any], tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        render_comparison(copy.deepcopy(compared), tmp_path / name)
    written = {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()}
    assert written == {path.name: path.read_bytes() for path in (tmp_path / "b").iterdir()}
    assert set(written) == {"compare.json", "compare.md", "compare.html"}
    assert json.loads(written["compare.json"]) == compared


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("systems", 1, "rates", "wer", "low"), float("nan"), "systems.1.rates.wer.low is not a finite number"),
        (("systems", 1, "parameters"), "many", "systems.ensemble.parameters: .*valid integer"),
        (("systems",), [], "there are no systems"),
        (("phones", "confusions", "ensemble"), [[1]], "phones.confusions.ensemble is not 5 by 5"),
    ],
)
def test_figures_that_are_refused(compared: dict[str, Any], path: tuple[Any, ...], value: Any, message: str) -> None:
    node = compared
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    with pytest.raises(DataError, match=f"^comparison: {message}"):
        parse_comparison(compared)
