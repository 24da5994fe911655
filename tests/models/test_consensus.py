"""What generalist and specialists agree on, against a slow search and the conditions of the minimum."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize

from asrkd.core.errors import DataError
from asrkd.models.consensus import Opinion, consensus

NUM_PDFS = 7
SETS = ([0, 1, 2], [1, 2, 3, 4], [2, 5], [2, 1, 6, 0])


def log_posteriors(rng: np.random.Generator, frames: int, width: int, scale: float) -> torch.Tensor:
    return torch.log_softmax(torch.from_numpy(scale * rng.normal(size=(frames, width))), 1)


def case(seed: int, specialists: int, scale: float = 2.0, frames: int = 1) -> tuple[torch.Tensor, list[Opinion]]:
    rng = np.random.default_rng(seed)
    opinions = [
        Opinion(log_posteriors(rng, frames, len(pdfs) + 1, scale), torch.tensor(pdfs)) for pdfs in SETS[:specialists]
    ]
    return log_posteriors(rng, frames, NUM_PDFS, scale), opinions


def summed_kl(log_q: NDArray[np.float64], log_p: torch.Tensor, opinions: list[Opinion], frame: int) -> float:
    """The paper's equation 5, as it is written there."""
    q = np.exp(log_q)
    p = log_p[frame].exp().numpy()
    total = float((p * np.log(p / q)).sum())
    for opinion in opinions:
        pdfs = opinion.pdfs.numpy()
        lumped = np.append(q[pdfs], np.delete(q, pdfs).sum())
        p = opinion.log_p[frame].exp().numpy()
        total += float((p * np.log(p / lumped)).sum())
    return total


def searched(log_p: torch.Tensor, opinions: list[Opinion], frame: int) -> NDArray[np.float64]:
    """The least found by gradient descent over the logits of q, as in the paper."""

    def value(logits: NDArray[np.float64]) -> float:
        return summed_kl(logits - np.logaddexp.reduce(logits), log_p, opinions, frame)

    start = np.zeros(NUM_PDFS)
    found = minimize(value, start, method="BFGS", options={"gtol": 1e-9, "maxiter": 2000}).x
    return found - np.logaddexp.reduce(found)


@pytest.mark.parametrize("specialists", [1, 2, 3, 4])
@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_least_that_a_slow_search_finds(specialists: int, seed: int) -> None:
    log_p, opinions = case(seed, specialists, frames=2)
    log_q = consensus(log_p, opinions).numpy()
    for frame in range(2):
        slow = searched(log_p, opinions, frame)
        ours, theirs = (summed_kl(each, log_p, opinions, frame) for each in (log_q[frame], slow))
        assert ours <= theirs + 1e-12
        np.testing.assert_allclose(np.exp(log_q[frame]), np.exp(slow), atol=2e-5)


@given(st.integers(0, 10_000), st.integers(1, 4), st.sampled_from([0.1, 1.0, 5.0, 30.0, 300.0]))
def test_conditions_of_the_minimum_hold_however_sure_the_nets_are(seed: int, specialists: int, scale: float) -> None:
    """EM leaves the maximum of a likelihood where it is: one step of it from q gives q."""
    log_p, opinions = case(seed, specialists, scale, frames=20)
    log_q = consensus(log_p, opinions)
    q, step = log_q.exp(), log_p.exp()
    assert torch.isfinite(log_q).all()
    for opinion in opinions:
        outside = torch.ones(NUM_PDFS, dtype=torch.bool)
        outside[opinion.pdfs] = False
        step[:, opinion.pdfs] += opinion.log_p[:, :-1].exp()
        step[:, outside] += opinion.log_p[:, -1:].exp() * torch.softmax(log_q[:, outside], 1)
    torch.testing.assert_close(q.sum(1), torch.ones(20, dtype=torch.float64))
    torch.testing.assert_close(step / (1 + specialists), q, rtol=0, atol=1e-9)


def test_specialists_that_agree_with_the_generalist_change_nothing() -> None:
    log_p, opinions = case(0, 3, frames=5)
    same = []
    for opinion in opinions:
        lumped = log_p.index_fill(1, opinion.pdfs, -torch.inf).logsumexp(1, keepdim=True)
        same.append(Opinion(torch.cat([log_p[:, opinion.pdfs], lumped], 1), opinion.pdfs))
    torch.testing.assert_close(consensus(log_p, same), log_p)
    assert consensus(log_p, []) is log_p


def test_one_specialist_leaves_others_in_the_generalists_proportion() -> None:
    log_p, opinions = case(1, 1, frames=3)
    log_q = consensus(log_p, opinions)
    expected = (log_p[:, [0, 1, 2]].exp() + opinions[0].log_p[:, :-1].exp()) / 2
    torch.testing.assert_close(log_q[:, [0, 1, 2]].exp(), expected)
    torch.testing.assert_close(log_q[:, 3:].softmax(1), log_p[:, 3:].softmax(1))


def test_what_is_no_number_is_an_error() -> None:
    log_p, opinions = case(0, 2)
    log_p[0, 0] = torch.nan
    with pytest.raises(DataError, match="diverged"):
        consensus(log_p, opinions)
