"""What a recipe's run.sh itself reads of its configuration: the section ``recipe``."""

import re
from collections.abc import Iterable, Sequence

from pydantic import Field
from pydantic.dataclasses import dataclass

from asrkd.core.config import STRICT


@dataclass(frozen=True, config=STRICT)
class RecipeConfig:
    """Size of the ensemble, and what students are tried with on dev."""

    num_teachers: int = Field(default=5, ge=1)
    temperatures: tuple[float, ...] = Field(default=(1, 2, 4), min_length=1)
    alphas: tuple[float, ...] = (0.5, 1)
    """Tried at the best temperature, beside 0.9."""

    def lines(self, sections: Iterable[str]) -> list[str]:
        """``NAME VALUES``, a line each, for a shell to read; ``sections`` are those of the configuration.

        ``triphones`` are the numbers N of sections ``triphoneN``: stages that come before the last, ``triphone``.
        """
        matches = [re.fullmatch(r"triphone(\d+)", name) for name in sections]
        values: dict[str, Sequence[float]] = {
            "num_teachers": [self.num_teachers],
            "temperatures": self.temperatures,
            "alphas": self.alphas,
            "triphones": sorted(int(match[1]) for match in matches if match),
        }
        return [" ".join([name, *(f"{value:g}" for value in numbers)]) for name, numbers in values.items()]
