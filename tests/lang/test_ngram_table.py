"""Tables of n-grams against the ARPA model they were made of, word by word; what is damaged or does not fit."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest

from asrkd.core.errors import DataError
from asrkd.lang.ngram import estimate_ngram, prune_ngram, read_arpa
from asrkd.lang.ngram_table import NgramTable, write_table

LETTERS = "ABCDEFGH"
WORDS = {word: number for number, word in enumerate(["<eps>", *LETTERS, "NEVER", "#0", "<s>", "</s>"])}
ARPA = "\\data\\\nngram 1=4\nngram 2=2\n\n\\1-grams:\n-99\t<s>\t-0.1\n-0.5\t</s>\n-0.4\tA\t-0.2\n-0.6\tB\n\n"
ARPA += "\\2-grams:\n-0.3\t<s> A\n-0.2\tA B\n\n\\end\\\n"


def model(folder: Path, order: int, prune: float) -> Path:
    rng = np.random.default_rng(order)
    shares = 1 / np.arange(1, 9) / np.sum(1 / np.arange(1, 9))
    text = [" ".join(rng.choice(list(LETTERS), rng.integers(1, 7), p=shares)) for _ in range(150)]
    estimate_ngram(text, order, folder / "lm.arpa")
    if prune:
        prune_ngram(folder / "lm.arpa", prune)
    return folder / "lm.arpa"


@pytest.mark.parametrize(("order", "prune"), [(1, 0), (2, 0), (3, 0), (4, 0), (2, 0.001), (3, 0.005)])
@pytest.mark.parametrize("marked", [True, False])
def test_every_word_after_every_history_is_as_likely(tmp_path: Path, order: int, prune: float, marked: bool) -> None:
    """Also where words.txt has no ids for a sentence's start and end."""
    words = {word: number for word, number in WORDS.items() if marked or word not in ("<s>", "</s>")}
    path = model(tmp_path, order, prune)
    write_table(path, words, tmp_path / "table")
    table, arpa = NgramTable.open(tmp_path / "table", words, order), read_arpa(path)
    assert table.order == arpa.order == order
    for sentence in itertools.product(LETTERS, repeat=3):
        history: tuple[str, ...] = ("<s>",)
        state = table.start
        for word in sentence:
            log_prob, following = table.score(state, words[word])
            assert log_prob == pytest.approx(math.log(10) * arpa.log_prob(history, word), abs=1e-5)
            state, history = following, (*history, word)
            assert len(state) < order
        assert table.score(state, table.end)[0] == pytest.approx(
            math.log(10) * arpa.log_prob(history, "</s>"), abs=1e-5
        )


def test_a_state_forgets_what_the_model_does_not_tell_apart(tmp_path: Path) -> None:
    (tmp_path / "lm.arpa").write_text(ARPA)
    write_table(tmp_path / "lm.arpa", WORDS, tmp_path / "table")
    table = NgramTable.open(tmp_path / "table", WORDS, 2)
    log_prob, state = table.score(table.start, WORDS["A"])
    assert log_prob == pytest.approx(-0.3 * math.log(10))
    assert state == (WORDS["A"],)
    assert table.score((WORDS["A"],), WORDS["B"])[1] == (WORDS["B"],)
    assert table.score((WORDS["B"],), WORDS["B"])[0] == pytest.approx(-0.6 * math.log(10))


def test_a_word_without_a_unigram_is_impossible(tmp_path: Path) -> None:
    write_table(model(tmp_path, 3, 0), WORDS, tmp_path / "table")
    table = NgramTable.open(tmp_path / "table", WORDS, 2)
    assert table.score(table.start, WORDS["NEVER"]) == (-math.inf, ())
    assert table.has(np.array([1, 2, 8, 9, 10])).tolist() == [True, True, True, False, False]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("A B\n", "A Z\n", "'Z' is not in words.txt"),
        ("-0.2\tA B", "-0.2\tC B", "'C B' is there, its beginning is not"),
        ("-0.2\tA B", "-0.2\t<s> A", "'<s> A' is there twice"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    (tmp_path / "lm.arpa").write_text(ARPA.replace(old, new))
    with pytest.raises(DataError, match=message):
        write_table(tmp_path / "lm.arpa", WORDS, tmp_path / "table")


def test_an_order_without_ngrams_is_named(tmp_path: Path) -> None:
    text = ARPA[: ARPA.index("\\2-grams")].replace("2=2", "2=0\nngram 3=1")
    (tmp_path / "lm.arpa").write_text(text + "\\2-grams:\n\n\\3-grams:\n-0.3\t<s> A B\n\n\\end\\\n")
    with pytest.raises(DataError, match="has 3-grams, but no 2-grams"):
        write_table(tmp_path / "lm.arpa", WORDS, tmp_path / "table")


def test_a_table_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    table = tmp_path / "table"
    write_table(model(tmp_path, 3, 0), WORDS, table)
    whole = (table / "log_probs.2.npy").read_bytes()
    (table / "log_probs.2.npy").write_bytes(whole[:-5])
    with pytest.raises(DataError, match=r"log_probs\.2\.npy: not readable as an array"):
        NgramTable.open(table, WORDS, 3)
    (table / "log_probs.2.npy").write_bytes((table / "log_probs.1.npy").read_bytes())
    with pytest.raises(DataError, match="its files of order 2 are not of one length"):
        NgramTable.open(table, WORDS, 3)
    np.save(table / "log_probs.2.npy", np.load(table / "log_probs.1.npy").astype(np.float64))
    with pytest.raises(DataError, match=r"log_probs\.2\.npy: 1 axes of float64, where one of float32 is expected"):
        NgramTable.open(table, WORDS, 3)
    (table / "log_probs.2.npy").write_bytes(whole)
    with pytest.raises(DataError, match=r"keys\.4\.npy: not readable"):
        NgramTable.open(table, WORDS, 4)
