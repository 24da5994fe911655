"""Data dirs as Kaldi's utils/validate_data_dir.sh wants them: its checks, by sort itself in the C locale."""

import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from asrkd.cli import main
from asrkd.core.datadir import DataDir, read_data_dir, write_data_dir
from asrkd.core.errors import DataError, MismatchError
from asrkd.corpora.augment import AugmentConfig, augment
from asrkd.corpora.kaldi_data import audio_entry, export_data, import_data
from asrkd.features.kaldi import ImportFeaturesConfig, import_features


def sorted_in_c(lines: list[str], *options: str) -> list[str]:
    output = subprocess.run(
        ["sort", *options], input="".join(f"{line}\n" for line in lines), capture_output=True, text=True,
        env={**os.environ, "LC_ALL": "C"}, check=True,
    )  # fmt: skip
    return output.stdout.splitlines()


def lines_of(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8")
    assert text.endswith("\n"), f"{path.name}: its last line has no end"
    return text.removesuffix("\n").split("\n")


def keys_of(path: Path) -> list[str]:
    """First fields, which must be unique and sorted."""
    keys = [line.split()[0] for line in lines_of(path)]
    assert keys == sorted_in_c(sorted(set(keys))), f"{path.name}: not sorted, or not unique"
    return keys


def grep(option: str, pattern: str, path: Path) -> list[str]:
    """Lines that hold ``pattern``, by grep itself."""
    output = subprocess.run(
        ["grep", option, "-e", pattern, str(path)], capture_output=True, text=True,
        env={**os.environ, "LC_ALL": "C.UTF-8"}, check=False,
    )  # fmt: skip
    assert output.returncode in (0, 1), output.stderr
    return output.stdout.splitlines()


def validate_by_kaldi(folder: Path, feats: bool) -> None:
    """validate_data_dir.sh itself, where ``$KALDI_ROOT`` says that there is one."""
    s5 = Path(os.environ.get("KALDI_ROOT", "/nowhere")) / "egs" / "wsj" / "s5"
    if not (s5 / "utils" / "validate_data_dir.sh").is_file():
        return
    # Not its own check of characters, for which it takes the C locale where C.UTF-8 is spelt otherwise.
    options = ["--non-print", *([] if feats else ["--no-feats"])]
    output = subprocess.run(
        ["bash", "utils/validate_data_dir.sh", *options, str(folder)],
        capture_output=True, text=True, cwd=s5, check=False,
    )  # fmt: skip
    assert output.returncode == 0, output.stdout + output.stderr
    assert "Successfully validated" in output.stdout


def validate(folder: Path, feats: bool = False) -> None:
    """What validate_data_dir.sh checks, with --no-feats unless ``feats``; and the script, where it is there."""
    validate_by_kaldi(folder, feats)
    utt2spk = lines_of(folder / "utt2spk")
    assert all(len(line.split()) == 2 for line in utt2spk)
    utts = keys_of(folder / "utt2spk")
    assert sorted_in_c(utt2spk, "-k2") == utt2spk, "utt2spk is not sorted by speaker"
    speakers = keys_of(folder / "spk2utt")
    pairs = [(utt, line.split()[0]) for line in lines_of(folder / "spk2utt") for utt in line.split()[1:]]
    assert [f"{utt} {speaker}" for utt, speaker in pairs] == utt2spk
    text = lines_of(folder / "text")
    assert keys_of(folder / "text") == utts
    assert not any(re.search(r"[^\S \t]", line) for line in text), "whitespace of another kind"
    assert grep("-E", "[^[:print:][:space:]]", folder / "text") == [], "non-printable characters"
    assert not any(grep("-w", symbol, folder / "text") for symbol in ("<s>", "</s>", "#0"))
    wavs = dict(line.split(maxsplit=1) for line in lines_of(folder / "wav.scp"))
    assert keys_of(folder / "wav.scp") == utts
    assert not any(entry.startswith("~") for entry in wavs.values())
    if (folder / "utt2warp").is_file():
        assert keys_of(folder / "utt2warp") == utts
        assert all(0.5 < float(line.split()[1]) < 1.5 for line in lines_of(folder / "utt2warp"))
    durations = dict(line.split() for line in lines_of(folder / "utt2dur"))
    assert keys_of(folder / "utt2dur") == utts
    assert all(float(seconds) > 0 for seconds in durations.values())
    if feats:
        assert keys_of(folder / "feats.scp") == utts
        assert keys_of(folder / "cmvn.scp") == speakers
        assert keys_of(folder / "utt2num_frames") == utts
        assert all(int(line.split()[1]) > 0 for line in lines_of(folder / "utt2num_frames"))


def test_our_data_dirs_are_valid_as_they_are(tiny_data: Path) -> None:
    validate(tiny_data)


def test_augmented_copies_are_valid_and_keep_their_warps(tiny_data: Path, tmp_path: Path) -> None:
    for name in ("augmented", "out"):
        (tmp_path / name).mkdir()
    augment(AugmentConfig(kinds=("vtlp", "room")), tiny_data, tmp_path / "augmented", tmp_path / "augmented")
    export_data(tmp_path / "augmented", tmp_path / "out")
    validate(tmp_path / "out")
    assert lines_of(tmp_path / "out/utt2warp") == lines_of(tmp_path / "augmented/utt2warp")


def test_exported(tiny_data: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    export_data(tiny_data, tmp_path / "out")
    validate(tmp_path / "out")
    back = read_data_dir(tmp_path / "out", allow_pipes=True)
    ours = read_data_dir(tiny_data)
    assert (back.utt2spk, back.text) == (ours.utt2spk, ours.text)
    assert back.wav["spk0-0"] == f"flac -c -d -s {ours.wav['spk0-0']} |"


def test_with_features(tiny_data: Path, tmp_path: Path) -> None:
    features, output = str(tmp_path / "fbank"), tmp_path / "out"
    assert main(["fbank", "--set=fbank.num_mel_bins=8", str(tiny_data), features]) == 0
    assert main(["export-data", "--features", features, str(tiny_data), str(output)]) == 0
    validate(output, feats=True)
    (tmp_path / "again").mkdir()
    import_features(ImportFeaturesConfig(), output, tmp_path / "again")
    ours, again = ((tmp_path / name / "utt2num_frames").read_bytes() for name in ("fbank", "again"))
    assert ours == again
    other = read_data_dir(tiny_data).subset(["spk0-0", "spk1-2"])
    write_data_dir(tmp_path / "other", other)
    (tmp_path / "work").mkdir()
    with pytest.raises(MismatchError, match=r"spk0-1 is in only one of .*\(2 such\)"):
        export_data(tmp_path / "other", tmp_path / "work", tmp_path / "fbank")


def test_audio_that_kaldi_opens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert audio_entry("a/b.wav") == f"{tmp_path}/a/b.wav"
    assert audio_entry("/a; rm b.flac") == "flac -c -d -s '/a; rm b.flac' |"
    assert audio_entry("/a/b.ogg") == "sox /a/b.ogg -t wav - |"
    assert audio_entry("sox x -t wav - |") == "sox x -t wav - |"


Changed = Callable[[DataDir], DataDir]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda data: replace(data, utt2spk={utt: f"s{9 - int(utt[-1])}" for utt in data.wav}),
            "sorted by speaker spk1-3 comes where spk0-0 does",
        ),
        *(
            (lambda data, words=words: replace(data, text={**data.text, "spk1-2": words}), f"text: spk1-2 {message}")
            for words, message in (
                ("TO <s> BE", "holds <s>"),
                ("TO (</s>) BE", "holds </s>"),
                ("#0", "holds #0"),
                ("B\x07ELL", r"holds the control character '\\x07'"),
                ("UN\u0378ASSIGNED", r"holds the control character '\\u0378'"),
            )
        ),
        (
            lambda data: replace(data, warps={utt: 1.0 + 0.25 * int(utt[-1]) for utt in data.wav}),
            r"utt2warp: spk1-2: 1\.5 is not within \(0\.5, 1\.5\)",
        ),
        (
            lambda data: replace(data, wav={**data.wav, "spk0-1": "~/bin/sph2pipe x.sph |"}),
            "wav.scp: spk0-1 begins with ~",
        ),
    ],
)
def test_what_kaldi_refuses(tiny_data: Path, tmp_path: Path, change: Changed, message: str) -> None:
    write_data_dir(tmp_path / "changed", change(read_data_dir(tiny_data)))
    (tmp_path / "out").mkdir()
    export_data(tiny_data, tmp_path / "out")
    validate(tmp_path / "out")
    with pytest.raises(DataError, match=message):
        export_data(tmp_path / "changed", tmp_path / "out")


def test_words_that_kaldi_takes(tiny_data: Path, tmp_path: Path) -> None:
    """Also those that hold its symbols within a word, and joiners, which other scripts than Latin need."""
    data = read_data_dir(tiny_data)
    assert data.text is not None
    text = {**data.text, "spk0-0": "A<s>B X#0 NAÏVE", "spk1-3": "\u0645\u06cc\u200c\u062e"}
    write_data_dir(tmp_path / "changed", replace(data, text=text))
    (tmp_path / "out").mkdir()
    export_data(tmp_path / "changed", tmp_path / "out")
    validate(tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("cmvn.scp", lambda text: text.replace("spk1 ", "spk9 "), r"spk1 is in only one of .*cmvn\.scp \(2 such\)"),
        ("utt2num_frames", lambda text: text[: text.index("spk1-3")], r"spk1-3 is in only one of .*utt2num_frames"),
        ("utt2num_frames", lambda text: text.replace(" ", " x"), "utt2num_frames: spk0-0: 'x28' is no number of"),
        ("feats.scp", lambda text: text[: text.index("spk1-3")], r"spk1-3 is in only one of .*feats\.scp"),
    ],
)
def test_features_of_another_data_dir(
    tiny_data: Path, tmp_path: Path, name: str, change: Callable[[str], str], message: str
) -> None:
    features = tmp_path / "fbank"
    assert main(["fbank", "--set=fbank.num_mel_bins=8", str(tiny_data), str(features)]) == 0
    (features / name).write_text(change((features / name).read_text()))
    (tmp_path / "out").mkdir()
    with pytest.raises((DataError, MismatchError), match=message):
        export_data(tiny_data, tmp_path / "out", features)
    with pytest.raises(DataError, match="utt2spk is a file, where a folder is expected"):
        export_data(tiny_data, tmp_path / "out", tiny_data / "utt2spk")


def test_spaces_of_other_kinds_are_made_plain(tiny_data: Path, tmp_path: Path) -> None:
    data = read_data_dir(tiny_data)
    assert data.text is not None
    write_data_dir(tmp_path / "changed", replace(data, text={**data.text, "spk0-1": "NO\u00a0BREAK\tHERE"}))
    (tmp_path / "out").mkdir()
    export_data(tmp_path / "changed", tmp_path / "out")
    validate(tmp_path / "out")


def kaldi_data(folder: Path, **files: str) -> Path:
    folder.mkdir()
    content = {"utt2spk": "s-1 s\ns-2 s\n", "text": "s-1 ONE TWO\ns-2 THREE\n", **files}
    for name, text in content.items():
        (folder / name.replace("_", ".")).write_text(text)
    return folder


def test_a_data_dir_of_kaldis_is_taken_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Paths hold from anywhere, commands are not run, and what lies beside changes nothing."""
    monkeypatch.chdir(tmp_path)
    data = kaldi_data(tmp_path / "s5", wav_scp=f"s-1 a.wav\ns-2 touch {tmp_path}/ran; cat b.wav |\n", feats_scp="x y\n")
    (tmp_path / "out").mkdir()
    assert import_data(data, tmp_path / "out") == {"utterances": 2, "speakers": 1}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["spk2utt", "text", "utt2spk", "wav.scp"]
    taken = read_data_dir(tmp_path / "out", allow_pipes=True)
    assert taken.wav == {"s-1": f"{tmp_path}/a.wav", "s-2": f"touch {tmp_path}/ran; cat b.wav |"}
    assert taken.text == {"s-1": "ONE TWO", "s-2": "THREE"}
    assert not (tmp_path / "ran").exists()


def test_segments_have_lengths_but_no_audio_of_their_own(tmp_path: Path) -> None:
    segments = "s-1 rec 0.50 2.00\ns-2 rec 2.00 2.75\n"
    data = kaldi_data(tmp_path / "s5", wav_scp="rec rec.wav\n", segments=segments)
    with pytest.raises(DataError, match=r"segments: utterances that are parts of recordings.*cut them out"):
        read_data_dir(data)
    (tmp_path / "out").mkdir()
    import_data(data, tmp_path / "out")
    assert not (tmp_path / "out" / "wav.scp").exists()
    assert lines_of(tmp_path / "out" / "utt2dur") == ["s-1 1.5000", "s-2 0.7500"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"utt2spk": "s-1 s\n"}, "s-2 is in only one of text and utt2spk"),
        ({"wav_scp": "s-1 a.wav\n"}, r"s-2 is in only one of wav\.scp and utt2spk \(1 such\): utils/fix_data_dir"),
        ({"text": "s-1 ONE\ns-2\n"}, "s-2 has an empty transcript"),
        ({"utt2spk": ""}, "holds no utterances"),
        ({"utt2spk": "s s-1 s-2\n"}, "utt2spk: s: 's-1 s-2' can't be a speaker id, with spaces: is it spk2utt"),
        ({"utt2dur": "s-1 1\ns-2 inf\n"}, "utt2dur: s-2: 'inf' can't be"),
        ({"segments": "s-1 rec 0 x\n"}, "segments: s-1: '0 x' is no number of seconds"),
        ({"segments": "s-1 rec\n"}, "segments: s-1: .*is no number of seconds"),
    ],
)
def test_data_dirs_of_kaldis_that_do_not_fit(tmp_path: Path, files: dict[str, str], message: str) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises((DataError, MismatchError), match=message):
        import_data(kaldi_data(tmp_path / "s5", **files), tmp_path / "out")
