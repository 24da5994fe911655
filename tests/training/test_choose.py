"""Choosing among trained students: by dev frame accuracy alone, whatever their loss."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from asrkd.core.config import apply_overrides, load_yaml, merge, section
from asrkd.core.errors import DataError
from asrkd.core.files import read_json, write_json
from asrkd.losses import build_loss
from asrkd.training.choose import choose

SCHEDULE = {"start": 1.0, "end": 0.5, "type": "linear", "at": None}


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "chosen"
    folder.mkdir()
    return folder


def student(folder: Path, loss: dict[str, Any], accuracy: float) -> Path:
    """What is left of a trained student: its stage's description."""
    folder.mkdir()
    summary = {"dev_frame_accuracy": accuracy}
    description = {"stage": "train", "key": "0" * 64, "config": {"loss": loss}, "inputs": {}, "summary": summary}
    write_json(folder / "stage.json", {**description, "files": {}, "seconds": 1.0, "version": 1})
    return folder


def test_the_best_on_dev_and_of_equals_the_first(tmp_path: Path, work: Path) -> None:
    losses = [{"temperature": t, "alpha": 0.9} for t in (1, 2, 4)]
    models = [
        student(tmp_path / str(n), {"type": "distillation", **loss}, accuracy)
        for n, (loss, accuracy) in enumerate(zip(losses, (0.5, 0.6, 0.6), strict=True))
    ]
    assert choose(models, ["student", "student_small"], work) == {"temperature": 2, "alpha": 0.9}
    chosen = load_yaml(work / "chosen.yaml")
    assert chosen["student"]["loss"] == {"temperature": 2, "alpha": 0.9}  # the type that sections have stays
    assert chosen["student_small"] == chosen["student"]
    assert chosen["posteriors"] == {"temperature": 2}
    assert [(work / name).read_text() for name in ("temperature", "alpha")] == ["2\n", "0.9\n"]
    assert [row["chosen"] for row in json.loads((work / "tried.json").read_text())] == [False, True, False]


def test_another_loss_and_a_schedule(tmp_path: Path, work: Path) -> None:
    """Defaults that a section did not spell out count too; what is chosen replaces what a section has."""
    models = [
        student(tmp_path / "a", {"type": "distillation"}, 0.5),
        student(tmp_path / "b", {"type": "reverse_kl", "temperature": 3.0, "alpha": {"start": 1, "end": 0.5}}, 0.6),
    ]
    assert choose(models, ["student"], work) == {"temperature": 3.0, "alpha": SCHEDULE}
    tried = read_json(work / "tried.json")
    assert [row["alpha"] for row in tried] == [0.9, "1 to 0.5, linear"]
    assert [row["type"] for row in tried] == ["distillation", "reverse_kl"]
    before = {"student": {"loss": {"type": "distillation", "alpha": {"type": "step", "start": 0, "end": 1, "at": 0.3}}}}
    after = merge([before, load_yaml(work / "chosen.yaml")])
    expected = {"type": "reverse_kl", "temperature": 3.0, "alpha": SCHEDULE}
    assert section(after, "student")["loss"] == expected
    build_loss(expected, "loss")
    by_hand = apply_overrides({}, [f"student.loss.alpha={(work / 'alpha').read_text()}"])
    assert section(by_hand, "student")["loss"]["alpha"] == SCHEDULE
    assert yaml.safe_load((work / "temperature").read_text()) == 3


def test_hard_labels_have_no_temperature(tmp_path: Path, work: Path) -> None:
    models = [student(tmp_path / "teacher", {}, 0.5)]
    with pytest.raises(DataError, match="teacher was not trained on soft targets: there is nothing to choose"):
        choose(models, [], work)
    assert not any(work.iterdir())
