"""A Kaldi experiment, made of the toy's own models: taken over by one command, and trained and decoded on."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kaldi_native_io
import numpy as np
import pytest

from asrkd.cli import main
from asrkd.core.archive import Archive, ArchiveWriter, read_scp
from asrkd.core.files import read_json
from asrkd.features.store import FeatureDir
from asrkd.graph.hclg import GraphConfig, make_graph
from asrkd.hmm.alignment import Alignment
from asrkd.hmm.kaldi_exchange import export_alignment
from asrkd.hmm.tied_states import TiedStates
from asrkd.lang.fst import read_fst, write_fst
from asrkd.models.saved import load_model

PLAIN = "--set=import_kaldi.features.norm_vars=false"  # as the toy's own features are normalised
SETS = {"train": slice(0, 18), "dev": slice(18, 21), "test": slice(21, 24), "all": slice(0, 24)}


@pytest.fixture(scope="module")
def made(toy: Any, triphone_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What Kaldi's scripts leave: exp/tri_ali with its graph, data/SET. Not to be written to."""
    s5 = tmp_path_factory.mktemp("s5")
    kaldi, graph = s5 / "exp" / "tri_ali", s5 / "exp" / "tri_ali" / "graph_toy"
    graph.mkdir(parents=True)
    export_alignment(triphone_dir / "ali", triphone_dir, kaldi, num_jobs=3)
    make_graph(GraphConfig(), toy.lang, toy.lm, triphone_dir, graph)
    shutil.copyfile(toy.lang / "phones.txt", graph / "phones.txt")
    for name in ("graph.json", "HCLG.pdf.fst"):
        (graph / name).unlink()
    utt_ids = sorted(toy.phones)
    for name, part in SETS.items():
        data = s5 / "data" / name
        data.mkdir(parents=True)
        for file in ("text", "utt2spk"):
            lines = read_scp(toy.data / file)
            (data / file).write_text("".join(f"{utt} {lines[utt]}\n" for utt in utt_ids[part]))
        places = Archive.open(toy.features / "feats.scp")
        (data / "feats.scp").write_text("".join(f"{utt} {places.place(utt)}\n" for utt in utt_ids[part]))
        places = Archive.open(toy.features / "cmvn.scp")
        (data / "cmvn.scp").write_text("".join(f"{speaker} {places.place(speaker)}\n" for speaker in places))
    return s5


@pytest.fixture
def s5(made: Path, tmp_path: Path) -> Path:
    """A copy that may be changed."""
    shutil.copytree(made, tmp_path / "s5")
    return tmp_path / "s5"


def command(s5: Path, output: Path, *more: str, sets: tuple[str, ...] = tuple(SETS)) -> list[str]:
    kaldi = s5 / "exp" / "tri_ali"
    data = [f"--data={name}={s5}/data/{name}" for name in sets]
    alignments = [f"--ali={name}={kaldi}" for name in sets]
    return ["import-kaldi", PLAIN, *data, *alignments, *more, str(kaldi), str(output)]


@pytest.fixture(scope="module")
def imported(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Not to be written to."""
    output = tmp_path_factory.mktemp("imported") / "exp"
    assert main(command(made, output)) == 0
    return output


def files(folder: Path) -> dict[str, bytes]:
    """All files' bytes, but for how long a stage took."""
    found = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if path.name != "stage.json"}


def test_all_of_it_is_there(imported: Path, toy: Any, triphone: TiedStates, triphone_dir: Path) -> None:
    kinds = {"tri", "graph", *(f"{kind}/{name}" for kind in ("data", "features", "ali") for name in SETS)}
    assert {str(path.parent.relative_to(imported)) for path in imported.rglob("stage.json")} == kinds
    assert not [path for path in imported.rglob("*") if path.suffix in (".partial", ".tmp", ".old")]
    for name in ("final.mdl", "tree", "phones.txt"):
        assert (imported / "tri" / name).read_bytes() == (triphone_dir / name).read_bytes()
    assert read_json(imported / "graph" / "graph.json")["tied_states"] == triphone.hash
    ours, theirs = FeatureDir.open(toy.features), FeatureDir.open(imported / "features" / "dev")
    assert theirs.utt_ids == sorted(toy.phones)[SETS["dev"]]
    aligned, taken = Alignment.open(triphone_dir / "ali"), Alignment.open(imported / "ali" / "dev")
    for utt_id in theirs.utt_ids:
        np.testing.assert_array_equal(theirs.load(utt_id), ours.load(utt_id))
        np.testing.assert_array_equal(taken.transition_ids(utt_id), aligned.transition_ids(utt_id))
    assert (imported / "data" / "dev" / "text").read_text() == "".join(
        f"{utt} {read_scp(toy.data / 'text')[utt]}\n" for utt in theirs.utt_ids
    )


NET = {
    "model": {"type": "dnn", "hidden_layers": 1, "hidden_units": 16},
    "window": {"left": 1, "right": 1},
    "epochs": 3,
    "batch_size": 32,
    "threads": 1,
    "device": "cpu",
}
CONFIG = {
    "teacher": {**NET, "loss": {"type": "cross_entropy"}},
    "posteriors": {"temperature": 2.0},
    "student": {**NET, "loss": {"type": "distillation", "temperature": 2.0, "alpha": 0.9}},
}


def trained(features: Path, alignment: Path, graph: Path, output: Path) -> Path:
    """Two teachers, their soft targets, a student and its words."""
    output.mkdir()
    (output / "config.yaml").write_text(json.dumps(CONFIG))
    sets = f"--features {features} --alignment {alignment} --dev-features {features} --dev-alignment {alignment}"
    for line in (
        f"train --seed 1 {sets} {output}/1",
        f"train --seed 2 {sets} {output}/2",
        f"posteriors --features {features} {output}/1 {output}/2 {output}/soft",
        f"train --section student {sets} --soft-targets {output}/soft {output}/student",
        f"decode {graph} {features} {output}/student {output}/decode",
    ):
        verb, *arguments = line.split()
        assert main([verb, "--config", f"{output}/config.yaml", *arguments]) == 0, line
    return output


def test_it_is_trained_and_decoded_on_as_the_original(
    imported: Path, toy: Any, triphone_dir: Path, tmp_path: Path
) -> None:
    graph = tmp_path / "graph"
    graph.mkdir()
    make_graph(GraphConfig(), toy.lang, toy.lm, triphone_dir, graph)
    ours = trained(toy.features, triphone_dir / "ali", graph, tmp_path / "ours")
    theirs = trained(imported / "features" / "all", imported / "ali" / "all", imported / "graph", tmp_path / "theirs")
    for name in ("1", "2", "student"):
        one, other = (load_model(folder / name).module.state_dict() for folder in (ours, theirs))
        assert one.keys() == other.keys()
        assert all((one[key] == other[key]).all() for key in one)
    words = (ours / "decode" / "hyp.txt").read_text()
    assert (theirs / "decode" / "hyp.txt").read_text() == words
    assert any(len(line.split()) > 1 for line in words.splitlines())
    loglikes = tmp_path / "loglikes"
    assert main(["export-loglikes", str(toy.features), str(ours / "student"), str(loglikes)]) == 0
    written = Archive.open(loglikes / "loglikes.scp")
    with kaldi_native_io.SequentialFloatMatrixReader(f"scp:{loglikes}/loglikes.scp") as reader:
        for utt_id, matrix in reader:
            np.testing.assert_array_equal(matrix, written[utt_id])
    assert len(written) == len(toy.phones)


def test_a_second_run_and_a_further_set_leave_what_stands(
    made: Path, imported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "exp"
    assert main(command(made, output, "--jobs=2", sets=("train", "dev"))) == 0
    before = files(output)
    times = {path: path.stat().st_mtime_ns for path in output.rglob("*") if path.is_file()}
    capsys.readouterr()
    assert main(command(made, output, sets=("train", "dev"))) == 0
    assert capsys.readouterr().err.count("stands, skipped") == len(list(output.rglob("stage.json"))) == 8
    assert main(command(made, output)) == 0
    assert {path: path.stat().st_mtime_ns for path in times} == times
    after = files(output)
    assert before.items() <= after.items()
    assert after == files(imported)


def test_it_goes_on_after_a_mistake_was_mended(s5: Path, imported: Path, tmp_path: Path) -> None:
    (s5 / "data" / "dev" / "feats.scp").rename(tmp_path / "aside")
    (s5 / "data" / "dev" / "feats.scp").write_text("spk0-001 nowhere.ark:5\n")
    output = tmp_path / "exp"
    assert main(command(s5, output)) == 1
    assert not (output / "features" / "dev").exists()
    model = (output / "tri" / "final.mdl").stat().st_mtime_ns
    (tmp_path / "aside").replace(s5 / "data" / "dev" / "feats.scp")
    assert main(command(s5, output)) == 0
    assert (output / "tri" / "final.mdl").stat().st_mtime_ns == model
    theirs = {name: content for name, content in files(imported).items() if not name.endswith("features.json")}
    assert theirs.items() <= files(output).items()  # features.json names the data dir


def test_what_lies_beside_the_files_that_are_read_changes_nothing(
    s5: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A decoding in Kaldi's folder, or data split for its jobs, must not make every net train again."""
    assert main(command(s5, tmp_path / "exp")) == 0
    for beside in ("exp/tri_ali/decode_test/wer_10", "exp/tri_ali/log/align.1.log", "data/train/split2/1/utt2spk"):
        (s5 / beside).parent.mkdir(parents=True)
        (s5 / beside).write_text("9.57\n")
    capsys.readouterr()
    assert main(command(s5, tmp_path / "exp")) == 0
    assert " making " not in capsys.readouterr().err


def test_what_is_not_given_is_looked_for(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The graph in the experiment's folder, its alignments for the set `train`; features only where there are any."""
    data = tmp_path / "train"
    data.mkdir()
    for name in ("utt2spk", "text"):
        shutil.copyfile(made / "data" / "train" / name, data / name)
    kaldi, output = made / "exp" / "tri_ali", tmp_path / "exp"
    assert main(["import-kaldi", f"--data=train={data}", str(kaldi), str(output)]) == 0
    assert sorted(path.name for path in output.iterdir()) == ["ali", "data", "graph", "tri"]
    assert f"{data} has no feats.scp: make {output}/features/train of {output}/data/train" in capsys.readouterr().err
    assert main(["import-kaldi", str(kaldi), str(tmp_path / "alone")]) == 0
    assert sorted(path.name for path in (tmp_path / "alone").iterdir()) == ["graph", "tri"]


Spoil = Callable[[Path], object]


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def replaced(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def relabelled(graph: Path, step: int) -> None:
    """Labels of some other model: numbers of the same range, or, by a large ``step``, beyond it."""
    hclg = read_fst(graph / "HCLG.fst")
    labels = hclg.arcs["ilabel"]
    other = labels + step if step > 50 else np.maximum((labels + step) % (labels.max() + 1), 1)
    write_fst(graph / "HCLG.fst", hclg.relabelled(np.where(labels > 0, other, 0)))


def other_cmvn(data: Path) -> None:
    with ArchiveWriter(data / "cmvn.ark") as writer:
        for speaker in ("spk0", "spk1"):
            writer.write(speaker, np.ones((2, 14)))
    (data / "cmvn.scp").write_text((data / "cmvn.ark").with_suffix(".scp").read_text())


ALI, GRAPH, TRAIN = "exp/tri_ali", "exp/tri_ali/graph_toy", "data/train"
SPOILT: dict[str, tuple[Spoil, str, str]] = {
    "half a model": (lambda s5: half(s5 / ALI / "final.mdl"), "tri", "final.mdl: .* at byte .*cut short or damaged"),
    "no model": (lambda s5: (s5 / ALI / "final.mdl").unlink(), "tri", "final.mdl is missing"),
    "half a tree": (lambda s5: half(s5 / ALI / "tree"), "tri", "tree: .*cut short or damaged"),
    "phones": (
        lambda s5: replaced(s5 / ALI / "phones.txt", "S 5\n", ""),
        "tri",
        r"final\.mdl models phone 5, phones\.txt has none of that number",
    ),
    "half a graph": (lambda s5: half(s5 / GRAPH / "HCLG.fst"), "graph", r"HCLG\.fst: .*cut short"),
    "text graph": (lambda s5: (s5 / GRAPH / "HCLG.fst").write_text("0 1 2 3\n"), "graph", "is it a text FST"),
    "large labels": (
        lambda s5: relabelled(s5 / GRAPH, 1000),
        "graph",
        r"HCLG\.fst: transition-id 1\d+ is in the graph, the tied-state model has \d+: was the graph built",
    ),
    "other labels": (lambda s5: relabelled(s5 / GRAPH, 7), "graph", "was the graph built with another tree"),
    "words": (
        lambda s5: (s5 / GRAPH / "words.txt").write_text("<eps> 0\nBASS 2\n"),
        "graph",
        r"words\.txt: has no word \d+, which HCLG.fst holds: is it another graph's",
    ),
    "no words": (lambda s5: (s5 / GRAPH / "words.txt").unlink(), "graph", r"words\.txt is missing"),
    "graph's phones": (
        lambda s5: replaced(s5 / GRAPH / "phones.txt", "S 5\n", "Z 5\n"),
        "graph",
        "number phone S differently",
    ),
    "half an archive": (lambda s5: half(s5 / ALI / "ali.2.gz"), "ali/train", r"ali\.2\.gz: ends too early"),
    "no archive": (lambda s5: (s5 / ALI / "ali.2.gz").unlink(), "ali/train", r"ali\.2\.gz is missing"),
    "no ark": (
        lambda s5: (s5 / TRAIN / "feats.scp").write_text(
            (s5 / TRAIN / "feats.scp").read_text().replace("feats.1.ark", "feats.9.ark")
        ),
        "features/train",
        r"feats\.scp: spk0-000: its archive .*feats\.9\.ark is missing",
    ),
    "command": (
        lambda s5: replaced(s5 / TRAIN / "feats.scp", "\n", " | touch ran |\n"),
        "features/train",
        r"feats\.scp:1: spk0-000 is a command .*--allow-pipes",
    ),
    "cmvn": (lambda s5: other_cmvn(s5 / TRAIN), "features/train", r"cmvn\.scp: spk0 has statistics of shape \(2, 14\)"),
    "no speakers": (lambda s5: (s5 / TRAIN / "utt2spk").unlink(), "data/train", "utt2spk is missing"),
    "no data dir": (lambda s5: shutil.rmtree(s5 / TRAIN), "tri", "data/train does not exist: are paths from where"),
    "two graphs": (
        lambda s5: shutil.copytree(s5 / GRAPH, s5 / ALI / "graph_other"),
        "tri",
        "graph_other and .*graph_toy both hold a graph: say which by --graph",
    ),
}


@pytest.mark.parametrize("kind", sorted(SPOILT))
def test_what_is_wrong_is_one_line_and_nothing_half_made(
    kind: str, s5: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    spoil, part, message = SPOILT[kind]
    spoil(s5)
    assert main(command(s5, tmp_path / "exp")) == 1
    error = capsys.readouterr().err
    assert error.count("error:") == 1
    assert re.match(rf"asrkd import-kaldi: error: .*{message}", error.splitlines()[-1])
    assert not (tmp_path / "exp" / part).exists()
    assert not (tmp_path / "ran").exists()


def test_an_alignment_of_another_tree(
    made: Path, mono_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "mono_ali"
    other.mkdir()
    export_alignment(mono_dir / "ali", mono_dir, other)
    line = ["import-kaldi", f"--data=train={made}/data/train", f"--ali=train={other}", str(made / ALI)]
    for message in ("mono_ali/tree is not the tree of", "mono_ali/ali.1.gz: spk0-000: "):
        assert main([*line, str(tmp_path / "exp")]) == 1
        error = capsys.readouterr().err.splitlines()[-1]
        assert message in error
        assert not (tmp_path / "exp" / "ali" / "train").exists()
        (other / "tree").unlink(missing_ok=True)


@pytest.mark.parametrize("transform", [("trans.1", "fMLLR"), ("delta_opts", "delta_opts: --delta-order=3")])
def test_gaussians_over_other_features_are_for_nets_only(
    s5: Path, toy: Any, tmp_path: Path, transform: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    name, words = transform
    (s5 / ALI / name).write_text("--delta-order=3\n")
    output = tmp_path / "exp"
    assert main(command(s5, output, sets=("train",))) == 0
    assert words in capsys.readouterr().err
    features, graph, tri = (str(output / part) for part in ("features/train", "graph", "tri"))
    for line in (
        ["decode", f"--gmm={tri}", graph, features],
        ["frames", f"--gmm={tri}", features, str(output / "ali/train")],
        ["align", features, str(toy.data), str(toy.lang), tri],
        ["export-loglikes", f"--gmm={tri}", features],
    ):
        assert main([*line, str(tmp_path / "out")]) == 1
        error = capsys.readouterr().err.splitlines()[-1]
        assert words in error
        assert "which are not computed here" in error
    assert main(["import-kaldi", str(s5 / ALI), str(output)]) == 0
    assert "stands, skipped" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data=train"], "'train': expected NAME=DIR"),
        (["--data=../train=x"], "'../train=x': expected NAME=DIR"),
        (["--data=train.partial=x"], "expected NAME=DIR"),
        (["--data=train="], "expected NAME=DIR"),
        (["--data=train={0}", "--data=train={0}"], "--data: a name is given twice"),
        (["--ali=dev={0}"], "--ali dev=..: give its data dir too"),
        (["--graph={0}/nowhere"], "nowhere does not exist"),
        (["--graph={0}/text"], "train/text is a file, where a folder is expected: are paths from"),
        (["--data=train={0}/text"], "train/text is a file, where a folder is expected: are paths from"),
        (["--data=train={0}", "--ali=train={0}/text"], "train/text is a file, where a folder is expected"),
        (["--data=train={0}", "--ali=train={0}"], "train: holds no ali.1.gz"),
        (["--set=import_kaldi.norm_vars=true"], "unknown key 'norm_vars'"),
        (["--set=import_kaldi.features.norm_var=true"], "did you mean 'norm_vars'?"),
    ],
)
def test_arguments(
    made: Path, tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    line = [argument.format(made / "data" / "train") for argument in arguments]
    try:
        code: object = main(["import-kaldi", *line, str(made / ALI), str(tmp_path / "exp")])
    except SystemExit as end:
        code = end.code
    assert code == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("asrkd import-kaldi: error: ")
    assert message in error
