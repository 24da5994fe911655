"""Filterbanks: kaldi-native-fbank against torchaudio's Kaldi-compatible front end, on one core.

python -m bench.features
"""

import time
from collections.abc import Callable

import numpy as np
import torch

from asrkd.features.frontend import FeatureConfig, Features, Samples, compute_native, compute_torchaudio
from bench.table import print_table

SECONDS = 10
REPEATS = 20


def main() -> None:
    """Time both on the same noise, and print the largest difference between them."""
    torch.set_num_threads(1)
    config = FeatureConfig()
    samples = np.random.default_rng(1).normal(0, 0.1, SECONDS * config.sample_rate).astype(np.float32)
    computed: list[Features] = []
    rows = []
    runs: dict[str, Callable[[Samples, FeatureConfig], Features]] = {
        "kaldi-native-fbank": compute_native,
        "torchaudio.compliance.kaldi": compute_torchaudio,
    }
    for name, compute in runs.items():
        computed.append(compute(samples, config))
        start = time.perf_counter()
        for _ in range(REPEATS):
            compute(samples, config)
        seconds = (time.perf_counter() - start) / REPEATS
        rows.append((name, f"{seconds / SECONDS:.5f}"))
    print_table("fbank, 40 mel bins, CPU, 1 thread", ["front end", "real-time factor"], rows)
    print(f"\nlargest difference: {np.abs(computed[0] - computed[1]).max():.1e} (log-mel)")


if __name__ == "__main__":
    main()
