"""A student that follows its teacher in hidden states and starts from its layers: what training makes of both."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from asrkd.core.errors import ConfigError, MismatchError
from asrkd.models import build_model
from asrkd.models.layers import logits_and_hidden
from asrkd.models.saved import ModelInfo, load_model, save_model
from asrkd.targets.dump import PosteriorsConfig, dump_posteriors
from asrkd.targets.weights import open_ensemble
from asrkd.training.online import OnlineTeacher
from asrkd.training.train import TrainConfig, TrainInputs, train
from tests.outputs import contents
from tests.training.conftest import DIM, NUM_PDFS, TREE
from tests.training.killed import killed_after_epoch_2

ConfigMaker = Callable[..., TrainConfig]

UNITS = 16
LOSS = {"type": "triple", "temperature": 3.0}
STUDENT = {"model": {"hidden_layers": 2, "hidden_units": UNITS, "dropout": 0.1}, "loss": LOSS}
FOLLOWING = {**STUDENT, "initialise": "every_second"}


def saved(folder: Path, layers: int, units: int = UNITS, left: int = 1) -> Path:
    sizes = {"hidden_layers": layers, "hidden_units": units, "dropout": 0.5}
    info = ModelInfo(sizes, left, 1, DIM, NUM_PDFS, "tiny", TREE, (-1.0,) * NUM_PDFS)
    torch.manual_seed(layers)
    save_model(folder, build_model(info.model, info.input_dim, NUM_PDFS, "model"), info)
    return folder


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four hidden layers; of the students' window; with dropout, which must stay off."""
    return saved(tmp_path_factory.mktemp("teacher"), 4)


@pytest.mark.parametrize("width", [1, 3])
def test_the_online_teacher_gives_hidden_states_with_its_posteriors(tmp_path: Path, width: int) -> None:
    """Of its own window, and the posteriors are those that it gives without them."""
    ensemble = open_ensemble([saved(tmp_path, 4, left=width)], "cpu")
    (window,) = ensemble.windows
    seen = {window: torch.randn(9, window.size * DIM)}
    plain, both = (OnlineTeacher(ensemble, 2.0, hidden).soft_targets(seen) for hidden in (False, True))
    torch.testing.assert_close(both.probs, plain.probs, rtol=0, atol=0)
    assert plain.hidden is None
    assert both.hidden is not None
    assert not both.hidden.requires_grad
    expected = logits_and_hidden(ensemble.models[0].module, seen[window])[1]
    torch.testing.assert_close(both.hidden, expected, rtol=0, atol=0)


def test_at_its_start_the_student_is_the_teacher_s_layers(
    problem: TrainInputs, teacher: Path, config_of: ConfigMaker, tmp_path: Path
) -> None:
    """With a rate of next to nothing the first epoch leaves the student as it was."""
    still = {"learning_rate": 1e-30, "final_learning_rate": 0.0, "epochs": 1}
    train(config_of(**FOLLOWING, **still), replace(problem, teachers=[teacher]), tmp_path)
    theirs, ours = load_model(teacher).module.state_dict(), load_model(tmp_path).module.state_dict()
    taken = {"0": "0", "3": "6", "6": "12"}  # linear layers lie three apart: ReLU and dropout follow each
    assert sorted(ours) == sorted(f"{name}.{kind}" for name in taken for kind in ("weight", "bias"))
    for name, tensor in ours.items():
        number, _, kind = name.partition(".")
        torch.testing.assert_close(tensor, theirs[f"{taken[number]}.{kind}"], rtol=0, atol=1e-25)


def test_the_cosine_turns_hidden_states_to_the_teacher_s(
    problem: TrainInputs, teacher: Path, config_of: ConfigMaker, tmp_path: Path
) -> None:
    """Alone, from a random start: the output layer, which it does not reach, stays as it was."""
    loss = {**LOSS, "distillation": 0.0, "hard": 0.0}
    inputs = replace(problem, teachers=[teacher])
    away = {}
    for name, rate in (("before", 1e-30), ("after", 0.01)):
        (tmp_path / name).mkdir()
        config = config_of(**{**STUDENT, "loss": loss}, learning_rate=rate, epochs=6, patience=6)
        train(config, inputs, tmp_path / name)
        away[name] = [row["train_loss"] for row in json.loads((tmp_path / name / "log.json").read_text())["curve"]]
    assert max(away["after"][1:]) < min(away["before"]) - 0.2
    outputs = [load_model(tmp_path / name).module.state_dict()["6.weight"] for name in away]
    torch.testing.assert_close(outputs[1], outputs[0], rtol=0, atol=0)


def test_without_the_cosine_an_archive_will_do(
    problem: TrainInputs, teacher: Path, config_of: ConfigMaker, tmp_path: Path
) -> None:
    archive = tmp_path / "soft"
    archive.mkdir()
    dense = {"type": "dense", "precision": "float32"}
    dump_posteriors(PosteriorsConfig(3.0, "arithmetic", dense, "fp32", "cpu"), [problem.features], [teacher], archive)
    curves = []
    for name, given in {
        "stored": replace(problem, soft_targets=archive),
        "online": replace(problem, teachers=[teacher]),
    }.items():
        work = tmp_path / name
        work.mkdir()
        train(config_of(**{**STUDENT, "loss": {**LOSS, "cosine": 0.0}}), given, work)
        curves.append([row["train_loss"] for row in json.loads((work / "log.json").read_text())["curve"]])
    assert curves[1] == pytest.approx(curves[0], rel=1e-5)


def test_killed_after_epoch_2_it_goes_on_to_the_same_bytes(
    problem: TrainInputs, teacher: Path, config_of: ConfigMaker, tmp_path: Path
) -> None:
    """It does not start from the teacher's layers again."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    inputs = replace(problem, teachers=[teacher])
    for folder in (whole, killed):
        folder.mkdir()
    train(config_of(**FOLLOWING, epochs=3), inputs, whole)
    killed_after_epoch_2(train, config_of(**FOLLOWING, epochs=3), inputs, killed)
    assert train(config_of(**FOLLOWING, epochs=3), inputs, killed)["epochs"] == 3
    assert contents(killed) == contents(whole)


@pytest.mark.parametrize(
    ("changes", "count", "told"),
    [
        ({}, 2, "train: loss: hidden states are one net's, and in no archive: give one --teacher MODEL"),
        ({}, 0, "train: loss: hidden states are one net's, and in no archive: give one --teacher MODEL"),
        (
            {"initialise": "every_second", "loss": {**LOSS, "cosine": 0.0}},
            2,
            "initialise: every_second takes layers of one teacher",
        ),
        ({"initialise": "every_second", "loss": {}}, 0, "initialise: every_second takes layers of one teacher"),
        (
            {"model": {"hidden_layers": 2, "hidden_units": 12}},
            1,
            "has 12 units in the student and 16 in the teacher .*take hidden_units: 16, or a weight of 0",
        ),
        (
            {"initialise": "every_second", "model": {"hidden_layers": 3, "hidden_units": 16}},
            1,
            "every second of the teacher's 4 hidden layers makes 2, the student has 3",
        ),
    ],
)
def test_what_does_not_fit_is_told(  # noqa: PLR0917 (fixtures)
    problem: TrainInputs,
    teacher: Path,
    config_of: ConfigMaker,
    tmp_path: Path,
    changes: dict[str, Any],
    count: int,
    told: str,
) -> None:
    with pytest.raises(ConfigError, match=told):
        train(config_of(**{**STUDENT, **changes}), replace(problem, teachers=[teacher] * count), tmp_path)


def test_layers_of_another_shape_are_told(
    problem: TrainInputs, teacher: Path, config_of: ConfigMaker, tmp_path: Path
) -> None:
    config = config_of(**FOLLOWING, window={"left": 0, "right": 1})
    told = r"teacher's hidden layer 1 has shape \(16, 12\), the student's in its place \(16, 8\): do window"
    with pytest.raises(MismatchError, match=told):
        train(config, replace(problem, teachers=[teacher]), tmp_path)
