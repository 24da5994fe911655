"""Voices: the same bytes in any process and order, the manner asked for, and no base voice on two sides."""

import multiprocessing
import sys
from collections.abc import Iterator

import numpy as np
import pytest

from asrkd.core.errors import ConfigError, DataError
from asrkd.corpora import acoustics, voices
from asrkd.corpora.voices import DEV_VOICES, HIBARI, PICO_US, TEST_VOICES, TRAIN_VOICES, BaseVoice, Manner, speak

TEXT = "the teacher found a blue umbrella"
ESPEAK = BaseVoice("espeak", "gmw/en-US+m3")
ENGINES = [ESPEAK, PICO_US, HIBARI]


@pytest.fixture(autouse=True)
def _needs_engines() -> None:
    for package in ("espeakng_loader", "py_nanotts", "hibari"):
        pytest.importorskip(package)


@pytest.fixture
def fresh_engines() -> Iterator[None]:
    voices._engine.cache_clear()
    yield
    voices._engine.cache_clear()


def _pitch(samples: voices.Samples) -> float:
    """Median cepstral pitch of the loud frames of 50 ms, in Hz."""
    pitches = []
    for start in range(0, len(samples) - 800, 200):
        frame = samples[start : start + 800] * np.hanning(800).astype(np.float32)
        if acoustics.rms(frame) > 0.5 * acoustics.rms(samples):
            spectrum = np.log(np.abs(np.fft.rfft(frame, 4096))[:1024] + 1e-4)  # up to 4 kHz
            cepstrum = np.fft.irfft(spectrum)
            quefrency = np.arange(len(cepstrum)) / 8000
            voiced = (quefrency > 1 / 400) & (quefrency < 1 / 60)
            pitches.append(8000 / int(np.argmax(np.where(voiced, cepstrum, -np.inf))))
    return float(np.median(pitches))


def _formant_scale(samples: voices.Samples, reference: voices.Samples) -> float:
    """The stretch of ``reference``'s long-term spectrum that lies closest to that of ``samples``."""

    def spectrum(samples: voices.Samples) -> voices.Samples:
        frames = samples[: len(samples) // 128 * 128].reshape(-1, 128) * np.hanning(128)
        return np.log((np.abs(np.fft.rfft(frames, 1024, axis=1)) ** 2).mean(axis=0) + 1e-9)

    bins = np.arange(20, 300)
    target, source = spectrum(samples)[bins], spectrum(reference)

    def likeness(scale: float) -> float:
        return float(np.corrcoef(np.interp(bins / scale, np.arange(513), source), target)[0, 1])

    return max((0.75 + 0.01 * i for i in range(50)), key=likeness)


def test_whole_base_voices_are_kept_for_dev_and_test() -> None:
    pools = (TRAIN_VOICES, DEV_VOICES, TEST_VOICES)
    assert [len(set(pool)) for pool in pools] == [len(pool) for pool in pools] == [20, 3, 4]
    assert not set(TRAIN_VOICES) & set(DEV_VOICES + TEST_VOICES)
    assert not set(DEV_VOICES) & set(TEST_VOICES)

    def variants(pool: tuple[BaseVoice, ...]) -> set[str]:
        return {voice.name.partition("+")[2] for voice in pool if voice.engine == "espeak"}

    assert not variants(TRAIN_VOICES) & variants(DEV_VOICES + TEST_VOICES)


@pytest.mark.parametrize("voice", TRAIN_VOICES + DEV_VOICES + TEST_VOICES, ids=str)
def test_each_voice_says_a_sentence_at_a_human_pace(voice: BaseVoice) -> None:
    samples = speak(voice, TEXT, Manner(), 1)
    assert samples.dtype == np.float32
    assert 1.2 < len(samples) / 16000 < 4  # 25 phones
    assert 0.1 < np.abs(samples).max() < 1.2


@pytest.mark.parametrize("voice", ENGINES, ids=str)
def test_the_samples_depend_on_the_arguments_alone(voice: BaseVoice) -> None:
    manner = Manner(0.93, 0.9, 1.05)
    first = speak(voice, TEXT, manner, 5)
    noise = [np.random.default_rng(i).normal(size=400_000) for i in range(4)]  # memory that is not zero when reused
    del noise
    for other in ENGINES:
        speak(other, "something else entirely, and at length", Manner(1.1, 1.3, 0.9), 6)
    np.testing.assert_array_equal(first, speak(voice, TEXT, manner, 5))
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        elsewhere = pool.apply(speak, (voice, TEXT, manner, 5))
    np.testing.assert_array_equal(first, elsewhere)


@pytest.mark.parametrize("voice", ENGINES, ids=str)
def test_pace_pitch_and_vocal_tract_are_separate(voice: BaseVoice) -> None:
    def say(**manner: float) -> voices.Samples:
        text = "the teacher found a blue umbrella near the big red house in march"
        return acoustics.trim(speak(voice, text, Manner(**manner), 1))

    plain, faster, deeper, warped = say(), say(rate=1.2), say(pitch=0.8), say(warp=0.88)
    assert len(faster) / len(plain) == pytest.approx(1 / 1.2, rel=0.03)
    assert len(deeper) == pytest.approx(len(plain), rel=0.03)
    assert len(warped) == pytest.approx(len(plain), rel=0.03)
    assert _pitch(deeper) / _pitch(plain) == pytest.approx(0.8, rel=0.06)
    assert _pitch(faster) == pytest.approx(_pitch(plain), rel=0.06)
    assert _pitch(warped) == pytest.approx(_pitch(plain), rel=0.06)
    assert _formant_scale(warped, plain) == pytest.approx(0.88, abs=0.03)
    assert _formant_scale(deeper, plain) > 0.92, "formants stay where they are, as mere resampling would not leave them"


@pytest.mark.parametrize(
    ("voice", "package"), [(ESPEAK, "espeakng_loader"), (PICO_US, "py_nanotts"), (HIBARI, "hibari")]
)
def test_a_missing_package_is_one_clear_line(
    voice: BaseVoice, package: str, monkeypatch: pytest.MonkeyPatch, fresh_engines: None
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        ConfigError, match=rf'speech synthesis needs {package} .*: pip install "asrkd\[synth\]"'
    ) as caught:
        speak(voice, TEXT, Manner(), 1)
    assert "\n" not in str(caught.value)


def test_an_unknown_voice_is_an_error() -> None:
    with pytest.raises(DataError, match="is the voice's name right"):
        speak(BaseVoice("espeak", "gmw/xx-none"), TEXT, Manner(), 1)
    with pytest.raises(ConfigError, match="hibari-tts has no voice 'emma' in its package"):
        speak(BaseVoice("hibari", "emma"), TEXT, Manner(), 1)
