"""Top-p: as many pdfs as the mass asks for, up to a cap; the rest of the mass kept."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asrkd.core.errors import ConfigError
from asrkd.losses import SoftTargets
from asrkd.losses.distillation import kl_divergence
from asrkd.targets import Codec, build_codec, dense_posteriors, fields


def posteriors_of(seed: int, frames: int, num_pdfs: int, scale: float = 2.0) -> torch.Tensor:
    return torch.softmax(scale * torch.randn(frames, num_pdfs, generator=torch.Generator().manual_seed(seed)), -1)


def nucleus(p: float, cap: int, num_pdfs: int) -> Codec:
    return build_codec({"type": "nucleus", "p": p, "cap": cap}, num_pdfs, "codec")


@given(
    seed=st.integers(0, 10**6),
    num_pdfs=st.integers(1, 60),
    p=st.floats(0.01, 1),
    cap=st.integers(1, 70),
    scale=st.floats(0, 20),
)
def test_the_fewest_that_have_the_mass(seed: int, num_pdfs: int, p: float, cap: int, scale: float) -> None:
    posteriors = posteriors_of(seed, 4, num_pdfs, scale)
    codec = nucleus(p, cap, num_pdfs)
    records = codec.encode(posteriors)
    cap = max(1, min(cap, num_pdfs - 1))
    for record, row in zip(records, posteriors, strict=True):
        ranked = row.sort(descending=True).values
        needed = int((ranked.cumsum(0) < p).sum()) + 1
        assert record["count"] == min(needed, cap)
        listed = row[record["ids"][: record["count"]].astype(int)]
        torch.testing.assert_close(listed, ranked[: record["count"]])
        assert float(record["tail"]) == pytest.approx(1 - float(listed.sum()), abs=1e-3)
    soft = codec.soft_targets(fields(records))
    torch.testing.assert_close(soft.probs.sum(-1) + soft.tail, torch.ones(4))
    prior = torch.full((num_pdfs,), 1 / num_pdfs)
    torch.testing.assert_close(dense_posteriors(soft, prior).sum(-1), torch.ones(4))


def test_by_hand() -> None:
    records = nucleus(0.7, 2, 4).encode(torch.tensor([[0.0, 0.75, 0.25, 0.0], [0.25, 0.25, 0.5, 0.0], [0.25] * 4]))
    assert records["count"].tolist() == [1, 2, 2]
    assert records["ids"][0].tolist() == [1, 0]
    assert records["tail"].tolist() == [0.25, 0.25, 0.5]
    assert nucleus(0.99, 24, 5784).dtype.itemsize == 3 + 24 * 4


@given(seed=st.integers(0, 10**6), scale=st.floats(0.1, 8))
def test_a_cap_that_covers_everything_is_dense(seed: int, scale: float) -> None:
    """All pdfs but one, and a tail that is that one's: the loss is the dense one, to float16's precision."""
    p, log_q = posteriors_of(seed, 5, 11, scale), posteriors_of(seed + 1, 5, 11, scale).log()
    codec = nucleus(1.0, 50, 11)
    soft = codec.soft_targets(fields(codec.encode(p)))
    dense = kl_divergence(log_q, SoftTargets(p, torch.zeros(5)))
    torch.testing.assert_close(kl_divergence(log_q, soft), dense, rtol=5e-3, atol=5e-3)


def test_padding_changes_nothing() -> None:
    """Whatever lies beyond a frame's count, and however wide the batch, its loss and gradient are its own."""
    p, z = posteriors_of(0, 6, 30, 3.0), torch.randn(6, 30, generator=torch.Generator().manual_seed(1))
    codec = nucleus(0.8, 20, 30)
    records = codec.encode(p)
    assert len(set(records["count"].tolist())) > 2
    noisy = records.copy()
    for record in noisy:
        record["ids"][record["count"] :], record["probs"][record["count"] :] = 29, 0.5

    def loss(chosen: np.ndarray, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logits = logits.clone().requires_grad_()
        found = kl_divergence(torch.log_softmax(logits, -1), codec.soft_targets(fields(chosen)))
        return found.detach(), torch.autograd.grad(found.sum(), logits)[0]

    together, gradient = loss(noisy, z)
    for n in range(6):
        width = int(records["count"][n])
        alone = {name: tensor[n : n + 1] for name, tensor in fields(records).items()}
        alone |= {name: alone[name][:, :width] for name in ("ids", "probs")}
        logits = z[n : n + 1].clone().requires_grad_()
        value = kl_divergence(torch.log_softmax(logits, -1), codec.soft_targets(alone))
        torch.testing.assert_close(together[n : n + 1], value.detach())
        torch.testing.assert_close(gradient[n : n + 1], torch.autograd.grad(value.sum(), logits)[0])


def test_mistakes() -> None:
    known = "dense, kaldi_posterior, kaldi_two_byte, nucleus, sampled, topk"
    with pytest.raises(ConfigError, match=f"unknown type 'best'; known are {known}"):
        build_codec({"type": "best"}, 9, "codec")
    for p, cap, key in ((0.0, 5, "p"), (1.1, 5, "p"), (0.9, 0, "cap"), (0.9, 256, "cap")):
        with pytest.raises(ConfigError, match=f"codec: {key}:"):
            nucleus(p, cap, 9)
