"""Speed perturbation (Ko et al. 2015, "Audio Augmentation for Speech Recognition"): a data dir, and faster and
slower copies of it, whose pitch and tempo change together."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass
from scipy.signal import resample_poly

from asrkd.core.config import STRICT
from asrkd.core.datadir import DataDir, read_data_dir, write_data_dir
from asrkd.core.errors import ConfigError
from asrkd.corpora.copies import CopiesFolder, union


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

    Copies are named ``sp0.9-UTT`` of speaker ``sp0.9-SPEAKER``, and have to be aligned themselves. ``output`` is where
    the folder will stand, since wav.scp names the files there.
    """
    if len({f"{factor:g}" for factor in config.factors}) < len(config.factors):
        raise ConfigError(f"speed factors {config.factors}: one is given twice")
    data = read_data_dir(data_dir)
    folder = CopiesFolder(work, output, config.sample_rate, jobs)

    def copies(factor: float) -> DataDir:
        return folder.write(data, f"sp{factor:g}", lambda _, samples: change_speed(samples, factor), same_timing=False)

    merged = union([data if factor == 1 else copies(factor) for factor in config.factors])
    write_data_dir(work, merged)
    return {"utterances": len(merged.wav), "hours": round(merged.seconds / 3600, 3)}
