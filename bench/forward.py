"""Frames/s of nets' forward passes, on one CPU core and on the GPU if there is one, against the first of them.

Seconds of the CPU are those that the process got of it, so that a shared machine can be measured on.

python -m bench.forward MODEL...        (e.g. exp/triple_loss/teachers/1 exp/triple_loss/study/trials/kept/*/101/net)
"""

import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from asrkd.core.device import choose_device, has_fast_bfloat16
from asrkd.models.saved import SavedModel, load_model
from bench.table import print_table

SECONDS = 0.7
REPEATS = 7
AT_ONCE = (1, 256)
"""Frames in a pass: one, as they come from a microphone; about an utterance, as in decoding and dumps."""
FrameRate = float


def main(paths: Sequence[Path]) -> None:
    """A table for each device and precision; medians of rounds in which the nets take turns."""
    torch.set_num_threads(1)
    for device in dict.fromkeys(("cpu", choose_device("auto"))):
        models = [load_model(path, device) for path in paths]
        for bfloat16 in (False, True) if has_fast_bfloat16(device) else (False,):
            measured = [rates(models, at_once, bfloat16, device) for at_once in AT_ONCE]
            shown = []
            for number, (path, model) in enumerate(zip(paths, models, strict=True)):
                values: list[tuple[float, float]] = [(model.num_parameters, models[0].num_parameters)]
                values += [(each[number], each[0]) for each in measured]
                pairs = ((f"{value:,.0f}", f"{value / first:.2f}") for value, first in values)
                shown.append([str(path), *(text for pair in pairs for text in pair)])
            header = ["model", "parameters", "of the first"]
            header += [text for count in AT_ONCE for text in (f"frames/s, {count} at once", "of the first")]
            where = "cpu, 1 thread" if device == "cpu" else torch.cuda.get_device_name(device)
            print_table(f"forward passes, {where}, {'bfloat16' if bfloat16 else 'float32'}", header, shown)


def rates(models: Sequence[SavedModel], at_once: int, bfloat16: bool, device: str) -> list[FrameRate]:
    """Each model's frames/s, the median over `REPEATS` rounds."""
    rounds = [[rate(model, at_once, bfloat16, device) for model in models] for _ in range(REPEATS)]
    return [statistics.median(each) for each in zip(*rounds, strict=True)]


@torch.inference_mode()
def rate(model: SavedModel, at_once: int, bfloat16: bool, device: str) -> FrameRate:
    """Frames/s over about `SECONDS` / `REPEATS` of passes of ``at_once`` frames."""
    windows = torch.randn(at_once, model.info.input_dim, device=device)
    module = model.module.to(torch.bfloat16) if bfloat16 else model.module.float()
    windows = windows.to(torch.bfloat16) if bfloat16 else windows

    clock = time.process_time if device == "cpu" else time.perf_counter

    def passes(count: int) -> float:
        start = clock()
        for _ in range(count):
            module(windows)
        if device != "cpu":
            torch.cuda.synchronize()
        return clock() - start

    passes(3)
    count = 10
    while (seconds := passes(count)) < SECONDS / REPEATS:
        count *= 2
    return count * at_once / seconds


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main([Path(name) for name in sys.argv[1:]])
