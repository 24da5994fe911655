"""recipes/triple_loss in a minute-sized form, on the experiment of the mini recipe: what it makes, and again."""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from asrkd.cli import main
from asrkd.core.config import load_yaml, merge, parse
from asrkd.core.files import read_json
from asrkd.core.sweep import Planner, SweepConfig
from asrkd.losses import build_loss
from asrkd.models import build_model
from tests.recipes.tiny import ROOT, Recipe, run

OWN = ROOT / "recipes/triple_loss/recipe.yaml"
QUICK: dict[str, Any] = {"batch_size": 128, "learning_rate": 4e-3, "threads": 1}
SMALL: dict[str, Any] = {
    "teacher": {**QUICK, "model": {"hidden_units": 32}, "epochs": 3},
    "student": {**QUICK, "model": {"hidden_units": 32}, "epochs": 2},
    "student_hard": {**QUICK, "model": {"hidden_units": 32}, "epochs": 2},
    "sweep": {"seeds": [1, 2]},
    "decode": {"beam": 8.0, "max_active": 300, "min_active": 20},
}


@dataclass(frozen=True)
class Done:
    """A finished run, and how to repeat it."""

    exp: Path
    options: list[str]

    @property
    def results(self) -> dict[str, Any]:
        content: dict[str, Any] = read_json(self.exp / "study/sweep.json")
        return content

    def study(self, name: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = next(each for each in self.results["studies"] if each["name"] == name)["rows"]
        return rows

    def run_again(self) -> subprocess.CompletedProcess[str]:
        return run("triple_loss", *self.options)


@pytest.fixture(scope="module")
def done(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Done:
    root = tmp_path_factory.mktemp("triple_loss")
    config = root / "small.yaml"
    config.write_text(yaml.safe_dump(merge([load_yaml(OWN), SMALL]), sort_keys=False))
    options = ["--from", str(recipe.exp), "--config", str(config), "--exp", str(root / "exp"), "--jobs", "2"]
    finished = run("triple_loss", *options)
    assert finished.returncode == 0, finished.stdout[-3000:]
    return Done(root / "exp", options)


def test_the_configuration_is_sound() -> None:
    assert main(["check", "--config", str(OWN)]) == 0


def test_half_the_depth_beside_its_teacher(done: Done) -> None:
    teacher, triple, *others = done.study("kept")
    assert [row["labels"]["net"] for row in (teacher, triple)] == ["teacher", "triple loss"]
    assert teacher["is_reference"]
    for row in (triple, *others):
        assert row["parameters"] == triple["parameters"] < teacher["parameters"]
        ours, theirs = (each["rates"]["frame_accuracy"]["estimate"] for each in (row, teacher))
        assert row["share"]["estimate"] == pytest.approx(ours / theirs)
        assert set(row["differences"]) == {"frame_accuracy", "wer"}
    section = read_json(done.exp / "teachers/1/stage.json")["summary"]
    assert teacher["dev"]["estimate"] == pytest.approx(section["dev_frame_accuracy"], abs=1e-3)


def test_each_term_is_left_out_once_and_so_is_the_start() -> None:
    recipe = load_yaml(OWN)
    sweep = parse(SweepConfig, recipe["sweep"], "sweep")
    plan = Planner(
        sweep, recipe, lambda folder: 1, lambda train: build_loss(train["loss"], "").temperature is not None, ""
    ).plan()
    study = next(each for each in plan.studies if each.name == "ablation")
    changed = {}
    for row in study.rows:
        trial = plan.trials[row.trials[sweep.seeds[0]]]
        assert trial.online == 1
        absent = {name for name in ("distillation", "cosine", "hard") if trial.train["loss"][name] == 0}
        changed[row.labels["student"]] = absent | {"start"} if trial.train["initialise"] == "random" else absent
    assert changed == {
        "triple loss": set(),
        "without distillation": {"distillation"},
        "without cosine": {"cosine"},
        "without hard labels": {"hard"},
        "random start": {"start"},
    }
    # Half the depth makes 40 % fewer parameters on the default's windows of 26 frames and about 400 tied states.
    sizes = [_parameters(recipe[name]["model"]) for name in ("teacher", "student")]
    assert sizes[1] <= 0.6 * sizes[0]
    assert sizes[1] == _parameters(recipe["student_hard"]["model"])


def _parameters(section: dict[str, Any]) -> int:
    return sum(parameter.numel() for parameter in build_model(section, 26 * 40, 400, "model").parameters())


def test_table_plot_and_speed(done: Done) -> None:
    page, text = (done.exp / "study/sweep.html").read_text(), (done.exp / "study/sweep.md").read_text()
    for name in ("kept", "ablation"):
        assert f'id="study-{name}"' in page
    assert page.count("<svg") == 2
    assert "Of the reference" in text
    assert "DistilBERT, table 4" in text
    lines = [line.split(" | ") for line in (done.exp / "speed.md").read_text().splitlines() if "/" in line]
    rows = [[cell.strip("| ") for cell in line] for line in lines if line[0].startswith("| /")]
    assert len(rows) >= 2
    for teacher, student in zip(rows[::2], rows[1::2], strict=True):
        assert float(teacher[2]) == float(teacher[4]) == 1
        assert int(student[1].replace(",", "")) < int(teacher[1].replace(",", ""))
        assert float(student[4]) > 0


def test_what_stands_is_skipped(done: Done) -> None:
    before = {path: path.stat().st_mtime_ns for path in done.exp.rglob("stage.json")}
    again = done.run_again()
    assert again.returncode == 0, again.stdout[-3000:]
    trials = len(done.results["trials"])
    assert f"{trials} trials, {trials} of them stand" in again.stdout
    assert before == {path: path.stat().st_mtime_ns for path in done.exp.rglob("stage.json")}


def test_a_folder_that_is_no_experiment_is_told(tmp_path: Path) -> None:
    refused = run("triple_loss", "--from", str(tmp_path), "--exp", str(tmp_path / "exp"))
    assert refused.returncode == 1
    assert refused.stdout.splitlines()[-1] == (
        f"run.sh triple_loss: error: --from '{tmp_path}' is no prepared experiment: it has no {tmp_path}/fbank"
    )
