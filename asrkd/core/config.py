"""Strict configuration: plain YAML, read safely, into frozen dataclasses; an unknown key names the nearest.

A recipe's YAML has one section a verb. Each section's dataclass stands beside the function that it configures::

    from pydantic.dataclasses import dataclass
    from asrkd.core.config import STRICT

    @dataclass(frozen=True, config=STRICT)
    class FbankConfig:
        num_mel_bins: int = 40
"""

import difflib
import json
import math
import re
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError

from asrkd.core.errors import ConfigError
from asrkd.core.files import read_lines

STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
"""No unknown keys, no silent conversion ("3" is no 3), no NaN."""

Config = TypeVar("Config")


def _ascending(bounds: tuple[float, float]) -> tuple[float, float]:
    if bounds[0] > bounds[1]:
        raise ValueError("a range goes from the lower to the higher value")
    return bounds


Range = Annotated[tuple[float, float], AfterValidator(_ascending)]
"""Bounds that values are drawn between."""
Factor = Annotated[float, Field(ge=0.5, le=2.0)]
FactorRange = Annotated[tuple[Factor, Factor], AfterValidator(_ascending)]
SecondsRange = Annotated[tuple[Annotated[float, Field(ge=0.01, le=5.0)], float], AfterValidator(_ascending)]


class _UniqueKeyLoader(yaml.SafeLoader):
    """Plain YAML only; a key given twice is an error, where YAML would quietly keep the last; 1e-3 is a number."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        repeated = sorted({str(key) for key in keys if keys.count(key) > 1})
        if repeated:
            raise ConfigError(f"key {repeated[0]!r} is given twice{_position(node.start_mark)}")
        return super().construct_mapping(node, deep)


# YAML 1.1, which PyYAML reads, takes 1.0e-3 for a number and 1e-3 for text.
_UniqueKeyLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)[eE][-+]?[0-9]+$"), list("-+.0123456789")
)


def _position(mark: Any) -> str:
    return f" (line {mark.line + 1})" if mark is not None else ""


def load_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping. Tags that would run code, repeated keys and non-mappings are ConfigErrors."""
    if not path.is_file():
        raise ConfigError(f"configuration {path} does not exist")
    return parse_yaml("\n".join(read_lines(path)), str(path))


def parse_yaml(text: str, where: str) -> dict[str, Any]:
    """A YAML mapping from ``text``; ``where`` names it in errors."""
    try:
        value = yaml.load(text, Loader=_UniqueKeyLoader)  # noqa: S506 (a SafeLoader by inheritance)
        _check_plain(value, "")  # a configuration is hashed as JSON
    except yaml.YAMLError as error:
        cause = str(getattr(error, "problem", None) or error).splitlines()[0]
        raise ConfigError(f"{where}{_position(getattr(error, 'problem_mark', None))}: {cause}") from None
    except (ConfigError, TypeError, ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: {error}") from None
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise ConfigError(f"{where}: expected `key: value` lines, not a {type(value).__name__}")
    return value


def _check_plain(value: Any, name: str, above: tuple[int, ...] = ()) -> None:
    """ConfigError, naming the key, for what JSON has not: NaN and infinity, dates and sets, loops."""
    if id(value) in above:
        raise ConfigError(f"{name}: holds itself, by an alias")
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{name}: {value} is no finite number")
    if isinstance(value, (dict, list)):
        for key, child in value.items() if isinstance(value, dict) else enumerate(value, 1):
            _check_plain(child, f"{name}.{key}" if name else str(key), (*above, id(value)))
    elif value is not None and not isinstance(value, (str, int, float)):
        raise ConfigError(f"{name}: a {type(value).__name__} is no value of a setting: quote it, if it is text")


def merge(configs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One mapping of several, section by section; a later value takes the place of an earlier one."""
    result: dict[str, Any] = {}
    for config in configs:
        for key, value in config.items():
            both = isinstance(value, dict) and isinstance(result.get(key), dict)
            result[key] = merge([result[key], value]) if both else value
    return result


def apply_overrides(config: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """A copy of ``config`` with each ``section.key=value`` of ``overrides`` set; values are read as YAML."""
    result = json.loads(json.dumps(config))
    for override in overrides:
        name, equals, text = override.partition("=")
        if not equals or not name:
            raise ConfigError(f"--set {override!r}: expected section.key=value")
        value = parse_yaml(f"value: {text}", f"--set {override}")["value"]
        put(result, name, value, f"--set {override!r}")
    return result


def put(config: dict[str, Any], name: str, value: Any, where: str) -> None:
    """Set the value at the dotted ``name``, in place; sections on the way are made. ``where`` names it in errors."""
    *parents, last = name.split(".")
    node = config
    for parent in parents:
        node = node.setdefault(parent, {})
        if not isinstance(node, dict):
            raise ConfigError(f"{where}: {parent!r} is a value, not a section")
    node[last] = value


def section(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The section ``name`` of a recipe's configuration; an empty one where the recipe is silent."""
    value = config.get(name, {})
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigError(f"section {name!r} must hold `key: value` lines, not {value!r}")
    return value


def parse(cls: type[Config], mapping: Mapping[str, Any], where: str) -> Config:
    """``mapping`` as the dataclass ``cls``, checked strictly.

    Raises ConfigError in one line: which key, what is wrong, and for an unknown key the nearest known one.
    """
    adapter = TypeAdapter(cls)
    try:
        # Through JSON, since strict validation of Python objects would refuse a list for a tuple.
        return adapter.validate_json(json.dumps(mapping))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        path = [str(part) for part in first["loc"]]
        if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            hint = nearest(path[-1], _known_keys(adapter.json_schema(), path[:-1]))
            raise ConfigError(f"{where}: unknown key {'.'.join(path)!r}{hint}") from None
        key = ".".join(path) + ": " if path else ""
        raise ConfigError(f"{where}: {key}{_plain(first)}") from None
    except TypeError as error:
        raise ConfigError(f"{where}: {error}") from None


def nearest(name: str, known: Sequence[str]) -> str:
    """``"; did you mean 'x'?"`` for the closest of ``known``, else the list of what is known."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(sorted(known)) or 'none'}"


def _plain(error: Any) -> str:
    message = str(error["msg"]).removeprefix("Value error, ")
    given = f" (given {error['input']!r})" if error["loc"] else ""
    return message[0].lower() + message[1:] + given


def _known_keys(schema: Mapping[str, Any], path: Sequence[str]) -> list[str]:
    """Names of the fields at ``path`` of a JSON schema, through references, lists and optional values."""
    node: Mapping[str, Any] = schema

    def resolve(node: Mapping[str, Any]) -> Mapping[str, Any]:
        while "$ref" in node or "anyOf" in node or "allOf" in node:
            if "$ref" in node:
                node = schema["$defs"][node["$ref"].rsplit("/", 1)[-1]]
            else:
                choices = node.get("anyOf") or node["allOf"]
                node = next((c for c in choices if "$ref" in c or "properties" in c), {})
        return node

    node = resolve(node)
    for part in path:
        child = node.get("properties", {}).get(part)
        if child is None:
            child = node.get("items") or node.get("additionalProperties") or {}
        node = resolve(child if isinstance(child, Mapping) else {})
    return list(node.get("properties", {}))
