"""A weight that changes as training goes on: a number, or where it starts, where it ends, and how it goes there."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic.dataclasses import dataclass

from asrkd.core.config import STRICT


@dataclass(frozen=True, config=STRICT)
class Schedule:
    """From ``start`` to ``end`` over all epochs of the section, batch by batch; ``step`` goes there at once.

    ``at`` is the share of the training that a step lies behind (by default half). Training that ends early, for want
    of a better dev accuracy, ends on the way. The value depends on the progress alone, so that a resumed run has the
    same.
    """

    start: float = Field(ge=0, le=1)
    end: float = Field(ge=0, le=1)
    type: Literal["linear", "cosine", "step"] = "linear"
    at: float | None = Field(default=None, ge=0, le=1)

    def __post_init__(self) -> None:
        if self.at is not None and self.type != "step":
            raise ValueError("`at` is for type: step")

    def value(self, progress: float) -> float:
        """The weight where ``progress``, from 0 to 1, lies behind."""
        if self.type == "step":
            return self.start if progress < (0.5 if self.at is None else self.at) else self.end
        share = progress if self.type == "linear" else (1 - math.cos(math.pi * progress)) / 2
        return self.start + share * (self.end - self.start)

    @property
    def constant(self) -> bool:
        return self.start == self.end

    def section(self) -> float | dict[str, Any]:
        """What a configuration has for it: all keys, so that none is left of another schedule in its place."""
        return self.start if self.constant else asdict(self)

    def label(self) -> float | str:
        """What a report has for it: a number, or such as ``1 to 0.5, linear``."""
        if self.constant:
            return self.start
        at = f" at {self.at:g}" if self.at is not None else ""
        return f"{self.start:g} to {self.end:g}, {self.type}{at}"


def _spelt_out(value: Any) -> Any:
    if isinstance(value, Mapping):
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ValueError("input should be a number from 0 to 1, or a schedule (start, end, type)")
    return {"start": value, "end": value}


Weight = Annotated[Schedule, BeforeValidator(_spelt_out)]
"""In a section: a number, or a mapping with a schedule's keys."""
