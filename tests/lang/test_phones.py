"""Symbol tables: ids, order, and what is refused."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrkd.core.errors import DataError
from asrkd.lang.phones import disambiguation_ids, phone_table, read_symbols, real_phones, word_table, write_symbols


def test_phones_begin_with_silence_and_end_with_disambiguation() -> None:
    table = phone_table(["B", "AA", "B"], 2)
    assert list(table) == ["<eps>", "SIL", "SPN", "AA", "B", "#0", "#1"]
    assert list(table.values()) == list(range(7))
    assert real_phones(table) == [1, 2, 3, 4]
    assert disambiguation_ids(table) == [5, 6]


def test_words_end_with_the_symbols_of_the_grammar() -> None:
    assert list(word_table(["TWO", "ONE", "<UNK>"])) == ["<eps>", "<UNK>", "ONE", "TWO", "#0", "<s>", "</s>"]


@given(st.sets(st.text("ABC'-", min_size=1, max_size=6), max_size=20))
def test_tables_round_trip(tmp_path_factory: pytest.TempPathFactory, words: set[str]) -> None:
    path = tmp_path_factory.mktemp("table") / "words.txt"
    write_symbols(path, word_table(words))
    assert read_symbols(path) == word_table(words)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("<eps> 0\nA\n", ":2: expected `symbol id`"),
        ("<eps> 0\nA one\n", ":2: expected `symbol id`"),
        ("<eps> 0\nA " + "9" * 5000 + "\n", ":2: expected `symbol id`"),
        ("<eps> 0\nA 1\nA 2\n", "symbol A is there twice"),
        ("<eps> 0\nA 1\nB 1\n", "two symbols have the same id"),
        ("A 1\nB 2\n", "<eps> must have id 0"),
        ("", "<eps> must have id 0"),
    ],
)
def test_malformed_tables_are_named(tmp_path: Path, text: str, cause: str) -> None:
    path = tmp_path / "phones.txt"
    path.write_text(text)
    with pytest.raises(DataError, match=cause) as raised:
        read_symbols(path)
    assert str(path) in str(raised.value)
