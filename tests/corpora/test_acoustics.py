"""Noise, rooms and levels against what they should measure."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrkd.corpora import acoustics
from asrkd.corpora.acoustics import NoiseKind, rms
from asrkd.corpora.voices import resample

RATE = 16_000


def _tone(hertz: float, seconds: float = 1.0, rate: int = RATE) -> acoustics.Samples:
    return np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate).astype(np.float32)


def _peak_hertz(samples: acoustics.Samples, rate: int = RATE) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * rate / len(samples))


@pytest.mark.parametrize("kind", ["white", "pink", "babble"])
def test_noise_has_unit_rms(kind: NoiseKind) -> None:
    noise = acoustics.noise(kind, 5000, np.random.default_rng(0), _tone(200))
    assert noise.shape == (5000,)
    assert noise.dtype == np.float32
    assert rms(noise) == pytest.approx(1, abs=1e-5)


def test_pink_noise_falls_by_three_decibels_an_octave() -> None:
    noise = acoustics.noise("pink", 1 << 18, np.random.default_rng(0), _tone(200))
    power = np.abs(np.fft.rfft(noise)) ** 2
    hertz = np.arange(len(power)) * RATE / len(noise)
    octaves = [10 * np.log10(power[(hertz >= low) & (hertz < 2 * low)].mean()) for low in (250, 500, 1000, 2000)]
    np.testing.assert_allclose(np.diff(octaves), -3.01, atol=0.3)


def test_babble_wraps_around() -> None:
    babble = np.arange(1, 11, dtype=np.float32)
    noise = acoustics.noise("babble", 25, np.random.default_rng(0), babble)
    np.testing.assert_allclose(noise[:10], noise[10:20])


@pytest.mark.parametrize("ratio", [0.0, 6.0, 12.0])
@pytest.mark.parametrize("t60", [0.2, 0.5])
def test_a_room_has_the_decay_and_the_ratio_asked_for(t60: float, ratio: float) -> None:
    click = np.zeros(RATE, np.float32)
    click[100] = 1
    heard = acoustics.reverberate(click, t60, ratio, np.random.default_rng(0))
    assert heard.shape == click.shape
    assert not np.abs(heard[:99]).max() > 1e-5
    assert heard[100] == pytest.approx(1, abs=1e-4)
    tail = np.square(heard[101:].astype(np.float64))
    assert 10 * np.log10(1 / tail.sum()) == pytest.approx(ratio, abs=0.05)
    halves = tail[: round(t60 * RATE)].reshape(2, -1).sum(axis=1)
    assert 10 * np.log10(halves[0] / halves[1]) == pytest.approx(30, abs=3)


def test_silence_is_trimmed_and_padded() -> None:
    speech = _tone(300, 0.5)
    samples = acoustics.pad(speech, 0.3, 0.2)
    assert len(samples) == RATE
    trimmed = acoustics.trim(samples)
    assert len(speech) <= len(trimmed) <= len(speech) + 0.03 * RATE
    assert rms(trimmed) == pytest.approx(rms(speech), rel=0.05)
    for short in (np.zeros(0, np.float32), np.zeros(50, np.float32), np.zeros(4000, np.float32)):
        assert len(acoustics.trim(short)) == len(short)


@given(level=st.floats(-40, 10), peak=st.floats(0.001, 5))
def test_levels_are_met_and_nothing_clips(level: float, peak: float) -> None:
    finished = acoustics.finish(_tone(300) * np.float32(peak), level)
    assert np.abs(finished).max() <= 0.9501
    expected = min(10 ** (level / 20), 0.95 / np.sqrt(2))
    assert rms(finished) == pytest.approx(expected, rel=1e-3)


@given(ratio=st.floats(0.5, 1.5), seconds=st.floats(0.3, 2.0))
def test_resampling_scales_length_and_frequency(ratio: float, seconds: float) -> None:
    tone = _tone(1000, seconds)
    resized = resample(tone, ratio)
    assert len(resized) == round(len(tone) * ratio)
    assert resized.dtype == np.float32
    assert _peak_hertz(resized) == pytest.approx(1000 / ratio, abs=RATE / len(resized) + 1)
    middle = slice(len(resized) // 4, 3 * len(resized) // 4)
    assert rms(resized[middle]) == pytest.approx(rms(tone), rel=0.02)


def test_resampling_cuts_what_the_new_rate_can_not_hold() -> None:
    assert rms(resample(_tone(7000), 0.5)[1000:-1000]) < 0.01
