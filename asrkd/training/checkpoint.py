"""What training needs to go on after a kill, written whole at the end of each epoch.

SpeechBrain's own checkpoints write their metadata first, so that a save that was cut off looks complete; here one
file appears under its name when it is complete, and it is read back without unpickling code.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from pickle import UnpicklingError  # torch's word for a damaged file; nothing is unpickled
from typing import Any

import torch

from asrkd.core.errors import DataError
from asrkd.core.files import atomic_write


@dataclass
class Progress:
    """State after ``epoch`` epochs. ``curve`` has one row an epoch."""

    epoch: int = 0
    weights: dict[str, torch.Tensor] = field(default_factory=dict)
    best_weights: dict[str, torch.Tensor] = field(default_factory=dict)
    best_accuracy: float = -1.0
    best_epoch: int = 0
    optimizer: dict[str, Any] = field(default_factory=dict)
    scaler: dict[str, Any] = field(default_factory=dict)
    schedule: dict[str, Any] = field(default_factory=dict)
    curve: list[dict[str, float]] = field(default_factory=list)


def save_progress(path: Path, progress: Progress) -> None:
    with atomic_write(path, "wb") as file:
        torch.save({name: getattr(progress, name) for name in asdict(Progress())}, file)


def load_progress(path: Path) -> Progress | None:
    """What `save_progress` wrote, or None where there is nothing yet."""
    if not path.exists():
        return None
    try:
        return Progress(**torch.load(path, map_location="cpu", weights_only=True))
    except (RuntimeError, TypeError, EOFError, OSError, ValueError, UnpicklingError) as error:
        cause = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path}: checkpoint is not readable ({cause}): remove it to train from the start") from None
