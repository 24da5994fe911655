"""Training frames/s, against the ceiling (the net's matrix products alone) and a plain DataLoader loop.

python -m bench.training [EXPERIMENT [RECIPE [PDFS]]]        (default exp/mini, after its stage 6, and its recipe)
"""

import itertools
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from asrkd.core.config import load_yaml, parse, section
from asrkd.core.device import choose_device, has_fast_bfloat16
from asrkd.features.store import FeatureDir
from asrkd.features.window import Window, splice
from asrkd.hmm.alignment import Alignment
from asrkd.losses import build_loss
from asrkd.models import build_model
from asrkd.training.brain import AcousticBrain, Linear
from asrkd.training.checkpoint import Progress
from asrkd.training.frames import FrameBatches, FrameStore, Source
from asrkd.training.train import TrainConfig
from bench.table import print_table

SECONDS = 5.0
MIN_BATCHES = 2
REPEATS = 3
FrameRate = float


def main(experiment: Path, recipe: Path, num_pdfs: int) -> None:
    """Measure all three, in turn, and print medians and ratios. ``num_pdfs`` 0: as many as the experiment has."""
    config = parse(TrainConfig, section(load_yaml(recipe), "teacher"), "recipe: teacher")
    device = choose_device("auto")
    source = Source(FeatureDir.open(experiment / "fbank/train"), Alignment.open(experiment / "ali/train"))
    num_pdfs = num_pdfs or source.alignment.num_pdfs
    input_dim = config.window.size * source.features.dim
    store = FrameStore(source, config.window, device)
    for precision in ["fp32", "bf16"] if has_fast_bfloat16(device) else ["fp32"]:
        net = partial(build_model, config.model, input_dim, num_pdfs, "bench")
        runs: dict[str, Callable[[], FrameRate]] = {
            "matrix products alone": partial(ceiling, net(), config.batch_size, input_dim, precision, device),
            "asrkd": partial(ours, net, store, config, precision, device),
            "plain DataLoader loop": partial(plain, net, source, config, precision, device),
        }
        rates: dict[str, list[FrameRate]] = {name: [] for name in runs}
        for _ in range(REPEATS):
            for name, run in runs.items():
                rates[name].append(run())
        best = statistics.median(rates["matrix products alone"])
        rows = [
            (
                name,
                f"{statistics.median(r):,.0f}",
                f"{min(r):,.0f} to {max(r):,.0f}",
                f"{statistics.median(r) / best:.2f}",
            )
            for name, r in rates.items()
        ]
        title = f"training, {precision}, {device}, {torch.get_num_threads()} threads, {num_pdfs} pdfs, {config.model}"
        print_table(title, ["loop", "frames/s (median)", "range", "of the ceiling"], rows)


def ceiling(net: nn.Module, batch_size: int, input_dim: int, precision: str, device: str) -> FrameRate:
    """The products of forward and backward pass, and nothing else: one forward, two backward a layer, the first
    layer's input gradient left out, as in training."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    weights = [layer.weight.detach().to(device, dtype) for layer in net.modules() if isinstance(layer, nn.Linear)]
    widths = [input_dim, *(weight.shape[0] for weight in weights)]
    values = [torch.randn(batch_size, width, device=device, dtype=dtype) for width in widths]

    def step() -> None:
        for index, weight in enumerate(weights):
            torch.mm(values[index], weight.T)
            torch.mm(values[index + 1].T, values[index])
            if index:
                torch.mm(values[index + 1], weight)

    return _timed(step, batch_size, device)


def ours(
    net: Callable[[], nn.Module], store: FrameStore, config: TrainConfig, precision: str, device: str
) -> FrameRate:
    """SpeechBrain's Brain over the frame store, as `asrkd train` runs it."""
    opts = {"device": device, "precision": precision, "noprogressbar": True}
    optimizer = partial(torch.optim.AdamW, lr=config.learning_rate, fused=True)
    loss = build_loss(config.loss, "bench")
    brain = AcousticBrain(net(), loss, Linear(1e-3, 1e-5, 1), Progress(), 1, optimizer, opts)
    brain.train_batches = FrameBatches(store, config.batch_size, seed=1)
    brain.on_fit_start()
    batches = iter(DataLoader(brain.train_batches, batch_size=None))

    def step() -> None:
        brain.fit_batch(next(batches))

    return _timed(step, config.batch_size, device)


class Frames(Dataset[tuple[torch.Tensor, int]]):
    """What one would write first: windows spliced beforehand, one item a frame."""

    def __init__(self, source: Source, window: Window, num_frames: int):
        chosen: list[str] = []
        total = 0
        for utt_id in source.alignment.utt_ids:
            chosen.append(utt_id)
            total += source.alignment.num_frames[utt_id]
            if total >= num_frames:
                break
        loaded = [splice(torch.from_numpy(source.features.load(utt)), window).clone() for utt in chosen]
        self.windows = torch.cat(loaded)
        self.labels = torch.cat([torch.from_numpy(source.alignment.pdf_ids(utt)).long() for utt in chosen])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.windows[index], int(self.labels[index])


def plain(net: Callable[[], nn.Module], source: Source, config: TrainConfig, precision: str, device: str) -> FrameRate:
    """A DataLoader that collates single frames, and a loop around it."""
    dataset = Frames(source, config.window, 60_000)
    model = net().to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate)
    loader = DataLoader(dataset, batch_size=config.batch_size, shuffle=True, num_workers=2)
    batches = itertools.chain.from_iterable(itertools.repeat(loader))

    def step() -> None:
        windows, labels = next(batches)
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
            loss = nn.functional.cross_entropy(model(windows.to(device)), labels.to(device))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return _timed(step, config.batch_size, device)


def _timed(step: Callable[[], None], batch_size: int, device: str) -> FrameRate:
    def done() -> None:
        if device != "cpu":
            torch.cuda.synchronize()

    for _ in range(2):
        step()
    done()
    start, batches = time.perf_counter(), 0
    while batches < MIN_BATCHES or time.perf_counter() - start < SECONDS:
        step()
        batches += 1
        if device != "cpu" and batches % 20 == 0:  # or the clock would stop what is only queued
            done()
    done()
    return batches * batch_size / (time.perf_counter() - start)


if __name__ == "__main__":
    experiment, recipe, pdfs = (*sys.argv[1:], *("exp/mini", "recipes/mini/recipe.yaml", "0")[len(sys.argv) - 1 :])
    main(Path(experiment), Path(recipe), int(pdfs))
