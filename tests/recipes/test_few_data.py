"""recipes/few_data in a minute-sized form, on the experiment of the mini recipe."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from asrkd.cli import main
from asrkd.core.config import load_yaml, merge
from asrkd.core.files import read_json
from tests.recipes.tiny import ROOT, Recipe, run

OWN = ROOT / "recipes/few_data/recipe.yaml"
QUICK: dict[str, Any] = {"model": {"hidden_units": 32}, "learning_rate": 4e-3, "threads": 1}


def small(folder: Path) -> Path:
    """The recipe with small nets, two seeds and two epochs of whatever share."""
    recipe = merge([load_yaml(OWN), {"student_hard": QUICK, "student_soft": QUICK}])
    recipe["sweep"]["seeds"] = [1, 2]
    recipe["decode"] |= {"beam": 8.0, "max_active": 300, "min_active": 20}
    studies = recipe["sweep"]["studies"]
    for settings in (*studies["table"]["grid"]["net"].values(), *studies["curve"]["grid"]["share"].values()):
        if "teacher" not in settings:
            settings["train.epochs"] = 2
    for each in studies["curve"]["adjust"]:
        each["set"]["train.epochs"] = 2
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    return path


def test_the_configuration_is_sound() -> None:
    assert main(["check", "--config", str(OWN)]) == 0


def test_hard_labels_and_soft_targets_on_shares_of_the_data(recipe: Recipe, tmp_path: Path) -> None:
    exp = tmp_path / "exp"
    options = ["--from", str(recipe.exp), "--config", str(small(tmp_path)), "--exp", str(exp), "--jobs", "2"]
    done = run("few_data", *options)
    assert done.returncode == 0, done.stdout[-3000:]
    assert done.stdout.splitlines()[-1] == f"report: {exp}/study/sweep.html"
    results = read_json(exp / "study/sweep.json")
    table, curve = results["studies"]
    whole, hard, soft = table["rows"]
    assert whole["is_reference"]
    assert all(set(row["rates"]) == {"frame_accuracy", "wer"} and row["train"] for row in table["rows"])
    low, high, ours = (row["rates"]["frame_accuracy"]["estimate"] for row in (hard, whole, soft))
    assert soft["recovered"]["estimate"] == pytest.approx((ours - low) / (high - low))
    assert [(row["labels"]["targets"], row["labels"]["share"]) for row in curve["rows"]] == [
        (targets, share) for targets in ("hard", "soft") for share in ("1", "3", "10", "30", "100")
    ]
    assert len(results["trials"]) == 2 * (10 + 1)  # the teachers, and the curve, which holds the rest of the table
    frames: dict[float, int] = {}
    for trial in (each for each in results["trials"] if not each["teacher"]):
        summary = read_json(exp / f"study/trials/{trial['name']}/net/stage.json")["summary"]
        fraction = trial["train"].get("fraction", 1)
        assert frames.setdefault(fraction, summary["frames"]) == summary["frames"]  # of either targets, and any seed
        kept = summary["best_epoch"] if trial["soft_targets"] is None else 2
        assert summary["kept_epoch"] == kept
    assert sorted(frames.values()) == [frames[each] for each in sorted(frames)]
    text, page = ((exp / f"study/sweep.{suffix}").read_text() for suffix in ("md", "html"))
    assert "# Soft targets as regularisers" in text
    assert "Baseline on 3 %" in text
    assert page.count("<svg") == 2


def test_an_experiment_that_is_none_is_told(tmp_path: Path) -> None:
    refused = run("few_data", "--from", str(tmp_path), "--exp", str(tmp_path / "exp"))
    assert refused.returncode == 1
    assert "is no prepared experiment" in refused.stdout.splitlines()[-1]
