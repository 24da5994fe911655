"""Two-byte log posteriors: Kaldi's own quantisation, by kaldiio's, and what it loses."""

import io
import struct

import kaldiio
import numpy as np
import pytest
import torch

from asrkd.targets import build_codec, fields

TWO_BYTES = 3  # kaldiio's number for kTwoByteAuto


def posteriors_of(seed: int, frames: int, num_pdfs: int, scale: float = 2.0) -> torch.Tensor:
    return torch.softmax(scale * torch.randn(frames, num_pdfs, generator=torch.Generator().manual_seed(seed)), -1)


def test_against_a_compressed_matrix_of_each_frame() -> None:
    posteriors = posteriors_of(0, 3, 40)
    records = build_codec({"type": "kaldi_two_byte"}, 40, "codec").encode(posteriors)
    for record, logs in zip(records, posteriors.log().numpy(), strict=True):
        file = io.BytesIO()
        kaldiio.save_ark(file, {"a": logs[None]}, compression_method=TWO_BYTES)
        content = file.getvalue()
        head = content.index(b"BCM2 ") + 5
        low, spread, rows, columns = struct.unpack("<ffii", content[head : head + 16])
        assert (rows, columns) == (1, 40)
        assert record["low"] == np.float32(low)
        assert record["range"] == pytest.approx(spread, rel=1e-6)
        values = np.frombuffer(content[head + 16 :], "<u2").astype(int)
        assert np.abs(record["values"].view("<u2").astype(int) - values).max() <= 1


@pytest.mark.parametrize("num_pdfs", [2, 500, 14_000])
def test_what_comes_back(num_pdfs: int) -> None:
    posteriors = posteriors_of(1, 20, num_pdfs, 3.0)
    codec = build_codec({"type": "kaldi_two_byte"}, num_pdfs, "codec")
    records = codec.encode(posteriors)
    assert records.dtype.itemsize == 2 * num_pdfs + 8
    soft = codec.soft_targets(fields(records))
    assert soft.ids is None
    torch.testing.assert_close(soft.probs.sum(-1), torch.ones(20))
    assert float((torch.xlogy(posteriors, posteriors / soft.probs)).sum(-1).max()) < 1e-5


def test_sure_and_undecided_frames() -> None:
    posteriors = torch.tensor([[0.0, 1.0, 0.0], [1 / 3] * 3])
    codec = build_codec({"type": "kaldi_two_byte"}, 3, "codec")
    soft = codec.soft_targets(fields(codec.encode(posteriors)))
    torch.testing.assert_close(soft.probs, posteriors)
