"""Small files: whole or none, and errors that name them."""

import hashlib
from pathlib import Path

import pytest

from asrkd.core.errors import DataError
from asrkd.core.files import absent, atomic_write, iter_lines, read_fields, read_json, read_lines, sha256, write_json


def test_atomic_write_leaves_the_old_file_when_it_fails(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def write_half() -> None:
        with atomic_write(path) as file:
            file.write("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert path.read_text() == "old"


def test_json_of_equal_values_has_equal_bytes(tmp_path: Path) -> None:
    write_json(tmp_path / "a", {"b": 1, "a": [1.5, None]})
    write_json(tmp_path / "b", {"a": [1.5, None], "b": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert read_json(tmp_path / "a") == {"a": [1.5, None], "b": 1}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a", float("nan"))
    assert read_json(tmp_path / "a") == {"a": [1.5, None], "b": 1}


@pytest.mark.parametrize("content", [b"", b'{"a": ', b"\xff\xfe"])
def test_broken_json_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(DataError, match=r"x\.json is not readable as JSON"):
        read_json(tmp_path / "x.json")
    with pytest.raises(DataError, match=r"y\.json is missing"):
        read_json(tmp_path / "y.json")


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        ("", []),
        ("\n", [""]),
        ("a", ["a"]),
        ("a\r\nb\n", ["a", "b"]),
        ("a\n\nb", ["a", "", "b"]),
        ("\ufeffa\n\ufeffb\n", ["a", "\ufeffb"]),
        ("ä\u2028b\x0c", None),
    ],
)
def test_lines_end_at_line_ends_only(tmp_path: Path, content: str, lines: list[str] | None) -> None:
    (tmp_path / "x").write_text(content, newline="")
    assert read_lines(tmp_path / "x") == ([content] if lines is None else lines)


def test_unreadable_text(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc\xff")
    for path, message in [(tmp_path / "x", "byte 3"), (tmp_path, "is a folder"), (tmp_path / "y", "is missing")]:
        with pytest.raises(DataError, match=message):
            read_lines(path)


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x" * 3_000_000)
    assert sha256(tmp_path / "x") == hashlib.sha256(b"x" * 3_000_000).hexdigest()


@pytest.mark.parametrize("text", ["{}", '{"n": -1}', '{"n": "1"}', '{"n": null}', "[]", "null", '{"n": 1'])
def test_fields_are_there_and_of_their_type(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError, match=r"a\.json"):
        read_fields(tmp_path / "a.json", n=int)
    (tmp_path / "a.json").write_text('{"n": 0, "more": null}')
    assert read_fields(tmp_path / "a.json", n=int) == {"n": 0, "more": None}


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbfone\r\ntwo\n")
    assert list(iter_lines(tmp_path / "a")) == read_lines(tmp_path / "a") == ["one", "two"]


def test_what_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    assert absent(tmp_path / "a") == "is a file, where a folder is expected"
    assert absent(tmp_path / "b") == "does not exist"
