"""recipes with --augment: nets are trained on copies, tied states as before; over the mini recipe's finished run."""

import json
import shutil
from pathlib import Path

import numpy as np

from asrkd.features.store import FeatureDir
from asrkd.hmm.alignment import Alignment
from tests.recipes.tiny import Recipe, run


def test_nets_are_trained_on_copies_and_tied_states_stay(recipe: Recipe, tmp_path: Path) -> None:
    exp = tmp_path / "exp"
    shutil.copytree(recipe.exp, exp)
    options = ["--exp", str(exp), "--config", str(recipe.config), "--num-teachers", "2", "--jobs", "2"]
    done = run("mini", *options, "--augment", "noise vtlp", "--stop-stage", "6")
    assert done.returncode == 0, done.stdout[-3000:]
    made = [line.partition(f": making {exp}/")[2] for line in done.stdout.splitlines() if ": making " in line]
    assert sorted(made) == ["ali/train_aug", "data/train_aug", "fbank/train_aug", "teachers/1", "teachers/2"]

    features, originals = FeatureDir.open(exp / "fbank/train_aug"), Alignment.open(exp / "ali/train")
    copies = Alignment.open(exp / "ali/train_aug")
    assert {utt: features.num_frames[utt] for utt in copies.utt_ids} == copies.num_frames
    trained = json.loads((exp / "teachers/1/stage.json").read_text())["summary"]["labelled_frames"]
    assert trained == sum(copies.num_frames.values()) == 3 * sum(originals.num_frames.values())
    utt = originals.utt_ids[0]
    for copy in (f"noise1-{utt}", f"vtlp1-{utt}"):
        np.testing.assert_array_equal(copies.pdf_ids(copy), originals.pdf_ids(utt))
        assert not np.array_equal(features.load(copy), features.load(utt))


def test_kinds_that_are_unknown(tmp_path: Path) -> None:
    done = run("mini", "--exp", str(tmp_path / "exp"), "--augment", "noise pitch")
    assert done.returncode == 1
    assert done.stdout == "run.sh mini: error: --augment 'pitch' is none of speed, noise, room, vtlp\n"
