"""recipes/kaldi on what the mini recipe gives to Kaldi's tools: the same nets and words come out of it."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from asrkd.cli import main
from tests.recipes.tiny import TINY, Recipe, run

SECTIONS = ("teacher", "posteriors", "student_tune", "student", "student_small", "decode", "report")


@pytest.fixture(scope="module")
def s5(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data dirs, alignments and a graph as Kaldi's scripts leave them. Not to be written to."""
    s5, exp = tmp_path_factory.mktemp("s5"), recipe.exp
    for name in ("train", "dev", "test", "transfer"):
        features, data = str(exp / "fbank" / name), str(exp / "data" / name)
        assert main(["export-data", "--features", features, data, str(s5 / "data" / name)]) == 0
    for name, jobs in (("train", 3), ("dev", 1), ("test", 2)):
        folder = str(s5 / "exp" / f"tri_ali_{name}")
        command = ["export-alignment", f"--num-jobs={jobs}", str(exp / "ali" / name), str(exp / "tri"), folder]
        assert main(command) == 0
    graph = s5 / "exp" / "tri_ali_train" / "graph"
    graph.mkdir()
    for folder, name in (("graph", "HCLG.fst"), ("graph", "words.txt"), ("lang", "phones.txt")):
        shutil.copyfile(exp / folder / name, graph / name)
    return s5


def command(s5: Path, exp: Path, config: Path) -> list[str]:
    sets = [word for name in ("train", "dev", "test", "transfer") for word in (f"--{name}", f"data/{name}")]
    alignments = ["--dev-ali", "exp/tri_ali_dev", "--test-ali", "exp/tri_ali_test"]
    options = ["--config", str(config), "--exp", str(exp), "--num-teachers", "2", "--jobs", "2"]
    return ["--kaldi-root", str(s5), "--kaldi-exp", "exp/tri_ali_train", *sets, *alignments, *options]


def test_the_same_comes_out_as_of_the_original(recipe: Recipe, s5: Path, tmp_path: Path) -> None:
    exp, config, before = tmp_path / "exp", tmp_path / "tiny.yaml", recipe.report
    sections = {name: TINY[name] for name in SECTIONS}
    config.write_text(yaml.safe_dump({**sections, "recipe": {"temperatures": [before["temperature"]], "alphas": []}}))
    done = run("kaldi", *command(s5, exp, config))
    assert done.returncode == 0, done.stdout[-3000:]
    assert "Traceback" not in done.stdout
    report = json.loads((exp / "report/report.json").read_text())
    assert [system["name"] for system in report["systems"]] == ["baseline", "ensemble", "distilled", "distilled_small"]
    assert report["num_pdfs"] == before["num_pdfs"]
    shared = {name: report["data"][name] for name in ("train", "dev", "test", "transfer")}
    assert shared == {name: before["data"][name] for name in shared}
    for part in ("dev", "test"):
        for system in ("teacher.1", "teacher.2", "ensemble"):
            place = f"eval/{system}/{part}/decode/hyp.txt"
            assert (exp / place).read_bytes() == (recipe.exp / place).read_bytes()
    targets = sorted(path.name for path in (recipe.exp / "soft_targets").glob("targets.*.npy"))
    assert targets
    for name in targets:
        assert (exp / "soft_targets" / name).read_bytes() == (recipe.exp / "soft_targets" / name).read_bytes()
    again = run("kaldi", *command(s5, exp, config))
    assert again.returncode == 0
    assert ": making " not in again.stdout


def test_filterbanks_are_made_where_kaldi_has_none(s5: Path, recipe: Recipe, tmp_path: Path) -> None:
    """Kaldi's alignments have the frames of the same front end, so that lengths agree."""
    for name in ("train", "dev", "test"):
        (tmp_path / name).mkdir()
        for file in ("wav.scp", "text", "utt2spk"):
            shutil.copyfile(recipe.exp / "data" / name / file, tmp_path / name / file)
    config = tmp_path / "tiny.yaml"
    config.write_text(yaml.safe_dump({"fbank": TINY["fbank"]}))
    sets = [word for name in ("train", "dev", "test") for word in (f"--{name}", str(tmp_path / name))]
    options = [*command(s5, tmp_path / "exp", config), *sets, "--transfer", "", "--stop-stage", "2"]
    done = run("kaldi", *options)
    assert done.returncode == 0, done.stdout[-3000:]
    for name in ("train", "dev", "test"):
        one, other = tmp_path / "exp/features" / name, recipe.exp / "fbank" / name
        assert (one / "utt2num_frames").read_bytes() == (other / "utt2num_frames").read_bytes()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), "--kaldi-exp is needed"),
        (("--kaldi-exp", "exp/tri", "--train", "data/train", "--dev", "data/dev"), "--test is needed"),
        (("--augment", "speed"), "Kaldi's features and alignments are of the speech as it was"),
        (("--allow-pipes", "yes"), "--allow-pipes 'yes' is neither true nor false"),
        (("--kaldi-root", "nowhere"), "--kaldi-root 'nowhere' does not exist"),
        (("--train", "data/nowhere"), "data/nowhere does not exist: are paths from where Kaldi's scripts ran"),
        (("--dev-ali", "exp/tri_ali_train"), "utterances of .* have no alignment in exp/tri_ali_train"),
    ],
)
def test_mistakes_in_the_options(s5: Path, tmp_path: Path, options: tuple[str, ...], expected: str) -> None:
    config = Path("recipes/kaldi/recipe.yaml").absolute()
    given = [] if "needed" in expected else command(s5, tmp_path / "exp", config)
    done: subprocess.CompletedProcess[str] = run("kaldi", *given, *options, "--stop-stage", "1")
    assert done.returncode == 1
    assert re.search(expected, done.stdout.splitlines()[-1])
