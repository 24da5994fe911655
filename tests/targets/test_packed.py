"""Records of varying length: nothing but padding is lost, and a batch gathers what the records held."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asrkd.targets import build_codec, fields
from asrkd.targets.packed import Table, pack, split, unpack

NUM_PDFS = 30
SECTIONS: list[dict[str, Any]] = [
    {"type": "dense"},
    {"type": "kaldi_two_byte"},
    {"type": "topk", "k": 3},
    {"type": "nucleus", "p": 0.9, "cap": 12},
    {"type": "kaldi_posterior", "min_post": 0.05, "cap": 9},
    {"type": "sampled", "draws": 20},
]


def posteriors_of(seed: int, frames: int) -> torch.Tensor:
    return torch.softmax(3 * torch.randn(frames, NUM_PDFS, generator=torch.Generator().manual_seed(seed)), -1)


@given(seed=st.integers(0, 10**6), frames=st.integers(0, 9), section=st.sampled_from(SECTIONS))
def test_round_trip(seed: int, frames: int, section: dict[str, Any]) -> None:
    records = build_codec(section, NUM_PDFS, "codec").encode(posteriors_of(seed, frames))
    packed = pack(records)
    back = unpack(packed, records.dtype)
    assert back.dtype == records.dtype
    np.testing.assert_array_equal(back, records)
    if packed.items is not None:
        assert len(packed.items) == packed.heads["count"].sum()


def test_what_is_laid_out() -> None:
    heads, items = split(build_codec(SECTIONS[3], NUM_PDFS, "codec").dtype)
    assert heads == np.dtype([("count", "u1"), ("tail", "f2")])
    assert items == np.dtype([("ids", "i2"), ("probs", "f2")])
    topk = build_codec(SECTIONS[2], NUM_PDFS, "codec").dtype
    assert split(topk) == (topk, None)


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: str(section["type"]))
def test_a_batch_is_what_the_codec_gives_frame_by_frame(section: dict[str, Any]) -> None:
    codec = build_codec(section, NUM_PDFS, "codec")
    parts = [codec.encode(posteriors_of(seed, frames), str(seed)) for seed, frames in enumerate((4, 1, 6))]
    table = Table([pack(part) for part in parts])
    whole = np.concatenate(parts)
    order = torch.tensor([10, 0, 3, 3, 4, 7])
    gathered = table.gather(order)
    batch = codec.soft_targets(gathered)
    for row, frame in enumerate(order.tolist()):
        alone = codec.soft_targets(fields(whole[frame : frame + 1]))
        if batch.ids is None or alone.ids is None:
            torch.testing.assert_close(batch.probs[row], alone.probs[0], rtol=0, atol=0)
            continue
        assert {
            (int(pdf), float(prob)) for pdf, prob in zip(batch.ids[row], batch.probs[row], strict=True) if prob > 0
        } == {(int(pdf), float(prob)) for pdf, prob in zip(alone.ids[0], alone.probs[0], strict=True) if prob > 0}
        assert batch.tail[row] == alone.tail[0]
    if "count" in (whole.dtype.names or ()):
        widest = int(whole["count"].max())
        assert all(values.shape == (6, widest) for values in gathered.values() if values.ndim > 1)
        # A draw's number takes half a byte at least.
        assert batch.probs.shape == (6, min(2 * widest, 20) if codec.random else widest)
