"""Weights belong to the models that they were learnt of, in whatever order these come."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from asrkd.core.errors import ConfigError, DataError, MismatchError
from asrkd.models import build_model
from asrkd.models.saved import ModelInfo, save_model
from asrkd.targets.weights import TeacherWeights, open_ensemble, write_weights


@pytest.fixture
def models(tmp_path: Path) -> list[Path]:
    """Three nets of three pdfs."""
    info = ModelInfo({"hidden_layers": 0}, 0, 0, 4, 3, "tiny", "t" * 64, (-1.0,) * 3)
    paths = [tmp_path / name for name in "abc"]
    for seed, path in enumerate(paths):
        torch.manual_seed(seed)
        path.mkdir()
        save_model(path, build_model(info.model, info.input_dim, 3, "model"), info)
    return paths


@pytest.fixture
def weights(models: list[Path], tmp_path: Path) -> Path:
    (tmp_path / "weights").mkdir()
    write_weights(tmp_path / "weights", "logits", models, [0.5, 0.3, 0.2], frames=7)
    return tmp_path / "weights"


def test_each_model_has_its_weight_in_any_order(models: list[Path], weights: Path) -> None:
    opened = TeacherWeights.open(weights)
    assert opened.combination == "geometric"  # which logits is the other name of
    assert opened.of(models) == (0.5, 0.3, 0.2)
    assert opened.of(models[::-1]) == (0.2, 0.3, 0.5)
    ensemble = open_ensemble([models[1], models[0], models[2]], "cpu", weights=weights)
    assert ensemble.weights == (0.3, 0.5, 0.2)
    assert ensemble.combination == "geometric"
    assert open_ensemble(models, "cpu", "logits", weights).weights == (0.5, 0.3, 0.2)
    assert open_ensemble(models, "cpu").combination == "arithmetic"


def test_other_models_and_another_combination(models: list[Path], weights: Path) -> None:
    with pytest.raises(MismatchError, match=r"weights of 3 models, 2 were given"):
        open_ensemble(models[:2], "cpu", weights=weights)
    with pytest.raises(MismatchError, match=r"learnt for the geometric combination, but arithmetic is asked for"):
        open_ensemble(models, "cpu", "arithmetic", weights)
    with open(models[1] / "model.safetensors", "ab") as file:
        file.write(b" ")
    with pytest.raises(MismatchError, match=rf"no weight for {models[1]}: was the model trained again"):
        open_ensemble(models, "cpu", weights=weights)


def test_a_model_given_twice(models: list[Path], weights: Path) -> None:
    with pytest.raises(ConfigError, match=rf"{models[0]} is given twice"):
        write_weights(weights, "arithmetic", [models[0], models[1], models[0]], [0.2, 0.3, 0.5])
    with pytest.raises(MismatchError, match="weights of 3 models, 4 were given"):
        open_ensemble([*models, models[0]], "cpu", weights=weights)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": [0.5, 0.5]}, "must be 3 numbers from 0 to 1 that sum to 1"),
        ({"weights": [0.5, 0.3, 0.3]}, "sum to 1"),
        ({"weights": [1.2, -0.1, -0.1]}, "from 0 to 1"),
        ({"weights": [True, 0, 0]}, "must be 3 numbers"),
        ({"weights": ["1", 0, 0]}, "must be 3 numbers"),
        ({"combination": "median"}, "no combination is called 'median'"),
        ({"teachers": ["a", "a", "b"]}, "a teacher is named twice"),
        ({"teachers": 3}, "'teachers' can't be 3"),
    ],
)
def test_weights_that_were_edited(weights: Path, changes: dict[str, Any], message: str) -> None:
    path = weights / "weights.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(DataError, match=message) as error:
        TeacherWeights.open(weights)
    assert str(path) in str(error.value)


def test_nan_is_no_weight(weights: Path) -> None:
    path = weights / "weights.json"
    path.write_text(path.read_text().replace("0.5", "NaN"))
    with pytest.raises(DataError, match="must be 3 numbers"):
        TeacherWeights.open(weights)


def test_what_is_no_model(models: list[Path], weights: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"model\.safetensors is missing"):
        open_ensemble([*models[:2], tmp_path], "cpu", weights=weights)
