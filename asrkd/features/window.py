"""Windows of context: which frames a net sees to predict one.

A window is (left, right): ``left`` past frames, the frame whose state is predicted, ``right`` future ones. The
paper's is (20, 5): 26 frames, of which the 21st is predicted. At the ends of an utterance its first and last frames
are repeated.
"""

from collections.abc import Iterable

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass

from asrkd.core.config import STRICT


@dataclass(frozen=True, config=STRICT)
class Window:
    """Context in frames."""

    left: int = Field(default=20, ge=0)
    right: int = Field(default=5, ge=0)

    @property
    def size(self) -> int:
        return self.left + 1 + self.right


def covering(windows: Iterable[Window]) -> Window:
    """The least window that holds all of these."""
    found = list(windows)
    return Window(max(window.left for window in found), max(window.right for window in found))


def pad(features: torch.Tensor, window: Window) -> torch.Tensor:
    """(num_frames, dim) -> (left + num_frames + right, dim), first and last frame repeated."""
    return torch.cat([features[:1].expand(window.left, -1), features, features[-1:].expand(window.right, -1)])


def windows_of(padded: torch.Tensor, window: Window, padding: Window | None = None) -> torch.Tensor:
    """All windows of contiguous ``padded`` frames (n, dim), as a view (n - size + 1, size * dim): nothing is copied.

    Row t holds frames t ... t + size - 1, so for the frames of one padded utterance it predicts frame t. Where the
    frames were padded for a wider window, ``padding``, row t predicts frame t all the same, and there are as many rows
    as of that one.
    """
    num_frames, dim = padded.shape
    padding = padding or window
    shape = (num_frames - padding.size + 1, window.size * dim)
    return padded[padding.left - window.left :].as_strided(shape, (dim, 1))


def splice(features: torch.Tensor, window: Window) -> torch.Tensor:
    """Windows of one utterance: (num_frames, dim) -> (num_frames, size * dim), row t predicting frame t."""
    return windows_of(pad(features, window).contiguous(), window)
