"""Losses on what codecs store: no dense teacher on the way, and no bias of random draws."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from asrkd.losses import SoftTargets
from asrkd.targets import build_codec, dense_posteriors, fields
from asrkd.targets.packed import Table, pack
from tests.losses.soft import DIVERGENCES, batch, gradient, logits_of, soft_loss

FRAMES, NUM_PDFS = 32, 500
DRAWN = {"type": "sampled", "draws": 30}
KALDIS = {"type": "kaldi_posterior", "min_post": 0.01}
SPARSE: list[dict[str, Any]] = [{"type": "topk", "k": 9}, {"type": "nucleus", "p": 0.9, "cap": 12}, KALDIS, DRAWN]


class DenseTeachers(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Operations that make something of ``limit`` numbers or more out of what the teacher said."""

    def __init__(self, said: Sequence[torch.Tensor], limit: int):
        super().__init__()  # type: ignore[no-untyped-call]
        self._said = list(said)  # kept, so that no other tensor gets their identity
        self._limit = limit
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        inputs, outputs = tree_leaves((args, kwargs)), [x for x in tree_leaves(result) if isinstance(x, torch.Tensor)]
        if any(x is y for x in inputs for y in self._said):
            self._said += outputs
            self.found += [str(func) for output in outputs if output.numel() >= self._limit]
        return result


def stored(codec: dict[str, Any], frames: int = FRAMES) -> tuple[Any, Table]:
    made = build_codec(codec, NUM_PDFS, "codec")
    posteriors = torch.softmax(logits_of(1, frames, NUM_PDFS, scale=3.0) / 2, -1)
    return made, Table([pack(made.encode(posteriors, "utt"))])


PAIRS = [(name, codec) for name in sorted(DIVERGENCES) for codec in SPARSE if codec is not DRAWN]
PAIRS.append(("distillation", DRAWN))


@pytest.mark.parametrize(("name", "codec"), PAIRS)
def test_no_dense_teacher_is_made(name: str, codec: dict[str, Any]) -> None:
    """From the stored records to the loss, whatever is made of them is smaller than (frames, num_pdfs).

    One thing is as large: the student's log posteriors with one number in place of the listed ones.
    """
    made, table = stored(codec)
    records = table.gather(torch.arange(FRAMES))
    student = logits_of(0, FRAMES, NUM_PDFS).requires_grad_()
    with DenseTeachers(list(records.values()), FRAMES * NUM_PDFS) as watch:
        value = soft_loss(name, alpha=0.5)(student, batch(made.soft_targets(records), [1] * FRAMES))
    assert torch.isfinite(value)
    assert watch.found == ([] if codec is DRAWN else ["aten.scatter.value"])


def test_a_dense_teacher_would_be_seen() -> None:
    made, table = stored(SPARSE[0])
    records = table.gather(torch.arange(FRAMES))
    with DenseTeachers([records["probs"]], FRAMES * NUM_PDFS) as watch:
        dense_posteriors(made.soft_targets(records), torch.full((NUM_PDFS,), 1 / NUM_PDFS))
    assert "aten.scatter_add.default" in watch.found


PDFS, DRAWS, REPEATS = 12, 7, 20_000
P = torch.softmax(logits_of(3, 1, PDFS, scale=1.5), -1)
T = 2.0


def spread_of_counts() -> torch.Tensor:
    """Standard deviation (pdfs,) of each c_i / n: a count is one of the two whole numbers about n p_i."""
    part = (DRAWS * P[0].double()) % 1
    return (part * (1 - part)).sqrt() / DRAWS


def of_draws(codec: dict[str, Any]) -> SoftTargets:
    """Many frames of one posterior, each stored on its own."""
    made = build_codec(codec, PDFS, "codec")
    return made.soft_targets(fields(made.encode(P.expand(REPEATS, -1), "utt")))


def misses(soft: SoftTargets) -> tuple[torch.Tensor, float]:
    """How many standard errors the mean gradient (pdfs,) is off, and at least how many the mean loss is."""
    student, other = logits_of(4, 1, PDFS), logits_of(5, 1, PDFS)
    loss, repeats = soft_loss("distillation", T), REPEATS**0.5
    q, q_other = (torch.softmax(z.double() / T, -1)[0] for z in (student, other))
    p, spread = P[0].double(), spread_of_counts()
    found = gradient(loss, student.expand(REPEATS, -1), batch(soft)).double().mean(0)
    of_gradient = (found - T * (q - p)).abs() / (T * spread / repeats + 1e-6)
    # The entropy of draws is not the posterior's, so that only differences between students are unbiased.
    value = float(loss(student.expand(REPEATS, -1), batch(soft)) - loss(other.expand(REPEATS, -1), batch(soft)))
    weights = T**2 * (q_other / q).log()
    exact = float((p * weights).sum())
    # Standard deviations of a sum add up at most; a constant falls out, since counts add up to the draws.
    bound = float(((weights - weights.median()).abs() * spread).sum()) / repeats
    return of_gradient, abs(value - exact) / bound


def test_draws_leave_loss_and_gradient_unbiased() -> None:
    """Over 20,000 frames neither is off by more than 5 standard errors, which follow from the draws' known variance.

    By the normal tail, sound code fails for one of the 12 pdfs in 100,000 seeds.
    """
    of_gradient, of_loss = misses(of_draws({"type": "sampled", "draws": DRAWS}))
    assert (of_gradient < 5).all()
    assert of_loss < 5


def test_the_bound_tells_truncation_from_draws() -> None:
    soft = of_draws({"type": "topk", "k": DRAWS})
    assert soft.ids is not None
    cut_off = SoftTargets(soft.probs / soft.probs.sum(-1, keepdim=True), torch.zeros(REPEATS), soft.ids, False)
    of_gradient, of_loss = misses(cut_off)
    assert of_gradient.max() > 50
    assert of_loss > 10
