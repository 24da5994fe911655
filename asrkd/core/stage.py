"""Stages: a directory that describes itself, made once, never taken for whole when it is not.

A stage's identity is a key: the hash of its name, its version, its own section of the configuration and the keys
of its inputs. Work goes to ``OUTPUT.partial``; ``stage.json`` is written last; one rename makes it ``OUTPUT``. So
a folder that exists is finished, a stage whose key stands is skipped, and a killed one goes on from whatever its
``run`` had committed in the partial folder. What it needs for no more than that goes to `scratch`.
"""

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asrkd.core.errors import DataError
from asrkd.core.files import UNFINISHED, read_json, sha256, write_json
from asrkd.core.messages import say

DESCRIPTION = "stage.json"
_SCRATCH = "scratch"
_STARTED = f"{_SCRATCH}/started.json"
_FREED = "freed"


@dataclass(frozen=True)
class Stage:
    """What turns ``inputs`` into the folder ``output``.

    ``run`` gets the partial folder, may find there what an earlier run with the same key committed, writes
    nowhere else, and returns a small summary for the description. ``config`` is the stage's own section.
    """

    name: str
    run: Callable[[Path], Mapping[str, Any] | None]
    inputs: Sequence[Path]
    output: Path
    config: Mapping[str, Any]
    version: int = 1

    def key(self) -> str:
        """Identity of the output: changes with the code's version, the configuration or any input."""
        parts = {
            "name": self.name,
            "version": self.version,
            "config": self.config,
            "inputs": [input_key(path) for path in self.inputs],
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def run_stage(stage: Stage) -> bool:
    """Make ``stage.output`` unless it stands already. Returns whether anything was done.

    What stands there gives way only if this stage made it, with other inputs or settings; else a DataError.
    """
    _check_gives_way(stage)
    key = stage.key()
    if _stands(stage.output, key):
        say(f"{stage.name}: {stage.output} stands, skipped")
        return False
    partial = stage.output.with_name(stage.output.name + ".partial")
    with _locked(partial, stage.output):
        if _stands(stage.output, key):  # another process finished it while this one waited
            say(f"{stage.name}: {stage.output} stands, skipped")
            return False
        if (partial / DESCRIPTION).is_file() and _stands(partial, key):
            _commit(partial, stage.output)  # killed between the description and the rename
            return True
        _prepare(partial, key)
        say(f"{stage.name}: making {stage.output}")
        start = time.monotonic()
        summary = stage.run(partial) or {}
        seconds = time.monotonic() - start
        _describe(stage, key, partial, summary, seconds)
        _commit(partial, stage.output)
    say(f"{stage.name}: {stage.output} done in {seconds:.1f} s")
    return True


def scratch(work: Path) -> Path:
    """The folder, within a stage's partial one, of what an unfinished stage alone needs.

    It is no part of the output: it is removed when that is whole and described, not before.
    """
    folder = work / _SCRATCH
    folder.mkdir(exist_ok=True)
    return folder


def stands(stage: Stage, or_freed: bool = False) -> bool:
    """Whether the output is what ``stage`` would make of its inputs as they are."""
    try:
        description = describe(stage.output)
        return description["key"] == stage.key() and (or_freed or not description.get(_FREED))
    except DataError:
        return False


def free(folder: Path) -> None:
    """Remove a finished stage's files, but not its description: what was made of them stands.

    Its stage makes it again when it is run.
    """
    description = describe(folder)
    write_json(folder / DESCRIPTION, {**description, "files": {}, _FREED: True})
    for child in folder.iterdir():
        if child.name != DESCRIPTION:
            _remove(child)


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def describe(folder: Path) -> dict[str, Any]:
    """The description of a finished stage's folder; a DataError when it is not finished or not whole."""
    if not (folder / DESCRIPTION).is_file():
        partial = folder.with_name(folder.name + ".partial")
        cause = (
            f"the stage that makes it was cut off ({partial.name} is there): run it again"
            if partial.exists()
            else "has the stage that makes it been run?"
        )
        raise DataError(f"{folder} is not a finished stage's output; {cause}")
    description = _read_description(folder)
    if damage := _damage(folder, description):
        raise DataError(f"{folder}: {damage}; remove the folder and run its stage again")
    return description


def input_key(path: Path) -> str:
    """Identity of an input: a finished stage's key (and the path below it), or what a file or folder holds."""
    if not path.exists():
        partial = path.with_name(path.name + ".partial")
        cause = f"; {partial} is there: its stage was cut off, run it again" if partial.exists() else ""
        raise DataError(f"input {path} does not exist{cause}")
    absolute = Path(os.path.abspath(path))  # noqa: PTH100 (without "..", which Path.absolute keeps)
    for parent in (absolute, *absolute.parents):
        if (parent / DESCRIPTION).is_file():
            return f"{describe(parent)['key']}:{absolute.relative_to(parent).as_posix()}"
    if path.is_file():
        return sha256(path)
    return _folder_key(path)


def _folder_key(folder: Path) -> str:
    """Identity of a plain folder: names, sizes and times of change of its files (a corpus is too large to hash)."""
    digest = hashlib.sha256()
    for file in sorted(p for p in folder.rglob("*") if p.is_file()):
        status = file.stat()
        digest.update(f"{file.relative_to(folder)}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _stands(output: Path, key: str) -> bool:
    if not (output / DESCRIPTION).is_file():
        return False
    try:
        description = _read_description(output)
    except DataError as error:
        say(f"{error}; making it again")
        return False
    if description["key"] != key or description.get(_FREED):
        return False
    if damage := _damage(output, description):
        say(f"{output}: {damage}; making it again")
        return False
    return True


def _check_gives_way(stage: Stage) -> None:
    """DataError where the output's name is that of something else, which an OUTPUT left out would replace."""
    output, hint = stage.output, "was OUTPUT, the folder to make, left out or mistyped?"
    if not output.is_dir():
        if output.exists():
            raise DataError(f"{output} is a file: {hint}")
        return
    if not (output / DESCRIPTION).is_file():
        if found := sorted(path.name for path in output.iterdir()):
            raise DataError(f"{output} is there, and no stage made it (it holds {found[0]}): {hint}")
        return
    try:
        made_by = _read_description(output).get("stage", stage.name)
    except DataError:
        return  # damaged, and made again
    if made_by != stage.name:
        raise DataError(f"{output} was made by `asrkd {made_by}`, not by `asrkd {stage.name}`: {hint}")


def _read_description(folder: Path) -> dict[str, Any]:
    """The description as it was written, or a DataError."""
    description = read_json(folder / DESCRIPTION)
    if not isinstance(description, dict) or not {"key", "files"} <= set(description):
        raise DataError(f"{folder / DESCRIPTION} is no stage's description: was it edited?")
    return description


def _damage(folder: Path, description: Mapping[str, Any]) -> str:
    """What is wrong with a finished folder's files, by size; empty when nothing is."""
    for name, size in description["files"].items():
        file = folder / name
        if not file.is_file():
            return f"{name} is missing"
        if file.stat().st_size != size:
            return f"{name} has {file.stat().st_size} bytes, {size} were written: cut short or changed"
    return ""


def _prepare(partial: Path, key: str) -> None:
    """Keep what an earlier run with the same key committed; clear what another left."""
    started = partial / _STARTED
    described = (partial / DESCRIPTION).exists()  # whole once, and damaged since: nothing there can be trusted
    if started.is_file() and read_json(started)["key"] == key and not described:
        for path in sorted(partial.rglob(f"*{UNFINISHED}"), reverse=True):
            _remove(path)  # else it would be described as one of the output's
        return
    for child in partial.iterdir():
        _remove(child)
    write_json(scratch(partial) / started.name, {"key": key})


def _describe(stage: Stage, key: str, partial: Path, summary: Mapping[str, Any], seconds: float) -> None:
    files = {
        file.relative_to(partial).as_posix(): file.stat().st_size
        for file in sorted(partial.rglob("*"))
        if file.is_file() and partial / _SCRATCH not in file.parents
    }
    description = {
        "stage": stage.name,
        "version": stage.version,
        "key": key,
        "config": dict(stage.config),
        "inputs": {str(path): input_key(path) for path in stage.inputs},
        "summary": dict(summary),
        "seconds": round(seconds, 2),
        "files": files,
    }
    write_json(partial / DESCRIPTION, description)


def _commit(partial: Path, output: Path) -> None:
    """One rename makes the partial folder the output; an output of another key gives way only now."""
    shutil.rmtree(partial / _SCRATCH, ignore_errors=True)
    old = output.with_name(output.name + ".old")
    if old.exists():
        shutil.rmtree(old)
    if output.exists():
        os.replace(output, old)
    os.replace(partial, output)
    if old.exists():
        shutil.rmtree(old)


@contextmanager
def _locked(partial: Path, output: Path) -> Iterator[None]:
    """Hold the partial folder for this process alone; the kernel lets go when the process ends, however it ends."""
    while True:
        partial.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(partial, os.O_RDONLY)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say(f"{output} is being made by another process: waiting for it")
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            try:
                same = os.path.samestat(os.fstat(descriptor), partial.stat())
            except FileNotFoundError:
                same = False  # the other process has renamed it: look again
            if not same:
                continue
            try:
                yield
            finally:
                # A stage that was refused leaves nothing to go on from.
                left = {path for path in partial.rglob("*") if path.is_file()}
                if partial.is_dir() and left <= {partial / _STARTED}:
                    shutil.rmtree(partial)
            return
        finally:
            os.close(descriptor)
