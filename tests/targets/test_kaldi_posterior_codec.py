"""Kaldi's pairs as a codec: those of at least the least weight, as they are, and the rest as the tail."""

from pathlib import Path

import kaldi_native_io
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asrkd.cli import main
from asrkd.core.errors import ConfigError
from asrkd.losses import SoftTargets
from asrkd.losses.distillation import kl_divergence
from asrkd.targets import Codec, build_codec, fields
from asrkd.targets.archive import SoftTargetArchive, write_header, write_shard
from asrkd.targets.header import Header


def posteriors_of(seed: int, frames: int, num_pdfs: int) -> torch.Tensor:
    return torch.softmax(3 * torch.randn(frames, num_pdfs, generator=torch.Generator().manual_seed(seed)), -1)


def pairs(min_post: float, cap: int, num_pdfs: int) -> Codec:
    return build_codec({"type": "kaldi_posterior", "min_post": min_post, "cap": cap}, num_pdfs, "codec")


def test_by_hand() -> None:
    codec = pairs(0.2, 3, 5)
    records = codec.encode(
        torch.tensor([[0.125, 0.5, 0.25, 0.125, 0.0], [0.2499, 0.2501, 0.25, 0.25, 0.0], [0.15] * 5])
    )
    assert records["count"].tolist() == [2, 3, 1]
    assert records["ids"][0].tolist() == [1, 2, 0]
    assert records["weights"][0].tolist() == [0.5, 0.25, 0.0]
    soft = codec.soft_targets(fields(records[:1]))
    assert soft.tail.tolist() == [0.25]
    assert pairs(0.01, 40, 5784).dtype.itemsize == 4 + 40 * 8


@given(seed=st.integers(0, 10**6), num_pdfs=st.integers(1, 60), min_post=st.floats(1e-6, 0.9), cap=st.integers(1, 70))
def test_what_is_kept_is_kept_to_the_bit(seed: int, num_pdfs: int, min_post: float, cap: int) -> None:
    posteriors = posteriors_of(seed, 4, num_pdfs)
    for record, row in zip(pairs(min_post, cap, num_pdfs).encode(posteriors), posteriors.numpy(), strict=True):
        kept = np.sort(row)[::-1][: min(cap, num_pdfs)]
        expected = kept[: max(1, int((kept >= np.float32(min_post)).sum()))]
        np.testing.assert_array_equal(record["weights"][: record["count"]], expected)
        np.testing.assert_array_equal(row[record["ids"][: record["count"]]], expected)


@given(seed=st.integers(0, 10**6))
def test_all_pairs_are_dense(seed: int) -> None:
    p, log_q = posteriors_of(seed, 5, 11), posteriors_of(seed + 1, 5, 11).log()
    codec = pairs(1e-30, 11, 11)
    found = kl_divergence(log_q, codec.soft_targets(fields(codec.encode(p))))
    torch.testing.assert_close(found, kl_divergence(log_q, SoftTargets(p, torch.zeros(5))), rtol=1e-4, atol=1e-5)


def test_its_table_holds_the_weights_that_training_sees(tmp_path: Path) -> None:
    """To the bit, as Kaldi's own code reads them."""
    posteriors, codec = posteriors_of(3, 9, 30), {"type": "kaldi_posterior", "min_post": 0.02}
    folder = tmp_path / "soft"
    folder.mkdir()
    records = build_codec(codec, 30, "codec").encode(posteriors)
    index = write_shard(folder, 1, records, {"b": 4, "a": 5})
    write_header(folder, Header(2.0, codec, "arithmetic", ("teacher",), 30, "tiny", "t" * 64, (1 / 30,) * 30), index)
    assert len(set(records["count"].tolist())) > 1
    assert main(["export-posteriors", str(folder), str(tmp_path / "post")]) == 0
    with kaldi_native_io.SequentialPosteriorReader(f"scp:{tmp_path / 'post' / 'post.scp'}") as reader:
        read = {
            utt_id: [[(pdf, np.float32(weight)) for pdf, weight in frame] for frame in value]
            for utt_id, value in reader
        }
    archive = SoftTargetArchive.open(folder)
    for utt_id in ("a", "b"):
        stored = archive.records(utt_id)
        lists = [zip(row["ids"], row["weights"], strict=True) for row in stored]
        assert read[utt_id] == [list(each)[:n] for each, n in zip(lists, stored["count"], strict=True)]


def test_mistakes() -> None:
    for min_post, cap, key in ((0.0, 5, "min_post"), (1.0, 5, "min_post"), (0.1, 0, "cap")):
        with pytest.raises(ConfigError, match=f"codec: {key}:"):
            pairs(min_post, cap, 9)
