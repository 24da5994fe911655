"""How large a model is to be for the speech that it is trained on: the one place that `auto` is resolved.

Sizes grow as powers of the hours, fitted to what Kaldi's LibriSpeech recipe sets by hand (its monophones, tri1, tri2b
and the models of 100, 460 and 960 hours) and to recipes/own::

    hours                  1.7    1.8   17.6     35    100    460     960
    Kaldi's tied states                 2000   2500   4200   5000    7000
    recipes/own                    800
    650 h^0.35                     790   1770   2260   3260   5560    7190
    Kaldi's Gaussians     1000         10000  15000  40000 100000  150000
    recipes/own                   2800
    900 h^0.25, mono      1030
    1850 h^0.64, triphone         2660  11600  18000  35300  93600  150000
"""

from dataclasses import dataclass
from typing import Annotated, TypeAlias

from pydantic import BeforeValidator, Field

FRAMES_PER_HOUR = 360_000

Size: TypeAlias = Annotated[
    Annotated[int, Field(ge=1)] | None, BeforeValidator(lambda value: None if value == "auto" else value)
]
"""A number, or `auto` (None): as many as the data bear."""


@dataclass(frozen=True)
class PowerLaw:
    """``factor * hours ** power``."""

    factor: float
    power: float

    def size(self, given: int | None, num_frames: int) -> int:
        """``given``, or what suits ``num_frames`` of speech (10 ms each), silence and all."""
        return given or max(1, round(self.factor * (num_frames / FRAMES_PER_HOUR) ** self.power))


MONO_GAUSSIANS = PowerLaw(900, 0.25)
TIED_STATES = PowerLaw(650, 0.35)
TRIPHONE_GAUSSIANS = PowerLaw(1850, 0.64)
