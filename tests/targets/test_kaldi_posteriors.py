"""Soft targets as Kaldi's posteriors: frozen bytes, round trips through an independent reader, the tail."""

import struct
from pathlib import Path

import kaldi_native_io
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asrkd.cli import main
from asrkd.core.archive import read_scp
from asrkd.core.errors import DataError
from asrkd.targets import build_codec
from asrkd.targets.archive import SoftTargetArchive, Spread, write_header, write_shard
from asrkd.targets.header import Header
from asrkd.targets.kaldi_posteriors import export_posteriors, posterior_bytes
from tests.targets.indexes import layout

Posterior = list[list[tuple[int, float]]]


def parsed(data: bytes) -> tuple[Posterior, int]:
    """One entry, number by number as Kaldi reads it, and the bytes that it took."""
    place = 2

    def number(form: str) -> float:
        nonlocal place
        assert data[place] == 4
        place += 5
        value: float = struct.unpack(form, data[place - 4 : place])[0]
        return value

    assert data[:2] == b"\0B"
    frames = [[(int(number("<i")), number("<f")) for _ in range(int(number("<i")))] for _ in range(int(number("<i")))]
    return frames, place


def test_bytes_are_those_that_kaldi_writes() -> None:
    data = posterior_bytes(np.array([[7, 2], [1, 0]]), np.array([[0.5, 0.25], [1.0, 0.0]]))
    expected = b"\0B" + struct.pack("<BiBi", 4, 2, 4, 2) + struct.pack("<BiBfBiBf", 4, 7, 4, 0.5, 4, 2, 4, 0.25)
    assert data == expected + struct.pack("<BiBiBf", 4, 1, 4, 1, 4, 1.0)


@given(st.integers(0, 6), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_what_is_written_is_read(frames: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, 9000, (frames, k))
    weights = np.where(rng.random((frames, k)) < 0.7, rng.random((frames, k)), 0).astype(np.float32)
    data = posterior_bytes(ids, weights)
    found, length = parsed(data)
    assert length == len(data)
    assert found == [
        [(int(i), float(w)) for i, w in zip(row, of, strict=True) if w > 0]
        for row, of in zip(ids, weights, strict=True)
    ]


@pytest.fixture(params=[{"type": "topk", "k": 2}, {"type": "dense"}], ids=["topk", "dense"])
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> SoftTargetArchive:
    header = Header(2.0, request.param, "arithmetic", ("teacher",), 4, "tiny", "t" * 64, (0.25,) * 4)
    posteriors = torch.softmax(torch.randn(9, 4, generator=torch.Generator().manual_seed(0)), -1)
    folder = tmp_path / "soft"
    folder.mkdir()
    write_shard(folder, 1, build_codec(header.codec, 4, "codec").encode(posteriors))
    write_header(folder, header, layout({"b": 4, "a": 5}, [["b", "a"]]))
    return SoftTargetArchive.open(folder)


def exported(archive: SoftTargetArchive, tmp_path: Path, renormalise: bool) -> dict[str, Posterior]:
    work, output = tmp_path / "post.partial", tmp_path / "post"
    work.mkdir()
    export_posteriors(archive.path, work, output, renormalise)
    work.rename(output)
    found = {}
    for utt_id, entry in read_scp(output / "post.scp").items():
        path, _, offset = entry.rpartition(":")
        assert Path(path).is_absolute()
        found[utt_id] = parsed(Path(path).read_bytes()[int(offset) :])[0]
    return found


@pytest.mark.parametrize("renormalise", [False, True])
def test_weights_are_the_stored_posteriors(archive: SoftTargetArchive, tmp_path: Path, renormalise: bool) -> None:
    found = exported(archive, tmp_path, renormalise)
    assert list(found) == ["a", "b"]
    for utt_id, frames in found.items():
        dense = archive.posteriors(utt_id)
        assert len(frames) == len(dense)
        for row, frame in zip(dense, frames, strict=True):
            total = sum(weight for _, weight in frame)
            whole = archive.header.codec["type"] == "dense" or renormalise
            assert total == pytest.approx(1.0, abs=1e-3) if whole else total < 1
            for pdf, weight in frame:
                assert weight == pytest.approx(
                    row[pdf] / (row[[p for p, _ in frame]].sum() if renormalise else 1), rel=1e-3
                )


@pytest.mark.parametrize(
    "codec", [{"type": "nucleus", "p": 0.8, "cap": 3}, {"type": "sampled", "draws": 6}], ids=["nucleus", "sampled"]
)
def test_records_of_varying_length_export_what_they_list(tmp_path: Path, codec: dict[str, object]) -> None:
    posteriors = torch.softmax(2 * torch.randn(9, 4, generator=torch.Generator().manual_seed(0)), -1)
    folder = tmp_path / "soft"
    folder.mkdir()
    records = build_codec(codec, 4, "codec").encode(posteriors)
    index = write_shard(folder, 1, records, {"b": 4, "a": 5})
    write_header(folder, Header(2.0, codec, "arithmetic", ("teacher",), 4, "tiny", "t" * 64, (0.25,) * 4), index)
    archive = SoftTargetArchive.open(folder)
    found = exported(archive, tmp_path, renormalise=False)
    if codec["type"] == "nucleus":
        assert [len(frame) for frame in found["b"] + found["a"]] == records["count"].tolist()
    for utt_id, frames in found.items():
        assert [len(frame) for frame in frames] == [len({pdf for pdf, _ in frame}) for frame in frames]
        for row, frame in zip(archive.posteriors(utt_id), frames, strict=True):
            for pdf, weight in frame:
                assert weight == pytest.approx(row[pdf], rel=1e-5)


def test_the_wheel_reads_it(archive: SoftTargetArchive, tmp_path: Path) -> None:
    found = exported(archive, tmp_path, renormalise=False)
    with kaldi_native_io.SequentialPosteriorReader(f"scp:{tmp_path / 'post' / 'post.scp'}") as reader:
        read = {utt_id: [[(pdf, weight) for pdf, weight in frame] for frame in value] for utt_id, value in reader}
    assert read == found


def test_through_the_command_line(archive: SoftTargetArchive, tmp_path: Path) -> None:
    command = ["export-posteriors", str(archive.path)]
    assert main([*command, "--renormalise", str(tmp_path / "out")]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["post.1.ark", "post.scp", "stage.json"]
    assert main(["export-posteriors", str(tmp_path / "nowhere"), str(tmp_path / "none")]) == 1


@pytest.mark.parametrize("spread", ["prior", "uniform"])
def test_matrices_of_all_pdfs(archive: SoftTargetArchive, tmp_path: Path, spread: Spread) -> None:
    """As Kaldi's own code reads them; what was put together is spread as it was asked for."""
    assert main(["export-posteriors", "--dense", spread, str(archive.path), str(tmp_path / "out")]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["stage.json", "targets.1.ark", "targets.scp"]
    with kaldi_native_io.SequentialFloatMatrixReader(f"scp:{tmp_path / 'out' / 'targets.scp'}") as reader:
        read = {utt_id: np.array(matrix) for utt_id, matrix in reader}
    assert sorted(read) == ["a", "b"]
    for utt_id, matrix in read.items():
        np.testing.assert_array_equal(matrix, archive.posteriors(utt_id, spread=spread))
        np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-5)
    both = ["export-posteriors", "--dense", spread, "--renormalise", str(archive.path), str(tmp_path / "both")]
    assert main(both) == 1


@pytest.mark.parametrize(("field", "value"), [("probs", np.nan), ("probs", -0.5), ("ids", 7), ("ids", -1)])
def test_damage_is_not_handed_on(archive: SoftTargetArchive, tmp_path: Path, field: str, value: float) -> None:
    path = archive.path / "targets.1.npy"
    records = np.load(path)
    if field not in records.dtype.names:
        pytest.skip("a dense archive has no ids")
    records[field][5, 1] = value  # frame 1 of utterance a
    np.save(path, records)
    with pytest.raises(DataError, match="soft: a: a posterior that can't be at frame 1: is a shard damaged"):
        exported(archive, tmp_path, renormalise=False)


def test_an_index_cut_to_nothing(archive: SoftTargetArchive, tmp_path: Path) -> None:
    (archive.path / "index").write_text("")
    with pytest.raises(DataError, match="index: not what was written"):
        export_posteriors(archive.path, tmp_path, tmp_path / "post")
    write_header(archive.path, archive.header, {})
    with pytest.raises(DataError, match="index: holds no utterances: was it cut short"):
        export_posteriors(archive.path, tmp_path, tmp_path / "post")
