"""Archives of every codec: utterances and ranges of frames come back, and no flipped bit goes unseen."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from asrkd.core.errors import AsrkdError, DataError
from asrkd.core.files import read_json, write_json
from asrkd.targets import Records, build_codec
from asrkd.targets.archive import SoftTargetArchive, read_index, write_header, write_shard
from asrkd.targets.entry import Entry, table_bytes
from asrkd.targets.header import Header
from asrkd.targets.packed import Table
from tests.targets.indexes import layout

NUM_PDFS = 8
SHARDS = [{"b": 3, "a": 2}, {"c": 4}]
SECTIONS: list[dict[str, Any]] = [
    {"type": "dense", "precision": "float16"},
    {"type": "dense", "precision": "float32"},
    {"type": "kaldi_two_byte"},
    {"type": "topk", "k": 2},
    {"type": "nucleus", "p": 0.9, "cap": 5},
    {"type": "kaldi_posterior", "min_post": 0.1},
    {"type": "sampled", "draws": 12},
]
VARYING = SECTIONS[4:]


def written(folder: Path, section: dict[str, Any]) -> dict[str, Records]:
    """An archive in ``folder``, and the records that it holds."""
    folder.mkdir(exist_ok=True)
    codec = build_codec(section, NUM_PDFS, "codec")
    found: dict[str, Records] = {}
    index: dict[str, Entry] = {}
    for number, lengths in enumerate(SHARDS, 1):
        for utt_id, length in lengths.items():
            generator = torch.Generator().manual_seed(ord(utt_id))
            posteriors = torch.softmax(2 * torch.randn(length, NUM_PDFS, generator=generator), -1)
            found[utt_id] = codec.encode(posteriors, utt_id)
        index |= write_shard(folder, number, np.concatenate([found[utt_id] for utt_id in lengths]), lengths)
    prior = tuple(float(n) / 36 for n in range(1, NUM_PDFS + 1))
    write_header(folder, Header(2.0, section, "arithmetic", ("x",), NUM_PDFS, "tiny", "t" * 64, prior), index)
    return found


def name_of(section: dict[str, Any]) -> str:
    return "-".join(map(str, section.values()))


@pytest.fixture(params=SECTIONS, ids=name_of)
def section(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = request.param
    return found


def test_utterances_and_ranges_of_frames(tmp_path: Path, section: dict[str, Any]) -> None:
    expected = written(tmp_path, section)
    archive = SoftTargetArchive.open(tmp_path)
    for utt_id, records in expected.items():
        for start in range(len(records) + 1):
            for end in range(start, len(records) + 1):
                np.testing.assert_array_equal(archive.records(utt_id, start, end), records[start:end])
        dense = archive.posteriors(utt_id)
        np.testing.assert_array_equal(archive.posteriors(utt_id, 1, 2), dense[1:2])
        np.testing.assert_allclose(dense.sum(-1), 1, atol=1e-5)
    sizes = [path.stat().st_size - header_size(path) for path in tmp_path.glob("targets.*.npy")]
    assert sum(map(archive.num_bytes, expected)) == sum(sizes)
    table = Table([archive.packed(utt_id) for utt_id in expected])
    assert sum(table_bytes(entry, archive.codec.dtype) for entry in archive.entries.values()) == table.num_bytes


def header_size(path: Path) -> int:
    """Bytes of an .npy file before its values."""
    return 10 + int.from_bytes(path.read_bytes()[8:10], "little")


def test_a_tail_is_spread_by_the_prior_or_evenly(tmp_path: Path) -> None:
    records = written(tmp_path, {"type": "topk", "k": 6})["a"][0]
    unlisted = sorted(set(range(NUM_PDFS)) - set(records["ids"].tolist()))
    archive = SoftTargetArchive.open(tmp_path)
    by_prior, evenly = (archive.posteriors("a", spread=spread)[0][unlisted] for spread in ("prior", "uniform"))
    assert by_prior[1] / by_prior[0] == pytest.approx((unlisted[1] + 1) / (unlisted[0] + 1), rel=1e-5)
    assert evenly[1] == evenly[0]
    assert by_prior.sum() == pytest.approx(evenly.sum(), rel=1e-5) == pytest.approx(float(records["tail"]), rel=1e-2)


def flips(path: Path, start: int = 0, end: int | None = None, bits: int = 1) -> Iterator[int]:
    """Flip a bit of each byte in turn, or several in turn, yielding its place; the file is as it was afterwards."""
    content = path.read_bytes()
    for place in range(start, len(content) if end is None else end):
        for bit in range(place, place + bits):
            damaged = bytearray(content)
            damaged[place] ^= 1 << (bit % 8)
            path.write_bytes(damaged)
            yield place
    path.write_bytes(content)


def test_a_flipped_bit_is_named(tmp_path: Path, section: dict[str, Any]) -> None:
    """Its file and its utterance are; the other utterances are read all the same."""
    expected = written(tmp_path, section)
    for path in sorted(tmp_path.glob("targets.*.npy")):
        utterances = SHARDS[int(path.name.split(".")[1]) - 1]
        blamed = []
        for _ in flips(path, header_size(path)):
            archive = SoftTargetArchive.open(tmp_path)
            for utt_id in expected:
                try:
                    np.testing.assert_array_equal(archive.records(utt_id), expected[utt_id])
                except DataError as error:
                    blamed.append((utt_id, str(error)))
        assert all(f"{path}: {utt_id}: its bytes are not those that were written" in text for utt_id, text in blamed)
        assert len(blamed) == path.stat().st_size - header_size(path)
        assert list(dict.fromkeys(utt_id for utt_id, _ in blamed)) == list(utterances)


@pytest.mark.parametrize("section", [SECTIONS[3], SECTIONS[4]], ids=name_of)
def test_damage_to_headers_and_index_changes_nothing_unseen(tmp_path: Path, section: dict[str, Any]) -> None:
    """Any bit of them: what is read is what was written, or an error of one line that names the file."""
    expected = written(tmp_path, section)
    header = SoftTargetArchive.open(tmp_path).header
    for path in (*sorted(tmp_path.glob("targets.1.*npy")), tmp_path / "index", tmp_path / "header.json"):
        errors = []
        for _ in flips(path, end=header_size(path) if path.suffix == ".npy" else None, bits=8):
            try:
                archive = SoftTargetArchive.open(tmp_path)
                assert archive.header == header
                for utt_id, records in expected.items():
                    np.testing.assert_array_equal(archive.records(utt_id), records)
            except AsrkdError as error:
                errors.append(str(error))
        assert len(errors) > 100
        assert all(str(path) in error and "\n" not in error for error in errors)


def test_what_no_header_can_say_is_refused_where_it_has_no_checksum(tmp_path: Path) -> None:
    """As older versions wrote them, and as a hand may have."""
    written(tmp_path, SECTIONS[4])
    path = tmp_path / "header.json"
    sound = {name: value for name, value in read_json(path).items() if not name.endswith("checksum")}
    write_json(path, sound)
    assert SoftTargetArchive.open(tmp_path).header.temperature == 2.0
    for changes, told in (
        ({"temperature": 0.0}, "'temperature' can't be that"),
        ({"temperature": True}, "'temperature' can't be True"),
        ({"temperature": math.nan}, "'temperature' can't be that"),
        ({"num_pdfs": 7}, "'prior' can't be that"),
        ({"num_pdfs": True}, "'num_pdfs' can't be True"),
        ({"num_pdfs": 10**14}, "'prior' can't be that"),
        ({"prior": ["a"] * NUM_PDFS}, "'prior' can't be that"),
        ({"prior": [[1]] * NUM_PDFS}, "'prior' can't be that"),
        ({"combination": "x"}, "'combination' can't be that"),
        ({"teachers": []}, "'teachers' can't be that"),
        ({"teachers": [1]}, "'teachers' can't be that"),
    ):
        path.write_text(json.dumps({**sound, **changes}))
        with pytest.raises(DataError, match=rf"header\.json: {told}"):
            SoftTargetArchive.open(tmp_path)
    path.write_text("[" * 100_000)
    with pytest.raises(DataError, match=r"header\.json is not readable as JSON"):
        SoftTargetArchive.open(tmp_path)
    write_json(path, {**sound, "codec": {**SECTIONS[4], "cap": 1}})
    with pytest.raises(DataError, match="a frame lists more than its codec can"):
        SoftTargetArchive.open(tmp_path).packed("a")


def test_it_is_memory_mapped(tmp_path: Path, section: dict[str, Any]) -> None:
    """Nothing of a file is read but what is asked for."""
    written(tmp_path, section)
    packed = SoftTargetArchive.open(tmp_path).packed("a")
    for part in (packed.heads, packed.items):
        base: Any = part
        while base is not None and not isinstance(base, np.memmap):
            base = base.base
        assert part is None or base is not None


def test_a_range_of_frames_is_checked_too(tmp_path: Path) -> None:
    written(tmp_path, VARYING[0])
    path = tmp_path / "targets.2.items.npy"
    for _ in flips(path, path.stat().st_size - 1):
        with pytest.raises(DataError, match=r"targets\.2\.items\.npy: c: its bytes are not those"):
            SoftTargetArchive.open(tmp_path).packed("c", 0, 1)


@pytest.mark.parametrize("section", VARYING, ids=name_of)
def test_files_of_two_runs(tmp_path: Path, section: dict[str, Any]) -> None:
    written(tmp_path, section)
    shard = tmp_path / "targets.1.items.npy"
    content = np.load(shard)
    np.save(shard, content[:-1])
    with pytest.raises(DataError, match=r"items\.npy has .* items, the index places a at .* files of two runs mixed"):
        SoftTargetArchive.open(tmp_path).records("a")
    shard.unlink()
    with pytest.raises(DataError, match=r"targets\.1\.items\.npy: not readable"):
        SoftTargetArchive.open(tmp_path).records("a")
    header = SoftTargetArchive.open(tmp_path).header
    lengths = {utt_id: length for shard in SHARDS for utt_id, length in shard.items()}
    write_header(tmp_path, header, layout(lengths, SHARDS))
    with pytest.raises(DataError, match="index: a: does not say where its items lie"):
        SoftTargetArchive.open(tmp_path).records("a")


def test_lines_of_an_index(tmp_path: Path) -> None:
    written(tmp_path, VARYING[0])
    entries = read_index(tmp_path / "index")
    assert [entries[utt].items is not None for utt in "abc"] == [True] * 3
    for line in ("a 1 0 2 0123abcd 4", "a 1 0 2 123abcd", "a 1 0 2 0123abcd 0 4 x", "a 1 0 2 0123abcd 0 4 0123abcd 1"):
        (tmp_path / "index").write_text(line + "\n")
        with pytest.raises(DataError, match="expected `utt_id SHARD START FRAMES` and checksums"):
            read_index(tmp_path / "index")


def test_an_archive_without_checksums_is_read(tmp_path: Path) -> None:
    expected = written(tmp_path, SECTIONS[3])
    header = SoftTargetArchive.open(tmp_path).header
    write_header(tmp_path, header, layout({"b": 3, "a": 2, "c": 4}, SHARDS))
    np.testing.assert_array_equal(SoftTargetArchive.open(tmp_path).records("a"), expected["a"])


def test_the_same_posteriors_are_the_same_bytes(tmp_path: Path, section: dict[str, Any]) -> None:
    for name in ("one", "two"):
        written(tmp_path / name, section)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
