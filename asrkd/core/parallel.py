"""Work over processes: shards in, results out, in order. Nothing in Kaldi's wheels releases the GIL."""

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
Result = TypeVar("Result")

_PR_SET_PDEATHSIG = 1

_function: Callable[[object], object] | None = None


def split_shards(items: Sequence[Item], num_shards: int) -> list[list[Item]]:
    """``items`` in ``num_shards`` runs of nearly equal length, in order; fewer when there are fewer items."""
    num_shards = max(1, min(num_shards, len(items)))
    bounds = [len(items) * i // num_shards for i in range(num_shards + 1)]
    return [list(items[a:b]) for a, b in zip(bounds, bounds[1:], strict=False)]


def map_shards(
    function: Callable[[Item], Result], shards: Sequence[Item], jobs: int = 1, description: str = ""
) -> list[Result]:
    """``[function(shard) for shard in shards]`` over ``jobs`` forked processes, with a progress bar.

    Workers inherit the parent's memory (a graph is loaded once, then shared), end with their parent even
    when it is killed, and use one thread each. The first exception is raised here and stops the rest.
    """
    progress = {"total": len(shards), "desc": description, "disable": None, "leave": False}
    if jobs <= 1 or len(shards) <= 1 or "fork" not in multiprocessing.get_all_start_methods():
        return [function(shard) for shard in tqdm(shards, **progress)]
    global _function
    _function = function  # type: ignore[assignment]
    context = multiprocessing.get_context("fork")
    try:
        with context.Pool(min(jobs, len(shards)), _start_worker, (os.getpid(),)) as pool:
            return list(tqdm(pool.imap(_call, shards), **progress))
    finally:
        _function = None


def _call(shard: object) -> object:
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
