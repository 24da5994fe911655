"""Which room may import which: core stands alone, rooms of one kind know core only, verbs never import each other."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "asrkd"
BASE = {"core"}
METHODS = {"corpora", "features", "lang", "models", "losses"}
MIDDLE = BASE | METHODS | {"hmm", "graph", "targets"}
MAY_IMPORT = {
    "core": BASE,
    **{room: BASE | {room} for room in METHODS},
    **dict.fromkeys(("hmm", "graph", "targets"), MIDDLE),
    **{verb: MIDDLE | {verb} for verb in ("training", "decoding", "scoring")},
    "report": {"core", "report"},
}
FORBIDDEN_MODULES = {"core": "torch", "report": "torch"}


def imports(path: Path, top_level_only: bool = False) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names: set[str] = set()
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide where a name comes from"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_rooms_import_only_what_they_stand_on(room: str) -> None:
    for path in sorted((PACKAGE / room).rglob("*.py")):
        ours = {name.split(".")[1] for name in imports(path) if name.startswith("asrkd.")}
        assert ours <= MAY_IMPORT[room], f"{path} imports {sorted(ours - MAY_IMPORT[room])}"
        heavy = {name.split(".")[0] for name in imports(path, top_level_only=True)}
        assert FORBIDDEN_MODULES.get(room) not in heavy, f"{path} imports torch before it is needed"


def test_every_room_is_known() -> None:
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert rooms == {*MAY_IMPORT, "verbs"}


def test_the_command_line_imports_rooms_only_when_a_verb_runs() -> None:
    for path in (PACKAGE / "cli.py", *(PACKAGE / "verbs").glob("*.py")):
        ours = {name.split(".")[1] for name in imports(path, top_level_only=True) if name.startswith("asrkd.")}
        assert ours <= {"core", "verbs", "__version__"}
