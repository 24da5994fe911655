"""A file dropped into a room is found by its name."""

import sys
from pathlib import Path

import pytest

from asrkd.core.errors import ConfigError
from asrkd.core.plugins import find_plugin, plugin_names

PLUGIN = """
from dataclasses import dataclass
@dataclass
class Config:
    size: int = 3
def build(config):
    return config.size
"""


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    package = tmp_path / "example_room"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "helpers.py").touch()
    (package / "small.py").write_text(PLUGIN)
    (package / "large.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.startswith("example_room")]:
        del sys.modules[name]
    return "example_room"


def test_found_by_name(room: str) -> None:
    assert plugin_names(room) == ["large", "small"]
    module, config = find_plugin(room, {"type": "small", "size": 5}, "large", "here")
    assert module.build(config) == 5
    module, _ = find_plugin(room, {}, "large", "here")
    assert module.__name__ == "example_room.large"


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"type": "smal"}, "here: unknown type 'smal'; did you mean 'small'?"),
        ({"type": "xyz"}, "here: unknown type 'xyz'; known are large, small"),
        ({"type": "helpers"}, "here: unknown type 'helpers'"),
        ({"type": ["small"]}, "here: unknown type"),
        ({"type": "../x"}, "here: unknown type"),
    ],
)
def test_unknown(room: str, section: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        find_plugin(room, section, "large", "here")
    assert str(error.value).startswith(message)
