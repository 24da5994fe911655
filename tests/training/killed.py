"""Training in a process of its own that is killed after the second epoch."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from asrkd.training import train as training
from asrkd.training.checkpoint import Progress


def killed_after_epoch_2(train: Callable[..., Any], *arguments: Any) -> None:
    """Call ``train`` with ``arguments``, of which all is to be picklable, and see it die."""
    process = multiprocessing.get_context("spawn").Process(
        target=_train_and_die, args=(train, arguments, torch.get_num_threads())
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def _train_and_die(train: Callable[..., Any], arguments: tuple[Any, ...], threads: int) -> None:
    after_epoch = training._after_epoch

    def die_after_2(work: Path, progress: Progress) -> None:
        after_epoch(work, progress)
        if progress.epoch == 2:
            os.kill(os.getpid(), signal.SIGKILL)

    training._after_epoch = die_after_2
    torch.set_num_threads(threads)
    train(*arguments)
