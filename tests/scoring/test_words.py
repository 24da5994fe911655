"""Word error rates against counts made by hand and against what Kaldi's compute-wer printed."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrkd.core.errors import DataError, MismatchError
from asrkd.scoring.words import WordCounts, read_text, score_words


@pytest.mark.parametrize(
    ("reference", "hypothesis", "expected"),
    [
        ("THE CAT SAT", "THE CAT SAT", WordCounts(hits=3)),
        ("THE CAT SAT", "THE BAT SAT", WordCounts(substitutions=1, hits=2)),
        ("THE CAT SAT", "THE SAT", WordCounts(deletions=1, hits=2)),
        ("THE CAT SAT", "THE CAT SAT DOWN", WordCounts(insertions=1, hits=3)),
        ("THE CAT SAT", "", WordCounts(deletions=3)),
        ("A B C D", "B C D E", WordCounts(deletions=1, insertions=1, hits=3)),
        ("A", "X Y Z", WordCounts(substitutions=1, insertions=2)),
        ("A B  C", " A\tB C ", WordCounts(hits=3)),
    ],
)
def test_counts_of_one_utterance_made_by_hand(reference: str, hypothesis: str, expected: WordCounts) -> None:
    # A second utterance keeps words in common, without which case or sets would be suspected.
    scored = score_words({"u": reference, "v": "A THE"}, {"u": hypothesis, "v": "A THE"})
    assert scored.utterances["u"] == expected


def test_rate_is_of_the_whole_set_not_the_mean_of_rates() -> None:
    scored = score_words({"u": "A B C D E F G H I", "v": "A"}, {"u": "A B C D E F G H I", "v": "B"})
    assert scored.wer == pytest.approx(1 / 10)
    assert scored.sentence_error_rate == 0.5
    assert (scored.total.errors, scored.total.words) == (1, 10)
    assert {utt: counts.errors for utt, counts in scored.utterances.items()} == {"u": 0, "v": 1}
    assert scored.words_by_utterance() == {"u": 9, "v": 1}


def test_rate_may_exceed_one() -> None:
    assert score_words({"u": "A"}, {"u": "A B C"}).wer == 2


def test_missing_and_empty_hypotheses_are_deletions_and_only_the_missing_are_listed() -> None:
    scored = score_words({"u": "A B", "v": "A B C", "w": "A"}, {"v": "", "w": "A"})
    assert scored.utterances["u"] == WordCounts(deletions=2)
    assert scored.utterances["v"] == WordCounts(deletions=3)
    assert scored.missing == ("u",)
    assert scored.wer == pytest.approx(5 / 6)


def test_all_hypotheses_empty() -> None:
    scored = score_words({"u": "A B", "v": "C"}, {"u": "", "v": ""})
    assert scored.wer == 1
    assert scored.total == WordCounts(deletions=3)


def test_empty_reference_counts_insertions() -> None:
    scored = score_words({"u": "", "v": "A"}, {"u": "B C", "v": "A"})
    assert scored.utterances["u"] == WordCounts(insertions=2)
    assert scored.wer == 2


def test_order_is_the_references() -> None:
    references = {"z": "A", "a": "B"}
    assert list(score_words(references, {"a": "B", "z": "A"}).utterances) == ["z", "a"]


def test_words_that_hold_odd_characters_are_compared_as_they_are() -> None:
    text = "NAÏVE <UNK> DON'T 12 日本"
    assert score_words({"u": text}, {"u": text}).total == WordCounts(hits=5)


def _distance(reference: list[str], hypothesis: list[str]) -> int:
    """Levenshtein's recurrence, a row at a time."""
    row = list(range(len(hypothesis) + 1))
    for i, word in enumerate(reference, 1):
        previous, row[0] = row[0], i
        for j, other in enumerate(hypothesis, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (word != other))
    return row[-1]


_sentences = st.lists(st.sampled_from(["A", "B", "C", "D"]), max_size=8)


@given(st.lists(st.tuples(_sentences, _sentences), min_size=1, max_size=5))
@settings(max_examples=100, deadline=None)
def test_errors_are_the_edit_distance(pairs: list[tuple[list[str], list[str]]]) -> None:
    pairs = [*pairs, (["A", "B", "C", "D"], ["A", "B", "C", "D"])]
    references = {str(i): " ".join(reference) for i, (reference, _) in enumerate(pairs)}
    hypotheses = {str(i): " ".join(hypothesis) for i, (_, hypothesis) in enumerate(pairs)}
    scored = score_words(references, hypotheses)
    for counts, (reference, hypothesis) in zip(scored.utterances.values(), pairs, strict=True):
        assert counts.errors == _distance(reference, hypothesis)
        assert counts.words == len(reference)
        assert counts.hits + counts.substitutions + counts.insertions == len(hypothesis)
    assert scored.total.errors == sum(counts.errors for counts in scored.utterances.values())


def test_unknown_hypothesis_is_an_error_that_names_it() -> None:
    with pytest.raises(MismatchError, match=r"hypothesis x has no reference \(1 such\): are both of one set"):
        score_words({"u": "A", "v": "B"}, {"u": "A", "x": "A"})


def test_another_set_is_guessed() -> None:
    with pytest.raises(MismatchError, match="no id is shared"):
        score_words({"u": "A"}, {"x": "A"})


def test_wrong_order_of_files_is_guessed() -> None:
    with pytest.raises(MismatchError, match="wrong order"):
        score_words({"u": "A"}, {"u": "A", "v": "B"})


def test_difference_in_case_is_guessed() -> None:
    with pytest.raises(MismatchError, match="references are upper case, hypotheses lower case"):
        score_words({"u": "THE CAT"}, {"u": "the cat"})


def test_wholly_wrong_words_are_a_result_not_a_mistake() -> None:
    assert score_words({"u": "A B"}, {"u": "C D"}).wer == 1


def test_id_left_in_the_text_is_guessed() -> None:
    with pytest.raises(DataError, match="the hypothesis of u starts with the id"):
        score_words({"u": "A"}, {"u": "u A"})


@pytest.mark.parametrize("references", [{}, {"u": ""}, {"u": " "}])
def test_references_without_words(references: dict[str, str]) -> None:
    with pytest.raises(DataError, match="no words"):
        score_words(references, {})


def test_read_text(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("u A  B\nv\nw C \n")
    assert read_text(tmp_path / "text") == {"u": "A B", "v": "", "w": "C"}


@pytest.mark.parametrize(("lines", "message"), [("u A\nu B\n", ":2: u is there twice"), ("u A\n\n", ":2: expected")])
def test_read_text_refuses(tmp_path: Path, lines: str, message: str) -> None:
    (tmp_path / "text").write_text(lines)
    with pytest.raises(DataError, match=message):
        read_text(tmp_path / "text")


def test_agrees_with_kaldi_on_its_own_hypotheses(shared_dir: Path) -> None:
    test = shared_dir / "kaldi-exp" / "data" / "test"
    scored = score_words(read_text(test / "text"), read_text(test / "hyp_kaldi_tri1.txt"))
    assert (scored.total.errors, scored.total.words) == (53, 554)
    assert f"{100 * scored.wer:.2f}" == "9.57"
    assert not scored.missing
