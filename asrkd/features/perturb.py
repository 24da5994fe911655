"""Speed perturbation (Ko et al. 2015, "Audio Augmentation for Speech Recognition"): a data dir, and faster and
slower copies of it, whose pitch and tempo change together."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass
from scipy.signal import resample_poly

from asrkd.core.config import STRICT
from asrkd.core.datadir import DataDir, read_data_dir, write_data_dir
from asrkd.core.errors import ConfigError
from asrkd.core.parallel import map_shards, split_shards


@dataclass(frozen=True, config=STRICT)
class SpeedConfig:
    """Factors by which the copies are faster; 1 keeps the recording itself under its own id."""

    factors: tuple[float, ...] = Field(default=(1.0, 0.9, 1.1), min_length=1)
    sample_rate: int = 16_000


def change_speed(samples: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    """``samples`` played ``factor`` times as fast; the length becomes ceil(length / factor)."""
    if not 0.5 <= factor <= 2:
        hint = f": did you mean {factor / 100:g}?" if 50 <= factor <= 200 else ""
        raise ConfigError(f"speed factor {factor:g} is outside 0.5 ... 2{hint}")
    ratio = Fraction(factor).limit_denominator(100)
    return resample_poly(samples, ratio.denominator, ratio.numerator).astype(np.float32)


def perturb_speed(config: SpeedConfig, data_dir: Path, output: Path, work: Path, jobs: int = 1) -> dict[str, Any]:
    """Write into ``work`` a data dir with a copy of every utterance per factor, and the copies' audio.

    Copies are named ``sp0.9-UTT`` of speaker ``sp0.9-SPEAKER``, as in Kaldi's recipes. ``output`` is where the folder
    will stand, since wav.scp names the files there.
    """
    if len({f"{factor:g}" for factor in config.factors}) < len(config.factors):
        raise ConfigError(f"speed factors {config.factors}: one is given twice")
    data = read_data_dir(data_dir)
    copies = [(utt, factor) for factor in config.factors for utt in sorted(data.wav) if factor != 1]
    (work / "audio").mkdir(exist_ok=True)

    def write(shard: list[tuple[str, float]]) -> list[float]:
        seconds = []
        for utt, factor in shard:
            samples = change_speed(data.audio(utt, config.sample_rate), factor)
            partial = work / "audio" / f"{_copy_id(utt, factor)}.tmp"
            soundfile.write(partial, np.clip(samples, -1, 1), config.sample_rate, format="FLAC", subtype="PCM_16")
            partial.rename(work / "audio" / f"{_copy_id(utt, factor)}.flac")
            seconds.append(len(samples) / config.sample_rate)
        return seconds

    durations = [d for shard in map_shards(write, split_shards(copies, 50 * jobs), jobs, "speed") for d in shard]
    kept = data.subset(data.wav if 1 in config.factors else [])
    ids = {_copy_id(utt, factor): utt for utt, factor in copies}
    merged = DataDir(
        wav={**kept.wav, **{new: str(output.absolute() / "audio" / f"{new}.flac") for new in ids}},
        utt2spk={**kept.utt2spk, **{_copy_id(utt, f): _copy_id(data.utt2spk[utt], f) for utt, f in copies}},
        durations={**kept.durations, **dict(zip(ids, durations, strict=True))} if data.durations else {},
        text=None
        if data.text is None or kept.text is None
        else {**kept.text, **{new: data.text[utt] for new, utt in ids.items()}},
    )
    write_data_dir(work, merged)
    return {"utterances": len(merged.wav), "hours": round(merged.seconds / 3600, 3)}


def _copy_id(name: str, factor: float) -> str:
    return f"sp{factor:g}-{name}"
