"""What holds of every loss on soft targets: closed forms, sparse as dense, one frame at a time, any temperature."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asrkd.core.errors import ConfigError
from asrkd.core.plugins import plugin_names
from asrkd.losses import NO_LABEL, SoftTargets
from asrkd.losses.events import FLOOR
from tests.losses.soft import (
    DIVERGENCES,
    FRAMES,
    NUM_PDFS,
    batch,
    dense,
    exact_gradient,
    gradient,
    logits_of,
    padded,
    scaled,
    soft_loss,
    sparse,
)

NAMES = sorted(DIVERGENCES)
every_loss = pytest.mark.parametrize("name", NAMES)
SEEDS = st.integers(0, 10**6)


def test_no_loss_on_soft_targets_is_left_out() -> None:
    assert plugin_names("asrkd.losses") == sorted(
        [*NAMES, "cross_entropy", "triple"]
    )  # triple: a sum, with tests of its own


def closed_form(name: str, z: torch.Tensor, v: torch.Tensor, temperature: float) -> torch.Tensor:
    """The gradient of T^2 D in the student's logits z, where v are the teacher's."""
    p, q = torch.softmax(v / temperature, -1), torch.softmax(z / temperature, -1)
    off = (q / p).log()
    forms = {
        "distillation": temperature * (q - p),
        "reverse_kl": temperature * q * (off - (q * off).sum(-1, keepdim=True)),
        "logit_matching": ((z - v) - (z - v).mean(-1, keepdim=True)) / z.shape[-1],
    }
    forms["symmetric_kl"] = (forms["distillation"] + forms["reverse_kl"]) / 2
    return forms[name]


@every_loss
@given(seed=SEEDS, temperature=st.floats(1, 50), scale=st.floats(0.01, 1.2), k=st.sampled_from([None, NUM_PDFS]))
def test_gradient_is_the_closed_form(name: str, seed: int, temperature: float, scale: float, k: int | None) -> None:
    z, v = logits_of(seed, scale=scale).double(), logits_of(seed + 1, scale=scale).double()
    p = torch.softmax(v / temperature, -1)
    found = exact_gradient(name, temperature, z, dense(p) if k is None else sparse(p, k))
    torch.testing.assert_close(found, closed_form(name, z, v, temperature), rtol=1e-9, atol=1e-12)


@every_loss
@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0, 10.0])
def test_a_section_s_loss_has_that_gradient(name: str, temperature: float) -> None:
    """T^2 is in the loss, once, and its mean is over frames."""
    z, v = logits_of(0), logits_of(1)
    found = gradient(soft_loss(name, temperature), z, batch(dense(torch.softmax(v / temperature, -1))))
    torch.testing.assert_close(found, closed_form(name, z, v, temperature), rtol=1e-4, atol=1e-5)


def lumped(masses: torch.Tensor, ids: list[int]) -> torch.Tensor:
    """Masses (events,) of the pdfs ``ids`` and of all others together, from masses (num_pdfs,)."""
    others = [pdf for pdf in range(len(masses)) if pdf not in ids]
    return torch.stack([*(masses[pdf] for pdf in ids), *([masses[others].sum()] if others else [])])


def from_the_definition(name: str, p: torch.Tensor, q: torch.Tensor, ids: list[int]) -> torch.Tensor:
    """A frame's divergence over events, from the posteriors (num_pdfs,) of all pdfs."""
    n = len(p)
    p, q = lumped(p, ids), lumped(q, ids)
    forward, reverse = (p * (p / q).log()).sum(), (q * (q / p).log()).sum()
    weights = torch.tensor([1.0] * len(ids) + [n - len(ids)] * (n > len(ids))).double() / n
    off = (q / p).log()
    variance = (weights * (off - (weights * off).sum()) ** 2).sum()
    values = {"distillation": forward, "reverse_kl": reverse, "symmetric_kl": (forward + reverse) / 2}
    return {**values, "logit_matching": variance / 2}[name]


@every_loss
@given(seed=SEEDS, counts=st.lists(st.integers(1, NUM_PDFS), min_size=FRAMES, max_size=FRAMES))
def test_sparse_targets_are_events_and_padding_is_none(name: str, seed: int, counts: list[int]) -> None:
    """Value and gradient, whatever number of pdfs each frame lists: the tail is one event, a repeated id is none.

    A frame that lists all pdfs has no tail, and takes none from its neighbours.
    """
    temperature, z = 2.0, logits_of(seed).double().requires_grad_()
    p = torch.softmax(logits_of(seed + 1).double() / temperature, -1)
    order = p.topk(NUM_PDFS).indices.tolist()
    q = torch.softmax(z / temperature, -1)
    frames = [from_the_definition(name, p[n], q[n], order[n][:count]) for n, count in enumerate(counts)]
    expected = temperature**2 * torch.stack(frames)
    soft = padded(p, counts)
    torch.testing.assert_close(scaled(name, temperature, soft)(z), expected, rtol=1e-6, atol=1e-9)
    (expected_gradient,) = torch.autograd.grad(expected.sum(), z)
    found = exact_gradient(name, temperature, z.detach(), soft)
    torch.testing.assert_close(found, expected_gradient, rtol=1e-6, atol=1e-8)


@every_loss
@pytest.mark.parametrize("tail", [1e-3, 1e-6, 1e-9])
def test_a_small_tail_under_the_student_keeps_its_digits(name: str, tail: float) -> None:
    """In float32, where 1 less the listed mass has none: against float64, with as much in the teacher's tail."""
    listed, others = math.log((1 - tail) / 4), math.log(tail / (NUM_PDFS - 4))
    z = torch.tensor([[listed] * 4 + [others] * (NUM_PDFS - 4)])
    soft = SoftTargets(torch.full((1, 4), 0.2), torch.tensor([0.2]), torch.arange(4)[None])
    exact = exact_gradient(name, 1.0, z, soft)
    found = gradient(soft_loss(name, 1.0), z, batch(soft))
    torch.testing.assert_close(found.double(), exact, rtol=1e-4, atol=1e-6)
    value = scaled(name, 1.0, soft)(z.double())
    torch.testing.assert_close(scaled(name, 1.0, soft)(z).double(), value, rtol=1e-4, atol=1e-6)


@every_loss
@given(seed=SEEDS, scale=st.floats(0, 30))
def test_sparse_is_dense_when_k_covers_everything(name: str, seed: int, scale: float) -> None:
    """Posteriors that float16 rounds to 0 among them."""
    p = torch.softmax(logits_of(seed, scale=scale), -1).half().float()
    z = logits_of(seed + 1, scale=scale)
    every = [batch(soft) for soft in (dense(p), sparse(p, NUM_PDFS))]
    loss = soft_loss(name)
    torch.testing.assert_close(loss(z, every[1]), loss(z, every[0]), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(gradient(loss, z, every[1]), gradient(loss, z, every[0]), rtol=1e-4, atol=1e-5)


@every_loss
@given(seed=SEEDS, k=st.integers(1, NUM_PDFS), scale=st.floats(0.1, 3))
def test_zero_of_equals_and_of_nothing_else(name: str, seed: int, k: int, scale: float) -> None:
    z = logits_of(seed, scale=scale).double()
    soft = sparse(torch.softmax(z / 3, -1), k)
    values = scaled(name, 3.0, soft)
    torch.testing.assert_close(values(z), torch.zeros(FRAMES).double(), rtol=0, atol=1e-9)
    assert soft.ids is not None
    moved = z.scatter_add(-1, soft.ids[:, :1], torch.full((FRAMES, 1), 1.0).double())
    assert (values(moved) > values(z) + 1e-9).all()


@every_loss
@pytest.mark.parametrize("k", [None, 1, 4, NUM_PDFS])
def test_high_temperatures_match_logits(name: str, k: int | None) -> None:
    """Equation 4 times T^2: all tend to logit matching, whose gradient is (z - v) / N where every pdf is listed.

    What they are off by shrinks as 1 / T: by a tenth from T = 100 to 1000, but for rounding.
    """
    z, v = (logits.double() - logits.double().mean(-1, keepdim=True) for logits in (logits_of(0), logits_of(1)))
    off = []
    for temperature in (100.0, 1000.0):
        p = torch.softmax(v / temperature, -1)
        soft = dense(p) if k is None else sparse(p, k)
        limit = exact_gradient("logit_matching", temperature, z, soft)
        if k in (None, NUM_PDFS):
            torch.testing.assert_close(limit, (z - v) / NUM_PDFS, rtol=1e-9, atol=1e-12)
        off.append(float((exact_gradient(name, temperature, z, soft) - limit).norm() / limit.norm()))
    assert off[0] < 0.05
    assert off[1] < max(0.15 * off[0], 1e-9)


@every_loss
@given(seed=SEEDS, spread=st.floats(0.05, 0.5))
def test_the_gradient_is_as_large_at_every_temperature(name: str, seed: int, spread: float) -> None:
    """Within exp(2R/T) of |z - v| / N, for zero-mean logits between -R and R.

    T (q - p) is J (z - v), with J the Jacobian diag(s) - s s' of a softmax s at temperature T, averaged between v and
    z; for reverse KL it is that of q alone. Of zero-mean vectors J changes the length by a factor between min s and
    max s, and exp(-2R/T) / N <= s <= exp(2R/T) / N. Without T^2 the factor would be 1 / T^2 of that: out of bounds.
    """
    z, v = (torch.tanh(logits_of(seed + n, scale=1.0).double()) for n in range(2))
    z, v = (spread / 2 * (logits - logits.mean(-1, keepdim=True)) for logits in (z, v))
    assert max(float(z.abs().max()), float(v.abs().max())) <= spread
    for temperature in (1.0, 2.0, 5.0, 10.0):
        p = torch.softmax(v / temperature, -1)
        size = exact_gradient(name, temperature, z, dense(p)).norm(dim=-1) * NUM_PDFS / (z - v).norm(dim=-1)
        bound = math.exp(2 * spread / temperature) * (1 + 1e-6)
        assert (size <= bound).all()
        assert (size >= 1 / bound).all()
        if temperature > 2:
            assert (size / temperature**2 < 1 / bound).all()


@every_loss
@pytest.mark.parametrize("k", [None, 4])
def test_softmax_is_over_pdfs_never_over_frames(name: str, k: int | None) -> None:
    """As many frames as pdfs, so that a softmax over the wrong axis would go unnoticed by shapes."""
    z, p = logits_of(0, NUM_PDFS), torch.softmax(logits_of(1, NUM_PDFS) / 2, -1)
    targets = batch(dense(p) if k is None else sparse(p, k))
    grad = gradient(soft_loss(name), z, targets)
    torch.testing.assert_close(grad.sum(-1), torch.zeros(NUM_PDFS), rtol=0, atol=1e-5)
    assert (grad.sum(0).abs() > 1e-2).any()
    by_frame = z + torch.arange(NUM_PDFS)[:, None]  # what a softmax over pdfs does not see
    torch.testing.assert_close(gradient(soft_loss(name), by_frame, targets), grad, rtol=1e-3, atol=1e-5)
    by_pdf = z + torch.arange(NUM_PDFS)
    assert not torch.allclose(gradient(soft_loss(name), by_pdf, targets), grad, atol=1e-2)


@every_loss
@given(seed=SEEDS, k=st.sampled_from([None, 3, NUM_PDFS]), frame=st.integers(0, FRAMES - 1))
def test_each_frame_alone(name: str, seed: int, k: int | None, frame: int) -> None:
    """A frame's gradient knows of no other frame's logits; frames may come in any order, or alone."""
    z, p = logits_of(seed), torch.softmax(logits_of(seed + 1), -1)
    make = dense if k is None else lambda posteriors: sparse(posteriors, k)
    loss, whole = soft_loss(name), gradient(soft_loss(name), z, batch(make(p)))
    others = [n for n in range(FRAMES) if n != frame]
    changed = z.index_add(0, torch.tensor([frame]), 5 * logits_of(seed + 2, 1))
    after = gradient(loss, changed, batch(make(p)))
    torch.testing.assert_close(after[others], whole[others], rtol=0, atol=0)
    assert not torch.equal(after[frame], whole[frame])
    order = torch.randperm(FRAMES, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(gradient(loss, z[order], batch(make(p[order]))), whole[order], rtol=1e-4, atol=1e-6)
    alone = gradient(loss, z[frame : frame + 1], batch(make(p[frame : frame + 1])))
    torch.testing.assert_close(alone, whole[frame : frame + 1], rtol=1e-4, atol=1e-6)


@every_loss
def test_unlabelled_frames_have_the_soft_term_alone(name: str) -> None:
    z, soft = logits_of(0), sparse(torch.softmax(logits_of(1) / 2, -1), 4)
    labels = [3, NO_LABEL, 4, NO_LABEL, NO_LABEL]
    mixed, none = (gradient(soft_loss(name, alpha=0.5), z, batch(soft, each)) for each in (labels, None))
    hard = torch.softmax(z, -1) - torch.nn.functional.one_hot(torch.tensor([3, 0, 4, 0, 0]), NUM_PDFS)
    torch.testing.assert_close(mixed[[1, 3, 4]], none[[1, 3, 4]])
    torch.testing.assert_close(mixed[[0, 2]], none[[0, 2]] + 0.5 * hard[[0, 2]])


@every_loss
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_logits_give_a_float32_loss(name: str, dtype: torch.dtype) -> None:
    z, targets = logits_of(0).to(dtype), batch(sparse(torch.softmax(logits_of(1) / 2, -1), 3), [0, 1, 2, 3, 4])
    loss = soft_loss(name, alpha=0.5)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        found = loss(z, targets)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, loss(z.float(), targets), rtol=0, atol=0)


@every_loss
@pytest.mark.parametrize("k", [None, 1, 3, NUM_PDFS])
@pytest.mark.parametrize("teacher_scale", [0.0, 1.0, 1e4])
@pytest.mark.parametrize("student_scale", [0.0, 1e4])
def test_extremes_stay_finite(name: str, k: int | None, teacher_scale: float, student_scale: float) -> None:
    """A student that is sure, and wrong; a teacher that is sure, so that the tail and all other posteriors are 0."""
    p = torch.softmax(teacher_scale * torch.eye(FRAMES, NUM_PDFS), -1)
    z = student_scale * (torch.eye(FRAMES, NUM_PDFS).roll(1, -1) - 0.5)
    targets = batch(dense(p) if k is None else sparse(p, k), [0] * FRAMES)
    loss = soft_loss(name, alpha=0.5)
    assert torch.isfinite(loss(z, targets))
    assert torch.isfinite(gradient(loss, z, targets)).all()


@pytest.mark.parametrize("name", ["reverse_kl", "symmetric_kl"])
@pytest.mark.parametrize("k", [1, 3])
def test_a_stored_0_counts_as_half_of_float16_s_smallest_step(name: str, k: int) -> None:
    """KL(q || p) would be infinite: of one event that has all of p, and of what has none of it."""
    p, z = torch.eye(3)[:1], torch.zeros(1, 3)
    masses = [1 / 3, 2 / 3] if k == 1 else [1 / 3] * 3
    reverse = sum(q * math.log(q / (FLOOR if n else 1.0)) for n, q in enumerate(masses))
    value = {"reverse_kl": reverse, "symmetric_kl": (math.log(3) + reverse) / 2}[name]
    loss = soft_loss(name, temperature=1.0)(z, batch(sparse(p, k)))
    assert float(loss) == pytest.approx(value, rel=1e-6)


def test_a_logit_that_was_rounded_away_counts_as_the_floor() -> None:
    p, z = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 0.0]])
    v = math.log(FLOOR)
    for soft in (dense(p), sparse(p, 2), sparse(p, 1)):
        loss = soft_loss("logit_matching", temperature=3.0)(z, batch(soft))
        assert float(loss) == pytest.approx((3 * v / 2) ** 2 / 2, rel=1e-6)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "distillation"])
def test_random_draws_are_refused_where_they_would_be_biased(name: str) -> None:
    soft = SoftTargets(torch.tensor([[0.5, 0.5]]), torch.zeros(1), torch.tensor([[0, 2]]), has_tail=False)
    assert soft_loss("distillation").takes_draws
    assert not soft_loss(name).takes_draws
    with pytest.raises(ValueError, match="not random draws"):
        soft_loss(name)(logits_of(0, 1), batch(soft))


@every_loss
def test_sections(name: str) -> None:
    assert soft_loss(name, 5.0).temperature == 5.0
    with pytest.raises(ConfigError, match=r"loss: temperature: .* greater than 0"):
        soft_loss(name, 0.0)
    with pytest.raises(ConfigError, match=r"loss: alpha: input should be a number from 0 to 1, .* .given 1.5"):
        soft_loss(name, alpha=1.5)
    with pytest.raises(ValueError, match="needs soft targets"):
        soft_loss(name)(logits_of(0), batch(None, [0] * FRAMES))
