"""`asrkd sweep` on a problem that is learnt in a second: what it makes, shares, resumes and reports."""

import multiprocessing
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from asrkd.cli import main
from asrkd.core.files import read_json
from asrkd.core.random import random_share
from asrkd.hmm.alignment import Alignment
from asrkd.scoring.predictions import read_predictions
from asrkd.scoring.recall import recall
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
    """The command line of a sweep; its YAML lies beside the output."""
    config = output.with_suffix(".yaml")
    config.write_text(yaml.safe_dump({"sweep": sweep}, sort_keys=False))
    configs = ["--config", str(experiment / "recipe.yaml"), "--config", str(config)]
    return ["sweep", *configs, *more, str(experiment), str(output)]


def made(output: Path) -> dict[str, bytes]:
    """All files of a sweep but for those that hold times."""
    files = [path for path in output.rglob("*") if path.is_file()]
    timed = ("stage.json", "sweep.json", "sweep.md", "sweep.html")
    kept = [path for path in files if path.name not in timed and path.suffix != ".log"]
    return {str(path.relative_to(output)): path.read_bytes() for path in kept}


def without_times(output: Path) -> Any:
    results = read_json(output / "sweep.json")
    for trial in results["trials"]:
        del trial["seconds"]
    return results


def finished(output: Path) -> int:
    """Stages that stand. Folders may be renamed meanwhile, which os.walk bears."""
    return sum("stage.json" in names for _, _, names in os.walk(output))


@pytest.fixture(scope="module")
def swept(experiment: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All studies, run two trials at a time. Read only."""
    output = tmp_path_factory.mktemp("swept") / "study"
    assert main(arguments(experiment, output, SWEEP, "--jobs", "2")) == 0
    return output


def test_every_trial_is_a_net_with_its_scores_and_what_is_equal_is_made_once(swept: Path) -> None:
    trials = {str(path.parent.relative_to(swept / "trials")) for path in swept.glob("trials/*/*/*/net")}
    # mix: alpha 0 once, alpha 1 at two temperatures; codec: dense (topk is mix's); size: 4; teachers: 1 (2 is size's).
    assert len(trials) == 2 * (3 + 1 + 4 + 1)
    assert len(list((swept / "archives").iterdir())) == 4  # temperature 1 and 2, dense, one teacher
    results = read_json(swept / "sweep.json")
    assert {trial["name"] for trial in results["trials"]} == trials
    for trial in results["trials"]:
        scores = read_json(swept / "trials" / trial["name"] / "test/frames/frames.json")
        assert trial["frame_accuracy"]["test"] == scores["frame_accuracy"]
    assert not [path for path in swept.rglob("*") if path.suffix in (".partial", ".tmp", ".old")]


def test_rows_are_means_over_seeds_with_intervals_and_differences_from_the_reference(swept: Path) -> None:
    results = read_json(swept / "sweep.json")
    accuracy = {trial["name"]: trial["frame_accuracy"]["test"] for trial in results["trials"]}
    study = next(each for each in results["studies"] if each["name"] == "size")
    hard, soft = study["rows"][1], study["rows"][3]
    assert hard["labels"] == {"targets": "hard", "hidden_units": "4"}
    ours, theirs = (
        [accuracy[f"size/targets={kind},hidden_units=4/{seed}"] for seed in (1, 2)] for kind in ("soft", "hard")
    )
    assert soft["rates"]["frame_accuracy"]["estimate"] == pytest.approx(np.mean(ours))
    assert soft["rates"]["frame_accuracy"]["deviation"] == pytest.approx(np.std(ours, ddof=1))
    difference = soft["differences"]["frame_accuracy"]
    assert difference["estimate"] == pytest.approx(np.mean(ours) - np.mean(theirs))
    assert difference["low"] < difference["estimate"] < difference["high"]
    assert hard["differences"] == {}
    assert sum(row["chosen"] for row in study["rows"]) == 1


def test_online_teachers_teach_what_their_archive_does_and_a_teacher_is_measured_itself(
    experiment: Path, tmp_path: Path
) -> None:
    who = {
        "teacher": {"teacher": 2},
        "stored": {"codec": {"type": "dense", "precision": "float32"}},
        "online": {"online": True},
    }
    study = {"grid": {"who": who}, "reference": {"who": "teacher"}, "share": True}
    sweep, output = {**SWEEP, "studies": {"share": study}}, tmp_path / "study"
    teachers = tmp_path / "others"
    shutil.copytree(experiment / "teachers", teachers)
    command = arguments(experiment, output, {**sweep, "teachers": str(teachers)})
    assert main(command) == 0
    assert len(list((output / "archives").iterdir())) == 1
    trials = {trial["name"]: trial for trial in read_json(output / "sweep.json")["trials"]}
    assert len(trials) == 1 + 2 * 2
    assert not (output / "trials/share/who=teacher/1/net").exists()
    measured = trials["share/who=teacher/1"]
    own = read_json(teachers / "2/stage.json")["summary"]
    assert measured["frame_accuracy"]["dev"] == pytest.approx(own["dev_frame_accuracy"])
    for seed in "12":
        stored, online = (trials[f"share/who={name}/{seed}"]["frame_accuracy"]["test"] for name in ("stored", "online"))
        assert online == pytest.approx(stored, abs=0.01)
    teacher, _, online = read_json(output / "sweep.json")["studies"][0]["rows"]
    rates = [row["rates"]["frame_accuracy"]["estimate"] for row in (online, teacher)]
    assert online["share"]["estimate"] == pytest.approx(rates[0] / rates[1])
    assert online["share"]["low"] < online["share"]["estimate"] < online["share"]["high"]
    assert (teacher["is_reference"], teacher["seeds"]) == (True, 2)
    assert teacher["rates"]["frame_accuracy"]["deviation"] is None  # one net has none over seeds
    before = made(output)
    assert main(command) == 0
    assert made(output) == before


def test_dropout_teachers_a_share_of_the_data_and_the_papers_table(experiment: Path, tmp_path: Path) -> None:
    parts = [f"--{kind}={experiment}/{folder}/train" for kind, folder in (("features", "fbank"), ("alignment", "ali"))]
    parts += [f"--dev-features={experiment}/fbank/dev", f"--dev-alignment={experiment}/ali/dev"]
    for seed in "12":
        options = ["--set", "teacher.model.dropout=0.5", "--set", "teacher.max_norm=2", "--seed", seed]
        config = f"--config={experiment}/recipe.yaml"
        assert main(["train", config, *options, *parts, str(tmp_path / "droppers" / seed)]) == 0
    droppers = {"teachers": "droppers", "num_teachers": "own"}
    taught = {
        "few": {"section": "teacher", "train.fraction": 0.25},
        "all": {"section": "teacher"},
        "plain": droppers,
        "passes": {**droppers, "passes": 3},
    }
    paper = {"title": "Their table", "columns": ["System", "Test"], "rows": [["few <data>", 44.5], ["soft", "57.0"]]}
    studies = {
        "taught": {
            "grid": {"by": taught},
            "reference": {"by": "all"},
            "gap_from": {"by": "few"},
            "train_accuracy": True,
            "paper": paper,
            "note": "Few is a quarter.",
        },
        "droppers": {"grid": {"passes": [0, 3]}, "fixed": {"teacher": "own", "teachers": "droppers"}},
        "together": {"grid": {"num_teachers": [1, 2]}, "fixed": {"teacher": "all"}},
    }
    output = tmp_path / "study"
    command = arguments(experiment, output, {**SWEEP, "title": "Few & dropped", "studies": studies})
    assert main(command) == 0
    results = read_json(output / "sweep.json")
    trials = {trial["name"]: trial for trial in results["trials"]}
    for seed in "12":
        seen = read_json(output / f"trials/taught/by=few/{seed}/train/frames/frames.json")["utterances"]
        share = random_share(seen, 0.25)
        assert len(share) == 3
        expected = sum(seen[utt][0] for utt in share) / sum(seen[utt][1] for utt in share)
        assert trials[f"taught/by=few/{seed}"]["frame_accuracy"]["train"] == pytest.approx(expected)
        plain, passes = (trials[f"droppers/passes={n}/{seed}"]["frame_accuracy"]["dev"] for n in (0, 3))
        own = read_json(tmp_path / f"droppers/{seed}/stage.json")["summary"]["dev_frame_accuracy"]
        assert plain == pytest.approx(own)
        assert plain != passes
    scores = read_json(output / "trials/together/num_teachers=2/1/test/frames/frames.json")
    both = trials["together/num_teachers=2/1"]
    assert both["parameters"] == scores["parameters"] == 2 * trials["together/num_teachers=1/1"]["parameters"]
    assert len({trial["soft_targets"]["name"] for trial in results["trials"] if trial["soft_targets"]}) == 4
    few, everything, plain, passes = results["studies"][0]["rows"]
    low, high, ours = (row["rates"]["frame_accuracy"]["estimate"] for row in (few, everything, passes))
    assert passes["recovered"]["estimate"] == pytest.approx((ours - low) / (high - low))
    assert "recovered" not in few | everything
    text, page = ((output / f"sweep.{suffix}").read_text() for suffix in ("md", "html"))
    assert text.startswith("# Few &amp; dropped")
    for told in ("Their table", "Few is a quarter.", "Gap recovered"):
        assert told in text
        assert told in page
    assert "44.5" in text  # in the page a figure is cut at its point
    assert "57.0" in text
    assert "few &lt;data&gt;" in page
    before = made(output)
    assert main(command) == 0
    assert made(output) == before


def test_a_class_left_out_its_recall_and_its_bias(experiment: Path, tmp_path: Path) -> None:
    """The net is trained once and measured as it is and with the bias raised, which brings the class back."""
    output = tmp_path / "study"
    grid = {"transfer set": {"all": {}, "without 2": {"train.omit": [2]}, "raised": {"train.omit": [2], "bias": [2]}}}
    study = {"grid": grid, "reference": {"transfer set": "all"}, "recall": [2]}
    assert main(arguments(experiment, output, {"seeds": [1, 2], "studies": {"omitted": study}}, "--jobs", "2")) == 0
    assert len(list(output.glob("trials/*/*/*/net"))) == 4
    results = read_json(output / "sweep.json")
    rows = {row["labels"]["transfer set"]: row for row in results["studies"][0]["rows"]}
    recalls = {name: row["rates"]["recall"]["estimate"] for name, row in rows.items()}
    assert recalls["without 2"] < recalls["raised"] < 1
    assert rows["raised"]["offset"]["estimate"] > 0
    assert "offset" not in rows["all"]
    assert rows["raised"]["dev"]["estimate"] >= rows["without 2"]["dev"]["estimate"]
    assert rows["raised"]["differences"]["recall"]["estimate"] == pytest.approx(recalls["raised"] - recalls["all"])
    folder = output / "trials/omitted/transfer-set=without-2/1/test/frames"
    labels = Alignment.open(experiment / "ali/test")
    lengths = {utt: count for utt, (_, count) in read_json(folder / "frames.json")["utterances"].items()}
    predicted = read_predictions(folder, lengths, NUM_PDFS)
    of_class = {utt: predicted[utt]["pdf"][labels.pdf_ids(utt) == 2] for utt in lengths}
    found, total = (sum(map(count, of_class.values())) for count in (lambda pdfs: int((pdfs == 2).sum()), len))
    utterances = recall(folder, labels, np.array([False, False, True]))
    assert [sum(column) for column in zip(*utterances.values(), strict=True)] == [found, total]
    assert "Added to biases | Recall, %, test |" in (output / "sweep.md").read_text()


def test_tables_and_page(swept: Path) -> None:
    text, page = ((swept / f"sweep.{suffix}").read_text() for suffix in ("md", "html"))
    for title in ("## mix", "## codec", "## size", "## teachers"):
        assert title in text
    assert page.count("<svg") == 4
    assert "http" not in page.replace("http://www.w3.org", "")


def test_what_stands_is_skipped_and_a_further_seed_adds_its_trials_alone(
    experiment: Path, swept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "study"
    shutil.copytree(swept, output)
    before = {path: path.stat().st_mtime_ns for path in output.rglob("stage.json")}
    assert main(arguments(experiment, output, SWEEP)) == 0
    assert "18 trials, 18 of them stand" in capsys.readouterr().err
    assert without_times(output) == without_times(swept)
    assert main(arguments(experiment, output, {**SWEEP, "seeds": [1, 2, 3]}, "--dry-run")) == 0
    told = capsys.readouterr()
    assert "27 trials, 18 of them stand" in told.err
    assert told.out.count("to do") == 9
    assert before == {path: path.stat().st_mtime_ns for path in output.rglob("stage.json")}


def test_bytes_do_not_depend_on_jobs_nor_on_kills(experiment: Path, swept: Path, tmp_path: Path) -> None:
    """Killed again and again, one at a time, archives freed: the same nets and scores as in one go, two at a time."""
    output = tmp_path / "study"
    command = arguments(experiment, output, {**SWEEP, "keep_archives": False})
    fork, kills = multiprocessing.get_context("fork"), 0
    for _ in range(10):
        before = finished(output)
        running = fork.Process(target=lambda: sys.exit(main(command)))
        running.start()
        while kills < 4 and running.is_alive() and finished(output) < before + 3 + 4 * kills:
            time.sleep(0.002)
        if kills < 4 and running.is_alive():
            running.kill()
            kills += 1
        running.join()
        if running.exitcode == 0:
            break
    assert running.exitcode == 0
    assert kills == 4
    assert without_times(output) == without_times(swept)
    soft = {name: content for name, content in made(swept).items() if name.startswith("archives")}
    assert made(output) == {name: content for name, content in made(swept).items() if name not in soft}
    assert len(list((output / "archives").iterdir())) == 4
    log = "".join(path.read_text() for path in (output / "logs").rglob("*.log"))
    for line in {line for line in log.splitlines() if " done in " in line}:
        assert log.count(line.partition(" done in ")[0] + " done in ") == 1


def test_a_freed_archive_is_made_again_for_a_trial_that_needs_it(experiment: Path, tmp_path: Path) -> None:
    output = tmp_path / "study"
    study = {**SWEEP, "keep_archives": False, "studies": {"one": {"grid": {"alpha": [1]}}}}
    assert main(arguments(experiment, output, {**study, "seeds": [1]})) == 0
    (archive,) = (output / "archives").iterdir()
    assert [path.name for path in archive.iterdir()] == ["stage.json"]
    net = output / "trials/one/alpha=1/1/net/stage.json"
    before = net.read_bytes()
    assert main(arguments(experiment, output, {**study, "seeds": [1, 2]})) == 0
    assert net.read_bytes() == before
    assert (output / "trials/one/alpha=1/2/net").is_dir()
    assert [path.name for path in archive.iterdir()] == ["stage.json"]


def test_a_failing_trial_is_told_and_the_others_go_on(
    experiment: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "study"
    grid = {"train.learning_rate": [0.01, 1e30]}
    sweep = {**SWEEP, "studies": {"rate": {"grid": grid, "reference": {"train.learning_rate": 0.01}}}}
    assert main(arguments(experiment, output, sweep)) == 1
    told = capsys.readouterr().err.splitlines()
    assert told[-1].startswith(
        "asrkd sweep: error: 2 of 4 trials failed, rate/train.learning_rate=1e+30/1 first: training"
    )
    results = read_json(output / "sweep.json")
    assert len(results["trials"]) == 2
    assert all("diverged" in error for error in results["failed"].values())
    good, bad = results["studies"][0]["rows"]
    assert (good["seeds"], bad["seeds"], bad["rates"], bad["chosen"]) == (2, 0, {}, False)
    assert "1e+30 has 0 of 2 seeds" in (output / "sweep.md").read_text()
    assert not (output / "trials/rate/train.learning_rate=1e+30/1/net").exists()


def test_a_study_alone_trains_nothing_that_stands_and_leaves_the_others_in_the_results(
    experiment: Path, swept: Path, tmp_path: Path
) -> None:
    output = tmp_path / "study"
    shutil.copytree(swept, output)
    before = {path: path.stat().st_mtime_ns for path in output.glob("trials/**/stage.json")}
    assert main(arguments(experiment, output, SWEEP, "--only", "codec")) == 0
    assert {path: path.stat().st_mtime_ns for path in output.glob("trials/**/stage.json")} == before
    assert without_times(output) == without_times(swept)


def test_a_study_alone_needs_no_teachers_of_others(experiment: Path, tmp_path: Path) -> None:
    """A recipe may run one study to train those that the next one takes."""
    studies = {"first": STUDIES["codec"], "next": {"grid": {"alpha": [1]}, "fixed": {"teachers": "not_yet"}}}
    command = arguments(experiment, tmp_path / "study", {**SWEEP, "studies": studies})
    assert main([*command, "--dry-run"]) == 1
    assert main([*command, "--only", "first"]) == 0
    assert [study["name"] for study in read_json(tmp_path / "study/sweep.json")["studies"]] == ["first"]


def test_studies_may_be_run_alone(experiment: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "study"
    command = arguments(experiment, output, SWEEP, "--dry-run")
    assert main([*command, "--only", "size", "--only", "mix"]) == 0
    told = {line.split("/")[0].split()[-1] for line in capsys.readouterr().out.splitlines()}
    assert told == {"mix", "size"}
    assert main([*command, "--only", "sizes"]) == 1
    assert "--only sizes: no such study; did you mean 'size'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"studies": {"a": {"grid": {"alpah": [1]}}}},
            "studies.a: grid: unknown setting 'alpah'; did you mean 'alpha'?",
        ),
        ({"studies": {"a": {"grid": {"train.epoch": [1]}}}}, "unknown key 'epoch'; did you mean 'epochs'?"),
        ({"studies": {"a": {"grid": {"codec": [{"type": "topc"}]}}}}, "'topc'; did you mean 'topk'?"),
        (
            {"studies": {"a": {"grid": {"posteriors.temperature": [3]}}}},
            "soft targets at temperature 3 for a loss at 2",
        ),
        ({"studies": {"a": {"grid": {"alpha": [2]}}}}, "alpha: input should be a number from 0 to 1"),
        (
            {"studies": {"a": {"grid": {"train.loss": [{"type": "triple"}]}}}},
            "loss: hidden states are one net's, and in no archive: give one --teacher MODEL (in a study online: true",
        ),
        (
            {"studies": {"a": {"grid": {"train.initialise": ["every_second"]}, "fixed": {"online": True}}}},
            "initialise: every_second takes layers of one teacher",
        ),
        ({"sections": "student"}, "unknown key 'sections'; did you mean 'section'?"),
        ({"unlabelled": ["transfre"]}, "fbank/transfre is missing: has the recipe been run"),
        ({"studies": {"a": {"grid": {"alpha": [1]}, "words": True}}}, "graph is missing"),
        ({"studies": {"a": {"grid": {"teachers": ["others"]}}}}, "others holds no teacher"),
        ({"studies": {"a": {"grid": {"passes": [2]}, "fixed": {"teacher": 1}, "words": True}}}, "take words: false"),
    ],
)
def test_a_slip_is_one_line_before_any_work(
    experiment: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, Any], told: str
) -> None:
    assert main(arguments(experiment, tmp_path / "study", {**SWEEP, **change})) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("asrkd sweep: error: ")
    assert told in error
    assert not (tmp_path / "study").exists()


def test_without_teachers_there_is_nothing_to_distil(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "recipe.yaml").write_text("")
    assert main(arguments(tmp_path, tmp_path / "study", SWEEP)) == 1
    assert "holds no teacher" in capsys.readouterr().err
