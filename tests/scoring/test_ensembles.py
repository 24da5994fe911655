"""The growing ensemble's rows, from scores on disk."""

from pathlib import Path
from typing import Any

import pytest

from asrkd.core.files import write_json
from asrkd.scoring.ensembles import combinations, combined_names, growing, growing_names
from asrkd.scoring.significance import PairedBootstrap
from asrkd.scoring.systems import METRICS

TEACHERS = ["teacher.1", "teacher.2", "teacher.3"]


def score(correct: int) -> dict[str, Any]:
    return {"frame_accuracy": correct / 20, "wer": (20 - correct) / 20, "cross_entropy": 2.0 - correct / 20}


def bootstrap(counts: dict[str, int]) -> PairedBootstrap:
    by_utterance = {name: {"a": count - count // 2, "b": count // 2} for name, count in counts.items()}
    return PairedBootstrap(by_utterance, {"a": 10, "b": 10}, num_resamples=200)


def test_names_are_complete_or_none(tmp_path: Path) -> None:
    for name in (*TEACHERS, "ensemble"):
        (tmp_path / "eval" / name).mkdir(parents=True)
    assert growing_names(tmp_path, TEACHERS) == []
    assert growing_names(tmp_path, TEACHERS[:2]) == ["teacher.1", "ensemble"]
    assert growing_names(tmp_path, TEACHERS[:1]) == []
    (tmp_path / "eval" / "ensemble.2").mkdir()
    assert growing_names(tmp_path, TEACHERS) == ["teacher.1", "ensemble.2", "ensemble"]
    assert combined_names(tmp_path) == []
    (tmp_path / "eval" / "combined.geometric").mkdir()
    assert combined_names(tmp_path) == ["ensemble", "combined.geometric"]


def test_rows_by_hand() -> None:
    counts = {"teacher.1": 10, "ensemble.2": 13, "ensemble": 14}
    scores = {
        kind: {where: {n: score(c) for n, c in counts.items()} for where in ("dev", "test")}
        for kind in ("frames", "words")
    }
    errors = {name: 20 - count for name, count in counts.items()}
    rows = growing(list(counts), METRICS, scores, {"frames": bootstrap(counts), "words": bootstrap(errors)})
    assert [row["teachers"] for row in rows] == [1, 2, 3]
    assert [row["frame_accuracy"]["test"] for row in rows] == [0.5, 0.65, 0.7]
    assert [row["wer"]["dev"] for row in rows] == [0.5, 0.35, 0.3]
    assert "gain" not in rows[0]
    assert rows[1]["gain"]["difference"] == pytest.approx(0.15)
    assert rows[2]["gain"]["difference"] == pytest.approx(0.05)
    for row in rows:
        for metric in METRICS:
            assert row[metric]["low"] <= row[metric]["test"] <= row[metric]["high"]


def test_weights_stand_beside_what_they_give(tmp_path: Path) -> None:
    counts = {"ensemble": 14, "combined.arithmetic_learnt": 15}
    (tmp_path / "weights" / "arithmetic").mkdir(parents=True)
    write_json(tmp_path / "weights" / "arithmetic" / "weights.json", {"weights": [0.4, 0.6]})
    frames = {where: {name: score(count) for name, count in counts.items()} for where in ("dev", "test")}
    rows = combinations(tmp_path, list(counts), frames, bootstrap(counts))
    assert [row.get("weights") for row in rows] == [None, [0.4, 0.6]]
    assert [row["combination"] for row in rows] == ["arithmetic", "arithmetic"]
    assert rows[1]["cross_entropy"] == {"dev": 1.25, "test": 1.25}
    assert rows[1]["frame_accuracy"]["test"] == 0.75
    assert rows[1]["gain"]["difference"] == pytest.approx(0.05)
    assert "gain" not in rows[0]
