"""`asrkd sweep` on a problem that is learnt in a second: what it makes, shares, resumes and reports."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from asrkd.cli import main
from tests.training.conftest import CENTRES, DIM, NUM_PDFS, write_alignment

NET: dict[str, Any] = {
    "model": {"hidden_layers": 1, "hidden_units": 8},
    "window": {"left": 0, "right": 0},
    "epochs": 2,
    "batch_size": 64,
    "learning_rate": 0.01,
    "device": "cpu",
}
RECIPE: dict[str, Any] = {
    "teacher": {**NET, "loss": {"type": "cross_entropy"}},
    "student": {**NET, "loss": {"type": "distillation", "temperature": 2.0, "alpha": 0.9}},
    "posteriors": {"temperature": 2.0, "codec": {"type": "topk", "k": 2}, "device": "cpu"},
}
STUDIES: dict[str, Any] = {
    "mix": {"grid": {"temperature": [1, 2], "alpha": [0, 1]}, "reference": {"temperature": 2, "alpha": 0}},
    "codec": {
        "grid": {"codec": [{"type": "dense"}, {"type": "topk", "k": 2}]},
        "fixed": {"alpha": 1},
        "reference": {"codec": "dense"},
        "against": "bytes_per_frame",
    },
    "size": {
        "grid": {"targets": {"hard": {"section": "teacher"}, "soft": {}}, "hidden_units": [8, 4]},
        "reference": {"targets": "hard"},
        "against": "parameters",
    },
    "teachers": {"grid": {"num_teachers": [1, 2]}},
}
SWEEP: dict[str, Any] = {"seeds": [1, 2], "unlabelled": ["transfer"], "studies": STUDIES}


@pytest.fixture(scope="session")
def experiment(tmp_path_factory: pytest.TempPathFactory, make_features: Callable[..., Path]) -> Path:
    """Features of four sets, alignments of three, two teachers. Read only."""
    root = tmp_path_factory.mktemp("experiment")
    rng = np.random.default_rng(0)
    for name, count in (("train", 12), ("dev", 5), ("test", 8), ("transfer", 6)):
        labels = {f"{name}-{n:02d}": rng.integers(NUM_PDFS, size=20 + n) for n in range(count)}
        frames = {utt: CENTRES[pdfs] + 1.5 * rng.normal(size=(len(pdfs), DIM)) for utt, pdfs in labels.items()}
        make_features(root / "fbank" / name, frames)
        if name != "transfer":
            write_alignment(root / "ali" / name, labels)
    (root / "recipe.yaml").write_text(yaml.safe_dump(RECIPE))
    parts = [f"--{kind}={root}/{folder}" for kind, folder in (("features", "fbank/train"), ("alignment", "ali/train"))]
    parts += [f"--dev-features={root}/fbank/dev", f"--dev-alignment={root}/ali/dev"]
    for seed in ("1", "2"):
        command = ["train", f"--config={root}/recipe.yaml", "--seed", seed, *parts, str(root / "teachers" / seed)]
        assert main(command) == 0
    return root


def arguments(experiment: Path, output: Path, sweep: dict[str, Any], *more: str) -> list[str]:
    config = output.with_suffix(".yaml")
    config.write_text(yaml.safe_dump({"sweep": sweep}))
    configs = ["--config", str(experiment / "recipe.yaml"), "--config", str(config)]
    return ["sweep", *configs, *more, str(experiment), str(output)]


def made(output: Path) -> dict[str, bytes]:
    """All that a sweep makes but for what holds times."""
    files = [path for path in output.rglob("*") if path.is_file() and path.suffix not in (".log",)]
    return {
        str(path.relative_to(output)): path.read_bytes()
        for path in files
        if path.name not in ("stage.json", "sweep.json")
    }


@pytest.fixture(scope="module")
def swept(experiment: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("swept") / "study"
    assert main(arguments(experiment, output, SWEEP, "--jobs", "2")) == 0
    return output


def test_it(swept: Path) -> None:
    print((swept / "sweep.md").read_text())
