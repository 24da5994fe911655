"""Jitter of Hinton, Vinyals and Dean (2015, section 3): images shifted at random, anew in each batch."""

from dataclasses import dataclass

import torch

from asrkd.core.errors import ConfigError
from asrkd.features.store import FeatureDir


@dataclass(frozen=True)
class Jitter:
    """Shifts by up to ``pixels`` in each direction. Draws from torch's own generator, as dropout does."""

    pixels: int
    height: int
    width: int

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Images (batch_size, height * width), rows of pixels; what is shifted in is 0."""
        size, reach = 2 * self.pixels + 1, self.pixels
        count, device = len(images), images.device
        padded = torch.nn.functional.pad(images.view(-1, self.height, self.width), (reach,) * 4)
        down, right = torch.randint(size, (2, count, 1, 1), device=device)
        rows = torch.arange(self.height, device=device)[:, None] + down
        columns = torch.arange(self.width, device=device) + right
        return padded[torch.arange(count, device=device)[:, None, None], rows, columns].reshape(images.shape)


def jitter_of(pixels: int, features: FeatureDir, window_size: int) -> Jitter | None:
    """None for 0 ``pixels``. ConfigError where features are no images, seen one at a time."""
    if not pixels:
        return None
    height, width = (features.description.get(name) for name in ("height", "width"))
    if not isinstance(height, int) or not isinstance(width, int) or height * width != features.dim:
        raise ConfigError(f"jitter: {features.path} holds no images: it is for what `asrkd digits` makes")
    if window_size != 1:
        raise ConfigError("jitter: an image has no neighbours: take window: {left: 0, right: 0}")
    return Jitter(pixels, height, width)
