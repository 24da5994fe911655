"""A random part of a data dir, for trying things out on less (Kaldi's subset_data_dir)."""

from pathlib import Path
from typing import Any

from pydantic import Field
from pydantic.dataclasses import dataclass

from asrkd.core.config import STRICT
from asrkd.core.datadir import read_data_dir, write_data_dir
from asrkd.core.random import rng_for


@dataclass(frozen=True, config=STRICT)
class SubsetConfig:
    """Which share of the utterances to take."""

    fraction: float = Field(default=0.25, gt=0, le=1)
    seed: int = 1


def subset(config: SubsetConfig, data_dir: Path, work: Path) -> dict[str, Any]:
    """Write a data dir with a random ``fraction`` of the utterances (at least one) into ``work``."""
    data = read_data_dir(data_dir)
    count = max(1, round(config.fraction * len(data.wav)))
    chosen = rng_for(config.seed, "subset").choice(sorted(data.wav), count, replace=False)
    part = data.subset(str(utt_id) for utt_id in chosen)
    write_data_dir(work, part)
    return {"utterances": count, "hours": round(part.seconds / 3600, 3)}
