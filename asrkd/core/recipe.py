"""What a recipe's run.sh itself reads of its configuration: the section ``recipe``."""

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

    def lines(self) -> list[str]:
        """``NAME VALUES``, a line each, for a shell to read."""
        values = {"num_teachers": [self.num_teachers], "temperatures": self.temperatures, "alphas": self.alphas}
        return [" ".join([name, *(f"{value:g}" for value in numbers)]) for name, numbers in values.items()]
