"""Feature folders: normalised per speaker, and whole or refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from asrkd.core.archive import Archive, write_sharded
from asrkd.core.errors import DataError, MismatchError
from asrkd.features.store import FeatureDir, accumulate_cmvn, normalisation, write_feature_dir

RNG = np.random.default_rng(0)
MATRICES = {f"s{n // 2}-{n}": (RNG.normal(size=(5 + n, 3)) * [1, 5, 0.1] + n).astype(np.float32) for n in range(4)}
UTT2SPK = {utt: utt[:2] for utt in MATRICES}


def make(folder: Path, norm_vars: bool = True, identity: str = "fbank3-x") -> FeatureDir:
    folder.mkdir(exist_ok=True)
    write_sharded(folder, "feats", list(MATRICES), MATRICES.__getitem__)
    description = {"dim": 3, "norm_vars": norm_vars, "identity": identity}
    assert write_feature_dir(folder, UTT2SPK, description) == sum(map(len, MATRICES.values()))
    return FeatureDir.open(folder)


def test_zero_mean_and_unit_variance_per_speaker(tmp_path: Path) -> None:
    features = make(tmp_path)
    for speaker in ("s0", "s1"):
        frames = np.concatenate([features.load(utt) for utt in features.utt_ids if utt.startswith(speaker)])
        assert frames.dtype == np.float32
        np.testing.assert_allclose(frames.mean(0), 0, atol=1e-5)
        np.testing.assert_allclose(frames.std(0), 1, atol=1e-5)


def test_mean_only(tmp_path: Path) -> None:
    features = make(tmp_path, norm_vars=False)
    raw = np.concatenate([MATRICES[utt] for utt in ("s0-0", "s0-1")])
    np.testing.assert_allclose(features.load("s0-0"), MATRICES["s0-0"] - raw.mean(0), atol=1e-5)


@given(
    hnp.arrays(np.float32, st.tuples(st.integers(1, 20), st.integers(1, 4)), elements=st.floats(-100, 100, width=32))
)
def test_statistics_in_kaldis_layout(features: NDArray[np.float32]) -> None:
    stats = accumulate_cmvn(features)
    np.testing.assert_allclose(stats[0], [*features.astype(float).sum(0), len(features)])
    np.testing.assert_allclose(stats[1], [*(features.astype(float) ** 2).sum(0), 0])
    offset, scale = normalisation(stats, norm_vars=True)
    np.testing.assert_allclose(offset, features.astype(float).mean(0), rtol=1e-6, atol=1e-6)
    deviation = features.astype(float).std(0)
    varies = deviation > 1e-2
    np.testing.assert_allclose(scale[varies], 1 / deviation[varies], rtol=1e-3)
    assert np.isfinite(scale).all()


def test_statistics_add_up(tmp_path: Path) -> None:
    make(tmp_path)
    whole = accumulate_cmvn(np.concatenate([MATRICES["s1-2"], MATRICES["s1-3"]]))
    np.testing.assert_allclose(Archive.open(tmp_path / "cmvn.scp")["s1"], whole)


def test_a_silent_coefficient_stays_finite() -> None:
    offset, scale = normalisation(accumulate_cmvn(np.full((10, 2), 3.0, np.float32)), norm_vars=True)
    assert np.isfinite(scale).all()
    np.testing.assert_array_equal(offset, 3)
    with pytest.raises(DataError, match="no frames"):
        normalisation(np.zeros((2, 3)), norm_vars=True)


def test_contents(tmp_path: Path) -> None:
    features = make(tmp_path)
    assert features.utt_ids == list(MATRICES)
    assert features.num_frames == {"s0-0": 5, "s0-1": 6, "s1-2": 7, "s1-3": 8}
    assert features.dim == 3
    assert (tmp_path / "utt2num_frames").read_text().splitlines()[0] == "s0-0 5"


def test_the_same_features_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        make(tmp_path / name)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        (
            "utt2num_frames",
            lambda text: text.replace("s0-1 6\n", ""),
            "s0-1 is in only one of feats.scp and utt2num_fr",
        ),
        ("utt2num_frames", lambda text: text.replace(" 6", " six"), "utt2num_frames: s0-1: 'six' is no number"),
        ("utt2spk", lambda text: text.replace(" s0", " s 0", 1), "'s 0' can't be a speaker id"),
        ("utt2spk", lambda text: text + "zz s0\n", "zz is in only one of feats.scp and utt2spk"),
        ("features.json", lambda text: text[:10], "features.json is not readable as JSON"),
    ],
)
def test_files_that_disagree(tmp_path: Path, file: str, change: object, message: str) -> None:
    make(tmp_path)
    assert callable(change)
    (tmp_path / file).write_text(change((tmp_path / file).read_text()))
    with pytest.raises(DataError, match=message.replace(".", r"\.")):
        FeatureDir.open(tmp_path)


def test_files_of_two_runs(tmp_path: Path) -> None:
    make(tmp_path)
    lengths = (tmp_path / "utt2num_frames").read_text()
    (tmp_path / "utt2num_frames").write_text(lengths.replace("s0-1 6", "s0-1 9"))
    with pytest.raises(MismatchError, match=r"s0-1 has shape \(6, 3\), .* \(9, 3\)"):
        FeatureDir.open(tmp_path).load("s0-1")


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none does not exist: has the stage that makes it been run"):
        FeatureDir.open(tmp_path / "none")
    with pytest.raises(DataError, match="utterance x is not in it"):
        make(tmp_path).load("x")


def test_other_front_end(tmp_path: Path) -> None:
    first, second = make(tmp_path / "a"), make(tmp_path / "b", identity="mfcc3-y")
    first.check_same_front_end(first)
    with pytest.raises(MismatchError, match=r"fbank3-x.*mfcc3-y.* different front ends"):
        first.check_same_front_end(second)
    assert json.loads((tmp_path / "a" / "features.json").read_text())["dim"] == 3
