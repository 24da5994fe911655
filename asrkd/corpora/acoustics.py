"""What a room and a microphone do to clean speech: noise, reverberation, level. Samples are float32 at 16 kHz."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.signal import fftconvolve

from asrkd.core.audio import SAMPLE_RATE, Hertz, Seconds

Samples = NDArray[np.float32]
Decibels = float
NoiseKind = Literal["white", "pink", "babble"]

_FIRST_REFLECTION: Seconds = 0.002
"""After the direct sound."""


def rms(samples: Samples) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


def trim(samples: Samples, floor: Decibels = -45.0, sample_rate: Hertz = SAMPLE_RATE) -> Samples:
    """Without the silence at either end: frames of 10 ms that lie ``floor`` below the loudest."""
    frame = sample_rate // 100
    num_frames = len(samples) // frame
    if num_frames == 0:
        return samples
    energy = np.square(samples[: num_frames * frame]).reshape(num_frames, frame).sum(axis=1)
    loud = np.flatnonzero(energy > energy.max() * 10 ** (floor / 10))
    if not len(loud):
        return samples
    return samples[max(0, loud[0] - 1) * frame : (loud[-1] + 2) * frame]


def pad(samples: Samples, before: Seconds, after: Seconds) -> Samples:
    """With silence at both ends."""
    return np.pad(samples, (round(before * SAMPLE_RATE), round(after * SAMPLE_RATE)))


def reverberate(
    samples: Samples, t60: Seconds, ratio: Decibels, rng: np.random.Generator, sample_rate: Hertz = SAMPLE_RATE
) -> Samples:
    """In a room: the direct sound, then Gaussian noise that decays by 60 dB in ``t60``, cut to the same length.

    ``ratio`` is the energy of the direct sound over that of the rest. The direct sound stays where it was, so that an
    alignment of the dry speech still holds. (Polack's model of late reverberation, 1988.)
    """
    length = round(t60 * sample_rate)
    tail = rng.standard_normal(length) * 10 ** (-3 * np.arange(length) / length)
    tail[: round(_FIRST_REFLECTION * sample_rate)] = 0
    response = tail * np.sqrt(10 ** (-ratio / 10) / np.square(tail).sum())
    response[0] = 1
    return np.asarray(fftconvolve(samples, response)[: len(samples)], np.float32)


def noise(kind: NoiseKind, length: int, rng: np.random.Generator, babble: Samples) -> Samples:
    """``length`` samples of noise at RMS 1; ``babble`` is a stretch of many voices, from which some is cut."""
    if kind == "babble":
        return excerpt(babble, length, rng)
    samples = rng.standard_normal(length, np.float32)
    if kind == "pink":
        spectrum = fft.rfft(samples)
        spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum), dtype=np.float32))
        spectrum[0] = 0
        samples = fft.irfft(spectrum, length)
    return _at_unit_rms(samples)


def excerpt(recording: Samples, length: int, rng: np.random.Generator) -> Samples:
    """``length`` samples of ``recording`` from a place drawn, at RMS 1; past its end it begins again."""
    start = int(rng.integers(len(recording)))
    return _at_unit_rms(np.take(recording, np.arange(start, start + length), mode="wrap"))


def _at_unit_rms(samples: Samples) -> Samples:
    return np.asarray(samples / max(rms(samples), 1e-9), np.float32)


def mix(samples: Samples, noise: Samples, loudness: float, snr: Decibels) -> Samples:
    """With ``noise`` (at RMS 1) ``snr`` below ``loudness``, which is the RMS of the speech itself."""
    return samples + noise * np.float32(loudness * 10 ** (-snr / 20))


def limit(samples: Samples) -> Samples:
    """Turned down where the peak would pass full scale."""
    return np.asarray(samples / max(1.0, float(np.abs(samples).max())), np.float32)


def finish(samples: Samples, level: Decibels, headroom: float = 0.95) -> Samples:
    """At an RMS of ``level`` dB below full scale, or less where the peak would pass ``headroom``."""
    gain = 10 ** (level / 20) / max(rms(samples), 1e-9)
    return np.asarray(samples * min(gain, headroom / max(float(np.abs(samples).max()), 1e-9)), np.float32)
