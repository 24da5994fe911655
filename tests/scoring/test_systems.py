"""Names, places and roles of systems."""

from pathlib import Path

import pytest

from asrkd.core.errors import ConfigError, DataError
from asrkd.scoring.systems import Roles, assign_roles, locate

NAMES = ["distilled", "distilled_small", "ensemble", "gmm", "teacher.1", "teacher.2"]


def _folder(path: Path, words: bool = True, frames: bool = True) -> Path:
    (path / "decode").mkdir(parents=True)
    (path / "frames").mkdir()
    if words:
        (path / "decode" / "hyp.txt").write_text("u a\n")
    if frames:
        (path / "frames" / "frames.json").write_text("{}")
    return path


def test_a_folder_of_an_experiment_gives_the_name(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "eval" / "distilled" / "test")
    (system,) = locate([str(folder)])
    assert (system.name, system.hypotheses, system.frames) == (
        "distilled",
        folder / "decode/hyp.txt",
        folder / "frames",
    )
    (named,) = locate([f"mine={folder}"])
    assert named.name == "mine"


def test_halves_files_and_the_folders_themselves(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "eval" / "a" / "test", frames=False)
    assert locate([str(folder)])[0].frames is None
    assert locate([f"x={folder / 'decode'}"])[0].hypotheses == folder / "decode/hyp.txt"
    (tmp_path / "other=1.trn").write_text("a (u)\n")
    (system,) = locate([f"{tmp_path}/other=1.trn"])  # no name: there is a slash before the sign
    assert (system.name, system.hypotheses) == ("other=1", tmp_path / "other=1.trn")


def test_what_is_no_system(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere does not exist"):
        locate([f"{tmp_path}/nowhere"])
    with pytest.raises(DataError, match="nor frames"):
        locate([str(_folder(tmp_path / "x" / "test", words=False, frames=False))])
    with pytest.raises(ConfigError, match="expected NAME=PATH"):
        locate(["a="])
    folder = _folder(tmp_path / "eval" / "a" / "test")
    with pytest.raises(ConfigError, match="two systems are called 'a'"):
        locate([str(folder), f"a={folder}"])


def test_roles_by_name() -> None:
    roles = assign_roles(NAMES)
    assert roles == Roles(("teacher.1", "teacher.2"), "ensemble", ("distilled", "distilled_small"))
    assert [(row.name, row.members) for row in roles.rows(NAMES)] == [
        ("baseline", ("teacher.1", "teacher.2")),
        *((name, (name,)) for name in ("ensemble", "distilled", "distilled_small", "gmm")),
    ]
    assert assign_roles(["baseline", "teacher.1"]).baseline == ("baseline",)
    assert assign_roles(["a", "b"]) == Roles()
    assert [row.name for row in Roles().rows(["b", "a"])] == ["b", "a"]


def test_roles_by_option() -> None:
    roles = assign_roles(NAMES, ["gmm"], "teacher.1", ["distilled_small"])
    assert roles == Roles(("gmm",), "teacher.1", ("distilled_small",))
    assert [row.name for row in roles.rows(NAMES)] == [
        "gmm",
        "teacher.1",
        "distilled_small",
        "distilled",
        "ensemble",
        "teacher.2",
    ]


def test_roles_that_can_not_be() -> None:
    with pytest.raises(ConfigError, match="no system is called 'esemble'; did you mean 'ensemble'"):
        assign_roles(NAMES, teacher="esemble")
    with pytest.raises(ConfigError, match="'gmm' is given twice"):
        assign_roles(NAMES, ["gmm"], "gmm")
    with pytest.raises(ConfigError, match="'baseline' is the mean of a, b"):
        assign_roles(["a", "b", "baseline"], ["a", "b"])
