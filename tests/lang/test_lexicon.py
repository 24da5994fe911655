"""Lexicons: the CMU dictionary's forms, disambiguation, words that are not in it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrkd.core.errors import DataError
from asrkd.lang.lexicon import disambiguate, read_lexicon, unknown_words, unknown_words_error


def lexicon_file(folder: Path, text: str) -> Path:
    path = folder / "lexicon.txt"
    path.write_text(text)
    return path


CMU = """;;; a comment
A  AH0
A(2)  EY1
READ\tR EH1 D
READ(1) R IY1 D
READ R IY1 D
'BOUT  B AW1 T # inline comment
!SIL SIL
<UNK> SPN
"""


def test_forms_of_the_cmu_dictionary(tmp_path: Path) -> None:
    lexicon = read_lexicon(lexicon_file(tmp_path, CMU))
    assert lexicon.pronunciations == {
        "'BOUT": (("B", "AW", "T"),),
        "<UNK>": (("SPN",),),
        "A": (("AH",), ("EY",)),
        "READ": (("R", "EH", "D"), ("R", "IY", "D")),
    }
    assert lexicon.speech_phones == {"AH", "EY", "R", "EH", "IY", "D", "B", "AW", "T"}


def test_stress_is_kept_on_demand(tmp_path: Path) -> None:
    lexicon = read_lexicon(lexicon_file(tmp_path, CMU), keep_stress=True)
    assert lexicon.pronunciations["A"] == (("AH0",), ("EY1",))


def test_writing_and_reading_give_the_same(tmp_path: Path) -> None:
    lexicon = read_lexicon(lexicon_file(tmp_path, CMU))
    lexicon.write(tmp_path / "again.txt")
    assert read_lexicon(tmp_path / "again.txt", keep_stress=True) == lexicon


def test_restriction_keeps_the_unknown_word(tmp_path: Path) -> None:
    lexicon = read_lexicon(lexicon_file(tmp_path, CMU)).restricted({"A", "NOWHERE"})
    assert lexicon.words == ["<UNK>", "A"]


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("A\n", ":1: A has no pronunciation"),
        ("A AH\n#0 B\n", ":2: #0 can't be a word"),
        ("<s> B\n", "<s> can't be a word"),
        ("A #1\n", "holds no words|no pronunciation"),
        ("A AH #1\nB #1B\n", ":2: B has no pronunciation"),
        (";;; nothing\n", "holds no words"),
    ],
)
def test_malformed_lexicons_are_named(tmp_path: Path, text: str, cause: str) -> None:
    with pytest.raises(DataError, match=cause):
        read_lexicon(lexicon_file(tmp_path, text))


def test_disambiguation_of_homophones_and_prefixes() -> None:
    entries = [("RED", ("R", "EH", "D")), ("READ", ("R", "EH", "D")), ("AIR", ("R", "EH")), ("ROW", ("R", "OW"))]
    marked, highest = disambiguate(entries)
    assert marked == [
        ("RED", ("R", "EH", "D", "#1")),
        ("READ", ("R", "EH", "D", "#2")),
        ("AIR", ("R", "EH", "#1")),
        ("ROW", ("R", "OW")),
    ]
    assert highest == 2


@given(st.lists(st.lists(st.sampled_from("ABC"), min_size=1, max_size=4).map(tuple), min_size=1, max_size=30))
def test_after_disambiguation_no_pronunciation_begins_another(pronunciations: list[tuple[str, ...]]) -> None:
    marked, highest = disambiguate([(f"W{i}", phones) for i, phones in enumerate(pronunciations)])
    spelled = [phones for _, phones in marked]
    assert len(set(spelled)) == len(spelled)
    prefixes = {phones[:end] for phones in spelled for end in range(1, len(phones))}
    assert not prefixes & set(spelled)
    assert highest <= len(pronunciations)


def test_the_most_frequent_unknown_word_is_named() -> None:
    found = unknown_words({"utt1": "A B", "utt2": "C B A"}, {"A"})
    assert found == {"B": (2, "utt1"), "C": (1, "utt2")}
    message = str(unknown_words_error(found, {"A"}, "lexicon.txt"))
    assert message == "utt1: word 'B' (2 times, and 1 other words) is not in lexicon.txt: add it, or set `oov: unk`"


def test_another_case_is_guessed() -> None:
    found = unknown_words({"utt1": "hello"}, {"HELLO"})
    assert "in another case" in str(unknown_words_error(found, {"HELLO"}, "lexicon.txt"))
