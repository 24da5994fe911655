"""recipes/mini in a minute-sized form: from synthesis to the report, run twice, and verbs killed and run again."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jiwer
import pytest

from asrkd.lang.phone_classes import CLASSES
from tests.recipes.tiny import ROOT, Recipe, environment, run_mini

# ----------------------------------------------------------------------------------------------------- the report

SYSTEMS = ["gmm", "baseline", "ensemble", "distilled", "distilled_small"]

STAGES = {"corpus", "data", "fbank", "mfcc", "lang", "mono", "tri", "ali", "graph", "teachers", "tune"}
STAGES |= {"soft_targets", "student", "student_small", "weights", "eval"}


def is_fraction(value: Any) -> bool:
    return isinstance(value, float) and 0 <= value <= 1


def test_every_stage_is_made_and_nothing_is_left_half_done(recipe: Recipe) -> None:
    assert not [path for path in recipe.exp.rglob("*") if path.suffix in (".partial", ".tmp", ".old")]
    assert "Traceback" not in recipe.output
    assert "Warning" not in recipe.output


def test_report_describes_the_experiment(recipe: Recipe) -> None:
    report = recipe.report
    assert report["recipe"] == "tiny"
    assert isinstance(report["num_pdfs"], int)
    assert 30 <= report["num_pdfs"] <= 60
    assert report["num_teachers"] == 2
    assert report["temperature"] in (1, 2, 4)
    assert set(report["seconds"]) >= STAGES
    assert all(isinstance(seconds, (int, float)) and seconds >= 0 for seconds in report["seconds"].values())
    soft_targets = report["soft_targets"]
    assert soft_targets["bytes_per_frame"] < soft_targets["dense_bytes_per_frame"] == 4 * report["num_pdfs"]
    assert 0 <= soft_targets["kl_nats"] < 2
    assert soft_targets["frames_per_second"] > 0


def test_report_has_every_system(recipe: Recipe) -> None:
    systems = recipe.report["systems"]
    assert [system["name"] for system in systems] == SYSTEMS
    for system in systems:
        assert isinstance(system["parameters"], int)
        assert system["parameters"] > 0
        assert all(is_fraction(system["frame_accuracy"][where]) for where in ("dev", "test")), system["name"]
        assert all(isinstance(system["wer"][where], float) and system["wer"][where] >= 0 for where in ("dev", "test"))
        assert system["wer"]["test"] == pytest.approx(system["errors"] / system["words"])
        assert system["wer"]["low"] <= system["wer"]["test"] <= system["wer"]["high"]
    sizes = {system["name"]: system["parameters"] for system in systems}
    assert sizes["distilled_small"] < sizes["baseline"] == sizes["distilled"]
    assert sizes["ensemble"] == 2 * sizes["baseline"]


def test_baseline_is_the_mean_over_its_seeds(recipe: Recipe) -> None:
    baseline = next(system for system in recipe.report["systems"] if system["name"] == "baseline")
    assert [row["seed"] for row in baseline["per_seed"]] == [1, 2]
    for metric in ("frame_accuracy", "wer"):
        for where in ("dev", "test"):
            mean = sum(row[metric][where] for row in baseline["per_seed"]) / 2
            assert baseline[metric][where] == pytest.approx(mean)


def test_report_compares_with_intervals(recipe: Recipe) -> None:
    ratio = recipe.report["transfer_ratio"]
    assert {"value", "low", "high"} <= set(ratio)
    assert all(value is None or isinstance(value, (float, bool)) for value in ratio.values())
    comparisons = recipe.report["comparisons"]
    assert {(row["a"], row["b"]) for row in comparisons} >= {("ensemble", "baseline"), ("distilled", "baseline")}
    systems = {system["name"]: system for system in recipe.report["systems"]}
    for row in comparisons:
        assert row["low"] <= row["difference"] <= row["high"]
        assert row["p"] <= row["p_holm"] <= 1
        assert is_fraction(row["p"])
        expected = systems[row["a"]][row["metric"]]["test"] - systems[row["b"]][row["metric"]]["test"]
        assert row["difference"] == pytest.approx(expected)


def test_report_has_the_growing_ensemble_and_other_combinations(recipe: Recipe) -> None:
    systems = {system["name"]: system for system in recipe.report["systems"]}
    growing, combinations = recipe.report["growing"], recipe.report["combinations"]
    assert [row["teachers"] for row in growing] == [1, 2]
    assert growing[0]["wer"]["test"] == systems["baseline"]["per_seed"][0]["wer"]["test"]
    for metric in ("frame_accuracy", "wer"):
        assert growing[1][metric] == pytest.approx(systems["ensemble"][metric])
    assert [row["combination"] for row in combinations] == ["arithmetic", "arithmetic", "geometric", "geometric"]
    assert combinations[0]["cross_entropy"] == systems["ensemble"]["cross_entropy"]
    for equal, learnt in ((0, 1), (2, 3)):
        assert "weights" not in combinations[equal]
        assert sum(combinations[learnt]["weights"]) == pytest.approx(1)
        nats = [combinations[row]["cross_entropy"]["dev"] for row in (equal, learnt)]
        assert nats[1] <= nats[0] + 1e-6


def test_nets_learn(recipe: Recipe) -> None:
    """All systems know more of a frame than which pdf is the most frequent."""
    counts = [int(field) for field in (recipe.exp / "ali/test/pdf_counts").read_text().split()[1:-1]]
    for system in recipe.report["systems"]:
        assert system["frame_accuracy"]["test"] > max(counts) / sum(counts), system["name"]


@pytest.mark.parametrize("system", ["gmm", "teacher.1", "ensemble", "distilled", "distilled_small"])
@pytest.mark.parametrize("part", ["dev", "test"])
def test_wer_is_what_jiwer_says_of_the_hypotheses(recipe: Recipe, system: str, part: str) -> None:
    references = table(recipe.exp / f"data/{part}/text")
    hypotheses = table(recipe.exp / f"eval/{system}/{part}/decode/hyp.txt")
    assert hypotheses.keys() == references.keys()
    wer = jiwer.wer(list(references.values()), [hypotheses[utt] for utt in references])
    scores = {entry["name"]: entry["wer"] for entry in recipe.report["systems"]}
    baseline = next(entry for entry in recipe.report["systems"] if entry["name"] == "baseline")
    scores["teacher.1"] = baseline["per_seed"][0]["wer"]
    assert scores[system][part] == pytest.approx(wer, abs=1e-12)


def table(path: Path) -> dict[str, str]:
    lines = (line.partition(" ") for line in path.read_text().splitlines())
    return {key: words for key, _, words in lines}


class References(HTMLParser):
    """What a page would fetch: every src, and the href of all but plain links."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = ("src", "srcset", "poster", "data", "action") if tag == "a" else ("src", "srcset", "data", "href")
        self.found += [value or "" for name, value in attrs if name.rpartition(":")[2] in names]


def test_report_page_stands_alone(recipe: Recipe) -> None:
    page = (recipe.exp / "report/report.html").read_text()
    parser = References()
    parser.feed(page)
    assert [reference for reference in parser.found if not reference.startswith(("data:", "#"))] == []
    assert [
        target for target in re.findall(r"url\(\s*[\"']?([^)]+)", page) if not target.startswith(("data:", "#"))
    ] == []
    assert "@import" not in page
    assert str(recipe.exp) not in page
    assert (recipe.exp / "report/report.md").read_text() in recipe.output


def test_comparison_has_the_figures_of_the_report(recipe: Recipe) -> None:
    compared = json.loads((recipe.exp / "compare/compare.json").read_text())
    assert compared["roles"] == {
        "baseline": ["teacher.1", "teacher.2"],
        "teacher": "ensemble",
        "students": ["distilled", "distilled_small"],
    }
    rates = {system["name"]: system["rates"] for system in compared["systems"]}
    for system in recipe.report["systems"]:
        for measure in ("frame_accuracy", "wer"):
            ours, theirs = rates[system["name"]][measure], system[measure]
            assert [ours[key] for key in ("value", "low", "high")] == pytest.approx(
                [theirs[key] for key in ("test", "low", "high")]
            )
    assert 0 < rates["distilled"]["speech_accuracy"]["value"] < 1
    assert set(compared["frames"]["classes"]) == {*CLASSES}
    assert (recipe.exp / "compare/compare.html").is_file()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("teacher: {epoch: 3}\n", "teacher: unknown key 'epoch'; did you mean 'epochs'?"),
        ("techer: {epochs: 3}\n", "unknown section 'techer'; did you mean 'teacher'?"),
        ("student: {loss: {type: distilation}}\n", "did you mean 'distillation'?"),
    ],
)
def test_a_slip_in_the_recipe_shows_before_any_work(tmp_path: Path, text: str, expected: str) -> None:
    config = tmp_path / "recipe.yaml"
    config.write_text(text)
    done = run_mini(tmp_path / "exp", config)
    assert done.returncode == 1
    assert done.stdout.startswith(f"asrkd check: error: {config}: ")
    assert done.stdout.endswith(f"{expected}\n")
    assert done.stdout.count("\n") == 1
    assert not (tmp_path / "exp").exists()


# ----------------------------------------------------------------------------------------------- twice, and killed


def modification_times(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}


def test_second_run_makes_nothing(recipe: Recipe) -> None:
    before = modification_times(recipe.exp)
    again = recipe.run_again()
    assert again.returncode == 0, again.stdout[-3000:]
    assert ": making " not in again.stdout
    assert again.stdout.count("stands, skipped") == recipe.output.count(": making ")
    assert modification_times(recipe.exp) == before


@dataclass(frozen=True)
class Killed:
    """A verb's arguments before its output; what it made in the recipe; what it commits first, while it works."""

    arguments: str
    output: str
    commits: str
    kept: bool = False
    """Whether the committed file is part of the output, and so must not be made again."""


TRAIN = (
    "train --section teacher --seed 1 --features exp/fbank/train --alignment exp/ali/train "
    "--dev-features exp/fbank/dev --dev-alignment exp/ali/dev"
)
VERBS = {
    "corpus": Killed("corpus --jobs 2 data/mini", "corpus", "*/*/101", kept=True),
    "fbank": Killed("fbank --jobs 1 exp/data/train", "fbank/train", "feats.1.ark", kept=True),
    "triphone": Killed(
        "triphone --jobs 1 exp/mfcc/train exp/data/train exp/lang exp/mono", "tri", "scratch/passes/02.mdl"
    ),
    "train": Killed(TRAIN, "teachers/1", "scratch/checkpoint.pt"),
    "posteriors": Killed(
        "posteriors --config exp/chosen/chosen.yaml --features exp/fbank/train --features exp/fbank/transfer "
        "exp/teachers/1 exp/teachers/2",
        "soft_targets",
        "targets.1.npy",
        kept=True,
    ),
    "decode": Killed(
        "decode --jobs 1 --tune exp/data/dev exp/graph exp/fbank/dev exp/student",
        "eval/distilled/dev/decode",
        "scratch/parts/1.json",
    ),
}


def start(recipe: Recipe, verb: Killed, output: Path) -> subprocess.Popen[str]:
    arguments = [re.sub(r"^exp(?=/)", str(recipe.exp), word) for word in verb.arguments.split()]
    return subprocess.Popen(
        ["asrkd", arguments[0], "--config", str(recipe.config), *arguments[1:], str(output)],
        cwd=ROOT,
        env=environment(),
        text=True,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def kill_once_committed(process: subprocess.Popen[str], partial: Path, pattern: str) -> bool:
    """SIGKILL the process and its workers when ``pattern`` is in its folder; False when it ended before."""
    while process.poll() is None:
        if any(partial.glob(pattern)):
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return process.returncode == -signal.SIGKILL
        time.sleep(0.002)
    return False


TIMES = ("seconds", "rtf", "log_likelihood_seconds")


def contents(folder: Path) -> dict[str, bytes]:
    """Every file's bytes by its path, without what says how long the work took."""
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    del files["stage.json"]
    for name in {"decode.json", "scales.json"} & files.keys():
        files[name] = json.dumps(without_times(json.loads(files[name]))).encode()
    return files


def without_times(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: without_times(child) for key, child in value.items() if key not in TIMES}
    return [without_times(child) for child in value] if isinstance(value, list) else value


def committed(folder: Path, pattern: str) -> Iterator[tuple[str, int]]:
    for path in sorted(folder.glob(pattern)):
        yield str(path.relative_to(folder)), path.stat().st_mtime_ns


@pytest.mark.parametrize("name", VERBS)
def test_a_killed_verb_goes_on_to_the_same_bytes(recipe: Recipe, tmp_path: Path, name: str) -> None:
    verb, output, partial = VERBS[name], tmp_path / "output", tmp_path / "output.partial"
    first = start(recipe, verb, output)
    caught = kill_once_committed(first, partial, verb.commits)
    first.communicate()
    assert output.exists() is not caught
    before = dict(committed(partial, verb.commits))
    second = start(recipe, verb, output)
    printed, _ = second.communicate()
    assert second.returncode == 0, printed
    assert not partial.exists()
    assert contents(output) == contents(recipe.exp / verb.output)
    keys = [json.loads((folder / "stage.json").read_text())["key"] for folder in (output, recipe.exp / verb.output)]
    assert keys[0] == keys[1]
    if caught and verb.kept:
        assert before.items() <= dict(committed(output, verb.commits)).items()
