"""Predictions on disk: a round trip, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from asrkd.core.errors import DataError
from asrkd.scoring.predictions import NAME, predictions, read_predictions, write_predictions


def test_round_trip_in_four_bytes_a_frame(tmp_path: Path) -> None:
    written = {
        "v": predictions(np.array([3, 65_535]), np.array([0.5, 1.0]), 1 << 16),
        "u": predictions(np.array([7]), np.array([0.25]), 1 << 16),
    }
    write_predictions(tmp_path, written)
    read = read_predictions(tmp_path, {"v": 2, "u": 1}, 1 << 16)
    assert {utt: rows.tolist() for utt, rows in read.items()} == {"u": [(7, 0.25)], "v": [(3, 0.5), (65_535, 1.0)]}
    assert read["u"].itemsize == 4
    assert predictions(np.array([70_000]), np.array([0.5]), 70_001)["pdf"].tolist() == [70_000]


@pytest.mark.parametrize(
    ("frames", "num_pdfs", "message"),
    [({"u": 3}, 10, "has 2 frames, frames.json 3"), ({"u": 2}, 7, "pdf 7 is predicted, there are 7")],
)
def test_other_set_or_model(tmp_path: Path, frames: dict[str, int], num_pdfs: int, message: str) -> None:
    write_predictions(tmp_path, {"u": predictions(np.array([1, 7]), np.array([0.5, 0.5]), 10)})
    with pytest.raises(DataError, match=message):
        read_predictions(tmp_path, frames, num_pdfs)


def test_missing_damaged_and_foreign_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Run `asrkd frames` again"):
        read_predictions(tmp_path, {"u": 2}, 10)
    write_predictions(tmp_path, {"u": predictions(np.array([1, 7]), np.array([0.5, 0.5]), 10)})
    whole = (tmp_path / NAME).read_bytes()
    for damaged in (whole[:-3], whole[:20], b""):
        (tmp_path / NAME).write_bytes(damaged)
        with pytest.raises(DataError, match=r"predictions\.npy: not readable as an array"):
            read_predictions(tmp_path, {"u": 2}, 10)
    np.save(tmp_path / NAME, np.zeros(2))
    with pytest.raises(DataError, match="holds no predictions"):
        read_predictions(tmp_path, {"u": 2}, 10)
    np.save(tmp_path / NAME, np.array([{"a": 1}], dtype=object))
    with pytest.raises(DataError, match=r"predictions\.npy: not readable as an array"):
        read_predictions(tmp_path, {"u": 2}, 10)
    write_predictions(tmp_path, {"u": predictions(np.array([1, 7]), np.array([0.5, np.nan]), 10)})
    with pytest.raises(DataError, match="no probability"):
        read_predictions(tmp_path, {"u": 2}, 10)
