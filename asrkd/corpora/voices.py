"""Synthetic voices from three pip packages behind one call, and which of them may speak in which part.

A *base voice* is a voice of an engine; a *speaker* is a base voice with pitch, vocal tract and pace of its own. Whole
base voices are kept for dev and test: no speaker there shares one with training.

The packages (``pip install "asrkd[synth]"``) are SVOX Pico (py-nanotts: diphone-like HMM, 16 kHz), hibari-tts (neural,
24 kHz) and eSpeak NG (espeakng-loader: formant synthesis, 22.05 kHz).
"""

import ctypes
import importlib
import math
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from asrkd.core.audio import SAMPLE_RATE, Hertz
from asrkd.core.errors import ConfigError, DataError

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class BaseVoice:
    """A voice of an engine. ``is_natural``: built from recordings of a person, so worth more speakers."""

    engine: str
    name: str

    @property
    def is_natural(self) -> bool:
        return self.engine != "espeak"

    def __str__(self) -> str:
        return f"{self.engine}:{self.name}"


@dataclass(frozen=True)
class Manner:
    """How a base voice speaks. All are factors on its own habit, 1.0 for none.

    ``warp`` scales formant frequencies (above 1: a shorter vocal tract), ``pitch`` the fundamental frequency, ``rate``
    the pace (above 1: faster).
    """

    warp: float = 1.0
    pitch: float = 1.0
    rate: float = 1.0


def _espeak(*names: str) -> tuple[BaseVoice, ...]:
    return tuple(BaseVoice("espeak", name) for name in names)


HIBARI = BaseVoice("hibari", "heart")
PICO_US = BaseVoice("pico", "en-US")
PICO_GB = BaseVoice("pico", "en-GB")

# eSpeak: accent + variant. Only variants that sound like a person (no whisper, no robots), and no variant on two sides.
TRAIN_VOICES = (
    HIBARI,
    PICO_US,
    *_espeak(
        "gmw/en-US+m3", "gmw/en-US+f2", "gmw/en-US+klatt2", "gmw/en-US+m7", "gmw/en-US+adam", "gmw/en-US+robert",
        "gmw/en-US-nyc+m1", "gmw/en-US-nyc+f1", "gmw/en-US-nyc+edward", "gmw/en+m4", "gmw/en+f2", "gmw/en-GB-x-rp+m7",
        "gmw/en-GB-x-rp+f1", "gmw/en-029+m1", "gmw/en-029+f2", "gmw/en-GB-x-gbclan+m3", "gmw/en-GB-x-gbcwmd+m4",
        "gmw/en-GB-x-gbcwmd+john",
    ),
)  # fmt: skip
DEV_VOICES = _espeak("gmw/en-US+m6", "gmw/en-GB-x-gbclan+f5", "gmw/en+max")
TEST_VOICES = (PICO_GB, *_espeak("gmw/en-US+m8", "gmw/en-GB-scotland+m2", "gmw/en-029+f4"))


class Engine(Protocol):
    """One synthesiser. ``pitch`` and ``rate`` are factors; equal arguments give equal samples in any process."""

    sample_rate: Hertz

    def speak(self, voice: str, text: str, pitch: float, rate: float, seed: int) -> Samples: ...


def speak(voice: BaseVoice, text: str, manner: Manner, seed: int) -> Samples:
    """Samples of ``text`` at 16 kHz, shape (num_samples,).

    The vocal tract is warped by resampling what was spoken at ``rate / warp`` and ``pitch / warp``, which leaves pace
    and pitch as asked for. Raises ConfigError when the engine's package is missing, DataError when it says nothing.
    """
    engine = _engine(voice.engine)
    samples = engine.speak(voice.name, text, manner.pitch / manner.warp, manner.rate / manner.warp, seed)
    if not len(samples):
        raise DataError(f"{voice} says nothing for {text!r}")
    return resample(samples, SAMPLE_RATE / (engine.sample_rate * manner.warp))


def resample(samples: Samples, ratio: float) -> Samples:
    """``samples`` at ``ratio`` times their rate, band-limited, by one Fourier transform each way.

    Both lengths are padded so that the transforms are fast; the ratio is then right to one part in a thousand at the
    worst (a tenth of a second), and far better for a sentence.
    """
    if ratio == 1.0:
        return samples
    num_samples = round(len(samples) * ratio)
    target = fft.next_fast_len(num_samples + 1024, real=True)
    source = max(len(samples), round(target / ratio))
    spectrum = fft.rfft(samples, source)
    resized = np.zeros(target // 2 + 1, spectrum.dtype)
    kept = min(len(resized), len(spectrum))
    resized[:kept] = spectrum[:kept]
    return np.asarray(fft.irfft(resized, target)[:num_samples] * (target / source), np.float32)


@cache
def _engine(name: str) -> Engine:
    engines: dict[str, Callable[[], Engine]] = {"espeak": ESpeak, "pico": Pico, "hibari": Hibari}
    return engines[name]()


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(f'speech synthesis needs {name} ({error}): pip install "asrkd[synth]"') from None


class ESpeak:
    """eSpeak NG through its C interface. Voices are ``ACCENT+VARIANT`` as in espeak-ng-data, e.g. ``gmw/en-US+m3``."""

    sample_rate: Hertz = 22_050

    _SYNCHRONOUS, _DONT_EXIT, _UTF8 = 2, 0x8000, 1
    _RATE, _PITCH, _RANGE = 1, 3, 4
    _WORDS_A_MINUTE = 165
    _NEUTRAL_PITCH, _PITCH_STEPS_AN_OCTAVE = 50, 77  # measured: its scale is not quite logarithmic

    def __init__(self) -> None:
        loader = _package("espeakng_loader")
        self._library = ctypes.CDLL(loader.get_library_path())
        data = loader.get_data_path().encode()
        if self._library.espeak_Initialize(self._SYNCHRONOUS, 0, data, self._DONT_EXIT) != self.sample_rate:
            raise ConfigError(f"eSpeak NG does not start with its data in {data.decode()}: reinstall espeakng-loader")
        self._pieces: list[bytes] = []
        callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
        self._callback = callback(self._collect)  # the library keeps the pointer, so the object must live
        self._library.espeak_SetSynthCallback(self._callback)

    def _collect(self, samples: int | None, num_samples: int, _events: int | None) -> int:
        if samples and num_samples > 0:
            self._pieces.append(ctypes.string_at(samples, 2 * num_samples))
        return 0

    def speak(self, voice: str, text: str, pitch: float, rate: float, seed: int) -> Samples:
        return _from_pcm(_in_fresh_process(lambda: self._speak(voice, text, pitch, rate, seed)))

    def _speak(self, voice: str, text: str, pitch: float, rate: float, seed: int) -> bytes:
        library = self._library
        library.espeak_ng_SetRandSeed(ctypes.c_long(seed))
        if library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ConfigError(f"eSpeak NG has no voice {voice!r}")
        library.espeak_SetParameter(self._RATE, round(self._WORDS_A_MINUTE * rate), 0)
        steps = round(self._NEUTRAL_PITCH + self._PITCH_STEPS_AN_OCTAVE * math.log2(pitch))
        library.espeak_SetParameter(self._PITCH, min(99, max(0, steps)), 0)
        library.espeak_SetParameter(self._RANGE, 50, 0)
        characters = text.encode() + b"\0"
        library.espeak_Synth(characters, len(characters), 0, 1, 0, self._UTF8, None, None)
        library.espeak_Synchronize()
        return b"".join(self._pieces)


class Pico:
    """SVOX Pico. Voices are ``en-US`` and ``en-GB``."""

    sample_rate: Hertz = 16_000

    _VOLUME = 0.4  # at 1.0 loud vowels clip

    def __init__(self) -> None:
        self._tts = _package("py_nanotts").NanoTTS()

    def speak(self, voice: str, text: str, pitch: float, rate: float, seed: int) -> Samples:
        del seed  # draws nothing

        def pcm() -> bytes:
            return bytes(self._tts.speak(text, voice=voice, speed=rate, pitch=pitch, volume=self._VOLUME))

        return _from_pcm(_in_fresh_process(pcm))


class Hibari:
    """hibari-tts. Its one voice in the package is ``heart``; the others would be downloaded, so are not used."""

    sample_rate: Hertz = 24_000

    def __init__(self) -> None:
        _package("hibari")
        self._dsp = _package("hibari.dsp")
        self._tts = _package("hibari.tts").Hibari()

    def speak(self, voice: str, text: str, pitch: float, rate: float, seed: int) -> Samples:
        if voice != "heart":
            raise ConfigError(f"hibari-tts has no voice {voice!r} in its package: heart")
        rng = np.random.default_rng(seed)
        pieces = [np.zeros(0, np.float32)]
        for phonemes in self._tts.phonemize(text):
            inputs = {"ids": np.asarray([self._tts.ids(phonemes)], np.int64), "speed": np.ones(1, np.float32)}
            outputs = [output[0] for output in self._tts.sess.run(None, inputs)]
            # Its own speed moves in steps of a frame a phoneme, so frames are left out or repeated instead.
            num_frames = len(outputs[-1])
            chosen = np.minimum(np.arange(0, num_frames, rate).round().astype(int), num_frames - 1)
            *spectra, f0 = (np.ascontiguousarray(output[..., chosen]) for output in outputs)
            pieces.append(self._dsp.synth(*spectra, f0 * np.float32(pitch), rng))
        return np.concatenate(pieces)


def _from_pcm(pcm: bytes) -> Samples:
    return np.frombuffer(pcm, "<i2").astype(np.float32) / np.float32(32768)


_M_PERTURB, _ZEROES = -6, 0xFF


def _in_fresh_process(function: Callable[[], bytes]) -> bytes:
    """``function()`` in a fork of this process, which has never spoken.

    eSpeak carries its state from one sentence to the next, and Pico reads memory that it has not set, so both would
    say the same thing differently each time. A fork costs a few milliseconds.
    """
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads: the child calls the library and ends
        child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reader)
            if hasattr(libc := ctypes.CDLL(None), "mallopt"):
                libc.mallopt(_M_PERTURB, _ZEROES)  # what is allocated from here on is zeroed (glibc)
            with open(writer, "wb") as pipe:
                pipe.write(function())
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    with open(reader, "rb") as pipe:
        output = pipe.read()
    _, status = os.waitpid(child, 0)
    if status != 0:
        raise DataError("the speech synthesiser ended without speaking: is the voice's name right?")
    return output
