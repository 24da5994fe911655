"""Minima of convex functions over the simplex: weights that are not negative and sum to 1.

Newton's method: each step goes towards the minimum, over the simplex, of the quadratic that has the function's value,
gradient and Hessian, and is halved until the function falls by a part of what the gradient promises (Armijo 1966), so
that no step makes it larger. A convex function lies above its tangent: at weights w with gradient g no weights give
less than f(w) - gap, gap = g.w - min_m g_m (Frank and Wolfe 1956). The search ends where the gap is at most
`TOLERANCE`, and the gap that was reached is returned with the minimum.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Vector: TypeAlias = NDArray[np.float64]

TOLERANCE = 1e-6
_MAX_STEPS = 50
_PROMISED = 1e-4
_SMALLEST_STEP = 1e-3
_RIDGE = 1e-9
"""Added to the Hessian's diagonal, of which two weights that do the same have none between them."""


@dataclass(frozen=True)
class Derivatives:
    """A function's value, gradient (m,) and Hessian (m, m) somewhere."""

    value: float
    gradient: Vector
    hessian: Vector

    def gap(self, weights: Vector) -> float:
        """How far at most the value at ``weights`` lies above the minimum over the simplex."""
        return float(self.gradient @ weights - self.gradient.min())


@dataclass(frozen=True)
class Minimum:
    """``start`` is the value at equal weights; ``evaluations`` counts how often the function was computed."""

    weights: Vector
    value: float
    gap: float
    start: float
    evaluations: int


def minimise(evaluate: Callable[[Vector], Derivatives], size: int) -> Minimum:
    """Minimise a convex function of ``size`` weights, from equal ones on."""
    weights = np.full(size, 1 / size)
    here, evaluations = evaluate(weights), 1
    start = here.value
    for _ in range(_MAX_STEPS):
        if here.gap(weights) <= TOLERANCE:
            break
        direction, length = _quadratic_minimum(here, weights) - weights, 1.0
        promised = float(here.gradient @ direction)
        while length >= _SMALLEST_STEP:
            there, evaluations = evaluate(weights + length * direction), evaluations + 1
            if there.value <= here.value + _PROMISED * length * promised:
                break
            length /= 2
        else:
            break  # what is left is less than the function's rounding
        weights, here = weights + length * direction, there
    return Minimum(weights, here.value, here.gap(weights), start, evaluations)


def _quadratic_minimum(here: Derivatives, weights: Vector) -> Vector:
    """Where, on the simplex, the quadratic at ``weights`` is least."""
    from scipy.optimize import minimize

    hessian = here.hessian + _RIDGE * np.eye(len(weights))

    def quadratic(point: Vector) -> tuple[float, Vector]:
        step = point - weights
        slope = hessian @ step
        return float(here.gradient @ step + step @ slope / 2), here.gradient + slope

    found: Vector = minimize(
        quadratic,
        weights,
        jac=True,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * len(weights),
        constraints={"type": "eq", "fun": lambda point: point.sum() - 1, "jac": np.ones_like},
        options={"ftol": 1e-14, "maxiter": 200},
    ).x
    found = found.clip(0.0)
    return found / found.sum()
