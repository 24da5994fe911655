"""Work over processes: shards in, results out, in order. Nothing in Kaldi's wheels releases the GIL."""

import ctypes
import itertools
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from tqdm import tqdm

from asrkd.core.errors import AsrkdError

Item = TypeVar("Item")
Result = TypeVar("Result")

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
    """``[function(shard) for shard in shards]`` over ``jobs`` forked processes, with a progress bar.

    Workers inherit the parent's memory (a graph is loaded once, then shared), end with their parent even
    when it is killed, and use one thread each. The first exception is raised here and stops the rest; a worker that
    is killed is an AsrkdError, where multiprocessing's Pool would wait for its answer for ever.
    """
    if jobs <= 1 or len(shards) <= 1 or "fork" not in multiprocessing.get_all_start_methods():
        return [function(shard) for shard in _progress(shards, len(shards), description)]
    global _function
    _function = function
    context = multiprocessing.get_context("fork")
    others = set(multiprocessing.active_children())
    try:
        with ProcessPoolExecutor(min(jobs, len(shards)), context, _start_worker, (os.getpid(),)) as pool:
            try:
                return list(_progress(pool.map(_call, shards), len(shards), description))
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
