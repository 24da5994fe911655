import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrkd.report import formats

MINUS = "\N{MINUS SIGN}"


@pytest.mark.parametrize(
    ("fraction", "text"),
    [(0.589, "58.9"), (0.0, "0.0"), (1.0, "100.0"), (-0.0004, "0.0"), (-0.002, f"{MINUS}0.2"), (None, "\N{EN DASH}")],
)
def test_percent(fraction: float | None, text: str) -> None:
    assert formats.percent(fraction) == text


@pytest.mark.parametrize(
    ("fraction", "text"), [(0.021, "+2.1"), (-0.002, f"{MINUS}0.2"), (0.0, "0.0"), (0.0001, "0.0"), (-0.0001, "0.0")]
)
def test_points_carry_their_sign(fraction: float, text: str) -> None:
    assert formats.points(fraction) == text


def test_intervals() -> None:
    assert formats.interval(0.017, 0.025) == "[1.7, 2.5]"
    assert formats.interval(-0.0012, 0.0049, 2) == f"[{MINUS}0.12, 0.49]"
    assert formats.interval(None, 0.5) == "\N{EN DASH}"


def test_an_interval_that_just_excludes_zero_shows_it() -> None:
    assert formats.clear_interval(0.0003, 0.004) == "[0.03, 0.40]"
    assert formats.clear_interval(-0.004, -0.0003) == f"[{MINUS}0.40, {MINUS}0.03]"
    assert formats.clear_interval(0.017, 0.025) == "[1.7, 2.5]"


@pytest.mark.parametrize(("p", "text"), [(0.0, "<0.001"), (0.00099, "<0.001"), (0.001, "0.001"), (0.172, "0.172")])
def test_p_values(p: float, text: str) -> None:
    assert formats.p_value(p) == text


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (1, 5, "a fifth of"),
        (100, 1001, "a tenth of"),
        (1, 2, "half of"),
        (37, 100, "37 % of"),
        (4, 1000, "0.4 % of"),
        (7, 7, "as many"),
        (7, 5, "1.4 times"),
    ],
)
def test_share_in_words(part: int, whole: int, text: str) -> None:
    assert formats.share(part, whole) == text


def test_counts_parameters_and_durations() -> None:
    assert formats.count(4321) == "4,321"
    assert formats.count(471.2) == "471.2"
    assert formats.parameters(1_523_456) == "1.52 M"
    assert formats.parameters(999) == "999"
    assert formats.duration(50.1) == "50.1 s"
    assert formats.duration(3725) == "3,725.0 s (1:02:05)"


@given(st.floats(-10, 10))
def test_percent_is_the_fraction_and_has_one_decimal(fraction: float) -> None:
    text = formats.percent(fraction)
    assert abs(float(text.replace(MINUS, "-").replace(",", "")) - 100 * fraction) <= 0.0501
    assert text not in {"-0.0", f"{MINUS}0.0"}
