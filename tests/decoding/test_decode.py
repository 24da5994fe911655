"""Decoding a set: what is written, whatever the number of jobs, after a kill, and with utterances that fail."""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from asrkd.core.errors import DataError, MismatchError
from asrkd.core.files import read_json
from asrkd.decoding import decode as module
from asrkd.decoding.config import DecodeConfig
from asrkd.decoding.decode import choose_scale, decode, tune_scale
from asrkd.graph.graph import Graph
from tests.outputs import contents

CONFIG = DecodeConfig(acoustic_scale=1.0, acoustic_scales=(0.1, 1.0, 3.0))
UTT_IDS = [f"utt-{number:02d}" for number in range(45)]


def _log_likelihoods(utt_id: str) -> NDArray[np.float32]:
    rng = np.random.default_rng(int(utt_id.rpartition("-")[2]))
    return rng.normal(0, 3, (rng.integers(4, 20), 4)).astype(np.float32)


def _lines(path: Path) -> dict[str, str]:
    return dict((line + " ").split(" ", 1) for line in path.read_text().splitlines())


def test_what_is_written(word_loop: Graph, tmp_path: Path) -> None:
    summary = decode(CONFIG, word_loop, _log_likelihoods, UTT_IDS, tmp_path)
    assert sorted(contents(tmp_path)) == ["decode.json", "hyp.txt"]
    assert list(_lines(tmp_path / "hyp.txt")) == UTT_IDS
    assert read_json(tmp_path / "decode.json") == summary
    frames = sum(len(_log_likelihoods(utt_id)) for utt_id in UTT_IDS)
    assert summary["speech_seconds"] == pytest.approx(frames / 100)
    assert summary["rtf"] == pytest.approx(summary["seconds"] / summary["speech_seconds"], abs=2e-4)
    assert (summary["acoustic_scale"], summary["num_utterances"], summary["num_failed"]) == (1.0, 45, 0)


@pytest.mark.parametrize("options", [{"jobs": 2}, {"jobs": 2, "in_parent": True}, {"in_parent": True}])
def test_jobs_do_not_change_the_words(word_loop: Graph, tmp_path: Path, options: dict[str, int]) -> None:
    for name, how in (("one", {}), ("other", options)):
        (tmp_path / name).mkdir()
        decode(CONFIG, word_loop, _log_likelihoods, UTT_IDS, tmp_path / name, **how)  # type: ignore[arg-type]
    assert (tmp_path / "one" / "hyp.txt").read_bytes() == (tmp_path / "other" / "hyp.txt").read_bytes()


def test_in_parent_computes_here_and_else_in_workers(word_loop: Graph, tmp_path: Path) -> None:
    for in_parent in (True, False):
        work = tmp_path / str(in_parent)
        work.mkdir()

        def compute(utt_id: str, work: Path = work) -> NDArray[np.float32]:
            with open(work / "pids", "a") as file:
                file.write(f"{os.getpid()}\n")
            return _log_likelihoods(utt_id)

        decode(CONFIG, word_loop, compute, UTT_IDS, work, jobs=2, in_parent=in_parent)
        pids = {int(pid) for pid in (work / "pids").read_text().split()}
        assert (pids == {os.getpid()}) == in_parent
        assert in_parent or os.getpid() not in pids


def test_goes_on_where_it_was_cut_off(word_loop: Graph, tmp_path: Path) -> None:
    asked: list[str] = []

    def cut_off(utt_id: str) -> NDArray[np.float32]:
        asked.append(utt_id)
        if utt_id == "utt-30":
            raise KeyboardInterrupt
        return _log_likelihoods(utt_id)

    with pytest.raises(KeyboardInterrupt):
        decode(CONFIG, word_loop, cut_off, UTT_IDS, tmp_path)
    assert not (tmp_path / "hyp.txt").exists()
    first = len(asked)

    def counted(utt_id: str) -> NDArray[np.float32]:
        asked.append(utt_id)
        return _log_likelihoods(utt_id)

    decode(CONFIG, word_loop, counted, UTT_IDS, tmp_path)
    assert asked[first:] == UTT_IDS[module.SHARD_SIZE :]
    (tmp_path / "whole").mkdir()
    decode(CONFIG, word_loop, _log_likelihoods, UTT_IDS, tmp_path / "whole")
    assert (tmp_path / "hyp.txt").read_bytes() == (tmp_path / "whole" / "hyp.txt").read_bytes()


def test_leftovers_of_another_set_are_refused(word_loop: Graph, tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()

    def cut_off(utt_id: str) -> NDArray[np.float32]:
        if utt_id == "utt-30":
            raise KeyboardInterrupt
        return _log_likelihoods(utt_id)

    with pytest.raises(KeyboardInterrupt):
        decode(CONFIG, word_loop, cut_off, UTT_IDS, tmp_path)
    with pytest.raises(DataError, match="another set or other scales: remove the folder"):
        decode(CONFIG, word_loop, _log_likelihoods, UTT_IDS[1:], tmp_path)


def test_utterance_that_fails_is_empty_and_reported(
    word_loop: Graph, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def compute(utt_id: str) -> NDArray[np.float32]:
        return _log_likelihoods(utt_id)[: {"utt-03": 0, "utt-04": 1}.get(utt_id)]

    summary = decode(CONFIG, word_loop, compute, UTT_IDS, tmp_path)
    assert (summary["num_failed"], summary["failed"], summary["num_partial"]) == (1, ["utt-03"], 1)
    assert "\nutt-03\n" in (tmp_path / "hyp.txt").read_text()
    assert "1 of 45 utterances have no path in the graph" in capsys.readouterr().err


@pytest.mark.parametrize("jobs", [1, 2])
def test_error_names_the_utterance(word_loop: Graph, tmp_path: Path, jobs: int) -> None:
    def compute(utt_id: str) -> NDArray[np.float32]:
        if utt_id == "utt-07":
            raise DataError("log posteriors hold NaN at frame 2")
        return _log_likelihoods(utt_id)

    with pytest.raises(DataError, match=r"^utt-07: log posteriors hold NaN at frame 2$"):
        decode(CONFIG, word_loop, compute, UTT_IDS, tmp_path, jobs=jobs)


def test_other_number_of_pdfs(word_loop: Graph, tmp_path: Path) -> None:
    with pytest.raises(MismatchError, match=r"utt-00: .*4 pdfs"):
        decode(CONFIG, word_loop, lambda _: np.zeros((3, 5), np.float32), UTT_IDS, tmp_path)


def test_nothing_to_decode(word_loop: Graph, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no utterances to decode"):
        decode(CONFIG, word_loop, _log_likelihoods, [], tmp_path)


def test_tuning_takes_the_scale_with_fewest_errors(word_loop: Graph, tmp_path: Path) -> None:
    """The references are what scale 3 gives, so it has no errors."""
    asked: list[str] = []

    def counted(utt_id: str) -> NDArray[np.float32]:
        asked.append(utt_id)
        return _log_likelihoods(utt_id)

    (tmp_path / "at3").mkdir()
    decode(CONFIG, word_loop, _log_likelihoods, UTT_IDS, tmp_path / "at3", acoustic_scale=3.0)
    references = _lines(tmp_path / "at3" / "hyp.txt")

    def count(hypotheses: Mapping[str, str]) -> tuple[int, int]:
        assert list(hypotheses) == UTT_IDS
        return sum(hypotheses[utt_id] != references[utt_id].strip() for utt_id in UTT_IDS), 100

    (tmp_path / "tuned").mkdir()
    summary = tune_scale(CONFIG, word_loop, counted, UTT_IDS, tmp_path / "tuned", count_errors=count)
    assert asked == UTT_IDS  # once for all scales
    assert (summary["acoustic_scale"], summary["errors"], summary["at_edge"]) == (3.0, 0, True)
    assert sorted(contents(tmp_path / "tuned")) == [
        *("decode.json", "hyp.0.1.txt", "hyp.1.txt", "hyp.3.txt", "hyp.txt", "scales.json")
    ]
    assert (tmp_path / "tuned" / "hyp.txt").read_text() == (tmp_path / "at3" / "hyp.txt").read_text()
    assert (tmp_path / "tuned" / "hyp.3.txt").read_text() == (tmp_path / "at3" / "hyp.txt").read_text()
    table = read_json(tmp_path / "tuned" / "scales.json")
    assert [row["acoustic_scale"] for row in table["tried"]] == [0.1, 1.0, 3.0]
    assert table["tried"][0]["wer"] == table["tried"][0]["errors"] / 100 > 0
    assert read_json(tmp_path / "tuned" / "decode.json")["acoustic_scale"] == 3.0


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ([5, 4, 3, 4, 5], 0.1),
        ([5, 3, 4, 3, 5], 0.05),  # both are a factor of 2 from the middle: the smaller
        ([3, 3, 4, 5, 5], 0.05),
        ([3, 3, 3, 3, 3], 0.1),
        ([5, 5, 5, 5, 4], 0.4),
    ],
)
def test_ties_go_to_the_middle(errors: list[int], expected: float) -> None:
    assert choose_scale([0.025, 0.05, 0.1, 0.2, 0.4], errors) == expected
