"""Augmented copies of a data dir that keep its timing, so that an alignment of the originals holds for them.

Noise at a drawn signal-to-noise ratio, simulated rooms (`asrkd.corpora.acoustics`), and vocal tract length
perturbation (Jaitly and Hinton 2013, "Vocal Tract Length Perturbation (VTLP) improves speech recognition"), for which
no audio is written: the front end warps the frequency axis by what utt2warp says. Every copy is drawn from (seed,
kind, number, utterance id) alone; babble is made of the data dir's own speech.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from asrkd.core.audio import SAMPLE_RATE, Hertz, Seconds, audio_seconds, read_audio
from asrkd.core.config import STRICT, FactorRange, Range, SecondsRange
from asrkd.core.datadir import DataDir, read_data_dir, write_data_dir
from asrkd.core.errors import ConfigError, DataError
from asrkd.core.random import rng_for
from asrkd.corpora import acoustics
from asrkd.corpora.acoustics import NoiseKind, Samples
from asrkd.corpora.copies import CopiesFolder, named_copies, union

Kind = Literal["noise", "room", "vtlp"]
Change = Callable[[str, Samples], Samples]
DrawNoise = Callable[[int, np.random.Generator], Samples]
"""Noise of so many samples, at RMS 1."""

BABBLE_SECONDS: Seconds = 60.0
BABBLE_TALKERS = 6
AUDIO_SUFFIXES = (".flac", ".wav")


@dataclass(frozen=True, config=STRICT)
class AugmentConfig:
    """Which copies to make, and the ranges that each is drawn from evenly."""

    kinds: tuple[Kind, ...] = Field(default=("noise", "room", "vtlp"), min_length=1)
    copies: int = Field(default=1, ge=1, le=99)
    """Of each kind."""
    snr_db: Range = (5.0, 20.0)
    """Speech over noise, in dB."""
    noises: tuple[NoiseKind, ...] = Field(default=("white", "pink", "babble"), min_length=1)
    """Where no recordings of noise are given."""
    room_t60: SecondsRange = (0.15, 0.5)
    """Seconds in which the sound in the room decays by 60 dB."""
    room_ratio_db: Range = (0.0, 12.0)
    """Direct sound over reverberation, in dB."""
    warp: FactorRange = (0.9, 1.1)
    """Factor on the frequencies of the speech: above 1 as of a shorter vocal tract."""
    keep_originals: bool = True
    seed: int = 1
    sample_rate: Hertz = SAMPLE_RATE


def augment(  # noqa: PLR0917 (inputs first)
    config: AugmentConfig, data_dir: Path, output: Path, work: Path, noise: Path | None = None, jobs: int = 1
) -> dict[str, Any]:
    """Write into ``work`` a data dir with copies of every utterance, named ``noise1-UTT``, ``vtlp1-UTT`` and so on.

    ``noise`` is a folder of recordings that take the place of synthetic noise. ``output`` is where the data dir will
    stand. Raises DataError for a folder without audio, and for audio of another rate.
    """
    if len(set(config.kinds)) < len(config.kinds):
        raise ConfigError(f"augment: kinds {', '.join(config.kinds)}: one is given twice (for more: copies)")
    if noise is not None and "noise" not in config.kinds:
        raise ConfigError(f"augment: noise {noise} is given, but no noisy copies are asked for: add noise to kinds")
    data = read_data_dir(data_dir)
    folder = CopiesFolder(work, output, config.sample_rate, jobs)
    makers: dict[Kind, Callable[[str], DataDir]] = {
        "noise": lambda name: folder.write(data, name, _noisy(config, name, data, noise), same_timing=True),
        "room": lambda name: folder.write(data, name, _in_room(config, name), same_timing=True),
        "vtlp": lambda name: _warped(config, name, data),
    }
    copies = [makers[kind](f"{kind}{number}") for kind in config.kinds for number in range(1, config.copies + 1)]
    merged = union([*([data] if config.keep_originals else []), *copies])
    write_data_dir(work, merged)
    return {"utterances": len(merged.wav), "hours": round(merged.seconds / 3600, 3)}


def _noisy(config: AugmentConfig, name: str, data: DataDir, folder: Path | None) -> Change:
    """Adds noise; the speech keeps its level but where the sum would pass full scale."""
    draw = _synthetic_noise(config, data) if folder is None else _recorded_noise(folder, config.sample_rate)

    def change(utt: str, samples: Samples) -> Samples:
        rng = rng_for(config.seed, name, utt)
        snr = rng.uniform(*config.snr_db)
        loudness = acoustics.rms(acoustics.trim(samples, sample_rate=config.sample_rate))
        return acoustics.limit(acoustics.mix(samples, draw(len(samples), rng), loudness, snr))

    return change


def _in_room(config: AugmentConfig, name: str) -> Change:
    def change(utt: str, samples: Samples) -> Samples:
        rng = rng_for(config.seed, name, utt)
        t60, ratio = rng.uniform(*config.room_t60), rng.uniform(*config.room_ratio_db)
        return acoustics.limit(acoustics.reverberate(samples, t60, ratio, rng, config.sample_rate))

    return change


def _warped(config: AugmentConfig, name: str, data: DataDir) -> DataDir:
    """Copies with the same audio, and a warp each, on top of the one that the original has."""
    copies = named_copies(data, name, same_timing=True)
    warps = {
        f"{name}-{utt}": data.warps.get(utt, 1.0) * round(rng_for(config.seed, name, utt).uniform(*config.warp), 4)
        for utt in data.wav
    }
    return replace(copies, warps=warps)


def _synthetic_noise(config: AugmentConfig, data: DataDir) -> DrawNoise:
    babble = _babble(config, data) if "babble" in config.noises else np.zeros(1, np.float32)

    def draw(length: int, rng: np.random.Generator) -> Samples:
        kind = config.noises[int(rng.integers(len(config.noises)))]
        return acoustics.noise(kind, length, rng, babble)

    return draw


def _babble(config: AugmentConfig, data: DataDir) -> Samples:
    """A minute of the data dir's utterances, several at once."""
    length, order = round(BABBLE_SECONDS * config.sample_rate), sorted(data.wav)
    mixed = np.zeros(length, np.float32)
    for talker in range(BABBLE_TALKERS):
        rng, pieces, total = rng_for(config.seed, "babble", talker), list[Samples](), 0
        while total < length:
            utt = order[int(rng.integers(len(order)))]
            piece = acoustics.trim(data.audio(utt, config.sample_rate), sample_rate=config.sample_rate)
            pieces.append(piece / max(acoustics.rms(piece), 1e-9))
            total += len(piece)
        mixed += np.concatenate(pieces)[:length]
    return mixed


def _recorded_noise(folder: Path, sample_rate: Hertz) -> DrawNoise:
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES)
    if not paths:
        raise DataError(f"{folder}: holds no recordings of noise ({', '.join(AUDIO_SUFFIXES)})")
    for path in paths:
        audio_seconds(path, sample_rate)  # a wrong rate shows now, not when the file is drawn

    def draw(length: int, rng: np.random.Generator) -> Samples:
        path = paths[int(rng.integers(len(paths)))]
        recording = read_audio(path, sample_rate)
        if not recording.any():
            raise DataError(f"{path}: holds nothing but silence, which is no noise")
        return acoustics.excerpt(recording, length, rng)

    return draw
