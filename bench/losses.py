"""Milliseconds a batch, forward and backward, of each loss on sparse targets, against torch's kl_div on dense ones.

python -m bench.losses [FRAMES]        (default 512 a batch)
"""

import sys
import time
from collections.abc import Callable, Mapping

import torch

from asrkd.core.device import choose_device
from asrkd.core.plugins import plugin_names
from asrkd.losses import Batch, SoftTargets, build_loss
from bench.table import print_table

NUM_PDFS = (400, 5_784, 14_000)
K = 40
TEMPERATURE = 2.0
REPEATS = 25
Loss = Callable[[torch.Tensor], torch.Tensor]


def main(frames: int) -> None:
    """Measure all, in turn, for each number of pdfs; print the least time of each, which other work disturbs least."""
    device = choose_device("auto")
    for num_pdfs in NUM_PDFS:
        generator = torch.Generator().manual_seed(0)
        student, teacher = (3 * torch.randn(frames, num_pdfs, generator=generator).to(device) for _ in range(2))
        posteriors = torch.softmax(teacher / TEMPERATURE, -1)
        losses = {"torch, dense kl_div": (plain(posteriors), posteriors.nbytes)}
        soft = listed(posteriors)
        for name in plugin_names("asrkd.losses"):
            hard = name == "cross_entropy"
            section = {"type": name} | ({} if hard else {"temperature": TEMPERATURE, "alpha": 1.0})
            losses[name] = (ours(section, soft, teacher.argmax(-1)), 0 if hard else num_bytes(soft))
        times: dict[str, list[float]] = {name: [] for name in losses}
        for _ in range(REPEATS):
            for name, (loss, _) in losses.items():
                times[name].append(seconds(loss, student))
        dense = min(times["torch, dense kl_div"])
        rows = [
            (
                name,
                f"{1000 * min(times[name]):.2f}",
                f"{min(times[name]) / dense:.2f}",
                f"{held(loss, student) / 1e6:.1f}",
                f"{targets / 1e6:.2f}",
            )
            for name, (loss, targets) in losses.items()
        ]
        title = f"losses, {num_pdfs} pdfs, {K} listed, {frames} frames, {device}, {torch.get_num_threads()} threads"
        header = ["loss", "ms a batch (least)", "of dense", "held for the backward pass, MB", "targets, MB"]
        print_table(title, header, rows)


def listed(posteriors: torch.Tensor) -> SoftTargets:
    probs, ids = posteriors.topk(K, dim=-1)
    return SoftTargets(probs, (1 - probs.sum(-1)).clamp_min(0), ids)


def num_bytes(soft: SoftTargets) -> int:
    return sum(tensor.nbytes for tensor in (soft.probs, soft.tail, soft.ids) if tensor is not None)


def plain(posteriors: torch.Tensor) -> Loss:
    """What one would write first, of a dense teacher."""

    def loss(logits: torch.Tensor) -> torch.Tensor:
        log_q = torch.log_softmax(logits / TEMPERATURE, dim=-1)
        return torch.nn.functional.kl_div(log_q, posteriors, reduction="batchmean") * TEMPERATURE**2

    return loss


def ours(section: Mapping[str, object], soft: SoftTargets, labels: torch.Tensor) -> Loss:
    loss, batch = build_loss(section, "bench"), Batch(soft.probs, labels, soft)
    return lambda logits: loss(logits, batch)


def seconds(loss: Loss, student: torch.Tensor) -> float:
    logits = student.clone().requires_grad_()
    _wait(student)
    start = time.perf_counter()
    torch.autograd.backward(loss(logits))
    _wait(student)
    return time.perf_counter() - start


def _wait(tensor: torch.Tensor) -> None:
    if tensor.is_cuda:
        torch.cuda.synchronize()


def held(loss: Loss, student: torch.Tensor) -> int:
    """Bytes that autograd keeps between the passes, the targets' own among them, but for the logits."""
    storages: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    logits = student.clone().requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        value = loss(logits)
    del value
    storages.pop(logits.untyped_storage().data_ptr(), None)
    return sum(storages.values())


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 512)
