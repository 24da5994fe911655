"""Front ends: two implementations agree, and frames are counted by Kaldi's rule."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from asrkd.core.config import parse
from asrkd.core.errors import ConfigError
from asrkd.features.frontend import FeatureConfig, compute_native, compute_torchaudio


def noise(num_samples: int) -> NDArray[np.float32]:
    return (0.1 * np.random.default_rng(num_samples).normal(size=num_samples)).astype(np.float32)


OPTIONS: list[dict[str, Any]] = [
    {},
    {"snip_edges": False},
    {"num_mel_bins": 23, "low_freq": 64.0, "high_freq": -400.0},
    {"frame_shift_ms": 12.5, "frame_length_ms": 30.0},
    {"sample_rate": 8000},
    {"sample_rate": 11025},
]


@pytest.mark.parametrize("kind", ["fbank", "mfcc"])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("num_samples", [8000, 12345])
def test_implementations_agree(kind: str, options: dict[str, Any], num_samples: int) -> None:
    config = parse(FeatureConfig, {"kind": kind, **options}, "here")
    native, torch_based = (compute(noise(num_samples), config) for compute in (compute_native, compute_torchaudio))
    assert native.shape == torch_based.shape == (config.num_frames(num_samples), config.dim)
    assert native.dtype == torch_based.dtype == np.float32
    # Log-mel energies are of the order of 10, and cepstra sum 40 of them.
    np.testing.assert_allclose(native, torch_based, atol=1e-4 if kind == "fbank" else 2e-3)


@pytest.mark.parametrize("kind", ["fbank", "mfcc"])
@pytest.mark.parametrize("snip_edges", [True, False])
@pytest.mark.parametrize("num_samples", [1, 79, 80, 100, 240, 399, 400, 401])
def test_short_audio(kind: str, snip_edges: bool, num_samples: int) -> None:
    config = parse(FeatureConfig, {"kind": kind, "snip_edges": snip_edges}, "here")
    for compute in (compute_native, compute_torchaudio):
        features = compute(noise(num_samples), config)
        assert features.shape == (config.num_frames(num_samples), config.dim)
        assert np.isfinite(features).all()


@given(
    num_samples=st.integers(0, 6000),
    rate=st.sampled_from([8000, 11025, 16000, 22050]),
    shift=st.sampled_from([5.0, 10.0, 12.5]),
    length=st.sampled_from([20.0, 25.0, 32.0]),
    snip_edges=st.booleans(),
)
def test_number_of_frames(num_samples: int, rate: int, shift: float, length: float, snip_edges: bool) -> None:
    config = FeatureConfig(sample_rate=rate, frame_shift_ms=shift, frame_length_ms=length, snip_edges=snip_edges)
    assert config.num_frames(num_samples) == len(compute_native(noise(num_samples), config))


def test_known_numbers_of_frames() -> None:
    config = FeatureConfig()
    assert [config.num_frames(n) for n in (0, 399, 400, 559, 560, 16000)] == [0, 0, 1, 1, 2, 98]
    config = FeatureConfig(snip_edges=False)
    assert [config.num_frames(n) for n in (0, 79, 80, 16000, 16079, 16080)] == [0, 0, 1, 100, 100, 101]


def test_a_tone_lies_in_its_mel_bin() -> None:
    time = np.arange(16000) / 16000
    config = FeatureConfig()

    def mel(hertz: float) -> float:
        return float(1127 * np.log(1 + hertz / 700))  # Kaldi's scale

    centres = np.linspace(mel(20), mel(8000), 42)[1:-1]
    for hertz in (300.0, 1000.0, 3000.0):
        features = compute_native((0.5 * np.sin(2 * np.pi * hertz * time)).astype(np.float32), config)
        assert abs(int(features.mean(0).argmax()) - int(np.abs(centres - mel(hertz)).argmin())) <= 1


def test_twice_as_loud_is_log_4_more_energy() -> None:
    config = FeatureConfig()
    samples = noise(4000)
    np.testing.assert_allclose(
        compute_native(2 * samples, config) - compute_native(samples, config), np.log(4), atol=1e-3
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"high_freq": 9000.0}, "low_freq 20 < high_freq 9000 <= 8000 Hz does not hold"),
        ({"low_freq": 9000.0}, "does not hold"),
        ({"kind": "mfcc", "num_ceps": 50}, "num_ceps 50 is more than num_mel_bins 40"),
        ({"frame_shift_ms": 0.001}, "frame_shift_ms"),
    ],
)
def test_impossible_settings_are_refused_before_any_work(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(FeatureConfig, options, "fbank")


def test_more_mel_bins_than_the_spectrum_has() -> None:
    with pytest.raises(ConfigError, match="num_mel_bins too large"):
        compute_native(noise(4000), FeatureConfig(num_mel_bins=200))


def test_torchaudio_beside_a_cpu_build_of_torch() -> None:
    script = """
from asrkd.features.torchaudio_cpu import import_torchaudio
torchaudio = import_torchaudio()
assert torchaudio is import_torchaudio()
import torch
assert torchaudio.compliance.kaldi.fbank(torch.ones(1, 400)).shape == (1, 23)
import torchaudio.functional
assert torchaudio.functional.resample(torch.ones(1, 160), 16000, 8000).shape == (1, 80)
"""
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True)


def test_importing_asrkd_does_not_import_torch() -> None:
    script = "import sys, asrkd, asrkd.features, asrkd.features.frontend; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True)


def test_warp_1_changes_nothing() -> None:
    for kind in ("fbank", "mfcc"):
        config = parse(FeatureConfig, {"kind": kind}, "here")
        plain = compute_torchaudio(noise(8000), config)
        np.testing.assert_array_equal(compute_torchaudio(noise(8000), config, warp=1.0), plain)
        np.testing.assert_allclose(compute_torchaudio(noise(8000), config, warp=1 + 1e-6), plain, atol=1e-3)


def warped_hertz(hertz: float, warp: float, top: float) -> float:
    """Where Jaitly and Hinton's equation 1 puts a frequency, with their alpha = ``warp`` and F_hi = 0.6 of the top."""
    knee = 0.6 * top * min(warp, 1) / warp
    if hertz <= knee:
        return hertz * warp
    return top - (top - 0.6 * top * min(warp, 1)) / (top - knee) * (top - hertz)


@pytest.mark.parametrize("warp", [0.5, 0.8, 0.9, 1.1, 1.25, 2.0])
@pytest.mark.parametrize("rate", [8000, 16000])
def test_a_tone_is_moved_as_the_paper_says(warp: float, rate: int) -> None:
    config = FeatureConfig(num_mel_bins=80, frame_length_ms=100.0, sample_rate=rate)
    time = np.arange(rate) / rate

    def centroid(hertz: float, warp: float) -> float:
        tone = (0.5 * np.sin(2 * np.pi * hertz * time)).astype(np.float32)
        energy = np.exp(compute_torchaudio(tone, config, warp=warp).astype(np.float64)).mean(0)
        return float(energy @ np.arange(80) / energy.sum())

    for share in (0.1, 0.25, 0.5, 0.75, 0.85):
        hertz = share * rate / 2
        target = warped_hertz(hertz, warp, rate / 2)
        assert centroid(hertz, warp) == pytest.approx(centroid(target, 1.0), abs=0.6)  # mel bins


def test_warping_keeps_the_shape_and_every_bin_full() -> None:
    for warp in (0.5, 0.9, 1.1, 2.0):
        for snip_edges in (True, False):
            config = FeatureConfig(snip_edges=snip_edges)
            features = compute_torchaudio(noise(8000), config, warp=warp)
            assert features.shape == (config.num_frames(8000), 40)
            assert features.min() > 0  # an empty bin would be log of the smallest float, -16


def test_a_band_too_narrow_to_warp() -> None:
    config = FeatureConfig(low_freq=1500.0, high_freq=3400.0)
    with pytest.raises(ConfigError, match=r"1500 to 3400 Hz are too narrow a band to warp by 0\.7"):
        compute_torchaudio(noise(8000), config, warp=0.7)
