"""Recipes in a minute-sized form: a configuration, and how to run one."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

SYNTHESISERS = ("py_nanotts", "hibari", "espeakng_loader")

STUDENT: dict[str, Any] = {
    "model": {"type": "dnn", "hidden_layers": 2, "hidden_units": 48},
    "loss": {"type": "distillation", "temperature": 2.0, "alpha": 0.9},
    "epochs": 2,
    "batch_size": 128,
    "learning_rate": 4e-3,
    "threads": 1,
}

TINY: dict[str, Any] = {
    "corpus": {"minutes": {"train": 2.5, "dev": 0.9, "test": 0.7, "transfer": 2.0}},
    "subset": {"fraction": 0.4},
    "fbank": {"num_mel_bins": 23},
    "mfcc": {"num_mel_bins": 23, "num_ceps": 13},
    "lm": {"order": 2},
    "mono": {"num_passes": 6, "num_gauss": 150, "realign_passes": [1, 2, 4], "settle_passes": 1},
    "triphone": {"num_leaves": 60, "num_passes": 5, "num_gauss": 200, "realign_passes": [2, 4], "settle_passes": 1},
    "teacher": {**STUDENT, "loss": {"type": "cross_entropy"}, "epochs": 3},
    "posteriors": {"codec": {"type": "topk", "k": 10}},
    "student_tune": {**STUDENT, "seed": 100},
    "student": {**STUDENT, "epochs": 3, "seed": 100},
    "student_small": {**STUDENT, "model": {"type": "dnn", "hidden_layers": 2, "hidden_units": 24}, "seed": 100},
    "decode": {"beam": 8.0, "max_active": 300, "min_active": 20, "acoustic_scales": [0.1, 0.2]},
    "report": {"recipe": "tiny"},
}


@dataclass(frozen=True)
class Recipe:
    """A finished run: its experiment folder, its configuration, what it printed."""

    exp: Path
    config: Path
    output: str

    def run_again(self) -> subprocess.CompletedProcess[str]:
        return run_mini(self.exp, self.config)

    @property
    def report(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.exp / "report/report.json").read_text())
        return content


def environment() -> dict[str, str]:
    """This process's, with the scripts of the running interpreter first; one thread, for two cores are enough."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"}


def run_mini(exp: Path, config: Path) -> subprocess.CompletedProcess[str]:
    options = ("--num-teachers", "2", "--jobs", "2", "--growing", "true")
    return run("mini", "--exp", str(exp), "--config", str(config), *options)


def run(name: str, *options: str) -> subprocess.CompletedProcess[str]:
    """recipes/NAME/run.sh to its end; what it printed is in ``stdout``."""
    return subprocess.run(
        ["bash", f"recipes/{name}/run.sh", *options],
        cwd=ROOT,
        env=environment(),
        check=False,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
