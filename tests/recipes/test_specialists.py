"""recipes/specialists in a minute-sized form, on the experiment of the mini recipe."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from asrkd.cli import main
from asrkd.core.config import load_yaml, merge
from asrkd.core.files import read_json
from tests.recipes.tiny import ROOT, Recipe, run

OWN = ROOT / "recipes/specialists/recipe.yaml"
QUICK: dict[str, Any] = {"batch_size": 128, "learning_rate": 4e-3, "threads": 1}
NET = {"model": {"hidden_layers": 2, "hidden_units": 48}}
SMALL: dict[str, Any] = {
    "generalist": {**QUICK, **NET, "epochs": 1},
    "generalist_longer": {**QUICK, **NET, "epochs": 3},
    "cluster": {"clusters": 2, "size": 20},
    "specialist_brief": {**QUICK, "epochs": 2},
    "specialist_long": {**QUICK, "epochs": 1},
    "student": {**QUICK, **NET, "epochs": 1},
    "decode": {"beam": 8.0, "max_active": 300, "min_active": 20, "acoustic_scales": [0.1, 0.2]},
}


@dataclass(frozen=True)
class Done:
    """A finished run, and how to repeat it."""

    exp: Path
    options: list[str]

    def scores(self, kind: str) -> dict[str, Any]:
        content: dict[str, Any] = read_json(self.exp / kind / "scores/specialists.json")
        return content


@pytest.fixture(scope="module")
def done(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Done:
    root = tmp_path_factory.mktemp("specialists")
    config = root / "small.yaml"
    config.write_text(yaml.safe_dump(merge([load_yaml(OWN), SMALL])))
    options = ["--from", str(recipe.exp), "--config", str(config), "--exp", str(root / "exp"), "--jobs", "2"]
    options += ["--seeds", "2"]
    finished = run("specialists", *options)
    assert finished.returncode == 0, finished.stdout[-3000:]
    return Done(root / "exp", options)


def test_the_configuration_is_sound() -> None:
    assert main(["check", "--config", str(OWN)]) == 0


def test_gains_by_how_many_specialists_hold_the_state(done: Done) -> None:
    for kind in ("brief", "long"):
        scores = done.scores(kind)
        assert (scores["seeds"], scores["specialists"], scores["pdfs_each"]) == (2, 2, 20)
        rows = {row["covering"]: row for row in scores["rows"]}
        numbered = [row for name, row in rows.items() if name.isdecimal()]
        assert sum(row["frames"] for row in numbered) == rows["all"]["frames"]
        assert rows["1 or more"]["conditional"]["generalist"]["deviation"] is not None


def test_systems_beside_each_other(done: Done) -> None:
    systems = {each["name"]: each for each in done.scores("brief")["systems"]}
    assert list(systems) == ["generalist", "longer", "specialists", "control", "distilled"]
    sizes = {name: each["parameters"] for name, each in systems.items()}
    assert sizes["generalist"] == sizes["control"] == sizes["distilled"] < sizes["specialists"]
    total = {row["covering"]: row for row in done.scores("brief")["rows"]}["all"]["top"]
    measured = {name: each["frame_accuracy"]["rate"]["estimate"] for name, each in systems.items()}
    assert measured["generalist"] == pytest.approx(total["generalist"]["estimate"])
    assert measured["specialists"] == pytest.approx(total["specialised"]["estimate"])
    for name, each in systems.items():
        words = [read_json(done.exp / f"eval/{name}/{seed}/words/words.json")["wer"] for seed in (1, 2)]
        assert each["wer"]["rate"]["estimate"] == pytest.approx(sum(words) / 2)


def test_distilled_and_control_differ_in_their_teacher_alone(done: Done) -> None:
    first = {name: read_json(done.exp / f"brief/{name}/students/1/stage.json") for name in ("control", "distilled")}
    assert first["control"]["config"] == first["distilled"]["config"]
    headers = {name: read_json(done.exp / f"brief/{name}/soft_targets/1/header.json") for name in first}
    for name in ("teachers", "checksum", "index_checksum"):
        assert headers["control"].pop(name) != headers["distilled"].pop(name)
    assert headers["control"] == headers["distilled"]


def test_pages_and_what_stands(done: Done) -> None:
    page = (done.exp / "brief/scores/specialists.html").read_text()
    assert "Beside the paper" in page
    assert page.count("<svg") == 1
    before = {path: path.stat().st_mtime_ns for path in done.exp.rglob("stage.json")}
    again = run("specialists", *done.options)
    assert again.returncode == 0, again.stdout[-3000:]
    assert before == {path: path.stat().st_mtime_ns for path in done.exp.rglob("stage.json")}


def test_more_seeds_than_teachers_are_told(recipe: Recipe, tmp_path: Path) -> None:
    refused = run("specialists", "--from", str(recipe.exp), "--exp", str(tmp_path / "exp"), "--seeds", "9")
    assert refused.returncode == 1
    assert "has fewer than 9 teachers: take a smaller --seeds" in refused.stdout.splitlines()[-1]
