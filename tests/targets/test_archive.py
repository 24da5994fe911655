"""Soft-target archives: random access, and no use under another temperature or tree."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from asrkd.core.errors import ConfigError, DataError, MismatchError
from asrkd.targets import Records, build_codec
from asrkd.targets.archive import SoftTargetArchive, read_index, write_header, write_shard
from asrkd.targets.header import Header
from tests.targets.indexes import layout

HEADER = Header(2.0, {"type": "topk", "k": 2}, "arithmetic", ("teacher",), 4, "tiny", "t" * 64, (0.25,) * 4)
LENGTHS = {"b": 3, "a": 2, "c": 4}
SHARDS = [["b", "a"], ["c"]]


def records_of(frames: int, seed: int) -> Records:
    posteriors = torch.softmax(torch.randn(frames, 4, generator=torch.Generator().manual_seed(seed)), -1)
    return build_codec(HEADER.codec, 4, "codec").encode(posteriors)


FIRST, SECOND = records_of(5, 0), records_of(4, 1)


@pytest.fixture
def archive(tmp_path: Path) -> SoftTargetArchive:
    write_shard(tmp_path, 1, FIRST)
    write_shard(tmp_path, 2, SECOND)
    write_header(tmp_path, HEADER, layout(LENGTHS, SHARDS))
    return SoftTargetArchive.open(tmp_path)


def test_random_access(archive: SoftTargetArchive) -> None:
    assert archive.header == HEADER
    assert archive.num_frames == dict(sorted(LENGTHS.items()))
    np.testing.assert_array_equal(archive.records("c"), SECOND)
    np.testing.assert_array_equal(archive.records("b"), FIRST[:3])
    np.testing.assert_array_equal(archive.records("a"), FIRST[3:])
    np.testing.assert_array_equal(archive.records("c", 1, 3), SECOND[1:3])
    assert archive.records("c", 4).shape == (0,)
    posteriors = archive.posteriors("a")
    assert posteriors.shape == (2, 4)
    np.testing.assert_allclose(posteriors.sum(-1), 1, atol=1e-6)


@pytest.mark.parametrize(("start", "end"), [(-1, 2), (2, 1), (0, 5)])
def test_frames_that_are_not_there(archive: SoftTargetArchive, start: int, end: int) -> None:
    with pytest.raises(DataError, match=f"c has 4 frames; {start} to {end} were asked for"):
        archive.records("c", start, end)


def test_missing_utterance(archive: SoftTargetArchive) -> None:
    with pytest.raises(MismatchError, match="has no soft targets for d: were they dumped from other features"):
        archive.records("d")


def test_other_temperature_or_tree(archive: SoftTargetArchive) -> None:
    archive.check(2.0, "t" * 64)
    archive.check(None)
    with pytest.raises(MismatchError, match="posteriors at temperature 2, the loss has 5: dump them again at 5"):
        archive.check(5.0)
    with pytest.raises(MismatchError, match=r"tied states tttttttttttt, the alignment of x+: was the tree built again"):
        archive.check(2.0, "x" * 64)


def test_shard_cut_at_any_length(archive: SoftTargetArchive) -> None:
    path = archive.path / "targets.1.npy"
    content = path.read_bytes()
    for size in [*range(0, len(content), 7), len(content) - 1]:
        path.write_bytes(content[:size])
        with pytest.raises(DataError, match=r"targets\.1\.npy") as error:
            SoftTargetArchive.open(archive.path).records("a")
        assert "\n" not in str(error.value)
    path.unlink()
    with pytest.raises(DataError, match=r"targets\.1\.npy"):
        SoftTargetArchive.open(archive.path).records("a")


def test_shards_and_index_of_two_runs(archive: SoftTargetArchive) -> None:
    write_shard(archive.path, 1, FIRST[:4])
    with pytest.raises(DataError, match="has 4 frames, the index places a at 3 to 5: were files of two runs mixed"):
        SoftTargetArchive.open(archive.path).records("a")
    write_header(archive.path, replace(HEADER, codec={"type": "dense"}), layout(LENGTHS, SHARDS))
    with pytest.raises(DataError, match="its header says"):
        SoftTargetArchive.open(archive.path).records("a")


def test_pickles_are_not_read(archive: SoftTargetArchive) -> None:
    np.save(archive.path / "targets.1.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="not readable"):
        SoftTargetArchive.open(archive.path).records("a")


def test_missing_or_malformed_description(archive: SoftTargetArchive) -> None:
    path = archive.path
    for line in ("a 1 2", "a 1 2 x", "a 1 2 3 4", "a 1 -2 2", "a 1 0 -2"):
        (path / "index").write_text(line + "\n")
        with pytest.raises(DataError, match="expected `utt_id SHARD START FRAMES`"):
            read_index(path / "index")
    (path / "header.json").write_text("{}")
    with pytest.raises(DataError, match="written by another version"):
        SoftTargetArchive.open(path)
    (path / "header.json").unlink()
    with pytest.raises(DataError, match=r"header\.json is missing"):
        SoftTargetArchive.open(path)
    write_header(path, replace(HEADER, codec={"type": "zip"}), {})
    with pytest.raises(ConfigError, match="unknown type 'zip'"):
        _ = SoftTargetArchive.open(path).codec


def test_the_same_archive_has_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_shard(tmp_path / name, 1, FIRST)
        write_header(tmp_path / name, HEADER, layout(LENGTHS, SHARDS))
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
