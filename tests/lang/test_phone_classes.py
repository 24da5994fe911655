"""Marks of phones, and their classes by the built-in table and by a file."""

from pathlib import Path

import pytest

from asrkd.core.errors import DataError
from asrkd.lang.phone_classes import CLASSES, OTHER_CLASS, base_phone, classify, read_phone_classes

CMUDICT = "AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH"


@pytest.mark.parametrize(
    ("symbol", "base"),
    [
        ("AA1_B", "AA"),
        ("er0", "er"),
        ("SIL_S", "SIL"),
        ("S_S", "S"),
        ("S", "S"),
        ("a1", "a1"),  # a tone
        ("iang4_E", "iang4"),
        ("_B", "_B"),
        ("T2", "T2"),  # consonants have no stress
    ],
)
def test_base_phone(symbol: str, base: str) -> None:
    assert base_phone(symbol) == base


def test_every_phone_of_cmudict_has_one_class() -> None:
    phones = [phone for members in CLASSES.values() for phone in members]
    assert len(phones) == len(set(phones))
    classes = classify(CMUDICT.split())
    assert OTHER_CLASS not in classes.values()
    assert sum(name == "vowels" for name in classes.values()) == 15
    assert sum(name == "stops" for name in classes.values()) == 6


def test_phones_are_ordered_by_class() -> None:
    found = classify(["sil", "t", "xx", "aa", "b"])
    assert list(found.items()) == [
        ("aa", "vowels"),
        ("b", "stops"),
        ("t", "stops"),
        ("sil", "silence"),
        ("xx", OTHER_CLASS),
    ]


def test_classes_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "classes"
    path.write_text("tones a1 a2_B\nrest b\n")
    classes = read_phone_classes(path, ["a1", "a2", "b", "SIL"])
    assert classes["tones"] == ("a1", "a2")
    assert classify(["SIL", "b", "a2", "a1"], classes) == {"a1": "tones", "a2": "tones", "b": "rest", "SIL": "silence"}
    path.write_text("silence b\n")
    assert read_phone_classes(path, ["b"])["silence"] == ("b",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("vowels\n", ":1: expected `class phone phone ...`"),
        ("x a\n\n", ":2: expected"),
        ("x a\nx b\n", ":2: class x is there twice"),
        ("x a\ny a\n", ":2: phone a is in two classes"),
        ("x a bb\n", ":1: the model has no phone 'bb'; did you mean 'b'"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "classes").write_text(text)
    with pytest.raises(DataError, match=message):
        read_phone_classes(tmp_path / "classes", ["a", "b"])
