"""Random numbers that depend on a seed and on names, never on the order or the process that draws them."""

import hashlib

import numpy as np


def rng_for(seed: int, *names: str | int) -> np.random.Generator:
    """A generator of its own for ``(seed, *names)``, e.g. ``rng_for(config.seed, "noise", utt_id)``."""
    digest = hashlib.sha256("\x1f".join(str(part) for part in (seed, *names)).encode()).digest()
    return np.random.default_rng(np.frombuffer(digest[:16], dtype=np.uint32))
