"""A weight that changes with the progress of the training, and with nothing else."""

import itertools
import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asrkd.core.errors import ConfigError
from asrkd.losses.mixing import SoftLoss, alpha_of
from asrkd.losses.schedule import Schedule
from tests.losses.soft import DIVERGENCES, batch, logits_of, soft_loss, sparse

UNIT = st.floats(0, 1)


@pytest.mark.parametrize(
    ("schedule", "values"),
    [
        (Schedule(0.9, 0.9), [0.9, 0.9, 0.9, 0.9]),
        (Schedule(1.0, 0.5), [1.0, 0.875, 0.75, 0.5]),
        (Schedule(0.2, 1.0, "cosine"), [0.2, 0.6 - 0.4 * math.cos(math.pi / 4), 0.6, 1.0]),
        (Schedule(1.0, 0.0, "step"), [1.0, 1.0, 0.0, 0.0]),
        (Schedule(1.0, 0.0, "step", 0.25), [1.0, 0.0, 0.0, 0.0]),
        (Schedule(1.0, 0.0, "step", 1.0), [1.0, 1.0, 1.0, 0.0]),
    ],
)
def test_values_at_the_start_a_quarter_half_and_the_end(schedule: Schedule, values: list[float]) -> None:
    assert [schedule.value(progress) for progress in (0.0, 0.25, 0.5, 1.0)] == pytest.approx(values)


@given(start=UNIT, end=UNIT, kind=st.sampled_from(["linear", "cosine", "step"]), progress=st.tuples(UNIT, UNIT))
def test_it_goes_from_start_to_end_and_never_back(start: float, end: float, kind: Any, progress: Any) -> None:
    schedule = Schedule(start, end, kind)
    values = [schedule.value(each) for each in (0.0, *sorted(progress), 1.0)]
    assert values[0] == start
    assert values[-1] == pytest.approx(end)
    steps = [(b - a) * (end - start) for a, b in itertools.pairwise(values)]
    assert all(step >= -1e-12 for step in steps)
    assert all(0 <= value <= 1 + 1e-12 for value in values)


@pytest.mark.parametrize("name", sorted(DIVERGENCES))
def test_a_loss_takes_its_weight_from_the_progress(name: str) -> None:
    changing = soft_loss(name, alpha={"start": 1.0, "end": 0.5})
    z, soft = logits_of(0), sparse(torch.softmax(logits_of(1) / 2, -1), 4)
    labels = [0, 1, 2, 3, 4]
    for progress in (0.5, 0.0, 1.0, 0.5):  # in any order: nothing is kept
        fixed = soft_loss(name, alpha=1.0 - 0.5 * progress)
        expected = fixed(z, batch(soft, labels))
        torch.testing.assert_close(changing(z, batch(soft, labels, progress)), expected, rtol=0, atol=0)


def test_what_configurations_and_reports_have_for_it() -> None:
    number, schedule = (soft_loss("distillation", alpha=alpha) for alpha in (1, {"start": 1, "end": 0.5}))
    assert isinstance(number, SoftLoss)
    assert isinstance(schedule, SoftLoss)
    assert number.alpha.section() == number.alpha.label() == 1.0
    assert schedule.alpha.section() == {"start": 1.0, "end": 0.5, "type": "linear", "at": None}
    assert schedule.alpha.label() == "1 to 0.5, linear"
    assert Schedule(0, 1, "step", 0.25).label() == "0 to 1, step at 0.25"
    again = soft_loss("distillation", alpha=schedule.alpha.section())
    assert isinstance(again, SoftLoss)
    assert again.alpha == schedule.alpha


def test_alpha_of_any_section() -> None:
    assert alpha_of({}) is None
    assert alpha_of({"type": "distillation"}) == 0.9
    assert alpha_of({"type": "reverse_kl", "alpha": {"start": 0, "end": 1, "type": "cosine"}}) == "0 to 1, cosine"


@pytest.mark.parametrize(
    ("alpha", "message"),
    [
        ("half", "alpha: input should be a number from 0 to 1, .* .given 'half'"),
        (True, "alpha: input should be a number from 0 to 1"),
        ({"start": 1.0}, "alpha.end: field required"),
        ({"start": 1.0, "end": -0.5}, "alpha.end: .* greater than or equal to 0"),
        ({"start": 1.0, "end": 0.5, "typ": "step"}, "unknown key 'alpha.typ'; did you mean 'type'"),
        ({"start": 1.0, "end": 0.5, "type": "exponential"}, "alpha.type: input should be 'linear', 'cosine' or 'step'"),
        ({"start": 1.0, "end": 0.5, "at": 0.3}, "alpha: `at` is for type: step"),
        ({"start": 1.0, "end": 0.5, "type": "step", "at": 3}, "alpha.at: .* less than or equal to 1"),
    ],
)
def test_impossible_schedules(alpha: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=f"loss: {message}"):
        soft_loss("distillation", alpha=alpha)
