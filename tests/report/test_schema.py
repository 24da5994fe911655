import math
from typing import Any

import pytest

from asrkd.core.errors import DataError
from asrkd.report.schema import parse_report

Report = dict[str, Any]

REQUIRED = [
    "recipe",
    "num_pdfs",
    "num_teachers",
    "temperature",
    "systems",
    "transfer_ratio",
    "comparisons",
    "soft_targets",
    "seconds",
]


def test_systems_and_comparisons_are_found_by_name(report: Report) -> None:
    parsed = parse_report(report)
    ensemble = parsed.system("ensemble")
    assert ensemble is not None
    assert ensemble.parameters == 7_617_280
    assert parsed.system("nothing") is None
    comparison = parsed.comparison("distilled", "baseline", "wer")
    assert comparison is not None
    assert comparison.difference == -0.0037
    assert parsed.comparison("baseline", "distilled", "wer") is None


@pytest.mark.parametrize("key", REQUIRED)
def test_a_missing_required_key_is_named(report: Report, key: str) -> None:
    del report[key]
    with pytest.raises(DataError, match=f"report: {key} is missing"):
        parse_report(report)


@pytest.mark.parametrize(
    "key",
    sorted({"alpha", "data", "growing", "combinations", "tuning", "curves", "calibration", "paper", "environment"}),
)
def test_any_other_key_may_be_absent(report: Report, key: str) -> None:
    del report[key]
    parse_report(report)


def test_a_missing_key_inside_a_system_names_the_system(report: Report) -> None:
    del report["systems"][3]["wer"]["test"]
    with pytest.raises(DataError, match=r"systems\.distilled\.wer\.test is missing"):
        parse_report(report)


def test_a_net_must_have_frame_accuracy_and_the_gmm_need_not(report: Report) -> None:
    assert "frame_accuracy" not in report["systems"][0]
    parse_report(report)
    del report["systems"][2]["frame_accuracy"]
    with pytest.raises(DataError, match=r"ensemble\.frame_accuracy is missing"):
        parse_report(report)


def test_a_missing_system_is_named(report: Report) -> None:
    report["systems"] = [each for each in report["systems"] if each["name"] != "distilled"]
    with pytest.raises(DataError, match="no 'distilled'"):
        parse_report(report)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_named(report: Report, value: float) -> None:
    report["curves"]["teacher.2"][3]["dev_cross_entropy"] = value
    with pytest.raises(DataError, match=r"curves\.teacher\.2\.3\.dev_cross_entropy is not a finite number"):
        parse_report(report)


def test_a_number_that_is_not_finite_is_found_in_unknown_keys_too(report: Report) -> None:
    report["extra"] = (1.0, math.nan)
    with pytest.raises(DataError, match=r"extra\.1"):
        parse_report(report)


def test_text_for_a_number_is_refused_with_its_value(report: Report) -> None:
    report["num_pdfs"] = "480"
    with pytest.raises(DataError, match=r"num_pdfs.*'480'"):
        parse_report(report)


def test_what_json_cannot_hold_is_refused(report: Report) -> None:
    report["seconds"] = {"corpus": object()}
    with pytest.raises(DataError, match="JSON"):
        parse_report(report)
