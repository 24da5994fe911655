"""How wide to search, and which acoustic scales to try on dev."""

from typing import Annotated

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from asrkd.core.config import STRICT


@dataclass(frozen=True, config=STRICT)
class DecodeConfig:
    """Section of the decoding verbs. Beams are differences of cost (negated log probability, natural logarithm)."""

    beam: Annotated[float, Field(gt=0)] = 13.0
    """Paths that cost this much more than a frame's best are dropped."""
    max_active: Annotated[int, Field(ge=2)] = 7000
    """States that go on from one frame to the next, at most."""
    min_active: Annotated[int, Field(ge=0)] = 200
    """States that go on at least, whatever the beam."""
    lattice_beam: Annotated[float, Field(gt=0)] = 6.0
    """Alternatives that are kept beside the best path, for another language model to choose from."""
    acoustic_scale: Annotated[float, Field(gt=0)] = 0.1
    """Factor on log-likelihoods, where it is not tuned."""
    acoustic_scales: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)] = (
        0.05,
        0.0667,
        0.0833,
        0.1,
        0.125,
        0.15,
        0.2,
    )
    """What tuning on dev chooses from."""

    @model_validator(mode="after")
    def _check(self) -> "DecodeConfig":
        if self.min_active > self.max_active:
            raise ValueError(f"min_active {self.min_active} is above max_active {self.max_active}")
        return self
