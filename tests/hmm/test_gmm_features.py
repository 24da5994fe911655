"""What Gaussians see: derivatives, or windows under a transform; the transform's files."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asrkd.core.errors import DataError, MismatchError
from asrkd.features.store import FeatureDir
from asrkd.features.window import Window
from asrkd.hmm.gmm_features import GmmFeatures, SplicedTransform, read_transform

WINDOW = Window(2, 1)


def transform_of(columns: int, rows: int = 5) -> SplicedTransform:
    matrix = np.random.default_rng(0).normal(size=(rows, columns)).astype(np.float32)
    return SplicedTransform(matrix, WINDOW)


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("num_frames", [0, 1, 7])
def test_frames_are_spliced_and_transformed(num_frames: int, offset: int) -> None:
    feats = np.random.default_rng(1).normal(size=(num_frames, 3)).astype(np.float32)
    transform = transform_of(12 + offset)
    rows = []
    for t in range(num_frames):
        window = [feats[min(max(t + shift, 0), num_frames - 1)] for shift in (-2, -1, 0, 1)]
        rows.append(transform.matrix @ np.concatenate([*window, np.ones(offset)]))
    np.testing.assert_allclose(transform.apply(feats), np.reshape(rows, (num_frames, 5)), rtol=1e-4, atol=1e-5)


def test_one_transform_after_another() -> None:
    feats = np.random.default_rng(1).normal(size=(7, 3)).astype(np.float32)
    second = np.random.default_rng(2).normal(size=(5, 5))
    both = transform_of(13).then(second)
    np.testing.assert_allclose(both.apply(feats), transform_of(13).apply(feats) @ second.T, rtol=1e-4, atol=1e-4)


def test_a_feature_folder_is_seen_with_derivatives_or_under_the_transform(toy: Any) -> None:
    store = FeatureDir.open(toy.features)
    utt = store.utt_ids[0]
    plain = GmmFeatures(store)
    assert plain.load(utt).shape == (store.num_frames[utt], plain.dim) == (store.num_frames[utt], 9)
    transform = transform_of(12)
    seen = GmmFeatures(store, transform)
    np.testing.assert_array_equal(seen.load(utt), transform.apply(store.load(utt)))
    assert seen.dim == 5


def test_features_of_another_dimension_are_refused() -> None:
    with pytest.raises(MismatchError, match="4 frames of 2 dimensions for a transform of 12: of another front end"):
        transform_of(12).apply(np.zeros((6, 2), np.float32))


def test_the_files_are_kaldis(tmp_path: Path) -> None:
    transform = transform_of(12)
    transform.write(tmp_path)
    head = b"\0BFM \4" + struct.pack("<i", 5) + b"\4" + struct.pack("<i", 12)
    assert (tmp_path / "final.mat").read_bytes() == head + transform.matrix.tobytes()
    assert (tmp_path / "splice_opts").read_text() == "--left-context=2 --right-context=1\n"
    back = read_transform(tmp_path)
    assert back is not None
    assert back.window == WINDOW
    np.testing.assert_array_equal(back.matrix, transform.matrix)
    (tmp_path / "splice_opts").unlink()
    back = read_transform(tmp_path)
    assert back is not None
    assert back.window == Window(4, 4)  # what Kaldi's splice-feats takes
    (tmp_path / "final.mat").write_text(" [\n  1 0.5\n  -2 0 ]\n")  # --binary=false
    back = read_transform(tmp_path)
    assert back is not None
    np.testing.assert_array_equal(back.matrix, [[1, 0.5], [-2, 0]])
    (tmp_path / "final.mat").unlink()
    assert read_transform(tmp_path) is None


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    transform_of(12).write(tmp_path)
    (tmp_path / "splice_opts").write_text("--left-context=2 $(touch x)\n")
    with pytest.raises(DataError, match=r"splice_opts: '\$\(touch' is no --left-context=N or --right-context=N"):
        read_transform(tmp_path)
    transform_of(12).write(tmp_path)
    whole = (tmp_path / "final.mat").read_bytes()
    for damaged in (whole[:-3], whole + b"x", whole[:-4] + struct.pack("<f", np.nan), b"text", b""):
        (tmp_path / "final.mat").write_bytes(damaged)
        with pytest.raises(DataError, match=r"final\.mat"):
            read_transform(tmp_path)
