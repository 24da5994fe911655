"""Kaldi's features, used where they lie: values, normalisation, lengths, and what is refused."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from asrkd.core.archive import ArchiveWriter, join_indices, read_scp
from asrkd.core.errors import DataError, MismatchError
from asrkd.features.kaldi import ImportFeaturesConfig, import_features, read_frame_shift
from asrkd.features.store import FeatureDir, accumulate_cmvn

RNG = np.random.default_rng(1)
MATRICES = {
    f"{speaker}-{n}": (RNG.normal(size=(60 + 10 * n, 3)) * [1, 4, 0.3] + n).astype(np.float32)
    for speaker in ("s1", "s2")
    for n in range(3)
}
Matrices = Mapping[str, NDArray[np.float32]]


def write_features(folder: Path, matrices: Matrices, compression: int | None = None) -> None:
    """What steps/make_mfcc.sh and compute_cmvn_stats.sh leave: a data dir whose scp files name archives elsewhere."""
    archives, data = folder / "mfcc", folder / "data" / "train"
    for made in (archives, data):
        made.mkdir(parents=True, exist_ok=True)
    speakers = sorted({utt[:2] for utt in matrices})
    with ArchiveWriter(archives / "raw_mfcc.1.ark", compression) as writer:
        for utt, matrix in matrices.items():
            writer.write(utt, matrix)
    with ArchiveWriter(archives / "cmvn.ark") as writer:
        for speaker in speakers:
            writer.write(speaker, sum(accumulate_cmvn(m) for utt, m in matrices.items() if utt.startswith(speaker)))  # type: ignore[arg-type]
    for name, ark in (("feats", "raw_mfcc.1"), ("cmvn", "cmvn")):
        join_indices(archives / f"{ark}.scp", [archives / f"{ark}.ark"])
        entries = read_scp(archives / f"{ark}.scp")
        (data / f"{name}.scp").write_text("".join(f"{key} {archives}/{entry}\n" for key, entry in entries.items()))
    (data / "utt2spk").write_text("".join(f"{utt} {utt[:2]}\n" for utt in sorted(matrices)))
    (data / "utt2dur").write_text("".join(f"{utt} {len(m) / 100 + 0.015:.3f}\n" for utt, m in sorted(matrices.items())))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_features(tmp_path, MATRICES)
    return tmp_path / "data" / "train"


def imported(data: Path, work: Path, **options: object) -> FeatureDir:
    work.mkdir()
    import_features(ImportFeaturesConfig(**options), data, work)  # type: ignore[arg-type]
    return FeatureDir.open(work)


@pytest.mark.parametrize("norm_vars", [False, True])
def test_values_are_kaldis_normalised_by_its_statistics(data: Path, tmp_path: Path, norm_vars: bool) -> None:
    features = imported(data, tmp_path / "out", norm_vars=norm_vars)
    assert features.utt_ids == sorted(MATRICES)
    assert features.num_frames == {utt: len(MATRICES[utt]) for utt in sorted(MATRICES)}
    assert features.dim == 3
    for speaker in ("s1", "s2"):
        frames = np.concatenate([matrix for utt, matrix in MATRICES.items() if utt.startswith(speaker)])
        offset, scale = frames.mean(0), 1 / frames.std(0) if norm_vars else np.ones(3)
        np.testing.assert_allclose(
            features.load(f"{speaker}-1"), (MATRICES[f"{speaker}-1"] - offset) * scale, atol=2e-3
        )
    assert not list((tmp_path / "out").glob("feats*.ark"))


@pytest.mark.parametrize("compression", [2, 3, 5])
def test_compressed_archives_are_read_as_they_are(tmp_path: Path, compression: int) -> None:
    write_features(tmp_path, MATRICES, compression)
    features = imported(tmp_path / "data" / "train", tmp_path / "out", norm_vars=False)
    plain = MATRICES["s1-0"] - np.concatenate([MATRICES[f"s1-{n}"] for n in range(3)]).mean(0)
    np.testing.assert_allclose(features.load("s1-0"), plain, atol=0.2)


def test_relative_paths_are_from_where_kaldis_scripts_ran(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (data / "feats.scp").read_text()
    (data / "feats.scp").write_text(text.replace(f"{tmp_path}/mfcc", "mfcc"))
    with pytest.raises(DataError, match="run it where Kaldi's scripts ran"):
        imported(data, tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path)
    features = imported(data, tmp_path / "out")
    monkeypatch.chdir("/")
    assert features.load("s2-2").shape == (80, 3)


def test_statistics_are_computed_where_there_are_none(data: Path, tmp_path: Path) -> None:
    with_stats = imported(data, tmp_path / "with")
    (data / "cmvn.scp").unlink()
    without = imported(data, tmp_path / "without")
    for utt in MATRICES:
        np.testing.assert_array_equal(with_stats.load(utt), without.load(utt))


def test_identity_says_what_is_alike(data: Path, tmp_path: Path) -> None:
    first, second = imported(data, tmp_path / "1"), imported(data, tmp_path / "2")
    first.check_same_front_end(second)
    others = imported(data, tmp_path / "3", front_end="plp"), imported(data, tmp_path / "4", norm_vars=False)
    for other in others:
        with pytest.raises(MismatchError, match="different front ends"):
            first.check_same_front_end(other)


def test_commands_run_only_where_they_are_allowed(data: Path, tmp_path: Path) -> None:
    lines = (data / "feats.scp").read_text().splitlines()
    place = lines[0].split()[1].rpartition(":")
    command = f"tail -c +{int(place[2]) + 1} {place[0]} |"
    (data / "feats.scp").write_text("\n".join([f"{lines[0].split()[0]} {command}", *lines[1:], ""]))
    with pytest.raises(DataError, match=r"feats\.scp:1: s1-0 is a command .*--allow-pipes"):
        imported(data, tmp_path / "refused")
    (tmp_path / "out").mkdir()
    import_features(ImportFeaturesConfig(norm_vars=False), data, tmp_path / "out", allow_pipes=True)
    features = FeatureDir.open(tmp_path / "out")
    shutil.rmtree(tmp_path / "mfcc")  # what commands gave is kept
    frames = np.concatenate([matrix for utt, matrix in MATRICES.items() if utt.startswith("s1")])
    np.testing.assert_allclose(features.load("s1-0"), MATRICES["s1-0"] - frames.mean(0), atol=1e-5)


def test_ranges_of_rows_and_columns(data: Path, tmp_path: Path) -> None:
    """Segments, as utils/data/subsegment_data_dir.sh leaves them; up to three rows beyond the end are passed over."""
    lines = [line.split() for line in (data / "feats.scp").read_text().splitlines()]
    ends = {"a": "[0:19,0:1]", "b": "[20:62,0:1]"}  # of 60 rows
    (data / "feats.scp").write_text("".join(f"{u}-{n} {at}{ends[n]}\n" for u, at in lines for n in ends if u == "s1-0"))
    (data / "utt2spk").write_text("s1-0-a s1\ns1-0-b s1\n")
    (data / "segments").write_text("s1-0-a rec 0.00 0.215\ns1-0-b rec 0.20 -1\n")
    (data / "wav.scp").write_text("rec rec.wav\n")
    for name in ("utt2dur", "cmvn.scp"):
        (data / name).unlink()
    features = imported(data, tmp_path / "out", norm_vars=False)
    whole = MATRICES["s1-0"][:, :2]
    assert features.num_frames == {"s1-0-a": 20, "s1-0-b": 40}
    np.testing.assert_allclose(features.load("s1-0-a"), whole[:20] - whole.mean(0), atol=1e-5)
    np.testing.assert_allclose(features.load("s1-0-b"), whole[20:] - whole.mean(0), atol=1e-5)
    (data / "segments").write_text("s1-0-a rec 0.00 0.615\ns1-0-b rec 0.20 0.615\n")
    with pytest.raises(MismatchError, match=r"s1-0-a has 20 frames of 10 ms for 0\.615 s of audio"):
        imported(data, tmp_path / "other")


def test_frame_shift_is_checked_against_the_audio(data: Path, tmp_path: Path) -> None:
    assert read_frame_shift(data) == 0.01
    (data / "frame_shift").write_text("0.0125\n")
    with pytest.raises(MismatchError, match=r"s1-0 has 60 frames of 12\.5 ms for 0\.615 s of audio"):
        imported(data, tmp_path / "out")
    for text in ("10\n", "fast\n", "\n"):
        (data / "frame_shift").write_text(text)
        with pytest.raises(DataError, match="is it in seconds"):
            read_frame_shift(data)


def test_lengths_are_taken_from_audio_where_there_is_no_utt2dur(data: Path, tmp_path: Path) -> None:
    (data / "utt2dur").unlink()
    lines = []
    for utt, matrix in sorted(MATRICES.items()):
        soundfile.write(tmp_path / f"{utt}.wav", np.zeros(160 * len(matrix) + 240), 16_000)
        lines.append(f"{utt} {tmp_path}/{utt}.wav\n")
    (tmp_path / "headerless.raw").write_bytes(bytes(100))
    others = [f"s2-1 {tmp_path}/headerless.raw\n", "s2-2 exit 1 |\n"]
    (data / "wav.scp").write_text("".join([*lines[:-2], *others]))
    imported(data, tmp_path / "out")
    soundfile.write(tmp_path / "s1-1.wav", np.zeros(32_000), 16_000)
    with pytest.raises(MismatchError, match=r"s1-1 has 70 frames of 10 ms for 2 s of audio"):
        imported(data, tmp_path / "other")


def in_scp(data: Path, old: str, new: str) -> None:
    (data / "feats.scp").write_text((data / "feats.scp").read_text().replace(old, new))


def _lengths(data: Path) -> None:
    (data / "utt2num_frames").write_text("s1-1 71\n")


def _utt2spk(data: Path) -> None:
    (data / "utt2spk").write_text((data / "utt2spk").read_text() + "s3-1 s3\n")


def _statistics(data: Path) -> None:
    with ArchiveWriter(data / "cmvn.ark") as writer:
        for speaker in ("s1", "s2"):
            writer.write(speaker, np.ones((2, 14)))
    (data / "cmvn.scp").write_text((data / "cmvn.scp").read_text().replace(str(data.parents[1] / "mfcc"), str(data)))


def _negative(data: Path) -> None:
    with ArchiveWriter(data / "cmvn.ark") as writer:
        for speaker in ("s1", "s2"):
            writer.write(speaker, np.stack([np.ones(4), -np.ones(4)]))
    (data / "cmvn.scp").write_text((data / "cmvn.scp").read_text().replace(str(data.parents[1] / "mfcc"), str(data)))


def _cut_archive(data: Path) -> None:
    ark = data.parents[1] / "mfcc" / "raw_mfcc.1.ark"
    ark.write_bytes(ark.read_bytes()[:-100])


def _mixed(data: Path) -> None:
    write_features(data.parents[1], {utt: m[:, : 4 - int(utt[1])] for utt, m in MATRICES.items()})


def _speaker(data: Path) -> None:
    (data / "utt2spk").write_text((data / "utt2spk").read_text().replace("s2-2 s2", "s2-2 s9"))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_lengths, "s1-1 has 70 frames, utt2num_frames says 71"),
        (_utt2spk, r"s3-1 is in only one of feats\.scp and utt2spk \(1 such\)"),
        (_statistics, r"cmvn\.scp: s1 has statistics of shape \(2, 14\), features of 3 dimensions need \(2, 4\)"),
        (_cut_archive, "s2-2: .*is not readable"),
        (_mixed, r"s2-0 has shape \(60, 2\), s1-0 has 3 dimensions"),
        (_speaker, r"cmvn\.scp: no statistics of speaker s9, whom utt2spk has \(1 such\): are they another data dir's"),
        (_negative, r"cmvn\.scp: s1: CMVN statistics with negative sums of squares: is the archive damaged"),
        (
            lambda data: (data / "utt2spk").write_text("s1 s1-0 s1-1\n"),
            "utt2spk: s1: 's1-0 s1-1' can't be a speaker id, with spaces: is it spk2utt",
        ),
        (lambda data: (data / "utt2dur").write_text("s1-0 inf\n"), "utt2dur: s1-0: 'inf' can't be: more than 0"),
        (lambda data: in_scp(data, "raw_mfcc.1.ark:", ":"), r"s1-0: its archive .* is no file with an archive"),
        (lambda data: in_scp(data, "ark:", "ark:9999"), r"s1-0: .*\(its offset is beyond the end\)"),
        (lambda data: (data / "feats.scp").unlink(), r"feats\.scp is missing"),
        (lambda data: (data / "feats.scp").write_text("s1-0\n"), "expected `id value`"),
        (lambda data: (data / "utt2dur").write_text("s1-0 long\n"), "utt2dur: s1-0: .*is no number of seconds"),
        (lambda data: in_scp(data, "\n", "[0:99]\n"), r"s1-0: .*\[0:99\] of 60 x 3: beyond its end"),
        (lambda data: in_scp(data, "\n", "[0:9,0:3]\n"), r"s1-0: .*\[0:9,0:3\] of 60 x 3: beyond its end"),
        (lambda data: in_scp(data, "\n", "[7]\n"), r"s1-0: .*\[7\] is no range"),
        (lambda data: in_scp(data, "raw_mfcc.1", "raw_mfcc.9"), r"s1-0: its archive .*raw_mfcc\.9\.ark is missing"),
    ],
)
def test_what_does_not_fit_is_named(data: Path, tmp_path: Path, spoil: Callable[[Path], object], message: str) -> None:
    spoil(data)
    with pytest.raises((DataError, MismatchError), match=message):
        imported(data, tmp_path / "out")
    assert not (tmp_path / "out" / "features.json").exists()
