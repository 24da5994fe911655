"""Random draws: unbiased, no more spread than independent ones, the same for the same seed, utterance and frame."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asrkd.core.errors import ConfigError
from asrkd.losses.distillation import kl_divergence
from asrkd.targets import Codec, build_codec, dense_posteriors, fields

NUM_PDFS = 60


def posteriors_of(seed: int, frames: int, num_pdfs: int = NUM_PDFS, scale: float = 2.0) -> torch.Tensor:
    return torch.softmax(scale * torch.randn(frames, num_pdfs, generator=torch.Generator().manual_seed(seed)), -1)


def sampled(pdfs: int = NUM_PDFS, /, **config: float) -> Codec:
    return build_codec({"type": "sampled", **config}, pdfs, "codec")


def given_back(codec: Codec, posteriors: torch.Tensor, utt_id: str = "a") -> torch.Tensor:
    """Dense (frames, num_pdfs) estimates of posteriors."""
    soft = codec.soft_targets(fields(codec.encode(posteriors, utt_id)))
    num_pdfs = posteriors.shape[-1]
    return dense_posteriors(soft, torch.full((num_pdfs,), 1 / num_pdfs))


@given(seed=st.integers(0, 10**6), num_pdfs=st.integers(1, 80), draws=st.integers(1, 1000), scale=st.floats(0, 20))
def test_counts_add_up_to_the_draws(seed: int, num_pdfs: int, draws: int, scale: float) -> None:
    p = posteriors_of(seed, 4, num_pdfs, scale)
    codec = sampled(num_pdfs, draws=draws)
    records = codec.encode(p, "a")
    drawn = draws * given_back(codec, p, "a").double()
    torch.testing.assert_close(drawn, drawn.round(), rtol=0, atol=1e-3)
    torch.testing.assert_close(drawn.sum(-1), torch.full((4,), float(draws)).double(), rtol=0, atol=1e-3)
    assert (p[drawn.round() > 0] > 0).all()
    # Points at equal distances: a count is one of the two whole numbers about its mean.
    assert ((drawn - draws * p).abs() < 1.01).all()
    for record in records:
        assert not record["halves"][record["count"] :].any()


@pytest.mark.parametrize("config", [{"draws": 7}, {"draws": 50, "max_variance": 0.1}], ids=["fixed", "adaptive"])
def test_the_mean_of_many_is_the_posterior(config: dict[str, float]) -> None:
    """Over 20,000 draws of a frame no pdf's mean is off by more than 5 standard errors of independent draws.

    By the normal tail, sound code passes for all 60 pdfs of both frames but for once in 10,000 seeds.
    """
    repeats = 20_000
    codec = sampled(**config)
    for p in posteriors_of(3, 2):
        estimates = given_back(codec, p.expand(repeats, -1))
        draws = sampled_draws(codec, p)
        error = (estimates.double().mean(0) - p).abs()
        assert (error <= 5 * (p * (1 - p) / draws / repeats).sqrt() + 1e-6).all()


def sampled_draws(codec: Codec, p: torch.Tensor) -> int:
    """Of one frame: all its counts over the least that is not 0, since some pdf is drawn once."""
    counts = given_back(codec, p[None])
    return round(1 / float(counts[counts > 0].min()))


def test_the_gradient_is_unbiased_where_truncation_is_not() -> None:
    """The cross-entropy's mean over many encodings is the dense one; the k largest, renormalised, miss it."""
    repeats, draws = 20_000, 12
    p, log_q = posteriors_of(0, 1)[0], posteriors_of(1, 1)[0].log()
    exact = -float(p @ log_q)
    each = -(given_back(sampled(draws=draws), p.expand(repeats, -1)) @ log_q).double()
    deviation = math.sqrt(float(p @ log_q.square() - exact**2) / draws)  # of independent draws
    assert float(each.std()) <= deviation
    bound = 5 * deviation / math.sqrt(repeats)
    assert abs(float(each.mean()) - exact) <= bound
    largest, ids = p.topk(draws)
    assert abs(-float(largest @ log_q[ids] / largest.sum()) - exact) > 10 * bound


def test_variance_is_at_most_that_of_independent_draws_and_as_bounded() -> None:
    p, bound = posteriors_of(5, 3), 0.02
    codec = sampled(draws=255, max_variance=bound)
    for row in p:
        estimates = given_back(codec, row.expand(5000, -1))
        squared = float((estimates - row).square().sum(-1).mean())
        assert squared <= float(1 - row.square().sum()) / sampled_draws(codec, row) <= bound


def test_sure_frames_take_few_draws() -> None:
    sure, unsure = torch.full((NUM_PDFS,), 1e-5), torch.full((NUM_PDFS,), 1 / NUM_PDFS)
    sure[7] = 1 - 1e-5 * (NUM_PDFS - 1)
    adaptive, fixed = sampled(draws=40, max_variance=0.02), sampled(draws=40)
    assert adaptive.encode(torch.stack([sure, unsure]))["count"].tolist() == [1, 20]
    assert sampled_draws(adaptive, sure) == 1
    # 2 * 7 + 1 and 40 - 2, of two halves each.
    assert fixed.encode(sure[None])["count"].tolist() == [2]


def halves_of(number: int) -> int:
    """Half bytes of a number: 8 are the numbers of one, 64 the next of two, 512 the next of three."""
    length, kinds = 1, 8
    while number >= kinds:
        number, kinds, length = number - kinds, 8 * kinds, length + 1
    return length


@given(pdf=st.integers(0, 69_999), beyond=st.integers(1, 70_000), draws=st.integers(1, 1000))
def test_one_pdf_of_many_is_few_bytes(pdf: int, beyond: int, draws: int) -> None:
    p = torch.zeros(1, pdf + beyond)
    p[0, pdf] = 1
    codec = sampled(pdf + beyond, draws=draws)
    halves = halves_of(2 * pdf + (draws > 1)) + (halves_of(draws - 2) if draws > 1 else 0)
    assert codec.encode(p)[0]["count"] == (halves + 1) // 2
    torch.testing.assert_close(given_back(codec, p), p, rtol=0, atol=1e-6)


@pytest.mark.parametrize("num_pdfs", [240, 241, 14_000, 30_600, 61_441])
@pytest.mark.parametrize("apart", [5, 37, 293, 61_441])
def test_numbers_are_never_more_than_have_room(num_pdfs: int, apart: int) -> None:
    """Draws of as many pdfs, just so far apart that a number takes one more half of a byte, or as they can be."""
    for draws in (1, 2, 127, 128, 240, 1000):
        codec = sampled(num_pdfs, draws=draws)
        p = torch.zeros(1, num_pdfs)
        p[0, torch.linspace(0, min(apart * draws, num_pdfs - 1), draws).long()] = 1
        p /= p.sum()
        record = codec.encode(p)[0]
        assert 1 <= record["count"] <= len(record["halves"])
        torch.testing.assert_close(given_back(codec, p), p, rtol=0, atol=1 / draws)
        assert (given_back(codec, p)[p == 0] == 0).all()


@given(seed=st.integers(0, 10**6), draws=st.integers(1, 40), narrower=st.booleans(), garbage=st.integers(0, 255))
def test_what_lies_beyond_the_count_is_not_read(seed: int, draws: int, narrower: bool, garbage: int) -> None:
    codec, p = sampled(draws=draws), posteriors_of(seed, 5)
    records = fields(codec.encode(p))
    expected = codec.soft_targets(records)
    if narrower:
        records["halves"] = records["halves"][:, : int(records["count"].max())]
    beyond = torch.arange(records["halves"].shape[1]) >= records["count"][:, None]
    records["halves"] = records["halves"].masked_fill(beyond, garbage)
    prior = torch.full((NUM_PDFS,), 1 / NUM_PDFS)
    torch.testing.assert_close(
        dense_posteriors(codec.soft_targets(records), prior), dense_posteriors(expected, prior), rtol=0, atol=0
    )


def test_draws_belong_to_seed_utterance_and_frame() -> None:
    p = posteriors_of(0, 20)
    first = sampled(seed=1).encode(p, "a")
    np.testing.assert_array_equal(first, sampled(seed=1).encode(p, "a"))
    np.testing.assert_array_equal(first[:5], sampled(seed=1).encode(p[:5], "a"))
    for other in (sampled(seed=1).encode(p, "b"), sampled(seed=2).encode(p, "a")):
        assert (first != other).any()
    same = sampled().encode(p[:1].expand(20, -1), "a")
    assert len({record.tobytes() for record in same}) > 1


def test_enough_draws_are_the_dense_divergence() -> None:
    """Posteriors that are whole numbers of draws come back exactly."""
    p = torch.tensor([[3.0, 1.0, 0.0, 4.0], [8.0, 0.0, 0.0, 0.0]]) / 8
    torch.testing.assert_close(given_back(sampled(4, draws=8), p), p, rtol=0, atol=0)
    log_q = posteriors_of(0, 2, 4).log()
    codec = sampled(4, draws=8)
    soft = codec.soft_targets(fields(codec.encode(p)))
    expected = (torch.xlogy(p, p) - p * log_q).sum(-1)
    torch.testing.assert_close(kl_divergence(log_q, soft), expected)


def test_mistakes() -> None:
    for key, value in (("draws", 0), ("draws", 1001), ("max_variance", 1.0)):
        with pytest.raises(ConfigError, match=f"codec: {key}"):
            sampled(**{key: value})
