"""Distillation's own: forward KL over a tail, hard labels mixed in. Hinton, Vinyals and Dean (2015), section 2."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asrkd.core.errors import ConfigError
from asrkd.losses import NO_LABEL, SoftTargets, build_loss
from asrkd.losses.distillation import kl_divergence
from tests.losses.soft import NUM_PDFS, batch, dense, gradient, logits_of, soft_loss, sparse


@pytest.mark.parametrize("k", [1, 3, 7])
def test_gradient_with_a_tail(k: int) -> None:
    """The tail acts as one class, and pulls each of its pdfs in proportion to what the student gives it."""
    temperature = 2.0
    student, p = logits_of(0), torch.softmax(logits_of(1) / temperature, -1)
    q = torch.softmax(student / temperature, -1)
    soft = sparse(p, k)
    assert soft.ids is not None
    listed = torch.zeros_like(p, dtype=torch.bool).scatter(-1, soft.ids, True)
    rest = q.masked_fill(listed, 0)
    target = torch.where(listed, p, soft.tail[:, None] * rest / rest.sum(-1, keepdim=True))
    grad = gradient(soft_loss("distillation", temperature), student, batch(soft))
    torch.testing.assert_close(grad, temperature * (q - target), rtol=1e-4, atol=1e-5)


def test_value_against_the_equation() -> None:
    student, p = logits_of(0, 2, 3), torch.tensor([[0.7, 0.2, 0.1], [0.0, 0.5, 0.5]])
    temperature, alpha, labels = 2.0, 0.9, [2, NO_LABEL]
    total = 0.0
    for frame in range(2):
        z = [float(x) for x in student[frame]]
        q = [math.exp(x / temperature) / sum(math.exp(y / temperature) for y in z) for x in z]
        kl = sum(float(a) * math.log(float(a) / b) for a, b in zip(p[frame], q, strict=True) if a > 0)
        total += alpha * temperature**2 * kl
        if labels[frame] != NO_LABEL:
            hard = math.exp(z[labels[frame]]) / sum(math.exp(y) for y in z)
            total += (1 - alpha) * -math.log(hard)
    loss = soft_loss("distillation", temperature, alpha)(student, batch(dense(p), labels))
    assert float(loss) == pytest.approx(total / 2, rel=1e-5)


def test_alpha_0_is_cross_entropy_and_alpha_1_ignores_labels() -> None:
    student, soft = logits_of(0), dense(torch.softmax(logits_of(1) / 2, -1))
    labels = [3, 1, 4, 1, 5]
    hard = build_loss({"type": "cross_entropy"}, "loss")(student, batch(None, labels))
    torch.testing.assert_close(soft_loss("distillation", alpha=0.0)(student, batch(soft, labels)), hard)
    only_soft = soft_loss("distillation")
    torch.testing.assert_close(only_soft(student, batch(soft, labels)), only_soft(student, batch(soft)))


@given(seed=st.integers(0, 10**6), k=st.integers(1, NUM_PDFS), scale=st.floats(0.1, 8))
def test_sparse_divergence_is_at_most_the_dense_one(seed: int, k: int, scale: float) -> None:
    """The data-processing inequality: lumping the tail into one event can only lose divergence."""
    p = torch.softmax(logits_of(seed, scale=scale).double(), -1)
    log_q = torch.log_softmax(logits_of(seed + 1, scale=scale).double(), -1)
    whole, lumped = kl_divergence(log_q, dense(p)), kl_divergence(log_q, sparse(p, k))
    assert (lumped <= whole + 1e-9).all()
    assert (lumped >= -1e-9).all()
    if k == NUM_PDFS:
        torch.testing.assert_close(lumped, whole)


def test_a_tail_that_is_not_there_changes_nothing() -> None:
    student, p = logits_of(0), torch.softmax(logits_of(1), -1)
    probs, ids = p.topk(4, dim=-1)
    probs = probs / probs.sum(-1, keepdim=True)
    ids[:, 3], probs[:, 2], probs[:, 3] = ids[:, 0], probs[:, 2:].sum(-1), 0.0  # an id that comes again
    loss = soft_loss("distillation")
    either = [batch(SoftTargets(probs, torch.zeros(5), ids, has_tail)) for has_tail in (True, False)]
    torch.testing.assert_close(loss(student, either[1]), loss(student, either[0]))
    torch.testing.assert_close(gradient(loss, student, either[1]), gradient(loss, student, either[0]))


def test_section() -> None:
    loss = build_loss({"type": "distillation", "temperature": 5.0, "alpha": 0.5}, "loss")
    assert loss.temperature == 5.0
    mistakes: list[tuple[dict[str, Any], str]] = [
        ({"type": "distilation"}, "did you mean 'distillation'"),
        ({"type": "distillation", "temperature": 0.0}, "temperature"),
        ({"type": "distillation", "alpha": 1.5}, "alpha"),
        ({"type": "distillation", "alfa": 0.5}, "did you mean 'alpha'"),
    ]
    for section, message in mistakes:
        with pytest.raises(ConfigError, match=message):
            build_loss(section, "loss")
