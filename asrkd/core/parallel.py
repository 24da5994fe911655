"""Work over processes: shards in, results out, in order. Nothing in Kaldi's wheels releases the GIL."""

import ctypes
import itertools
import multiprocessing
import operator
import os
import signal
import sys
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import reduce
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from asrkd.core.errors import AsrkdError

Item = TypeVar("Item")
Result = TypeVar("Result")

MAX_PARTS = 128
"""Partial results that pass from workers to their parent, at most."""

_PR_SET_PDEATHSIG = 1

_function: Callable[[Any], Any] | None = None


def split_shards(items: Sequence[Item], num_shards: int) -> list[list[Item]]:
    """``items`` in ``num_shards`` runs of nearly equal length, in order; fewer when there are fewer items."""
    num_shards = max(1, min(num_shards, len(items)))
    bounds = [len(items) * i // num_shards for i in range(num_shards + 1)]
    return [list(items[a:b]) for a, b in itertools.pairwise(bounds)]


def map_shards(
    function: Callable[[Item], Result], shards: Sequence[Item], jobs: int = 1, description: str = ""
) -> list[Result]:
    """``[function(shard) for shard in shards]`` as a list; see `each_shard`."""
    return list(each_shard(function, shards, jobs, description))


def fold_shards(
    function: Callable[[Item], Result],
    shards: Sequence[Item],
    combine: Callable[[Iterable[Result]], Result],
    jobs: int = 1,
    description: str = "",
) -> Result:
    """``combine`` of ``function(shard)`` of all shards, without ever holding the results of all.

    Shards are combined in runs, of which there are `MAX_PARTS` at most, in the workers, then the runs' results here:
    the result does not depend on ``jobs``, nor the memory on the number of shards. ``combine`` gets an iterator.
    """

    def fold(run: Sequence[Item]) -> Result:
        return combine(map(function, run))

    return combine(each_shard(fold, split_shards(shards, MAX_PARTS), jobs, description))


def add_up(parts: Iterable[Result]) -> Result:
    """The sum of ``parts`` (one at least), each added to the first, which it changes."""
    return reduce(operator.iadd, parts)


def each_shard(
    function: Callable[[Item], Result], shards: Sequence[Item], jobs: int = 1, description: str = ""
) -> Iterator[Result]:
    """``function(shard)`` of each shard, in order, over ``jobs`` forked processes, with a progress bar.

    Workers inherit the parent's memory (a graph is loaded once, then shared), end with their parent even
    when it is killed, and use one thread each. The first exception is raised here and stops the rest; a worker that
    is killed is an AsrkdError, where multiprocessing's Pool would wait for its answer for ever.
    """
    if jobs <= 1 or len(shards) <= 1 or "fork" not in multiprocessing.get_all_start_methods():
        yield from map(function, _progress(shards, len(shards), description))
        return
    global _function
    _function = function
    context = multiprocessing.get_context("fork")
    others = set(multiprocessing.active_children())
    try:
        with ProcessPoolExecutor(min(jobs, len(shards)), context, _start_worker, (os.getpid(),)) as pool:
            try:
                yield from _progress(pool.map(_call, shards), len(shards), description)
            except BaseException:
                for worker in set(multiprocessing.active_children()) - others:
                    worker.kill()
                raise
    except BrokenProcessPool:
        raise AsrkdError(
            f"{description or 'a worker'}: a worker process was killed: out of memory? Try fewer jobs"
        ) from None
    finally:
        _function = None


@dataclass(frozen=True)
class Task:
    """Work under a name, which starts once the tasks named in ``after`` have ended well; it prints to ``log``."""

    name: str
    run: Callable[[], object]
    log: Path
    after: Sequence[str] = ()


def run_tasks(tasks: Sequence[Task], jobs: int = 1) -> Generator[tuple[Task, str], None, None]:
    """Run each task in a process of its own, ``jobs`` at a time, one thread each; yield each that ends, and its error.

    The error is one line, empty where there was none. What comes after a failed task is not run, and fails too; all
    others are. The first that may start is the first of ``tasks``. Processes end with their parent.
    """
    context = multiprocessing.get_context("fork")
    waiting, errors = list(tasks), dict[str, str]()
    running: dict[int, tuple[Task, multiprocessing.process.BaseProcess, Connection]] = {}
    try:
        while waiting or running:
            for task in tuple(waiting):
                if failed := [name for name in task.after if errors.get(name)]:
                    waiting.remove(task)
                    errors[task.name] = f"not run, since {failed[0]} failed"
                    yield task, errors[task.name]
                elif len(running) < jobs and all(name in errors for name in task.after):
                    waiting.remove(task)
                    receiver, sender = context.Pipe(duplex=False)
                    process = context.Process(target=_run_task, args=(task, sender, os.getpid()))
                    process.start()
                    sender.close()
                    running[process.sentinel] = (task, process, receiver)
            for sentinel in wait(list(running)):
                ended = running.pop(int(str(sentinel)))
                errors[ended[0].name] = _error_of(*ended)
                yield ended[0], errors[ended[0].name]
    finally:
        for _, worker, _ in running.values():
            worker.kill()


def _run_task(task: Task, sender: Connection, parent: int) -> None:
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"  # of libraries that are not there yet
    _start_worker(parent)
    task.log.parent.mkdir(parents=True, exist_ok=True)
    with open(task.log, "a", encoding="utf-8") as log, redirect_stdout(log), redirect_stderr(log):
        try:
            task.run()
        except (AsrkdError, OSError) as error:
            sender.send(" ".join(str(error).split()))
        except Exception:
            traceback.print_exc()
            raise SystemExit(1) from None


def _error_of(task: Task, process: multiprocessing.process.BaseProcess, receiver: Connection) -> str:
    process.join()
    with receiver:
        try:
            return str(receiver.recv())
        except EOFError:
            pass
    if process.exitcode and process.exitcode < 0:
        return f"its process was killed (signal {-process.exitcode}): out of memory? Try fewer jobs"
    return f"a fault of the program: {task.log} says where" if process.exitcode else ""


def _progress(results: Iterable[Any], total: int, description: str) -> Iterable[Any]:
    return tqdm(results, total=total, desc=description, disable=None, leave=False)


def _call(shard: Any) -> Any:
    assert _function is not None
    return _function(shard)


def _start_worker(parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent answers Ctrl-C and ends its workers
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the line above
        os._exit(1)
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(1)
