"""Digits: IDX files and scikit-learn's, their parts, what is refused, and the folders that acoustic verbs take."""

import gzip
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from asrkd.cli import main
from asrkd.core.errors import DataError
from asrkd.corpora.digits import DigitsConfig, read_digits
from asrkd.features.store import FeatureDir
from asrkd.hmm.alignment import Alignment

SHAPES = {"train": 40, "t10k": 12}


def idx(array: NDArray[Any]) -> bytes:
    head = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    return head + array.astype(np.uint8).tobytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files of 40 and 12 images of 3 x 2 pixels, the labels gzipped."""
    rng = np.random.default_rng(0)
    for name, count in SHAPES.items():
        (tmp_path / f"{name}-images-idx3-ubyte").write_bytes(idx(rng.integers(256, size=(count, 3, 2))))
        (tmp_path / f"{name}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(np.arange(count) % 10)))
    return tmp_path


def test_idx_files_keep_their_test_set(folder: Path) -> None:
    parts = read_digits(DigitsConfig(dev=0.25), folder)
    assert {name: len(part) for name, part in parts.items()} == {"train": 30, "dev": 10, "test": 12}
    raw = (folder / "t10k-images-idx3-ubyte").read_bytes()[16:]
    assert (parts["test"].pixels * 255).round().astype(np.uint8).tobytes() == raw
    assert parts["test"].labels.tolist() == [n % 10 for n in range(12)]
    together = np.concatenate([parts[name].pixels for name in ("train", "dev")]).reshape(40, -1)
    assert len(np.unique(together, axis=0)) == 40


def test_scikit_learns_digits_are_the_default() -> None:
    pytest.importorskip("sklearn")
    parts = read_digits(DigitsConfig(dev=0.15, test=0.25))
    assert [len(part) for part in parts.values()] == [1078, 270, 449]
    assert parts["train"].pixels.shape[1:] == (8, 8)
    assert parts["train"].pixels.max() == 1
    assert set(parts["dev"].labels.tolist()) == set(range(10))


def test_what_is_wrong_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = folder / "train-labels-idx1-ubyte.gz"
    for content, told in (
        (gzip.compress(idx(np.arange(39) % 10)), "40 train images and 39 labels"),
        (gzip.compress(idx(np.arange(40))), "a label of train is 39"),
        (gzip.compress(idx(np.arange(40) % 10)[:-1]), "cut short"),
        (gzip.compress(b"RIFF" + bytes(50)), "no IDX file"),
        (labels.read_bytes()[:20], "not readable .*was it cut short"),
        (gzip.compress(idx(np.arange(40) % 10) + bytes(10**6)), "more bytes for an array of"),
        (gzip.compress(bytes([0, 0, 8, 1, 255, 255, 255, 255])), "says that it holds an array of"),
    ):
        labels.write_bytes(content)
        with pytest.raises(DataError, match=told):
            read_digits(DigitsConfig(), folder)
    labels.unlink()
    with pytest.raises(DataError, match="neither train-labels-idx1-ubyte nor"):
        read_digits(DigitsConfig(), folder)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(DataError, match="not installed"):
        read_digits(DigitsConfig())


def test_the_verb_makes_features_and_alignments(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "data"
    assert main(["digits", "--data", str(folder), "--set", "digits.dev=0.25", str(output)]) == 0
    features, alignment = FeatureDir.open(output / "features/test"), Alignment.open(output / "ali/test")
    parts = read_digits(DigitsConfig(dev=0.25), folder)
    assert len(features.utt_ids) == 12
    for number, utt_id in enumerate(features.utt_ids):
        np.testing.assert_array_equal(features.load(utt_id), parts["test"].pixels[number].reshape(1, 6))
        assert alignment.pdf_ids(utt_id).tolist() == [number % 10]
    assert (features.description["height"], features.description["width"]) == (3, 2)
    others = Alignment.open(output / "ali/train")
    others.check_tied_states(alignment.tied_states, "test")
    np.testing.assert_array_equal(others.pdf_counts, np.bincount(parts["train"].labels, minlength=10))
