"""recipes/digits: what it asks for, and the whole of it with tiny nets on few IDX images."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from asrkd.cli import main
from asrkd.core.config import load_yaml, merge
from asrkd.core.files import read_json
from tests.recipes.tiny import ROOT, run

RECIPE = ROOT / "recipes/digits/recipe.yaml"


def write_idx(path: Path, array: np.ndarray[Any, Any]) -> None:
    head = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    path.write_bytes(head + array.astype(np.uint8).tobytes())


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A bright bar for each class, in noise: 300 images to train on, 80 for test, of 12 x 12 pixels."""
    folder, rng = tmp_path / "images", np.random.default_rng(0)
    folder.mkdir()
    for name, count in (("train", 300), ("t10k", 80)):
        labels = np.arange(count) % 10
        pixels = rng.integers(120, size=(count, 12, 12))
        pixels[np.arange(count), labels + 1, 2:10] = 255
        write_idx(folder / f"{name}-images-idx3-ubyte", pixels)
        write_idx(folder / f"{name}-labels-idx1-ubyte", labels)
    return folder


def test_the_recipe_is_sound() -> None:
    assert main(["check", "--config", str(RECIPE)]) == 0


def test_it_runs_on_idx_files_and_is_told(images: Path, tmp_path: Path) -> None:
    whole = load_yaml(RECIPE)
    net = {"epochs": 2, "batch_size": 16, "device": "cpu"}
    small = {"model": {"hidden_units": 16}, **net}
    changes = {"teacher_mnist": {"model": {"hidden_units": 24}, **net}, "student": small, "student_hard": small}
    recipe = merge([whole, changes])
    for study in recipe["sweep"]["studies"].values():
        study["grid"] = {axis: _shortened(values) for axis, values in study["grid"].items()}
    config, exp = tmp_path / "recipe.yaml", tmp_path / "exp"
    config.write_text(yaml.safe_dump(recipe, sort_keys=False))
    done = run("digits", "--config", str(config), "--exp", str(exp), "--data", str(images), "--jobs", "2")
    assert done.returncode == 0, done.stdout[-2000:]
    assert read_json(exp / "teachers/2/stage.json")["config"]["jitter"] == 2
    results = read_json(exp / "study/sweep.json")
    assert [study["name"] for study in results["studies"]] == list(whole["sweep"]["studies"])
    rows = results["studies"][0]["rows"]
    assert all(row["seeds"] == 3 for row in rows)
    teacher = [trial for trial in results["trials"] if trial["teacher"]]
    for number, trial in enumerate(teacher, 1):
        own = read_json(exp / f"teachers/{number}/stage.json")["summary"]["dev_frame_accuracy"]
        assert trial["frame_accuracy"]["dev"] == pytest.approx(own)
    assert "Test errors of 10000" in (exp / "study/sweep.md").read_text()


def _shortened(values: Any) -> Any:
    """An axis that stands for numbers, with its ends alone: units that are tiny, temperatures as they are."""
    if isinstance(values, list) and values and isinstance(values[0], int):
        ends = [values[0], values[-1]]
        return [12, 6] if ends[0] >= 300 else ends
    return values
