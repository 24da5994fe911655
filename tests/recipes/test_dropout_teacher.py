"""recipes/dropout_teacher in a minute-sized form, on the experiment of the mini recipe."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from asrkd.cli import main
from asrkd.core.config import load_yaml, merge
from asrkd.core.files import read_json
from tests.recipes.tiny import ROOT, Recipe, run

OWN = ROOT / "recipes/dropout_teacher/recipe.yaml"
QUICK: dict[str, Any] = {"model": {"hidden_units": 32}, "epochs": 2, "learning_rate": 4e-3, "threads": 1}


def small(folder: Path) -> Path:
    """The recipe with small nets and two seeds, for an experiment of two teachers."""
    recipe = merge([load_yaml(OWN), {"teacher": QUICK, "student": QUICK}])
    recipe["sweep"]["seeds"] = [1, 2]
    recipe["decode"] |= {"beam": 8.0, "max_active": 300, "min_active": 20}
    studies = recipe["sweep"]["studies"]
    studies["tuning"]["grid"]["train.model.dropout"] = [0.2]
    for settings in (studies["teachers"]["grid"]["teacher"], studies["students"]["grid"]["taught by"]):
        settings["three nets"]["num_teachers"] = 2
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    return path


def test_the_configuration_is_sound() -> None:
    assert main(["check", "--config", str(OWN)]) == 0


def test_training_of_the_dropout_net_costs_what_three_of_the_others_do() -> None:
    """Operations of a training: parameters times frames; both see the same."""
    from asrkd.models import build_model

    teachers = [load_yaml(OWN)["teacher"], load_yaml(ROOT / "recipes/mini/recipe.yaml")["teacher"]]
    nets = [build_model(each["model"], 26 * 40, 400, "model") for each in teachers]
    dropper, one = (
        each["epochs"] * sum(parameter.numel() for parameter in net.parameters())
        for each, net in zip(teachers, nets, strict=True)
    )
    assert dropper / one == pytest.approx(3, rel=0.02)


def test_dropout_nets_and_their_students_beside_real_seeds(recipe: Recipe, tmp_path: Path) -> None:
    exp = tmp_path / "exp"
    options = ["--from", str(recipe.exp), "--config", str(small(tmp_path)), "--exp", str(exp), "--jobs", "2"]
    done = run("dropout_teacher", *options, "--tune", "true")
    assert done.returncode == 0, done.stdout[-3000:]
    assert len(read_json(exp / "tuning/sweep.json")["trials"]) == 2
    results = read_json(exp / "study/sweep.json")
    teachers, students = results["studies"]
    names = ["one net", "dropout net", "dropout net, 10 passes", "three nets"]
    assert [row["labels"]["teacher"] for row in teachers["rows"]] == names
    assert [row["labels"]["taught by"] for row in students["rows"]] == names
    for study in (teachers, students):
        low, plain, passes, high = (row["rates"]["frame_accuracy"]["estimate"] for row in study["rows"])
        assert plain != passes
        recovered = study["rows"][1]["recovered"]["estimate"]
        assert recovered == pytest.approx((plain - low) / (high - low))
    archives = [trial["soft_targets"] for trial in results["trials"] if trial["soft_targets"]]
    found = {
        (soft["teachers"], soft["first"], soft["num_teachers"], soft["posteriors"].get("passes", 0))
        for soft in archives
    }
    assert found == {
        *(("", first, 1, 0) for first in (1, 2)),
        *(("droppers", first, 1, passes) for first in (1, 2) for passes in (0, 10)),
        ("", 1, 2, 0),
    }  # fmt: skip
    page = (exp / "study/sweep.html").read_text()
    assert page.count("<svg") == 2
    assert "In the paper, digits" in page


def test_a_switch_that_is_neither_is_told(tmp_path: Path) -> None:
    refused = run("dropout_teacher", "--from", str(tmp_path), "--tune", "yes")
    assert refused.returncode == 1
