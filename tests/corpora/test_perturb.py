"""Speed perturbation: length and pitch move by the factor."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrkd.core.datadir import read_data_dir, write_data_dir
from asrkd.core.errors import ConfigError
from asrkd.corpora.perturb import SpeedConfig, change_speed, perturb_speed


@pytest.mark.parametrize("factor", [0.9, 1.1, 0.5, 2.0, 0.95])
def test_pitch_moves_by_the_factor(factor: float) -> None:
    time = np.arange(16000) / 16000
    faster = change_speed(np.sin(2 * np.pi * 1000 * time).astype(np.float32), factor)
    peak = np.abs(np.fft.rfft(faster * np.hanning(len(faster)))).argmax() * 16000 / len(faster)
    assert peak == pytest.approx(1000 * factor, abs=2)
    assert faster.dtype == np.float32
    inner = faster[200:-200]  # the filter rings at the ends
    assert np.abs(inner).max() == pytest.approx(1, abs=0.01)


@given(num_samples=st.integers(1, 3000), percent=st.integers(50, 200))
def test_length(num_samples: int, percent: int) -> None:
    samples = np.zeros(num_samples, np.float32)
    assert len(change_speed(samples, percent / 100)) == math.ceil(num_samples * 100 / percent)


def test_factor_1_changes_nothing() -> None:
    samples = np.random.default_rng(0).normal(size=100).astype(np.float32)
    np.testing.assert_array_equal(change_speed(samples, 1.0), samples)


@pytest.mark.parametrize(("factor", "message"), [(110.0, r"did you mean 1\.1\?"), (0.1, "outside 0.5"), (3.0, "2$")])
def test_impossible_factors(factor: float, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        change_speed(np.zeros(10, np.float32), factor)


@pytest.mark.parametrize("jobs", [1, 2])
def test_data_dir(tiny_data: Path, tmp_path: Path, jobs: int) -> None:
    work = tmp_path / "sp.partial"
    work.mkdir()
    summary = perturb_speed(SpeedConfig(), tiny_data, tmp_path / "sp", work, jobs)
    work.rename(tmp_path / "sp")
    before, after = read_data_dir(tiny_data), read_data_dir(tmp_path / "sp")
    assert summary["utterances"] == len(after.wav) == 3 * len(before.wav)
    assert after.text is not None
    for utt_id in before.utt_ids:
        copy = f"sp0.9-{utt_id}"
        assert after.utt2spk[copy] == f"sp0.9-{before.utt2spk[utt_id]}"
        assert after.text[copy] == "A TONE"
        assert after.wav[utt_id] == before.wav[utt_id]
        assert len(after.audio(copy)) == math.ceil(len(before.audio(utt_id)) * 10 / 9)
        assert after.durations[copy] == pytest.approx(len(after.audio(copy)) / 16000, abs=1e-4)


def test_without_the_recordings_themselves_and_without_words(tiny_data: Path, tmp_path: Path) -> None:
    (tiny_data / "text").unlink()
    (tmp_path / "sp").mkdir()
    perturb_speed(SpeedConfig((0.9,)), tiny_data, tmp_path / "sp", tmp_path / "sp")
    data = read_data_dir(tmp_path / "sp")
    assert data.text is None
    assert all(utt.startswith("sp0.9-") for utt in data.wav)


def test_a_factor_given_twice(tiny_data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="given twice"):
        perturb_speed(SpeedConfig((0.9, 0.9)), tiny_data, tmp_path, tmp_path)


def test_loud_copies_are_clipped_not_wrapped(tiny_data: Path, tmp_path: Path) -> None:
    import soundfile

    square = np.sign(np.sin(np.arange(8000) / 10)) * 0.999
    soundfile.write(tmp_path / "spk0-0.flac", square, 16000)
    data = read_data_dir(tiny_data).subset(["spk0-0"])
    write_data_dir(tmp_path / "one", data)
    (tmp_path / "sp").mkdir()
    perturb_speed(SpeedConfig((1.1,)), tmp_path / "one", tmp_path / "sp", tmp_path / "sp")
    samples = read_data_dir(tmp_path / "sp").audio("sp1.1-spk0-0")
    assert np.abs(np.diff(np.sign(samples))).sum() / 2 == pytest.approx(8000 / (10 * np.pi), abs=3)
