from typing import Any

import pytest

from asrkd.report.findings import findings
from asrkd.report.schema import parse_report

Report = dict[str, Any]

MINUS = "\N{MINUS SIGN}"


def _text(report: Report) -> str:
    return " ".join(findings(parse_report(report)))


def _set(report: Report, a: str, metric: str, *, difference: float, low: float, high: float) -> None:
    """Change the comparison of ``a`` with the baseline."""
    for each in report["comparisons"]:
        if (each["a"], each["b"], each["metric"]) == (a, "baseline", metric):
            each |= {"difference": difference, "low": low, "high": high}


def test_a_gain_that_is_kept(report: Report) -> None:
    text = _text(report)
    assert "The ensemble of 5 is above the mean single net by 2.1 points of frame accuracy [1.7, 2.5]" in text
    assert "(61.0 % against 58.9 %)" in text
    assert "keeps 86 % [71, 101] of that gain with a fifth of the ensemble's parameters." in text


def test_a_gain_that_is_not_there(report: Report) -> None:
    _set(report, "ensemble", "frame_accuracy", difference=0.001, low=-0.003, high=0.005)
    text = _text(report)
    assert "not told apart in frame accuracy" in text
    assert f"+0.1 points [{MINUS}0.3, 0.5] includes 0" in text
    assert "no share of it to state" in text
    assert "86 %" not in text


def test_a_gain_of_the_wrong_sign(report: Report) -> None:
    _set(report, "ensemble", "frame_accuracy", difference=-0.021, low=-0.025, high=-0.017)
    text = _text(report)
    assert "is below the mean single net by 2.1 points of frame accuracy [1.7, 2.5]" in text
    assert "no share of it to state" in text


@pytest.mark.parametrize(
    ("value", "low", "high", "expected"),
    [
        (-0.2, -0.5, 0.1, f"keeps none of that gain (share {MINUS}20 % [{MINUS}50, 10])"),
        (0.1, -0.2, 0.4, "a share that the interval does not tell from none"),
        (1.1, 0.9, 1.3, "keeps 110 % [90, 130] of that gain"),
    ],
)
def test_shares_outside_the_usual(report: Report, value: float, low: float, high: float, expected: str) -> None:
    report["transfer_ratio"] = {"value": value, "low": low, "high": high}
    assert expected in _text(report)


def test_no_ratio(report: Report) -> None:
    report["transfer_ratio"] = {"value": None, "low": None, "high": None}
    assert "no share of it to state" in _text(report)


@pytest.mark.parametrize(
    ("difference", "low", "high", "expected"),
    [
        (-0.004, -0.009, 0.001, "does not exclude 0: on 4,321 words the two are not told apart"),
        (-0.006, -0.009, -0.003, "excludes 0: it gets fewer words wrong"),
        (0.006, 0.003, 0.009, "excludes 0: it gets more words wrong"),
    ],
)
def test_words(report: Report, difference: float, low: float, high: float, expected: str) -> None:
    _set(report, "distilled", "wer", difference=difference, low=low, high=high)
    text = _text(report)
    assert "10.9 % for the mean single net, 10.3 % for the ensemble and 10.5 % for the distilled net" in text
    assert expected in text[text.index("The distilled net's difference") :]


def test_without_comparisons_no_effect_is_claimed(report: Report) -> None:
    report["comparisons"] = []
    text = _text(report)
    assert "differs from the mean single net by +2.1 points" in text
    assert "excludes 0" not in text


def test_without_a_small_net_it_is_not_mentioned(report: Report) -> None:
    assert "small" in _text(report)
    report["systems"].pop()
    assert "small" not in _text(report)
