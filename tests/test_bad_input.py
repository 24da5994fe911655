"""What a user can get wrong, through the command line: one line that names the cause, exit code 1, no output."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asrkd.cli import main
from asrkd.core.archive import read_scp, write_sharded
from asrkd.core.files import read_json, write_json
from asrkd.targets.archive import SoftTargetArchive, write_header

RATE = 16_000
NUM_PDFS = 3
TREE, OTHER_TREE = "a" * 64, "b" * 64

SMALL_NET = ["--set=teacher.model={hidden_layers: 1, hidden_units: 8}", "--set=teacher.epochs=1"]
SMALL_NET += ["--set=teacher.window={left: 1, right: 1}", "--set=teacher.threads=1"]
DISTILL = [*SMALL_NET, "--set=teacher.loss={type: distillation, temperature: 2.0, alpha: 0.9}"]


def utterance(folder: Path, utt_id: str, rate: int = RATE) -> Path:
    """Noise and a tone, 0.4 s, as PART/SPEAKER/CHAPTER/UTT.flac."""
    rng = np.random.default_rng(int(utt_id.rpartition("-")[2]))
    samples = 0.05 * rng.normal(size=round(0.4 * rate)) + 0.3 * np.sin(np.arange(round(0.4 * rate)) / 5)
    path = folder / f"{utt_id}.flac"
    soundfile.write(path, samples, rate, subtype="PCM_16")
    return path


def write_part(part: Path, speaker: str = "11", words: str = "GOOD DAY") -> Path:
    """A part in LibriSpeech's layout: one speaker, one chapter, three utterances. Returns the chapter."""
    chapter = part / speaker / "101"
    chapter.mkdir(parents=True)
    ids = [f"{speaker}-101-000{number}" for number in range(3)]
    for utt_id in ids:
        utterance(chapter, utt_id)
    (chapter / f"{speaker}-101.trans.txt").write_text("".join(f"{utt_id} {words}\n" for utt_id in ids))
    return chapter


def write_alignment(folder: Path, features: Path, tied_states: str = TREE, drop: int = 0) -> Path:
    """Labels in turn for each frame of a feature folder; the first utterance lacks ``drop`` of its frames."""
    folder.mkdir(parents=True)
    lengths = {utt: int(count) for utt, count in read_scp(features / "utt2num_frames").items()}
    lengths[min(lengths)] -= drop
    for name in ("ali", "pdf"):
        write_sharded(folder, name, sorted(lengths), lambda utt: (np.arange(lengths[utt]) % NUM_PDFS).astype(np.int32))
    (folder / "utt2num_frames").write_text("".join(f"{utt} {count}\n" for utt, count in sorted(lengths.items())))
    (folder / "pdf_counts").write_text("[ 40 40 40 ]\n")
    write_json(folder / "alignment.json", {"tied_states": tied_states, "num_pdfs": NUM_PDFS, "failed": []})
    return folder


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Inputs of every verb with nothing wrong: part, data, fbank, mfcc, lang, ali, net, soft_targets. Read only."""
    root = tmp_path_factory.mktemp("sound")
    write_part(root / "part")
    (root / "lexicon.txt").write_text("GOOD G UH D\nDAY D EY\n")
    (root / "text").write_text("GOOD DAY\nDAY\n")
    run = [
        ["prepare", "part", "data"],
        ["fbank", "--set=fbank.num_mel_bins=8", "data", "fbank"],
        ["mfcc", "data", "mfcc"],
        ["lang", "lexicon.txt", "text", "lang"],
        ["lm", "lang", "text", "lm"],
        ["train", *SMALL_NET, *training_set(), "net"],
        ["posteriors", "--set=posteriors.codec={type: topk, k: 2}", "--features", "fbank", "net", "soft_targets"],
    ]
    for verb, *arguments in run:
        if verb == "train":
            write_alignment(root / "ali", root / "fbank")
        assert main([verb, *placed(root, arguments)]) == 0, verb
    return root


def training_set(features: str = "fbank", alignment: str = "ali") -> list[str]:
    return ["--features", features, "--alignment", alignment, "--dev-features", "fbank", "--dev-alignment", "ali"]


NAMES = ("part", "data", "fbank", "mfcc", "lexicon.txt", "text", "lang", "lm", "ali", "net", "soft_targets")


def placed(root: Path, arguments: list[str]) -> list[str]:
    """Names of sound inputs, and of outputs beside them, as paths under ``root``."""
    return [str(root / argument) if argument in NAMES else argument for argument in arguments]


def exit_code(arguments: list[str]) -> object:
    """Of the command line; mistakes that the parser finds end the process."""
    try:
        return main(arguments)
    except SystemExit as end:
        return end.code


Failing = Callable[..., str]


@pytest.fixture
def failing(sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Failing:
    """``failing(verb, *arguments)`` runs a verb whose output is tmp_path/output, and returns its one line of error.

    Names of sound inputs stand for their paths.
    """

    def run(verb: str, *arguments: str | Path) -> str:
        capsys.readouterr()
        output = [] if verb == "check" else [str(tmp_path / "output")]
        code = exit_code([verb, *placed(sound, [str(argument) for argument in arguments]), *output])
        error = capsys.readouterr().err
        lines = [line for line in error.splitlines() if "error:" in line]
        assert code == 1, error
        assert len(lines) == 1, error
        assert error.endswith(lines[0] + "\n")
        assert not (tmp_path / "output").exists()
        match = re.fullmatch(rf"asrkd {verb}: error: (.+)", lines[0])
        assert match, lines[0]
        return match[1]

    return run


@pytest.fixture
def chapter(tmp_path: Path) -> Path:
    """A chapter of a part of its own, tmp_path/part, for a test to spoil."""
    return write_part(tmp_path / "part")


@pytest.fixture
def copy(sound: Path, tmp_path: Path) -> Callable[[str], Path]:
    """``copy(name)``: a copy of a sound input, without its stage.json, for a test to spoil."""

    def make(name: str) -> Path:
        shutil.copytree(sound / name, tmp_path / name, ignore=shutil.ignore_patterns("stage.json"))
        return tmp_path / name

    return make


# ---------------------------------------------------------------------------------------------------------- audio


def test_missing_audio(failing: Failing, tmp_path: Path, chapter: Path) -> None:
    assert main(["prepare", str(tmp_path / "part"), str(tmp_path / "data")]) == 0
    (chapter / "11-101-0001.flac").unlink()
    error = failing("fbank", tmp_path / "data")
    assert "11-101-0001" in error
    assert f"{chapter}/11-101-0001.flac" in error
    assert "missing" in error


@pytest.mark.parametrize("verb", ["prepare", "fbank"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.95])
def test_audio_cut_short(failing: Failing, tmp_path: Path, chapter: Path, verb: str, share: float) -> None:
    audio = chapter / "11-101-0001.flac"
    whole = audio.read_bytes()
    if verb == "fbank":
        assert main(["prepare", str(tmp_path / "part"), str(tmp_path / "data")]) == 0
    audio.write_bytes(whole[: int(share * len(whole))])
    error = failing(verb, tmp_path / ("part" if verb == "prepare" else "data"))
    assert str(audio) in error
    assert "cut short" in error or "empty" in error


def test_wrong_sample_rate(failing: Failing, tmp_path: Path, chapter: Path) -> None:
    utterance(chapter, "11-101-0002", rate=8000)
    error = failing("prepare", tmp_path / "part")
    assert str(chapter / "11-101-0002.flac") in error
    assert "8000 Hz" in error
    assert "resample" in error


# ---------------------------------------------------------------------------------------------------- transcripts


def test_transcript_without_audio(failing: Failing, tmp_path: Path, chapter: Path) -> None:
    (chapter / "11-101-0001.flac").unlink()
    error = failing("prepare", tmp_path / "part")
    assert "11-101.trans.txt:2: 11-101-0001 has a transcript but no audio" in error


def test_audio_without_transcript(failing: Failing, tmp_path: Path, chapter: Path) -> None:
    utterance(chapter, "11-101-0003")
    error = failing("prepare", tmp_path / "part")
    assert "11-101-0003.flac: has no transcript in 11-101.trans.txt" in error


def test_part_without_transcripts(failing: Failing, tmp_path: Path, chapter: Path) -> None:
    (chapter / "11-101.trans.txt").unlink()
    assert "--no-transcripts" in failing("prepare", tmp_path / "part")


def test_empty_transcript(failing: Failing, tmp_path: Path, chapter: Path) -> None:
    (chapter / "11-101.trans.txt").write_text("11-101-0000 GOOD\n11-101-0001 \n11-101-0002 DAY\n")
    error = failing("prepare", tmp_path / "part")
    assert "11-101.trans.txt:2: 11-101-0001 has an empty transcript" in error


def test_word_outside_the_lexicon(failing: Failing, copy: Callable[[str], Path]) -> None:
    text = copy("data") / "text"
    text.write_text(text.read_text().replace("0001 GOOD", "0001 GODO"))
    error = failing("mono", "mfcc", text.parent, "lang")
    assert "11-101-0001" in error
    assert "GODO" in error
    assert "lexicon.txt" in error


def test_same_utterances_in_two_parts(failing: Failing, tmp_path: Path, chapter: Path) -> None:
    error = failing("prepare", "part", tmp_path / "part")
    assert "utterance 11-101-0000 is also" in error
    assert str(chapter) in error
    assert "twice" in error


# -------------------------------------------------------------------------------------------------- configuration


def test_unknown_key_names_the_nearest(failing: Failing, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("fbank:\n  num_mel_bin: 40\n")
    expected = f"{recipe}: fbank: unknown key 'num_mel_bin'; did you mean 'num_mel_bins'?"
    assert failing("fbank", "--config", recipe, "data") == expected
    assert failing("check", "--config", recipe) == expected


@pytest.mark.parametrize(
    ("codec", "told"),
    [
        ("{type: zip}", "codec: unknown type 'zip'; known are dense,"),
        ("{type: topk, kk: 3}", "codec: unknown key 'kk'; did you mean 'k'?"),
        ("{type: topk, k: 0}", "codec: k:"),
    ],
)
def test_a_codec_is_checked_before_the_teachers_are_trained(
    failing: Failing, tmp_path: Path, codec: str, told: str
) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"posteriors: {{temperature: 2.0, codec: {codec}}}\n")
    assert failing("check", "--config", recipe).startswith(f"{recipe}: posteriors: {told}")


def test_unknown_section_names_the_nearest(failing: Failing, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("techer:\n  epochs: 3\n")
    assert failing("check", "--config", recipe) == f"{recipe}: unknown section 'techer'; did you mean 'teacher'?"


def test_a_recipe_may_number_its_sections(failing: Failing, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("triphone1: {num_leaves: auto}\ntriphone_last: {lda: {dim: 40}}\n")
    assert main(["check", "--config", str(recipe)]) == 0
    recipe.write_text("triphone2: {num_leafs: 9}\n")
    message = failing("check", "--config", recipe)
    assert message == f"{recipe}: triphone2: unknown key 'num_leafs'; did you mean 'num_leaves'?"
    recipe.write_text("triphones: {}\n")
    assert failing("check", "--config", recipe) == f"{recipe}: unknown section 'triphones'; did you mean 'triphone'?"


def test_section_that_the_recipe_lacks(failing: Failing, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("teacher:\n  epochs: 3\n")
    error = failing("train", "--config", recipe, "--section", "techer", *training_set())
    assert str(recipe) in error
    assert "has no section 'techer'; did you mean 'teacher'?" in error


@pytest.mark.parametrize("value", ["many", "'40'", "40.5", "[40]", "2", ".nan", "null"])
def test_value_of_a_wrong_type(failing: Failing, value: str) -> None:
    error = failing("fbank", "--set", f"fbank.num_mel_bins={value}", "data")
    assert "num_mel_bins" in error


def test_section_that_is_no_mapping(failing: Failing, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("fbank: 40\n")
    assert "section 'fbank'" in failing("fbank", "--config", tmp_path / "recipe.yaml", "data")


@pytest.mark.parametrize("text", ["fbank: {a: [", "- fbank", "\tfbank: 1", "fbank: {num_mel_bins: 4}\nfbank: {}"])
def test_malformed_yaml(failing: Failing, tmp_path: Path, text: str) -> None:
    (tmp_path / "recipe.yaml").write_text(text)
    assert str(tmp_path / "recipe.yaml") in failing("fbank", "--config", tmp_path / "recipe.yaml", "data")


def test_yaml_that_would_run_code(failing: Failing, tmp_path: Path) -> None:
    sentinel, recipe = tmp_path / "sentinel", tmp_path / "recipe.yaml"
    recipe.write_text(f"fbank: !!python/object/apply:os.system ['touch {sentinel}']\n")
    error = failing("fbank", "--config", recipe, "data")
    assert str(recipe) in error
    assert "python/object" in error
    assert not sentinel.exists()


@pytest.mark.parametrize("jobs", ["0", "-2", "two", "1.5"])
def test_impossible_number_of_jobs(failing: Failing, jobs: str) -> None:
    error = failing("fbank", f"--jobs={jobs}", "data")
    assert "--jobs" in error
    assert jobs in error


# ------------------------------------------------------------------------------------------------------ artefacts


def test_command_in_wav_scp_is_not_run(failing: Failing, tmp_path: Path, copy: Callable[[str], Path]) -> None:
    sentinel, scp = tmp_path / "sentinel", copy("data") / "wav.scp"
    first = scp.read_text().splitlines()[0].split()
    scp.write_text(scp.read_text().replace(first[1], f"touch {sentinel}; cat {first[1]} |", 1))
    error = failing("fbank", scp.parent)
    assert f"{scp}:1: 11-101-0000" in error
    assert "--allow-pipes" in error
    assert not sentinel.exists()


def test_nan_in_features(failing: Failing, copy: Callable[[str], Path]) -> None:
    features = copy("fbank")
    ark = features / "feats.1.ark"
    damaged = bytearray(ark.read_bytes())
    damaged[-4:] = np.float32("nan").tobytes()
    ark.write_bytes(damaged)
    error = failing("train", *SMALL_NET, *training_set(str(features)))
    assert "feats.scp: 11-101-0002: NaN" in error
    assert "feats.scp: 11-101-0002: NaN" in failing("posteriors", "--features", features, "net")


def test_frames_that_do_not_match_the_alignment(failing: Failing, sound: Path, tmp_path: Path) -> None:
    alignment = write_alignment(tmp_path / "ali", sound / "fbank", drop=2)
    error = failing("train", *SMALL_NET, *training_set(alignment=str(alignment)))
    assert "11-101-0000 has 38 frames, 36 in the alignment" in error
    assert "differ?" in error
    assert "11-101-0000" in failing("frames", "fbank", alignment, "net")


def test_alignment_that_lacks_an_utterance(failing: Failing, copy: Callable[[str], Path]) -> None:
    alignment = copy("ali")
    for name in ("ali.scp", "pdf.scp", "utt2num_frames"):
        lines = (alignment / name).read_text().splitlines(keepends=True)
        (alignment / name).write_text("".join(lines[:-1]))
    assert "11-101-0002" in failing("train", *SMALL_NET, *training_set(alignment=str(alignment)))


def test_soft_targets_of_another_tree(failing: Failing, copy: Callable[[str], Path]) -> None:
    archive = copy("soft_targets")
    ours = SoftTargetArchive.open(archive)
    write_header(archive, replace(ours.header, tied_states=OTHER_TREE), ours.entries)
    error = failing("train", *DISTILL, *training_set(), "--soft-targets", archive)
    assert str(archive) in error
    assert OTHER_TREE[:12] in error
    assert TREE[:12] in error


def test_soft_targets_of_another_temperature(failing: Failing) -> None:
    other = "--set=teacher.loss={type: distillation, temperature: 3.0}"
    error = failing("train", *SMALL_NET, other, *training_set(), "--soft-targets", "soft_targets")
    assert "temperature 2, the loss has 3" in error


def test_loss_that_needs_soft_targets(failing: Failing) -> None:
    assert "--soft-targets" in failing("train", *DISTILL, *training_set())


def test_soft_targets_from_two_sources(failing: Failing) -> None:
    error = failing("train", *DISTILL, *training_set(), "--soft-targets", "soft_targets", "--teacher", "net")
    assert "--soft-targets or from --teacher, not from both" in error
    assert "give --teacher" in failing("train", *SMALL_NET, *training_set(), "--combination", "geometric")


def test_teacher_of_another_tree_or_other_features(failing: Failing, copy: Callable[[str], Path]) -> None:
    teacher = copy("net")
    description = read_json(teacher / "model.json")
    write_json(teacher / "model.json", {**description, "tied_states": OTHER_TREE})
    assert "was the tree built again?" in failing("train", *DISTILL, *training_set(), "--teacher", teacher)
    write_json(teacher / "model.json", {**description, "features": "other"})
    assert f"{teacher} was trained on features other" in failing(
        "train", *DISTILL, *training_set(), "--teacher", teacher
    )


def write_weights(folder: Path, teachers: list[str], weights: list[float]) -> Path:
    folder.mkdir()
    write_json(folder / "weights.json", {"combination": "arithmetic", "teachers": teachers, "weights": weights})
    return folder


@pytest.mark.parametrize("verb", ["frames", "posteriors", "export-loglikes", "train"])
def test_weights_of_other_models(failing: Failing, sound: Path, tmp_path: Path, verb: str) -> None:
    weights = write_weights(tmp_path / "weights", ["a" * 64, "b" * 64], [0.5, 0.5])
    commands = {
        "frames": ["--weights", weights, "fbank", "ali", "net"],
        "posteriors": ["--weights", weights, "--features", "fbank", "net"],
        "export-loglikes": ["--weights", weights, "fbank", "net"],
        "train": [*DISTILL, *training_set(), "--teacher", "net", "--weights", weights],
    }
    assert f"{weights} has no weight for {sound / 'net'}" in failing(verb, *commands[verb])


def test_weights_that_are_none(failing: Failing, tmp_path: Path) -> None:
    weights = write_weights(tmp_path / "weights", ["a" * 64], [0.5])
    assert f"{weights / 'weights.json'}: weights of 1 teachers" in failing(
        "frames", "--weights", weights, "fbank", "ali", "net"
    )
    (weights / "weights.json").write_text("{")
    assert "not readable as JSON" in failing("frames", "--weights", weights, "fbank", "ali", "net")
    assert "two models or more" in failing("weigh", "fbank", "ali", "net")


def test_soft_targets_cut_short(failing: Failing, copy: Callable[[str], Path]) -> None:
    shard = copy("soft_targets") / "targets.1.npy"
    shard.write_bytes(shard.read_bytes()[:-40])
    error = failing("train", *DISTILL, *training_set(), "--soft-targets", shard.parent)
    assert str(shard) in error


def test_soft_targets_with_a_flipped_bit(failing: Failing, copy: Callable[[str], Path]) -> None:
    shard = copy("soft_targets") / "targets.1.npy"
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    error = failing("train", *DISTILL, *training_set(), "--soft-targets", shard.parent)
    assert f"{shard}: " in error
    assert "its bytes are not those that were written" in error


def write_graph(folder: Path, tied_states: str) -> Path:
    """A graph of one state that takes any pdf; its content does not matter where its tree is refused."""
    import kaldifst

    from asrkd.lang.fst import from_kaldifst, write_fst

    folder.mkdir()
    lines = [f"0 0 {pdf + 1} 1 1.0" for pdf in range(NUM_PDFS)]
    arrays = from_kaldifst(kaldifst.compile("\n".join([*lines, "0", ""]), acceptor=False))
    write_fst(folder / "HCLG.pdf.fst", arrays)
    (folder / "words.txt").write_text("<eps> 0\nDAY 1\n")
    sizes = {"num_states": arrays.num_states, "num_arcs": len(arrays.arcs)}
    write_json(folder / "graph.json", {"num_pdfs": NUM_PDFS, "tied_states": tied_states, **sizes})
    return folder


def test_graph_of_another_tree(failing: Failing, tmp_path: Path) -> None:
    graph = write_graph(tmp_path / "graph", OTHER_TREE)
    error = failing("decode", graph, "fbank", "net")
    assert str(graph) in error
    assert "was the tree built again?" in error


def test_model_of_other_features(failing: Failing, tmp_path: Path) -> None:
    graph = write_graph(tmp_path / "graph", TREE)
    assert "was trained on features" in failing("decode", graph, "mfcc", "net")
    assert "was trained on features" in failing("posteriors", "--features", "mfcc", "net")
    assert "was trained on features" in failing("frames", "mfcc", "ali", "net")


def test_tuning_against_other_transcripts(failing: Failing, tmp_path: Path) -> None:
    graph = write_graph(tmp_path / "graph", TREE)
    write_part(tmp_path / "other", speaker="22")
    assert main(["prepare", str(tmp_path / "other"), str(tmp_path / "transcripts")]) == 0
    error = failing("decode", "--tune", tmp_path / "transcripts", graph, "fbank", "net")
    assert str(tmp_path / "transcripts") in error
    assert "no id is shared at all" in error


@pytest.mark.parametrize("name", ["model.safetensors", "model.json"])
def test_model_cut_short(failing: Failing, copy: Callable[[str], Path], name: str) -> None:
    damaged = copy("net") / name
    damaged.write_bytes(damaged.read_bytes()[:-20])
    assert str(damaged) in failing("posteriors", "--features", "fbank", damaged.parent)


@pytest.mark.parametrize("value", [None, "x", -1])
@pytest.mark.parametrize(
    ("description", "field"),
    [
        ("fbank/features.json", "dim"),
        ("ali/alignment.json", "num_pdfs"),
        ("net/model.json", "feature_dim"),
        ("soft_targets/header.json", "num_pdfs"),
    ],
)
def test_description_that_was_edited(
    failing: Failing, copy: Callable[[str], Path], description: str, field: str, value: object
) -> None:
    name, file = description.split("/")
    path = copy(name) / file
    fields = read_json(path)
    del fields[field]
    write_json(path, fields if value is None else {**fields, field: value})
    commands = {
        "fbank": ["train", *SMALL_NET, *training_set(str(path.parent))],
        "ali": ["train", *SMALL_NET, *training_set(alignment=str(path.parent))],
        "net": ["posteriors", "--features", "fbank", str(path.parent)],
        "soft_targets": ["train", *DISTILL, *training_set(), "--soft-targets", str(path.parent)],
    }
    error = failing(*commands[name])
    assert f"{path}: " in error
    assert repr(field) in error


def test_finished_folder_that_was_damaged_since(failing: Failing, sound: Path, tmp_path: Path) -> None:
    shutil.copytree(sound / "fbank", tmp_path / "fbank")
    (tmp_path / "fbank/feats.1.ark").unlink()
    error = failing("posteriors", "--features", tmp_path / "fbank", "net")
    assert "feats.1.ark is missing" in error


def test_model_and_gmm_together_or_neither(failing: Failing, tmp_path: Path) -> None:
    graph = write_graph(tmp_path / "graph", TREE)
    assert "--gmm" in failing("decode", graph, "fbank")
    assert "--gmm" in failing("frames", "--gmm", tmp_path, "fbank", "ali", "net")


# -------------------------------------------------------------------------------------------------- verbs, inputs


def test_unknown_verb(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["tran", "a", "b"])
    assert end.value.code == 1
    error = capsys.readouterr().err
    assert error.startswith("asrkd: error: ")
    assert "'tran'" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "command",
    [
        "corpus nowhere",
        "prepare nowhere",
        "split nowhere",
        "subset nowhere",
        "perturb nowhere",
        "augment nowhere",
        "augment --noise nowhere data",
        "align-copies ali nowhere tri",
        "fbank nowhere",
        "mfcc nowhere",
        "lang nowhere text",
        "mono nowhere data lang",
        "triphone mfcc data lang nowhere",
        "align mfcc data lang nowhere",
        "graph lang lm nowhere",
        "graph lang nowhere ali",
        "lm nowhere text",
        "lm lang nowhere",
        "posteriors --features fbank nowhere",
        "decode nowhere fbank net",
        "score data nowhere",
        "frames fbank nowhere net",
        "compare nowhere",
        "compare --ref nowhere text",
        "frames --weights nowhere fbank ali net",
        "weigh fbank ali net nowhere",
        "choose nowhere",
    ],
)
def test_missing_input(failing: Failing, tmp_path: Path, command: str) -> None:
    verb, *arguments = command.replace("nowhere", str(tmp_path / "nowhere")).split()
    assert f"{tmp_path / 'nowhere'} does not exist" in failing(verb, *arguments)


def test_report_of_an_empty_experiment(failing: Failing, tmp_path: Path) -> None:
    assert str(tmp_path / "nowhere") in failing("report", tmp_path / "nowhere")


def test_hypotheses_of_another_set(failing: Failing, tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text("12-101-0000 GOOD DAY\n")
    error = failing("compare", "--ref", "data", f"mine={tmp_path}/other.txt")
    assert error.startswith(f"mine ({tmp_path}/other.txt): hypothesis 12-101-0000 has no reference")


def test_missing_configuration(failing: Failing, tmp_path: Path) -> None:
    error = failing("fbank", "--config", tmp_path / "recipe.yaml", "data")
    assert error == f"configuration {tmp_path / 'recipe.yaml'} does not exist"


def test_input_that_is_half_written(failing: Failing, sound: Path, tmp_path: Path) -> None:
    shutil.copytree(sound / "fbank", tmp_path / "fbank.partial")
    error = failing("posteriors", "--features", tmp_path / "fbank", "net")
    assert str(tmp_path / "fbank.partial") in error
    assert "cut off" in error
    assert "run it again" in error


def test_folder_of_another_kind(failing: Failing, sound: Path) -> None:
    assert str(sound / "lang") in failing("fbank", "lang")
    assert str(sound / "data") in failing("posteriors", "--features", "data", "net")
    assert str(sound / "fbank") in failing("posteriors", "--features", "fbank", "fbank")
    assert str(sound / "text") in failing("fbank", "text")


def test_output_that_can_not_be_made(sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    capsys.readouterr()
    assert main(["fbank", str(sound / "data"), str(tmp_path / "file/output")]) == 1
    error = capsys.readouterr().err
    assert error.startswith("asrkd fbank: error: ")
    assert str(tmp_path / "file") in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "case",
    [
        (r"ngram 1=(\d+)", "ngram 1=99", r"lm\.arpa:\d+: end of \d+ 1-grams, its header says 99"),
        (r"\\end\\", "", r"lm\.arpa:\d+: ends before \\end\\: cut short\?"),
        (r"(\\1-grams:\n)\S+", r"\1nan", r"lm\.arpa:\d+: a number that is not finite in 'nan"),
    ],
)
def test_damaged_language_model(failing: Failing, sound: Path, tmp_path: Path, case: tuple[str, str, str]) -> None:
    old, new, cause = case
    model = (sound / "lm" / "lm.arpa").read_text()
    assert re.search(old, model)
    (tmp_path / "lm.arpa").write_text(re.sub(old, new, model, count=1))
    assert re.match(f"{tmp_path}/{cause}", failing("lm", "lang", tmp_path / "lm.arpa"))


def test_what_the_system_refuses_is_named_first(failing: Failing, sound: Path) -> None:
    assert failing("export-posteriors", "text") == f"{sound}/text/header.json: Not a directory"


def test_a_failed_stage_can_be_mended_and_run_again(failing: Failing, tmp_path: Path, chapter: Path) -> None:
    (chapter / "11-101-0001.flac").rename(tmp_path / "aside")
    failing("prepare", tmp_path / "part")
    (tmp_path / "aside").rename(chapter / "11-101-0001.flac")
    assert main(["prepare", str(tmp_path / "part"), str(tmp_path / "output")]) == 0
    assert json.loads((tmp_path / "output/stage.json").read_text())["summary"]["utterances"] == 3
