"""The distillation loss against closed forms: Hinton, Vinyals and Dean (2015), section 2."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asrkd.core.errors import ConfigError
from asrkd.losses import NO_LABEL, Batch, Loss, SoftTargets, build_loss
from asrkd.losses.distillation import Distillation, kl_divergence

NUM_PDFS = 11


def logits_of(seed: int, frames: int = 5, num_pdfs: int = NUM_PDFS, scale: float = 2.0) -> torch.Tensor:
    return scale * torch.randn(frames, num_pdfs, generator=torch.Generator().manual_seed(seed))


def dense(posteriors: torch.Tensor) -> SoftTargets:
    return SoftTargets(posteriors, torch.zeros(len(posteriors)))


def sparse(posteriors: torch.Tensor, k: int) -> SoftTargets:
    probs, ids = posteriors.topk(k, dim=-1)
    return SoftTargets(probs, (1 - probs.sum(-1)).clamp_min(0), ids)


def batch(soft: SoftTargets | None, labels: list[int] | None = None) -> Batch:
    frames = len(soft.probs) if soft is not None else len(labels or [])
    return Batch(torch.zeros(frames, 1), torch.tensor(labels or [NO_LABEL] * frames), soft)


def gradient(loss: Loss, logits: torch.Tensor, targets: Batch) -> torch.Tensor:
    """Gradient of the summed (not averaged) loss with respect to each logit."""
    logits = logits.clone().requires_grad_()
    (grad,) = torch.autograd.grad(loss(logits, targets) * len(logits), logits)
    return grad


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 5.0, 10.0])
@pytest.mark.parametrize("k", [None, NUM_PDFS])
def test_gradient_is_temperature_times_the_difference(temperature: float, k: int | None) -> None:
    student, teacher = logits_of(0), logits_of(1)
    p, q = (torch.softmax(z / temperature, -1) for z in (teacher, student))
    soft = dense(p) if k is None else sparse(p, k)
    grad = gradient(Distillation(temperature, alpha=1.0), student, batch(soft))
    torch.testing.assert_close(grad, temperature * (q - p), rtol=1e-4, atol=1e-5)


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
    grad = gradient(Distillation(temperature, alpha=1.0), student, batch(soft))
    torch.testing.assert_close(grad, temperature * (q - target), rtol=1e-4, atol=1e-5)


def test_size_of_the_gradient_hardly_depends_on_the_temperature() -> None:
    """Without T^2 the soft term's gradient would shrink as 1 / T^2: a hundredfold from T = 1 to 10."""
    student, teacher = logits_of(0, 200, scale=1.0), logits_of(1, 200, scale=1.0)
    sizes = []
    for temperature in (1.0, 2.0, 5.0, 10.0):
        soft = dense(torch.softmax(teacher / temperature, -1))
        sizes.append(gradient(Distillation(temperature, 1.0), student, batch(soft)).norm())
    assert max(sizes) / min(sizes) < 2


def test_high_temperature_matches_logits() -> None:
    """Equation 4: (z_i - v_i) / (N T^2) for zero-mean logits, times T^2."""
    student, teacher = (z - z.mean(-1, keepdim=True) for z in (logits_of(0), logits_of(1)))
    temperature = 1000.0
    soft = dense(torch.softmax(teacher.double() / temperature, -1).float())
    grad = gradient(Distillation(temperature, 1.0), student, batch(soft))
    torch.testing.assert_close(grad, (student - teacher) / NUM_PDFS, rtol=0.02, atol=2e-3)


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
    loss = Distillation(temperature, alpha)(student, batch(dense(p), labels))
    assert float(loss) == pytest.approx(total / 2, rel=1e-5)


def test_alpha_0_is_cross_entropy_and_alpha_1_ignores_labels() -> None:
    student, soft = logits_of(0), dense(torch.softmax(logits_of(1) / 2, -1))
    labels = [3, 1, 4, 1, 5]
    hard = build_loss({"type": "cross_entropy"}, "loss")(student, batch(None, labels))
    torch.testing.assert_close(Distillation(2.0, 0.0)(student, batch(soft, labels)), hard)
    only_soft = Distillation(2.0, 1.0)
    torch.testing.assert_close(only_soft(student, batch(soft, labels)), only_soft(student, batch(soft)))


def test_unlabelled_frames_get_the_soft_term_only() -> None:
    student, soft = logits_of(0), dense(torch.softmax(logits_of(1) / 2, -1))
    some = gradient(Distillation(2.0, 0.5), student, batch(soft, [3, NO_LABEL, 4, NO_LABEL, NO_LABEL]))
    none = gradient(Distillation(2.0, 0.5), student, batch(soft))
    torch.testing.assert_close(some[[1, 3, 4]], none[[1, 3, 4]])
    assert not torch.allclose(some[[0, 2]], none[[0, 2]])


def test_softmax_is_over_pdfs_never_over_frames() -> None:
    student, p = logits_of(0), torch.softmax(logits_of(1), -1)
    log_q = torch.log_softmax(student, -1)
    order = torch.tensor([4, 2, 0, 1, 3])
    torch.testing.assert_close(kl_divergence(log_q[order], dense(p[order])), kl_divergence(log_q, dense(p))[order])
    alone = kl_divergence(torch.log_softmax(student[2:3], -1), dense(p[2:3]))
    torch.testing.assert_close(alone, kl_divergence(log_q, dense(p))[2:3])


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


@given(seed=st.integers(0, 10**6), k=st.integers(1, NUM_PDFS))
def test_divergence_is_zero_only_of_equals(seed: int, k: int) -> None:
    z = logits_of(seed).double()
    p = torch.softmax(z, -1)
    soft = sparse(p, k)
    torch.testing.assert_close(kl_divergence(torch.log_softmax(z, -1), soft), torch.zeros(5).double())
    assert soft.ids is not None
    moved = z.scatter_add(-1, soft.ids[:, :1], torch.full((5, 1), 1.0).double())
    assert (kl_divergence(torch.log_softmax(moved, -1), soft) > 1e-6).all()


def test_low_precision_logits_give_a_float32_loss() -> None:
    student, soft = logits_of(0), sparse(torch.softmax(logits_of(1) / 2, -1), 3)
    for dtype in (torch.bfloat16, torch.float16):
        loss = Distillation(2.0, 0.5)(student.to(dtype), batch(soft, [0, 1, 2, 3, 4]))
        assert loss.dtype == torch.float32
        exact = Distillation(2.0, 0.5)(student.to(dtype).float(), batch(soft, [0, 1, 2, 3, 4]))
        torch.testing.assert_close(loss, exact)


@pytest.mark.parametrize("k", [None, 1, 3, NUM_PDFS])
@pytest.mark.parametrize("teacher_scale", [0.0, 1.0, 1e4])
@pytest.mark.parametrize("student_scale", [0.0, 1e4])
def test_extremes_stay_finite(k: int | None, teacher_scale: float, student_scale: float) -> None:
    """A student that is sure, and wrong; a teacher that is sure, so that the tail is 0."""
    p = torch.softmax(teacher_scale * torch.eye(5, NUM_PDFS), -1)
    student = student_scale * (torch.eye(5, NUM_PDFS).roll(1, -1) - 0.5)
    soft = dense(p) if k is None else sparse(p, k)
    loss = Distillation(2.0, 0.5)
    assert torch.isfinite(loss(student, batch(soft, [0] * 5)))
    assert torch.isfinite(gradient(loss, student, batch(soft, [0] * 5))).all()


def test_a_tail_that_is_not_there_changes_nothing() -> None:
    student, p = logits_of(0), torch.softmax(logits_of(1), -1)
    probs, ids = p.topk(4, dim=-1)
    probs = probs / probs.sum(-1, keepdim=True)
    ids[:, 3], probs[:, 2], probs[:, 3] = ids[:, 0], probs[:, 2:].sum(-1), 0.0  # an id that comes again
    loss = Distillation(2.0, 1.0)
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
    with pytest.raises(ValueError, match="needs soft targets"):
        loss(logits_of(0), batch(None, [0] * 5))
