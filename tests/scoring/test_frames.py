"""Frame accuracy, likelihood and calibration against closed forms."""

import numpy as np
import pytest
from numpy.typing import NDArray

from asrkd.core.errors import DataError, MismatchError
from asrkd.scoring.frames import NUM_BINS, Calibration, score_frames, score_utterance


def _log(rows: list[list[float]]) -> NDArray[np.float32]:
    return np.log(np.array(rows, dtype=np.float32))


def test_counts_by_hand() -> None:
    posteriors = _log([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.25, 0.25, 0.5]])
    counts, calibration, predicted = score_utterance("u", posteriors, np.array([0, 2, 2], dtype=np.int32))
    assert (counts.correct, counts.total) == (2, 3)
    assert counts.nll == pytest.approx(-np.log(0.7 * 0.3 * 0.5), rel=1e-6)
    assert predicted["pdf"].tolist() == [0, 1, 2]
    assert predicted["confidence"] == pytest.approx([0.7, 0.6, 0.5], rel=1e-3)
    # Each confidence has a bin of its own: |1 - 0.7| + |0 - 0.6| + |1 - 0.5|, a third of it.
    assert calibration.expected_error == pytest.approx(1.4 / 3, rel=1e-6)
    assert calibration.table() == [
        {"confidence": pytest.approx(0.5), "accuracy": 1, "count": 1},
        {"confidence": pytest.approx(0.6), "accuracy": 0, "count": 1},
        {"confidence": pytest.approx(0.7), "accuracy": 1, "count": 1},
    ]


def test_uniform_posteriors_have_the_logarithm_of_the_number_of_pdfs_as_likelihood() -> None:
    uniform = np.full((50, 8), -np.log(8), dtype=np.float32)
    scores = score_frames(lambda _: uniform, {"u": np.arange(50, dtype=np.int32) % 8}, ["u"])
    assert scores.nll == pytest.approx(np.log(8), rel=1e-6)
    assert scores.accuracy == pytest.approx(7 / 50)  # the first pdf wins ties


def test_rates_are_over_frames_of_the_set() -> None:
    tables = {"u": _log([[0.9, 0.1]] * 9), "v": _log([[0.9, 0.1]])}
    alignment = {"u": np.zeros(9, np.int32), "v": np.ones(1, np.int32)}
    scores = score_frames(tables.__getitem__, alignment, ["u", "v"])
    assert scores.accuracy == 0.9
    assert scores.num_frames == 10
    counts = {utt: (each.correct, each.total) for utt, each in scores.utterances.items()}
    assert counts == {"u": (9, 9), "v": (0, 1)}
    assert scores.calibration.expected_error == pytest.approx(0, abs=1e-6)


def test_parts_add_up_to_the_whole() -> None:
    rng = np.random.default_rng(3)
    tables = {utt: np.log(rng.dirichlet(np.ones(5), 20)).astype(np.float32) for utt in "abc"}
    alignment = {utt: rng.integers(0, 5, 20).astype(np.int32) for utt in "abc"}
    whole = score_frames(tables.__getitem__, alignment, "abc")
    parts = score_frames(tables.__getitem__, alignment, "a") + score_frames(tables.__getitem__, alignment, "bc")
    assert parts.utterances == whole.utterances
    assert all((parts.predictions[utt] == whole.predictions[utt]).all() for utt in "abc")
    assert parts.calibration.expected_error == pytest.approx(whole.calibration.expected_error)
    with pytest.raises(DataError, match="b is scored twice"):
        whole + score_frames(tables.__getitem__, alignment, "b")


def test_calibrated_posteriors_have_a_small_error_and_sharpened_ones_a_large() -> None:
    rng = np.random.default_rng(4)
    posteriors = rng.dirichlet(np.full(4, 0.5), 20_000)
    drawn = (posteriors.cumsum(axis=1) > rng.random((20_000, 1))).argmax(axis=1)
    honest = score_utterance("u", np.log(posteriors + 1e-30), drawn)[1].expected_error
    sharp = posteriors**3 / (posteriors**3).sum(axis=1, keepdims=True)
    assert honest < 0.015
    assert score_utterance("u", np.log(sharp + 1e-30), drawn)[1].expected_error > 0.08


def test_full_confidence_is_in_the_last_bin() -> None:
    calibration = score_utterance("u", np.array([[0.0, -np.inf]]), np.array([0]))[1]
    assert calibration.count[NUM_BINS - 1] == 1
    assert calibration.expected_error == 0


def test_no_frames_no_error_of_calibration() -> None:
    assert Calibration().expected_error == 0
    assert Calibration().table() == []


def test_other_number_of_frames_names_the_utterance_and_both_counts() -> None:
    with pytest.raises(MismatchError, match=r"utt-7: 3 frames of posteriors, 4 of alignment: .*frame shift"):
        score_utterance("utt-7", _log([[0.5, 0.5]] * 3), np.zeros(4, np.int32))


def test_pdf_beyond_the_posteriors() -> None:
    with pytest.raises(MismatchError, match="pdf 2 is in the alignment, the posteriors have 2"):
        score_utterance("u", _log([[0.5, 0.5]] * 2), np.array([0, 2]))


def test_utterance_without_alignment() -> None:
    with pytest.raises(MismatchError, match="v has no alignment"):
        score_frames(lambda _: _log([[1.0]]), {"u": np.zeros(1, np.int32)}, ["v"])


@pytest.mark.parametrize(("value", "message"), [(np.nan, "NaN"), (0.5, "above 0")])
def test_what_are_no_log_posteriors(value: float, message: str) -> None:
    with pytest.raises(DataError, match=message):
        score_utterance("u", np.full((2, 2), value), np.array([0, 1]))


def test_matrix_for_an_alignment() -> None:
    with pytest.raises(DataError, match="u: posteriors of shape"):
        score_utterance("u", _log([[1.0]]), np.zeros((1, 1), np.int32))


def test_nothing_to_score() -> None:
    with pytest.raises(DataError, match="no frames"):
        score_frames(lambda _: _log([[1.0]]), {}, [])
