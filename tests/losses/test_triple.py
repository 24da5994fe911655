"""The triple loss of DistilBERT: each term's closed form, their sum, what is not computed. Sanh et al. (2019)."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asrkd.core.errors import ConfigError
from asrkd.losses import NO_LABEL, Batch, Loss, build_loss
from asrkd.losses.triple import cosine_distance
from tests.losses.soft import FRAMES, NUM_PDFS, batch, dense, gradient, logits_of, soft_loss, sparse

UNITS = 6
LABELS = [3, NO_LABEL, 4, NO_LABEL, 0]
SEEDS = st.integers(0, 10**6)


def triple(distillation: float = 0.0, hard: float = 0.0, cosine: float = 0.0, temperature: float = 2.0) -> Loss:
    weights = {"distillation": distillation, "hard": hard, "cosine": cosine}
    return build_loss({"type": "triple", "temperature": temperature, **weights}, "loss")


def states(seed: int, units: int = UNITS, frames: int = FRAMES) -> torch.Tensor:
    return torch.relu(logits_of(seed, frames, units)) + 0.01


def frames_of(seed: int = 1, labels: list[int] | None = None, temperature: float = 2.0) -> Batch:
    """A batch with posteriors, labels and the hidden states of both nets."""
    soft = replace(dense(torch.softmax(logits_of(seed) / temperature, -1)), hidden=states(seed))
    return replace(batch(soft, labels or LABELS), hidden=states(seed + 1))


@given(seed=SEEDS, weights=st.tuples(*[st.floats(0.1, 5)] * 3), temperature=st.floats(1, 10))
def test_the_weighted_sum_of_the_three_terms(
    seed: int, weights: tuple[float, float, float], temperature: float
) -> None:
    """Of distillation and cross-entropy as their own losses have them, and of cosines computed one by one."""
    z, frames = logits_of(seed), frames_of(seed + 1, temperature=temperature)
    assert frames.soft is not None
    assert frames.soft.hidden is not None
    assert frames.hidden is not None
    distillation = soft_loss("distillation", temperature, 1.0)(z, frames)
    log_q = torch.log_softmax(z, -1).tolist()
    hard = -sum(log_q[n][label] for n, label in enumerate(LABELS) if label != NO_LABEL) / FRAMES
    away = 0.0
    for ours, theirs in zip(frames.hidden.tolist(), frames.soft.hidden.tolist(), strict=True):
        away += 1 - sum(a * b for a, b in zip(ours, theirs, strict=True)) / (math.hypot(*ours) * math.hypot(*theirs))
    expected = weights[0] * float(distillation) + weights[1] * hard + weights[2] * away / FRAMES
    assert float(triple(*weights, temperature)(z, frames)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_gradient_in_the_logits(temperature: float) -> None:
    """5 T (q - p), as if T^2 were applied once, and 2 (softmax(z) - y) where there is a label."""
    z, p = logits_of(0), torch.softmax(logits_of(1) / temperature, -1)
    q = torch.softmax(z / temperature, -1)
    known = torch.tensor([label != NO_LABEL for label in LABELS])[:, None]
    one_hot = torch.nn.functional.one_hot(torch.tensor(LABELS).clamp_min(0), NUM_PDFS)
    expected = 5 * temperature * (q - p) + 2 * torch.where(known, torch.softmax(z, -1) - one_hot, 0.0)
    found = gradient(triple(5, 2, 1, temperature), z, frames_of(1, temperature=temperature))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@given(seed=SEEDS)
def test_gradient_in_the_hidden_state(seed: int) -> None:
    """-(g^ - cos h^) / |h| with unit vectors h^ and g^: at right angles to h, so that its length is left alone."""
    h, g = states(seed).double().requires_grad_(), states(seed + 1).double()
    (found,) = torch.autograd.grad(cosine_distance(h, g).sum(), h)
    size = h.detach().norm(dim=-1, keepdim=True)
    ours, theirs = h.detach() / size, g / g.norm(dim=-1, keepdim=True)
    expected = -(theirs - (ours * theirs).sum(-1, keepdim=True) * ours) / size
    torch.testing.assert_close(found, expected.float().double(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close((found * ours).sum(-1), torch.zeros(FRAMES).double(), rtol=0, atol=1e-5)


def test_cosine_is_of_a_frame_s_own_direction() -> None:
    """Not of length, not over frames; nothing turns where the direction is the teacher's, and all 0 has none."""
    g = torch.tensor([[3.0, 4.0], [1.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
    h = torch.tensor([[6.0, 8.0], [0.0, 2.0], [-5.0, 0.0], [1.0, 1.0]])
    torch.testing.assert_close(cosine_distance(h, g), torch.tensor([0.0, 1.0, 2.0, 1.0]))
    square = states(0, FRAMES)  # as many units as frames
    order = torch.randperm(FRAMES)
    whole = cosine_distance(square, states(1, FRAMES))
    torch.testing.assert_close(cosine_distance(square[order], states(1, FRAMES)[order]), whole[order])


def test_a_net_whose_units_are_all_off_has_a_finite_gradient() -> None:
    before = torch.full((1, 3), -1.0, requires_grad=True)
    hidden = torch.relu(before)
    loss = cosine_distance(hidden, torch.ones(1, 3)).sum()
    of_hidden, of_input = torch.autograd.grad(loss, (hidden, before))
    assert torch.isfinite(loss)
    assert torch.isfinite(of_hidden).all()
    torch.testing.assert_close(of_input, torch.zeros(1, 3), rtol=0, atol=0)


@pytest.mark.parametrize(("alpha", "weights"), [(0.5, (0.5, 0.5)), (0.9, (0.9, 0.1)), (1.0, (1, 0))])
def test_without_the_cosine_it_is_distillation(alpha: float, weights: tuple[float, float]) -> None:
    """On sparse targets, too, and no hidden states are asked for."""
    z = logits_of(0)
    for soft in (dense(torch.softmax(logits_of(1) / 2, -1)), sparse(torch.softmax(logits_of(1) / 2, -1), 4)):
        expected = soft_loss("distillation", alpha=alpha)(z, batch(soft, LABELS))
        torch.testing.assert_close(triple(*weights)(z, batch(soft, LABELS)), expected)
    assert not triple(*weights).takes_hidden
    assert triple(*weights, cosine=0.1).takes_hidden


def test_a_term_without_weight_changes_nothing() -> None:
    z, frames = logits_of(0), frames_of()
    for weights in ((1, 0, 0), (0, 1, 0), (0, 0, 1)):
        loss = triple(*weights)
        others = {
            (1, 0, 0): replace(frames, hidden=None, labels=torch.full((FRAMES,), NO_LABEL)),
            (0, 1, 0): replace(frames_of(7), hidden=None),
            (0, 0, 1): replace(frames, labels=torch.zeros(FRAMES, dtype=torch.long)),
        }[weights]
        torch.testing.assert_close(loss(z, others), loss(z, frames), rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_gives_a_float32_loss(dtype: torch.dtype) -> None:
    z, frames = logits_of(0).to(dtype), frames_of()
    assert frames.hidden is not None
    low = replace(frames, hidden=frames.hidden.to(dtype))
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        found = triple(5, 2, 1)(z, low)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, triple(5, 2, 1)(z.float(), replace(low, hidden=low.hidden.float())))  # type: ignore[union-attr]


def test_what_it_needs() -> None:
    z, frames = logits_of(0), frames_of()
    with pytest.raises(ValueError, match="needs soft targets"):
        triple(5, 2, 1)(z, batch(None, LABELS))
    with pytest.raises(ValueError, match="needs the hidden states of student and teacher"):
        triple(5, 2, 1)(z, replace(frames, hidden=None))
    with pytest.raises(ValueError, match="7 units in the student and 6 in the teacher"):
        triple(5, 2, 1)(z, replace(frames, hidden=states(0, 7)))


def test_section() -> None:
    loss = build_loss({"type": "triple"}, "loss")
    assert loss.temperature == 2.0
    assert loss.takes_hidden
    mistakes: list[tuple[dict[str, Any], str]] = [
        ({"hard": -1.0}, r"loss: hard: .* greater than or equal to 0"),
        ({"temperature": 0.0}, r"loss: temperature: .* greater than 0"),
        ({"cosin": 1.0}, "did you mean 'cosine'"),
        ({"distillation": 0, "hard": 0, "cosine": 0}, "whose weights are all 0 teaches nothing"),
    ]
    for section, message in mistakes:
        with pytest.raises(ConfigError, match=message):
            build_loss({"type": "triple", **section}, "loss")
