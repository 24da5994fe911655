"""Minima over the simplex: known ones, inside and on its edge, with a gap that bounds what is left."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrkd.targets.simplex import TOLERANCE, Derivatives, Vector, minimise


def distance_to(target: list[float]) -> Derivatives | object:
    """Half the squared distance to ``target``, as a function of the weights."""
    wanted = np.array(target)

    def evaluate(weights: Vector) -> Derivatives:
        step = weights - wanted
        return Derivatives(float(step @ step) / 2, step, np.eye(len(wanted)))

    return evaluate


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ([0.2, 0.3, 0.5], [0.2, 0.3, 0.5]),
        ([1.5, 0.5, 0.0], [1.0, 0.0, 0.0]),  # the projection onto the simplex
        ([0.4, 0.4, -1.0], [0.5, 0.5, 0.0]),
        ([1.0], [1.0]),
    ],
)
def test_nearest_point_of_the_simplex(target: list[float], expected: list[float]) -> None:
    found = minimise(distance_to(target), len(target))  # type: ignore[arg-type]
    np.testing.assert_allclose(found.weights, expected, atol=1e-5)
    assert found.weights.sum() == pytest.approx(1)
    assert (found.weights >= 0).all()
    assert 0 <= found.gap <= TOLERANCE


@given(seed=st.integers(0, 1000), size=st.integers(2, 6))
def test_log_sum_exp_of_random_slopes_falls_to_within_the_gap_of_every_point(seed: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    slopes = 5 * rng.normal(size=(8, size))
    values: list[float] = []

    def evaluate(weights: Vector) -> Derivatives:
        logits = slopes @ weights
        shares = np.exp(logits - logits.max())
        value = float(np.log(shares.sum()) + logits.max())
        shares /= shares.sum()
        mean = shares @ slopes
        centred = slopes - mean
        return Derivatives(value, mean, (shares[:, None] * centred).T @ centred)

    def counted(weights: Vector) -> Derivatives:
        here = evaluate(weights)
        values.append(here.value)
        return here

    found = minimise(counted, size)
    assert found.evaluations == len(values)
    assert found.start == values[0]
    assert found.value <= found.start
    assert found.gap <= TOLERANCE
    others = rng.dirichlet(np.ones(size), 50)
    assert min(evaluate(other).value for other in others) >= found.value - found.gap - 1e-12


def test_a_step_that_is_too_long_is_halved() -> None:
    """Far from the minimum this function's curvature is nearly 0, and Newton's step would leave for the edge."""

    def evaluate(weights: Vector) -> Derivatives:
        x = 100 * (weights[0] - 0.45)
        value, slope, curvature = float(np.hypot(1, x)), x / np.hypot(1, x), (1 + x * x) ** -1.5
        return Derivatives(value, np.array([100 * slope, 0.0]), np.array([[1e4 * curvature, 0.0], [0.0, 0.0]]))

    found = minimise(evaluate, 2)
    assert found.weights[0] == pytest.approx(0.45, abs=1e-6)
    assert found.evaluations > 4
