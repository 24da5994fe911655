"""Decoding real-time factor and soft-target dump, on the models of an experiment.

python -m bench.pipeline [EXPERIMENT]        (default exp/mini, after its stage 8)
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from asrkd.core.device import has_fast_bfloat16
from asrkd.decoding.config import DecodeConfig
from asrkd.decoding.decode import decode
from asrkd.decoding.sources import nets
from asrkd.features.store import FeatureDir
from asrkd.graph.graph import Graph
from asrkd.models.saved import load_model
from asrkd.targets.averaging import Ensemble
from asrkd.targets.dump import PosteriorsConfig, dump_posteriors
from bench.table import print_table

REPEATS = 3
UTTERANCES = 40  # of test that are decoded


def main(experiment: Path) -> None:
    """Print both tables."""
    decoding(experiment)
    dump(experiment)


def decoding(experiment: Path) -> None:
    """Search on one core at several beams; real-time factor of the search alone."""
    features, graph = FeatureDir.open(experiment / "fbank/test"), Graph.open(experiment / "graph")
    source = nets(features, [experiment / "student"], device="cpu")
    ready = {utt: source.log_likelihoods(utt) for utt in features.utt_ids[:UTTERANCES]}
    rows = []
    for beam, max_active in ((10.0, 2000), (13.0, 3000), (16.0, 7000)):
        config = DecodeConfig(beam=beam, max_active=max_active)
        rates = []
        for _ in range(REPEATS):
            with tempfile.TemporaryDirectory() as work:
                rates.append(decode(config, graph, ready.__getitem__, list(ready), Path(work))["rtf"])
        rows.append((beam, max_active, f"{statistics.median(rates):.4f}"))
    print_table("decoding, 1 core", ["beam", "max-active", "real-time factor"], rows)


def dump(experiment: Path) -> None:
    """The whole dump against the teachers' forward passes alone, in the same process and precision."""
    teachers = sorted((experiment / "teachers").iterdir())
    features = FeatureDir.open(experiment / "fbank/train")
    bfloat16 = has_fast_bfloat16("cpu")
    ensemble = Ensemble([load_model(path) for path in teachers], bfloat16=bfloat16)
    loaded = [features.load(utt) for utt in features.utt_ids]
    num_frames = sum(map(len, loaded))
    forward, whole, plain = [], [], []
    for _ in range(REPEATS):
        start = time.perf_counter()
        for matrix in loaded:
            ensemble.logits(matrix)
        forward.append(num_frames / (time.perf_counter() - start))
        with tempfile.TemporaryDirectory() as work:
            summary = dump_posteriors(
                PosteriorsConfig(device="cpu"), [experiment / "fbank/train"], teachers, Path(work)
            )
            whole.append(summary["frames_per_second"])
        with tempfile.TemporaryDirectory() as work:
            start = time.perf_counter()
            blocks = [ensemble.log_posteriors(matrix, 2.0).exp().numpy() for matrix in loaded]
            np.save(Path(work) / "dense.npy", np.concatenate(blocks))
            plain.append(num_frames / (time.perf_counter() - start))
    rows = [
        (name, f"{statistics.median(rates):,.0f}", f"{statistics.median(rates) / statistics.median(forward):.2f}")
        for name, rates in (
            (f"forward passes of {len(teachers)} teachers alone", forward),
            (f"asrkd posteriors, {summary['bytes_per_frame']} bytes a frame", whole),
            (f"dense float32 to .npy, {summary['dense_bytes_per_frame']} bytes a frame", plain),
        )
    ]
    print_table(f"dump, {torch.get_num_threads()} threads", ["what", "frames/s", "of the forward passes"], rows)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "exp/mini"))
