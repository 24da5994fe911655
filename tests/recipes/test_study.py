"""recipes/mini/study.yaml: what it asks for; and a small sweep with words, told in the recipe's report."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

from asrkd.cli import main
from asrkd.core.config import load_yaml, merge, parse
from asrkd.core.files import read_json
from asrkd.core.plugins import plugin_names
from asrkd.core.sweep import Planner, SweepConfig
from asrkd.losses import build_loss
from tests.recipes.tiny import ROOT, Recipe, environment

MINI = [ROOT / "recipes/mini" / name for name in ("recipe.yaml", "study.yaml")]

STUDY: dict[str, Any] = {
    "seeds": [1, 2],
    "section": "student_tune",
    "unlabelled": ["transfer_tune"],
    "studies": {
        "codec": {
            "grid": {"codec": [{"type": "dense"}, {"type": "topk", "k": 5}]},
            "reference": {"codec": "dense"},
            "against": "bytes_per_frame",
            "words": True,
        }
    },
}


def test_the_study_is_sound_and_covers_what_it_is_for() -> None:
    assert main(["check", *(part for path in MINI for part in ("--config", str(path)))]) == 0
    recipe = merge([load_yaml(path) for path in MINI])
    sweep = parse(SweepConfig, recipe["sweep"], "sweep")
    plan = Planner(
        sweep, recipe, lambda _: 5, lambda train: build_loss(train["loss"], "").temperature is not None, ""
    ).plan()
    rows = {study.name: [tuple(row.labels.values()) for row in study.rows] for study in plan.studies}
    assert rows["temperature_alpha"] == [(t, a) for t in ("1", "2", "5", "10") for a in ("0", "0.5", "0.9", "1")]
    assert {name.split()[0] for (name,) in rows["codec"]} == {*plugin_names("asrkd.targets")}
    assert [count for (count,) in rows["teachers"]] == ["1", "2", "3", "4", "5"]
    assert [row for row in rows["size"] if row[1] in ("256", "32")] == [
        (t, h) for t in ("hard", "soft") for h in ("256", "32")
    ]
    assert {name for (name,) in rows["loss"]} == {*plugin_names("asrkd.losses")} - {"cross_entropy", "triple"}
    assert [name for (name,) in rows["combination"]] == ["arithmetic", "geometric"]
    # Alpha 0 is one net; T = 2, alpha = 1, top 40, distillation, all teachers' arithmetic mean and 256 units are one.
    assert len(plan.trials) == len(sweep.seeds) * (13 + 13 + 3 + 1 + 4 + 9)


def test_a_small_study_is_decoded_and_told_in_the_report(recipe: Recipe, tmp_path: Path) -> None:
    exp, config = tmp_path / "exp", tmp_path / "study.yaml"
    shutil.copytree(recipe.exp, exp, ignore=shutil.ignore_patterns("corpus"))
    config.write_text(yaml.safe_dump({"sweep": STUDY}))
    configs = ["--config", str(recipe.config), "--config", str(config)]
    for command in (
        ["sweep", *configs, "--jobs", "2", "EXP", "EXP/study"],
        ["report", *configs, "EXP", "EXP/with_study"],
    ):
        placed = [part.replace("EXP", str(exp)) for part in command]
        done = subprocess.run(
            ["asrkd", *placed], cwd=ROOT, env=environment(), check=False, text=True, capture_output=True
        )
        assert done.returncode == 0, done.stderr[-2000:]
    results = read_json(exp / "study/sweep.json")
    for trial in results["trials"]:
        assert trial["wer"]["test"] == trial["errors"] / trial["words"]
        words = read_json(exp / f"study/trials/{trial['name']}/test/words/words.json")
        assert trial["acoustic_scale"] == words["decoding"]["acoustic_scale"]
    dense, sparse = results["studies"][0]["rows"]
    assert dense["bytes_per_frame"] > 4 * sparse["bytes_per_frame"]
    assert dense["kl_nats"] < sparse["kl_nats"]
    assert set(sparse["differences"]) == {"frame_accuracy", "wer"}
    report = read_json(exp / "with_study/report.json")
    assert report["sweep"] == results
    assert "study" not in report["seconds"]
    assert 'id="study-codec"' in (exp / "with_study/report.html").read_text()
