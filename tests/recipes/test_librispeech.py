"""recipes/librispeech on a tiny tree in LibriSpeech's layout: every option's way through, and mistakes in them."""

import json
from pathlib import Path

import pytest
import yaml

from tests.recipes.tiny import ROOT, TINY, Recipe, run

CONFIG = {
    **{name: section for name, section in TINY.items() if name != "corpus"},
    "recipe": {"num_teachers": 2, "temperatures": [2], "alphas": []},
    "lang": {"vocabulary": "lexicon", "oov": "unk"},
    "lm": {"order": 2, "prune": 1e-6},
    "lm_rescore": {"order": 3},
    "align": {"retry_beam": 200.0},
    "mono": {**TINY["mono"], "align_all": False},
    "triphone1": {**TINY["triphone"], "num_leaves": "auto", "num_gauss": 150, "max_utterances": 20, "align_all": False},
    "triphone": {**TINY["triphone"], "lda": {"dim": 20, "mllt_passes": [2, 3]}},
}


def test_a_tree_with_heldout_sentences_halved_speakers_and_a_transfer_set(recipe: Recipe, tmp_path: Path) -> None:
    tree, exp, config = recipe.exp / "corpus", tmp_path / "exp", tmp_path / "tiny.yaml"
    config.write_text(yaml.safe_dump(CONFIG))
    # One word of the training transcripts is taken out of the lexicon.
    words = (recipe.exp / "data/train/text").read_text().split("\n", 1)[0].split()[1:]
    taken = max(words, key=len)
    lexicon = tmp_path / "lexicon.txt"
    lines = (ROOT / "data/mini/lexicon.txt").read_text().splitlines(keepends=True)
    lexicon.write_text("".join(line for line in lines if line.split()[0] != taken))
    command = ["--corpus", str(tree), "--train-parts", "train", "--dev-parts", "dev", "--test-parts", "dev"]
    command += ["--transfer-parts", "transfer", "--heldout", "0.1", "--lexicon", str(lexicon), "--device", "cpu"]
    command += ["--lm-text", str(tree / "lm_text.txt"), "--config", str(config), "--exp", str(exp), "--jobs", "2"]
    command += ["--realign", "true", "--augment", "vtlp", "--rescore", str(tree / "lm_text.txt")]
    done = run("librispeech", *command)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "Traceback" not in done.stdout
    made = [line.partition(f": making {exp}/")[2] for line in done.stdout.splitlines() if ": making " in line]
    order = ["mono", "tri1", "tri", "ali/train_aug", "first_net", "ali_net/train", "ali_net/train_aug", "teachers/1"]
    assert [name for name in made if name in order] == order
    stage = json.loads((exp / "teachers/1/stage.json").read_text())
    assert str(exp / "ali_net/train_aug") in json.dumps(stage["inputs"])
    assert (exp / "tri/final.mat").exists()
    decode = json.loads((exp / "eval/distilled/heldout/decode/stage.json").read_text())
    assert {str(exp / "lm"), str(exp / "lm_rescore")} < decode["inputs"].keys()
    assert (exp / "g2p/lexicon_g2p.txt").read_text().split()[0] == taken
    parts = {name: speakers(exp / "data" / name) for name in ("dev", "test")}
    assert parts["dev"].isdisjoint(parts["test"])
    assert parts["dev"] | parts["test"] == speakers(exp / "dev_all")
    assert sentences(exp / "data/train").isdisjoint(sentences(exp / "data/heldout"))
    assert not (exp / "data/transfer/text").exists()
    for part in ("heldout", "test"):
        report = json.loads((exp / "report" / part / "report.json").read_text())
        assert report["test_part"] == part
        names = [system["name"] for system in report["systems"]]
        assert names == ["gmm", "baseline", "ensemble", "distilled", "distilled_labelled", "distilled_small"]
        words_of_part = sum(len(line.split()) - 1 for line in (exp / "data" / part / "text").read_text().splitlines())
        assert {system["words"] for system in report["systems"]} == {words_of_part}
        assert {(row["a"], row["b"]) for row in report["comparisons"]} >= {("distilled", "distilled_labelled")}
    again = run("librispeech", *command)
    assert again.returncode == 0
    assert ": making " not in again.stdout


def speakers(data: Path) -> set[str]:
    return {line.split()[1] for line in (data / "utt2spk").read_text().splitlines()}


def sentences(data: Path) -> set[str]:
    return {line.partition(" ")[2] for line in (data / "text").read_text().splitlines()}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for part in ("train-clean-5", "dev-clean-2", "odd"):
        (tmp_path / "tree" / part).mkdir(parents=True)
    return tmp_path / "tree"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            "--train-parts train-clean-6 --dev-parts odd --test-parts odd",
            "has no part 'train-clean-6'; it has: dev-clean-2/",
        ),
        ("--train-parts odd --dev-parts odd --test-parts odd", "'odd' is to train and for something else too"),
        ("--train-parts odd --dev-parts dev-clean-2 --test-parts odd,dev-clean-2", "'odd' is to train and for"),
        ("--train-parts train-clean-5 --dev-parts dev-clean-2 --test-parts dev-clean-2,odd", "both tunes and tests"),
        ("--parts dev-clean-2", "none that begins with train-"),
        ("--parts train-clean-5", "none that begins with dev-"),
        ("--parts train-clean-5,dev-clean-2 --dev-parts odd", "--parts says it all"),
        ("--parts train-clean-5,dev-clean-2 --transfer-parts ../secret", "'../secret' is no part's name"),
        ("--parts train-clean-5,dev-clean-2 --transfer-parts dev-clean-2", "and a transfer set too"),
        ("--parts train-clean-5,dev-clean-2 --heldout 5", "--heldout '5' is no share, such as 0.05"),
        ("--parts train-clean-5,dev-clean-2 --lm a --lm-text b", "--lm or --lm-text, not both"),
        ("--parts train-clean-5,dev-clean-2 --rescore no/file", "--rescore 'no/file' does not exist"),
        ("--parts train-clean-5,dev-clean-2 --device gpu", "--device 'gpu' is none of auto, cpu, cuda, cuda:N"),
        ("--parts train-clean-5,dev-clean-2 --device cuda:99", "device 'cuda:99' was asked for, but torch sees"),
        ("--part train-clean-5", "unknown option '--part'"),
    ],
)
def test_a_slip_in_the_options_is_one_line(tree: Path, tmp_path: Path, options: str, expected: str) -> None:
    exp = tmp_path / "exp"
    done = run("librispeech", "--corpus", str(tree), "--exp", str(exp), *options.split())
    assert done.returncode == 1
    assert expected in done.stdout
    assert done.stdout.count("\n") == 1
    assert not exp.exists()


def test_parts_of_another_layout_are_refused_by_name(tree: Path, tmp_path: Path) -> None:
    options = [
        "--parts",
        "train-clean-5,dev-clean-2",
        "--lexicon",
        "x",
        "--lm-text",
        "y",
        "--exp",
        str(tmp_path / "exp"),
    ]
    done = run("librispeech", "--corpus", str(tree), *options)
    assert done.returncode == 1
    assert f"{tree}/train-clean-5: not in LibriSpeech's layout" in done.stdout
    assert "Traceback" not in done.stdout


def test_without_a_corpus_it_downloads_and_says_where_it_could_not(tmp_path: Path) -> None:
    options = ["--mirror", "http://127.0.0.1:9/resources", "--download", str(tmp_path / "corpora")]
    done = run("librispeech", "--parts", "dev-clean-2,train-clean-5", "--exp", str(tmp_path / "exp"), *options)
    assert done.returncode == 1
    assert "http://127.0.0.1:9/resources/31/train-clean-5.tar.gz" in done.stdout
    assert "asrkd download: error: " in done.stdout.splitlines()[-1]
    assert "Traceback" not in done.stdout
    assert not any((tmp_path / "exp").rglob("stage.json"))


def test_a_part_that_is_not_openslrs_is_named(tmp_path: Path) -> None:
    done = run("librispeech", "--parts", "train-clean-5,dev-clean-3", "--exp", str(tmp_path / "exp"))
    assert done.returncode == 1
    assert "nothing to download is called 'dev-clean-3'; did you mean 'dev-clean" in done.stdout


@pytest.mark.parametrize("name", ["recipe", "small", "paper"])
def test_the_shipped_configurations_are_sound(name: str) -> None:
    path = ROOT / f"recipes/librispeech/{name}.yaml"
    config = yaml.safe_load(path.read_text())
    assert set(config) >= {"recipe", "teacher", "student", "student_tune", "student_small", "posteriors", "decode"}
