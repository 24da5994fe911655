"""Configuration: strict, plain, and an error that says what was meant."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field
from pydantic.dataclasses import dataclass

from asrkd.core.config import STRICT, apply_overrides, load_yaml, merge, nearest, parse, parse_yaml, section
from asrkd.core.errors import ConfigError


@dataclass(frozen=True, config=STRICT)
class Inner:
    left: int = 20
    right: int = Field(default=5, ge=0)


@dataclass(frozen=True, config=STRICT)
class Outer:
    rate: float = 0.1
    name: str = "x"
    flag: bool = False
    factors: tuple[float, ...] = (1.0,)
    window: Inner = Field(default_factory=Inner)
    optional: Inner | None = None
    several: list[Inner] = Field(default_factory=list)


def test_defaults_and_values() -> None:
    assert parse(Outer, {}, "here") == Outer()
    parsed = parse(Outer, {"rate": 1, "factors": [0.9, 1], "window": {"left": 3}, "optional": {}}, "here")
    assert parsed == Outer(rate=1.0, factors=(0.9, 1.0), window=Inner(left=3), optional=Inner())


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"rat": 1.0}, "here: unknown key 'rat'; did you mean 'rate'?"),
        ({"window": {"lefd": 1}}, "here: unknown key 'window.lefd'; did you mean 'left'?"),
        ({"optional": {"rihgt": 1}}, "here: unknown key 'optional.rihgt'; did you mean 'right'?"),
        ({"several": [{}, {"lft": 1}]}, "here: unknown key 'several.1.lft'; did you mean 'left'?"),
        ({"window": {"zzz": 1}}, "here: unknown key 'window.zzz'; known are left, right"),
    ],
)
def test_unknown_key_names_the_nearest(mapping: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse(Outer, mapping, "here")
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("mapping", "names"),
    [
        ({"rate": "0.1"}, "rate"),
        ({"rate": float("nan")}, "rate"),
        ({"rate": float("inf")}, "rate"),
        ({"name": 3}, "name"),
        ({"flag": 1}, "flag"),
        ({"window": 3}, "window"),
        ({"window": {"left": 1.5}}, "window.left"),
        ({"window": {"right": -1}}, "window.right"),
        ({"factors": 1.0}, "factors"),
    ],
)
def test_wrong_values_name_the_key_in_one_line(mapping: dict[str, Any], names: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse(Outer, mapping, "recipe.yaml: example")
    assert str(error.value).startswith(f"recipe.yaml: example: {names}: ")
    assert "\n" not in str(error.value)


def test_nearest() -> None:
    assert nearest("cross_entrpy", ["cross_entropy", "distillation"]) == "; did you mean 'cross_entropy'?"
    assert nearest("qqq", []) == "; known are none"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2", "'a' is given twice"),
        ("s:\n  a: 1\n  b: 2\n  a: 1", "'a' is given twice"),
        ("a: [1", r"\(line \d\)"),
        ("- 1", "expected `key: value` lines, not a list"),
        ("1: 2", "expected `key: value` lines"),
        ("a: 2020-01-01", "a: a date is no value of a setting"),
        ("a: .nan", "a: nan is no finite number"),
        ("a: &a [*a]", "a.1: holds itself"),
        ("? [1, 2]\n: 3", "unhashable"),
        ("a: \x07", "special characters"),
    ],
)
def test_malformed_yaml(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        parse_yaml(text, "recipe.yaml")
    assert str(error.value).startswith("recipe.yaml")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "tag", ["!!python/object/apply:os.system ['touch owned']", "!!python/name:os.system", "!!python/object:os.x {}"]
)
def test_tags_that_run_code_are_refused(tag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipe.yaml").write_text(f"a: {tag}\n")
    with pytest.raises(ConfigError, match="python"):
        load_yaml(tmp_path / "recipe.yaml")
    assert not (tmp_path / "owned").exists()


def test_missing_and_undecodable_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        load_yaml(tmp_path / "none.yaml")
    (tmp_path / "empty.yaml").write_text("")
    assert load_yaml(tmp_path / "empty.yaml") == {}


@pytest.mark.parametrize("text", ["1e-3", "1E-3", "1.0e-3", "+1e-3", ".1e-2"])
def test_exponents_are_numbers(text: str) -> None:
    assert parse_yaml(f"x: {text}", "here") == {"x": pytest.approx(1e-3)}


def test_names_that_look_like_numbers_stay_text() -> None:
    assert parse_yaml("x: [e5, 1e, 1e3x, tri1]", "here") == {"x": ["e5", "1e", "1e3x", "tri1"]}


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_that_python_prints_is_read_back(value: float) -> None:
    assert parse_yaml(f"x: {value!r}", "here") == {"x": value}


def test_merge_goes_into_sections() -> None:
    first = {"a": {"x": 1, "y": 2}, "b": 1}
    assert merge([first, {"a": {"y": 3}, "b": {"z": 1}}]) == {"a": {"x": 1, "y": 3}, "b": {"z": 1}}
    assert first == {"a": {"x": 1, "y": 2}, "b": 1}


def test_overrides() -> None:
    config = {"train": {"rate": 0.1}}
    changed = apply_overrides(config, ["train.rate=1e-3", "train.model.hidden_layers=2", "dump.codec={type: dense}"])
    assert changed == {
        "train": {"rate": 1e-3, "model": {"hidden_layers": 2}},
        "dump": {"codec": {"type": "dense"}},
    }
    assert config == {"train": {"rate": 0.1}}
    assert apply_overrides({}, ["a.b="]) == {"a": {"b": None}}


@pytest.mark.parametrize("override", ["train.rate", "=3", "train.rate.x=3", "train.rate=[1"])
def test_malformed_overrides(override: str) -> None:
    with pytest.raises(ConfigError, match="--set"):
        apply_overrides({"train": {"rate": 0.1}}, [override])


def test_section() -> None:
    assert section({"a": {"x": 1}, "b": None}, "a") == {"x": 1}
    assert section({"b": None}, "b") == section({}, "b") == {}
    with pytest.raises(ConfigError, match="section 'a'"):
        section({"a": 3}, "a")
