"""Images of digits: MNIST's IDX files, or scikit-learn's own 1797 (8 x 8 pixels, from UCI's optical digits).

An IDX file (http://yann.lecun.com/exdb/mnist) is two zero bytes, the type 0x08, unsigned bytes, the number of
dimensions, each dimension as a big-endian int32, and then the values.
"""

import gzip
import math
import zlib
from dataclasses import dataclass as plain_dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass

from asrkd.core.config import STRICT
from asrkd.core.errors import DataError
from asrkd.core.random import rng_for

NUM_CLASSES = 10
_UNSIGNED_BYTE = 8
_MOST_BYTES = 2**31  # MNIST's 60,000 images are 47 million


@dataclass(frozen=True, config=STRICT)
class DigitsConfig:
    """Shares of the images. IDX files have a test set of their own, and ``dev`` is then a share of the others."""

    seed: int = 1
    dev: float = Field(default=0.15, gt=0, lt=1)
    test: float = Field(default=0.25, gt=0, lt=1)

    def __post_init__(self) -> None:
        if self.dev + self.test >= 1:
            raise ValueError(f"dev {self.dev:g} and test {self.test:g} leave nothing to train on")


@plain_dataclass(frozen=True)
class Images:
    """``pixels`` float32 of shape (count, height, width), from 0 to 1; ``labels`` int32 of shape (count,)."""

    pixels: NDArray[np.float32]
    labels: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: NDArray[np.int64]) -> "Images":
        return Images(self.pixels[indices], self.labels[indices])


def read_digits(config: DigitsConfig, folder: Path | None = None) -> dict[str, Images]:
    """Parts train, dev and test: of ``folder``'s IDX files, or of scikit-learn's digits.

    Raises DataError for what is missing, damaged or no image of a digit, and where there are too few for three parts.
    """
    if folder is None:
        everything = _bundled()
        rest, test = _split(everything, config.test, config.seed, "test")
    else:
        rest, test = (_read_pair(folder, name) for name in ("train", "t10k"))
        if rest.pixels.shape[1:] != test.pixels.shape[1:]:
            raise DataError(f"{folder}: images of {rest.pixels.shape[1:]} and of {test.pixels.shape[1:]} pixels")
    # The share of dev is one of all images where test is drawn from them, too.
    train, dev = _split(rest, config.dev / (1 - config.test) if folder is None else config.dev, config.seed, "dev")
    parts = {"train": train, "dev": dev, "test": test}
    if empty := [name for name, part in parts.items() if not len(part)]:
        raise DataError(f"{folder}: no image is left for {empty[0]}: there are too few")
    return parts


def _split(images: Images, share: float, seed: int, name: str) -> tuple[Images, Images]:
    """The rest, and a share drawn at random; both keep their order."""
    drawn = rng_for(seed, name).permutation(len(images))[: round(share * len(images))]
    chosen = np.zeros(len(images), bool)
    chosen[drawn] = True
    return images.take(np.flatnonzero(~chosen)), images.take(np.flatnonzero(chosen))


def _bundled() -> Images:
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise DataError(
            "scikit-learn, whose digits are the default, is not installed: pip install 'asrkd[digits]', or give "
            "--data DIR with MNIST's files"
        ) from None
    digits: Any = load_digits()
    return Images((digits.images / 16).astype(np.float32), digits.target.astype(np.int32))


def _read_pair(folder: Path, name: str) -> Images:
    pixels, labels = (
        _read_idx(folder, f"{name}-{kind}-idx{dims}-ubyte", dims) for kind, dims in (("images", 3), ("labels", 1))
    )
    if len(pixels) != len(labels):
        raise DataError(f"{folder}: {len(pixels)} {name} images and {len(labels)} labels: are they of one set?")
    if len(labels) and labels.max() >= NUM_CLASSES:
        raise DataError(f"{folder}: a label of {name} is {labels.max()}: digits are 0 to {NUM_CLASSES - 1}")
    return Images((pixels / 255).astype(np.float32), labels.astype(np.int32))


def _read_idx(folder: Path, name: str, dims: int) -> NDArray[np.uint8]:
    """The array of an IDX file of ``dims`` dimensions, gzipped or not."""
    path = next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)
    if path is None:
        raise DataError(f"{folder} has neither {name} nor {name}.gz: is it a folder of MNIST's files?")
    start = 4 + 4 * dims
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            head = file.read(start)
            shape = tuple(int.from_bytes(head[at : at + 4], "big") for at in range(4, start, 4))
            if head[:4] != bytes([0, 0, _UNSIGNED_BYTE, dims]) or len(head) < start:
                raise DataError(f"{path}: no IDX file of bytes in {dims} dimensions: is it another file?")
            if math.prod(shape) > _MOST_BYTES:
                raise DataError(f"{path}: says that it holds an array of {shape}: is it damaged?")
            data = file.read(math.prod(shape) + 1)  # one byte more, if there is one, is one too many
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: not readable ({error}): was it cut short?") from None
    if len(data) != math.prod(shape):
        found = f"{len(data)} bytes" if len(data) < math.prod(shape) else "more bytes"
        raise DataError(f"{path}: {found} for an array of {shape}: was it cut short, or are there two in one file?")
    return np.frombuffer(data, np.uint8).reshape(shape)
