"""Weights of an ensemble's teachers, kept with what they are of.

``weights.json`` names the teachers by the SHA-256 of their model.safetensors, each with its weight, and says for which
combination the weights were learnt. Using them with other models, or for another combination, is an error.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from asrkd.core.errors import ConfigError, DataError, MismatchError
from asrkd.core.files import read_fields, sha256, write_json
from asrkd.models.saved import load_model
from asrkd.targets.averaging import Combination, Ensemble, mean_of

_FILE = "weights.json"
_SUM_TOLERANCE = 1e-6


@dataclass(frozen=True)
class TeacherWeights:
    """``weights``: by the SHA-256 of a teacher's model.safetensors; they are not negative and sum to 1."""

    path: Path
    combination: Literal["arithmetic", "geometric"]
    weights: Mapping[str, float]

    @classmethod
    def open(cls, path: Path) -> "TeacherWeights":
        """Read a weights folder. DataError where it is malformed."""
        content = read_fields(path / _FILE, combination=str, teachers=list, weights=list)
        combination, teachers, weights = (content[name] for name in ("combination", "teachers", "weights"))
        if combination not in ("arithmetic", "geometric"):
            raise DataError(f"{path / _FILE}: no combination is called {combination!r}: was it edited?")
        check_weights(weights, len(teachers), str(path / _FILE))
        if len(set(map(str, teachers))) < len(teachers):
            raise DataError(f"{path / _FILE}: a teacher is named twice: was it edited?")
        return cls(path, mean_of(combination), dict(zip(map(str, teachers), map(float, weights), strict=True)))

    def of(self, models: Sequence[Path]) -> tuple[float, ...]:
        """The weight of each of ``models``, in their order; MismatchError unless they are exactly the weights' own."""
        hashes = [teacher_id(path) for path in models]
        if strange := [path for path, each in zip(models, hashes, strict=True) if each not in self.weights]:
            raise MismatchError(
                f"{self.path} has no weight for {strange[0]}: was the model trained again? Learn the weights again"
            )
        if len(hashes) != len(self.weights):
            raise MismatchError(
                f"{self.path} has weights of {len(self.weights)} models, {len(hashes)} were given: "
                "weights of a whole ensemble say nothing of a part of it"
            )
        return tuple(self.weights[each] for each in hashes)


def teacher_id(path: Path) -> str:
    """What tells a trained model from any other: the SHA-256 of its weights' file."""
    file = path / "model.safetensors"
    if not file.is_file():
        raise DataError(f"{file} is missing: is {path} a trained model?")
    return sha256(file)


def distinct_ids(models: Sequence[Path]) -> list[str]:
    """The `teacher_id` of each model; ConfigError where one is given twice."""
    ids = [teacher_id(path) for path in models]
    if len(set(ids)) < len(ids):
        again = next(path for path, each in zip(models, ids, strict=True) if ids.count(each) > 1)
        raise ConfigError(f"{again} is given twice, or has a copy: weights can't tell the two apart")
    return ids


def check_weights(weights: Any, count: int, where: str) -> None:
    """DataError unless these are ``count`` numbers, none negative, that sum to 1."""
    weights = weights if isinstance(weights, list) else []
    numbers = [w for w in weights if isinstance(w, (int, float)) and not isinstance(w, bool) and 0 <= w <= 1]
    if not len(numbers) == len(weights) == count > 0 or not math.isclose(sum(numbers), 1, abs_tol=_SUM_TOLERANCE):
        raise DataError(
            f"{where}: weights of {count} teachers must be {count} numbers from 0 to 1 that sum to 1: was it edited?"
        )


def write_weights(
    folder: Path, combination: Combination, models: Sequence[Path], weights: Sequence[float], **figures: Any
) -> None:
    """Write a weights folder; ``figures`` are kept beside the weights. ConfigError where a model is given twice."""
    teachers = distinct_ids(models)
    content = {"combination": mean_of(combination), "teachers": teachers, "weights": list(weights), **figures}
    write_json(folder / _FILE, content)


def open_ensemble(
    models: Sequence[Path],
    device: str,
    combination: Combination | None = None,
    weights: Path | None = None,
    bfloat16: bool = False,
    *,
    passes: int = 0,
) -> Ensemble:
    """Load models as one, with the weights of the folder ``weights``, if one is given, or all alike.

    ``passes``: stochastic ones (`Ensemble`).

    The combination is that of the weights, or arithmetic, where none is given. MismatchError where the weights are of
    other models or of another combination.
    """
    shares = None
    if weights is not None:
        learnt = TeacherWeights.open(weights)
        if combination is not None and mean_of(combination) != learnt.combination:
            raise MismatchError(
                f"{weights} was learnt for the {learnt.combination} combination, but {combination} is asked for: "
                "learn weights for it, or set the combination to the weights'"
            )
        combination, shares = learnt.combination, learnt.of(models)
    loaded = [load_model(path, device) for path in models]
    return Ensemble(loaded, combination or "arithmetic", bfloat16, shares, passes)
