"""The k largest posteriors and the rest of the mass."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asrkd.core.errors import ConfigError
from asrkd.targets import Codec, build_codec, dense_posteriors, fields


def posteriors_of(seed: int, frames: int, num_pdfs: int, scale: float = 2.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.softmax(scale * torch.randn(frames, num_pdfs, generator=generator), -1)


def topk(k: int, num_pdfs: int) -> Codec:
    return build_codec({"type": "topk", "k": k}, num_pdfs, "codec")


@given(seed=st.integers(0, 10**6), num_pdfs=st.integers(1, 60), k=st.integers(1, 70), scale=st.floats(0, 20))
def test_round_trip(seed: int, num_pdfs: int, k: int, scale: float) -> None:
    posteriors = posteriors_of(seed, 4, num_pdfs, scale)
    codec = topk(k, num_pdfs)
    soft = codec.soft_targets(fields(codec.encode(posteriors)))
    k = min(k, num_pdfs)
    assert soft.ids is not None
    assert soft.probs.shape == soft.ids.shape == (4, k)
    assert soft.tail.shape == (4,)
    torch.testing.assert_close(soft.probs.sum(-1) + soft.tail, torch.ones(4))
    largest = posteriors.topk(k, -1).values
    torch.testing.assert_close(soft.probs, largest, rtol=2e-3, atol=1e-6)
    torch.testing.assert_close(soft.tail, 1 - largest.sum(-1), rtol=0, atol=2e-3)
    assert (soft.probs.diff(dim=-1) <= 0).all()
    torch.testing.assert_close(posteriors.gather(-1, soft.ids), largest)
    if k < num_pdfs:
        dense = dense_posteriors(soft, torch.full((num_pdfs,), 1 / num_pdfs))
        torch.testing.assert_close(dense.sum(-1), torch.ones(4))


def test_bytes_per_frame() -> None:
    assert topk(20, 5784).dtype.itemsize == 82
    assert topk(20, 65536).dtype.itemsize == 82
    assert topk(20, 65537).dtype.itemsize == 122
    assert topk(20, 5).dtype.itemsize == 22


def test_the_last_pdf_of_many_keeps_its_id() -> None:
    for num_pdfs in (32768, 32769, 65536, 70_000):
        posteriors = torch.zeros(1, num_pdfs)
        posteriors[0, -1] = 1
        codec = topk(1, num_pdfs)
        soft = codec.soft_targets(fields(codec.encode(posteriors)))
        assert soft.ids is not None
        assert int(soft.ids) == num_pdfs - 1
        assert float(soft.tail) == 0


def test_tail_is_spread_by_the_prior() -> None:
    codec = topk(2, 4)
    soft = codec.soft_targets(fields(codec.encode(torch.tensor([[0.125, 0.5, 0.25, 0.125]]))))
    dense = dense_posteriors(soft, torch.tensor([0.6, 0.1, 0.1, 0.2]))
    torch.testing.assert_close(dense, torch.tensor([[0.1875, 0.5, 0.25, 0.0625]]))


@pytest.mark.parametrize("precision", ["float16", "float32"])
def test_dense(precision: str) -> None:
    posteriors = posteriors_of(0, 6, 9)
    codec = build_codec({"type": "dense", "precision": precision}, 9, "codec")
    records = codec.encode(posteriors)
    assert records.dtype.itemsize == 9 * np.dtype(precision).itemsize
    soft = codec.soft_targets(fields(records))
    assert soft.ids is None
    torch.testing.assert_close(soft.probs, posteriors, rtol=0 if precision == "float32" else 1e-3, atol=1e-6)
    torch.testing.assert_close(soft.probs.sum(-1), torch.ones(6))
    torch.testing.assert_close(dense_posteriors(soft, torch.ones(9) / 9), soft.probs, rtol=0, atol=0)


def test_records_may_be_read_only() -> None:
    for name in ("topk", "dense"):
        codec = build_codec({"type": name}, 9, "codec")
        records = codec.encode(posteriors_of(0, 6, 9))
        records.flags.writeable = False
        assert len(codec.soft_targets(fields(records)).probs) == 6


def test_unknown() -> None:
    with pytest.raises(ConfigError, match="unknown type 'topp'; did you mean 'topk'"):
        build_codec({"type": "topp"}, 9, "codec")
    with pytest.raises(ConfigError, match="codec: k:"):
        topk(0, 9)
