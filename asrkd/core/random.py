"""Random numbers that depend on a seed and on names, never on the order or the process that draws them."""

import hashlib
from collections.abc import Iterable

import numpy as np


def rng_for(seed: int, *names: str | int) -> np.random.Generator:
    """A generator of its own for ``(seed, *names)``, e.g. ``rng_for(config.seed, "noise", utt_id)``."""
    digest = hashlib.sha256("\x1f".join(str(part) for part in (seed, *names)).encode()).digest()
    return np.random.default_rng(np.frombuffer(digest[:16], dtype=np.uint32))


def random_share(names: Iterable[str], fraction: float) -> set[str]:
    """A share of ``names``, at least one, which these and the ``fraction`` alone decide; smaller ones lie in larger."""
    ordered = sorted(names)
    order = rng_for(0, "share").permutation(len(ordered))
    return {ordered[index] for index in order[: max(1, round(fraction * len(ordered)))]}
