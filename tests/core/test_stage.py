"""A stage's folder is whole or not there; nothing is made twice, and nothing that was committed is lost."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from asrkd.core.errors import DataError
from asrkd.core.stage import Stage, describe, free, input_key, run_stage, scratch, stands

Run = Callable[[Path], Mapping[str, Any] | None]


def write_result(work: Path) -> dict[str, Any]:
    (work / "result").write_text("whole")
    return {"answer": 42}


def must_not_run(work: Path) -> None:
    raise AssertionError("the stage ran")


def stage(tmp_path: Path, run: Run = write_result, version: int = 1, **config: Any) -> Stage:
    source = tmp_path / "input"
    if not source.exists():
        source.write_text("input")
    return Stage("example", run, [source], tmp_path / "output", config, version)


def test_made_once_then_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_stage(stage(tmp_path))
    assert not run_stage(stage(tmp_path, must_not_run))
    assert "skipped" in capsys.readouterr().err
    description = describe(tmp_path / "output")
    assert description["summary"] == {"answer": 42}
    assert description["files"] == {"result": 5}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["input", "output"]


def test_a_file_that_a_kill_cut_short_is_no_part_of_the_output(tmp_path: Path) -> None:
    def killed(work: Path) -> None:
        (work / "stage.json.tmp").write_text("{")
        (work / "part.tmp").mkdir()
        (work / "part.tmp" / "half.tmp").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_stage(stage(tmp_path, killed))
    run_stage(stage(tmp_path))
    assert describe(tmp_path / "output")["files"] == {"result": 5}
    assert stands(stage(tmp_path))


@pytest.mark.parametrize("place", ["_describe", "_commit", "shutil.rmtree"])
def test_scratch_lasts_until_the_output_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """Killed before the description is written, before the rename, and while the scratch is removed."""

    def killed(*arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    def with_scratch(work: Path) -> None:
        (scratch(work) / "half").write_text("half")
        (work / "result").write_text("whole")

    def resumed(work: Path) -> None:
        assert (scratch(work) / "half").read_text() == "half"

    with monkeypatch.context() as patch:
        patch.setattr(f"asrkd.core.stage.{place}", killed)
        with pytest.raises(KeyboardInterrupt):
            run_stage(stage(tmp_path, with_scratch))
    assert not (tmp_path / "output").exists()
    run_stage(stage(tmp_path, resumed if place == "_describe" else must_not_run))
    assert describe(tmp_path / "output")["files"] == {"result": 5}
    assert sorted(path.name for path in (tmp_path / "output").iterdir()) == ["result", "stage.json"]


def test_it_stands_while_inputs_configuration_and_files_are_the_same(tmp_path: Path) -> None:
    assert not stands(stage(tmp_path))
    run_stage(stage(tmp_path))
    assert stands(stage(tmp_path, must_not_run))
    assert not stands(stage(tmp_path, x=1))
    (tmp_path / "output/result").write_text("cut")
    assert not stands(stage(tmp_path))
    (tmp_path / "input").unlink()
    assert not stands(Stage("example", write_result, [tmp_path / "input"], tmp_path / "output", {}))


def test_what_was_made_of_a_freed_folder_stands_and_the_folder_is_made_again_on_demand(tmp_path: Path) -> None:
    def follower(run: Run = write_result) -> Stage:
        return Stage("follower", run, [tmp_path / "output"], tmp_path / "second", {})

    run_stage(stage(tmp_path))
    run_stage(follower())
    free(tmp_path / "output")
    assert sorted(path.name for path in (tmp_path / "output").iterdir()) == ["stage.json"]
    assert describe(tmp_path / "output")["summary"] == {"answer": 42}
    assert not stands(stage(tmp_path))
    assert stands(stage(tmp_path), or_freed=True)
    assert not stands(stage(tmp_path, x=1), or_freed=True)
    assert not run_stage(follower(must_not_run))
    assert run_stage(stage(tmp_path))
    assert stands(stage(tmp_path))
    assert not run_stage(follower(must_not_run))


@pytest.mark.parametrize("change", ["config", "input", "version", "nested config"])
def test_what_changes_is_made_again(tmp_path: Path, change: str) -> None:
    run_stage(stage(tmp_path, section={"a": 1}))
    if change == "input":
        (tmp_path / "input").write_text("other")
    changed: dict[str, dict[str, Any]] = {"config": {"x": 1}, "nested config": {"section": {"a": 2}}}
    config = changed.get(change, {"section": {"a": 1}})
    assert run_stage(stage(tmp_path, version=2 if change == "version" else 1, **config))


def test_a_rebuilt_stage_rebuilds_what_follows(tmp_path: Path) -> None:
    def follower() -> Stage:
        return Stage("follower", write_result, [tmp_path / "output"], tmp_path / "second", {})

    run_stage(stage(tmp_path))
    assert run_stage(follower())
    assert not run_stage(follower())
    run_stage(stage(tmp_path, beam=3))
    assert run_stage(follower())


def test_a_file_within_a_finished_stage_is_known_by_the_stage(tmp_path: Path) -> None:
    run_stage(stage(tmp_path))
    first = input_key(tmp_path / "output" / "result")
    assert first.endswith(":result")
    (tmp_path / "sub").mkdir()
    assert input_key(tmp_path / "sub" / ".." / "output" / "result") == first


def test_a_stage_that_is_refused_leaves_nothing(tmp_path: Path) -> None:
    def refuse(work: Path) -> None:
        raise DataError("bad input")

    with pytest.raises(DataError, match="bad input"):
        run_stage(stage(tmp_path, refuse))
    assert [path.name for path in tmp_path.iterdir()] == ["input"]


def test_old_output_stands_until_the_new_is_whole(tmp_path: Path) -> None:
    run_stage(stage(tmp_path))

    def look_and_fail(work: Path) -> None:
        assert (tmp_path / "output" / "result").read_text() == "whole"
        raise DataError("bad input")

    with pytest.raises(DataError, match="bad input"):
        run_stage(stage(tmp_path, look_and_fail, beam=2))
    assert not run_stage(stage(tmp_path, must_not_run))


@pytest.mark.parametrize("there", ["file", "folder", "another stage's"])
def test_what_the_stage_did_not_make_stays(tmp_path: Path, there: str) -> None:
    """As where OUTPUT was forgotten, and the last input is taken for it."""
    output = tmp_path / "output"
    if there == "file":
        output.write_text("mine")
    elif there == "folder":
        output.mkdir()
        (output / "mine").write_text("mine")
    else:
        run_stage(Stage("model", write_result, [], output, {}))
    told = {
        "file": "output is a file",
        "folder": r"no stage made it \(it holds mine\)",
        "another stage's": "output was made by `asrkd model`, not by `asrkd example`",
    }
    with pytest.raises(DataError, match=rf"{told[there]}.*: was OUTPUT, .*left out"):
        run_stage(stage(tmp_path, must_not_run))
    kept = output if there == "file" else output / ("mine" if there == "folder" else "result")
    assert kept.read_text() in ("mine", "whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["input", "output"]


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "output").mkdir()
    assert run_stage(stage(tmp_path))


@pytest.mark.parametrize("damage", ["cut", "missing", "description cut", "description of another kind"])
def test_damaged_output_is_made_again(tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]) -> None:
    run_stage(stage(tmp_path))
    output = tmp_path / "output"
    if damage == "cut":
        (output / "result").write_text("who")
    elif damage == "missing":
        (output / "result").unlink()
    else:
        (output / "stage.json").write_text('{"key": ' if damage == "description cut" else "[]")
    assert run_stage(stage(tmp_path))
    assert "making it again" in capsys.readouterr().err
    assert (output / "result").read_text() == "whole"


def test_damaged_input_is_refused_by_name(tmp_path: Path) -> None:
    run_stage(stage(tmp_path))
    (tmp_path / "output" / "result").write_text("who")
    with pytest.raises(DataError, match=r"output: result has 3 bytes, 5 were written") as error:
        run_stage(Stage("follower", must_not_run, [tmp_path / "output"], tmp_path / "second", {}))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "second").exists()


def test_missing_and_unfinished_inputs(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing does not exist$"):
        input_key(tmp_path / "nothing")
    (tmp_path / "nothing.partial").mkdir()
    with pytest.raises(DataError, match="was cut off, run it again"):
        input_key(tmp_path / "nothing")
    with pytest.raises(DataError, match="not a finished stage's output"):
        describe(tmp_path)


def test_plain_folder_is_known_by_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    folder.mkdir()
    (folder / "a").write_text("1")
    first = input_key(folder)
    assert input_key(folder) == first
    (folder / "b").write_text("")
    assert input_key(folder) != first


SCRIPT = """
import os, signal, sys, time
from pathlib import Path
from asrkd.core import stage as stages
from asrkd.core.files import atomic_write
from asrkd.core.stage import Stage, run_stage

root, mode = Path(sys.argv[1]), sys.argv[2]

def run(work):
    with open(root / "log", "a") as log:
        for number in range(3):
            shard = work / f"shard.{number}"
            if shard.exists():
                continue
            log.write(f"{number} ")
            log.flush()
            with atomic_write(shard) as file:
                file.write(str(number))
                if mode == "kill" and number == 2:
                    file.flush()
                    os.kill(os.getpid(), signal.SIGKILL)
        if mode == "slow":
            (root / "inside").touch()
            while not (root / "go on").exists():
                time.sleep(0.01)

if mode == "kill before rename":
    stages._commit = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
if mode == "kill between renames":
    real, calls = os.replace, []
    def replace(a, b):
        if str(b).endswith("/output"):
            os.kill(os.getpid(), signal.SIGKILL)
        real(a, b)
    os.replace = replace
print(run_stage(Stage("example", run, [], root / "output", {"n": 3} if len(sys.argv) < 4 else {"n": 4})))
"""


def start(tmp_path: Path, mode: str, *config: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), mode, *config]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def shards(tmp_path: Path) -> list[str]:
    return [(tmp_path / "output" / f"shard.{number}").read_text() for number in range(3)]


def test_killed_midway_goes_on_where_it_was(tmp_path: Path) -> None:
    killed = start(tmp_path, "kill")
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "output").exists()
    assert start(tmp_path, "resume").communicate()[0] == "True\n"
    assert (tmp_path / "log").read_text() == "0 1 2 2 "
    assert shards(tmp_path) == ["0", "1", "2"]
    assert set(describe(tmp_path / "output")["files"]) == {"shard.0", "shard.1", "shard.2"}


def test_killed_work_of_another_configuration_is_cleared(tmp_path: Path) -> None:
    start(tmp_path, "kill").communicate()
    start(tmp_path, "resume", "other").communicate()
    assert (tmp_path / "log").read_text() == "0 1 2 0 1 2 "


@pytest.mark.parametrize("moment", ["kill before rename", "kill between renames"])
def test_killed_once_the_work_is_done_only_renames(tmp_path: Path, moment: str) -> None:
    if moment == "kill between renames":
        start(tmp_path, "whole", "an older configuration").communicate()
        (tmp_path / "log").unlink()
    killed = start(tmp_path, moment)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    start(tmp_path, "resume").communicate()
    assert (tmp_path / "log").read_text() == "0 1 2 "
    assert shards(tmp_path) == ["0", "1", "2"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "output"]


def test_damage_after_a_kill_before_the_rename_is_found(tmp_path: Path) -> None:
    start(tmp_path, "kill before rename").communicate()
    (tmp_path / "output.partial" / "shard.1").write_text("")
    start(tmp_path, "resume").communicate()
    assert shards(tmp_path) == ["0", "1", "2"]


def test_of_two_writers_the_second_waits_and_skips(tmp_path: Path) -> None:
    first = start(tmp_path, "slow")
    while not (tmp_path / "inside").exists():
        assert first.poll() is None
        time.sleep(0.01)
    second = start(tmp_path, "resume")
    assert second.stderr is not None
    assert "waiting" in second.stderr.readline()
    (tmp_path / "go on").touch()
    assert first.communicate()[0] == "True\n"
    assert second.communicate()[0] == "False\n"
    assert (tmp_path / "log").read_text() == "0 1 2 "


def test_a_waiting_writer_takes_over_from_a_killed_one(tmp_path: Path) -> None:
    first = start(tmp_path, "slow")
    while not (tmp_path / "inside").exists():
        assert first.poll() is None
        time.sleep(0.01)
    second = start(tmp_path, "resume")
    assert second.stderr is not None
    assert "waiting" in second.stderr.readline()
    first.kill()
    first.communicate()
    assert second.communicate()[0] == "True\n"
    assert (tmp_path / "log").read_text() == "0 1 2 "


def test_description_is_plain_json(tmp_path: Path) -> None:
    run_stage(stage(tmp_path, beam=13.0))
    description = json.loads((tmp_path / "output" / "stage.json").read_text())
    assert description["config"] == {"beam": 13.0}
    assert description["inputs"] == {str(tmp_path / "input"): input_key(tmp_path / "input")}


def test_output_may_be_moved(tmp_path: Path) -> None:
    run_stage(stage(tmp_path))
    shutil.copytree(tmp_path / "output", tmp_path / "copy")
    assert input_key(tmp_path / "copy") == input_key(tmp_path / "output")
