"""What a generalist and its specialists agree on: Hinton, Vinyals and Dean (2015), section 5.4, equation 5.

For a frame, with the generalist's posteriors p_g over all pdfs, and those p_m of specialist m over its own pdfs S_m and
a dustbin for all others, the posteriors are the q over all pdfs that makes least

    KL(p_g || q) + sum_m KL(p_m || q)        where q(dustbin of m) = sum of q_i over i not in S_m

The paper finds q by gradient descent. It is the likelihood of counts n_i = p_g(i) + sum_m [i in S_m] p_m(i) of pdfs and
d_m = p_m(dustbin) of groups of pdfs, 1 + M in all for M specialists, which is concave, with one maximum. There, with
Q_m = q(dustbin of m) and u_m = d_m / Q_m,

    q_i = n_i / c_i,    c_i = 1 + M - sum of u_m over m with i not in S_m

so that pdfs which the same specialists have share one c, and q is n but for a factor of each such class. For one
specialist the factors are known: 1/2 within S, and outside what brings the sum to 1. For several they are found by a
primal-dual Newton method on the masses x of the classes, batched over frames, in float64: quadratic where EM would be
linear.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from asrkd.core.errors import DataError

TOLERANCE = 1e-12
"""How far c x may be from n, u Q from d, and c from 1 + M - the sum of u: the conditions of the maximum."""

_MOST_STEPS = 200
_LEAST = 1e-10  # mass of a class or a dustbin: float32 posteriors tell no smaller one from none
_TO_THE_BOUND = 0.99  # of the way to where a variable would be 0, a step goes at most


@dataclass(frozen=True)
class Opinion:
    """A specialist's log posteriors (frames, pdfs + 1), dustbin last, and which ``pdfs`` (pdfs,) they are of."""

    log_p: torch.Tensor
    pdfs: torch.Tensor


@torch.no_grad()
def consensus(log_p: torch.Tensor, opinions: Sequence[Opinion]) -> torch.Tensor:
    """Log q (frames, num_pdfs), float64; ``log_p`` (frames, num_pdfs) are the generalist's log posteriors.

    Each specialist must leave some pdf to its dustbin. Raises DataError where posteriors are no numbers.
    """
    log_p = log_p.double()
    log_n = log_p
    for opinion in opinions:
        both = torch.logaddexp(log_n[:, opinion.pdfs], opinion.log_p[:, :-1].double())
        log_n = log_n.index_copy(1, opinion.pdfs, both)
    if len(opinions) < 2:
        return _of_one(log_p, log_n, opinions[0]) if opinions else log_p
    outside = torch.ones(log_p.shape[1], len(opinions), dtype=torch.float64, device=log_p.device)
    for index, opinion in enumerate(opinions):
        outside[opinion.pdfs, index] = 0
    classes, class_of = torch.unique(outside, dim=0, return_inverse=True)
    log_d = torch.stack([opinion.log_p[:, -1] for opinion in opinions], 1).double()
    log_sums = _log_sums(log_n, class_of, len(classes))
    masses = _masses(log_sums.exp().clamp_min(_LEAST), log_d.exp().clamp_min(_LEAST), classes)
    return log_n + (masses.log() - log_sums)[:, class_of]


def _of_one(log_p: torch.Tensor, log_n: torch.Tensor, opinion: Opinion) -> torch.Tensor:
    """In closed form: half of n in S; outside, p_g times what makes its mass half of P_g(outside) + d."""
    log_outside = log_p.index_fill(1, opinion.pdfs, -torch.inf).logsumexp(1, keepdim=True)
    factor = torch.logaddexp(log_outside, opinion.log_p[:, -1:].double()) - log_outside
    factors = factor.expand_as(log_p).index_fill(1, opinion.pdfs, 0.0)
    return log_n + factors - math.log(2)


def _log_sums(log_n: torch.Tensor, class_of: torch.Tensor, num_classes: int) -> torch.Tensor:
    """Log of the sum of n over each class, (frames, num_classes)."""
    return torch.stack([log_n[:, class_of == each].logsumexp(1) for each in range(num_classes)], 1)


def _masses(n: torch.Tensor, d: torch.Tensor, outside: torch.Tensor) -> torch.Tensor:
    """Masses x (frames, C) of the classes of pdfs, from counts ``n`` of them and ``d`` (frames, M) of dustbins.

    ``outside`` (C, M) is 1 where a class is in a specialist's dustbin. Solved are, by Newton's method with variables
    that stay above 0, c x = n, u Q = d with Q = x outside, and c + outside u = 1 + M: the conditions of the maximum.
    """
    total = n.sum(1, keepdim=True) + d.sum(1, keepdim=True)  # 1 + M, but for rounding
    x = (n + (d / outside.sum(0)) @ outside.T) / total
    u, c = d / (x @ outside), n / x
    for _ in range(_MOST_STEPS):
        q = x @ outside
        slack = total - u @ outside.T - c
        off = [(c * x - n).abs(), (u * q - d).abs(), slack.abs()]
        if max(float(each.max()) for each in off) < TOLERANCE:
            return x
        dx, du = _newton(n / x - c - slack, d / u - q, c / x, q / u, outside)
        dc = slack - du @ outside.T
        step = torch.stack([_room(*pair) for pair in ((x, dx), (u, du), (c, dc))]).amin(0)
        x, u, c = x + step * dx, u + step * du, c + step * dc
    raise DataError(
        "generalist and specialists come to no agreement: are their posteriors numbers, or has one diverged?"
    )


def _newton(
    to_x: torch.Tensor, to_u: torch.Tensor, of_x: torch.Tensor, of_u: torch.Tensor, outside: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Steps (frames, C) and (frames, M) with of_x dx - outside du = to_x and outside^T dx + of_u du = to_u.

    As one system, and not with dx eliminated: 1 / of_x would be too large for the digits where c is near 0.
    """
    matrix = torch.diag_embed(torch.cat([of_x, of_u], 1))
    count = of_x.shape[1]
    matrix[:, :count, count:] = -outside
    matrix[:, count:, :count] = outside.T
    steps = torch.linalg.solve(matrix, torch.cat([to_x, to_u], 1)[..., None])[..., 0]
    return steps[:, :count], steps[:, count:]


def _room(value: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
    """How much of ``step`` (frames, any) may be gone, (frames, 1): all of it, or most of the way to 0."""
    share = torch.where(step < 0, -_TO_THE_BOUND * value / step, torch.ones_like(value))
    return share.amin(1, keepdim=True).clamp_max(1.0)
