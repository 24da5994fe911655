"""What the tests of losses on soft targets share: logits, targets of them, gradients."""

from collections.abc import Callable
from typing import Any

import torch

from asrkd.losses import NO_LABEL, Batch, Loss, SoftTargets, build_loss
from asrkd.losses.distillation import kl_divergence
from asrkd.losses.logit_matching import logit_divergence
from asrkd.losses.mixing import Divergence
from asrkd.losses.reverse_kl import reverse_kl_divergence
from asrkd.losses.symmetric_kl import symmetric_kl_divergence

NUM_PDFS = 11
FRAMES = 5

DIVERGENCES: dict[str, Divergence] = {
    "distillation": kl_divergence,
    "reverse_kl": reverse_kl_divergence,
    "symmetric_kl": symmetric_kl_divergence,
    "logit_matching": logit_divergence,
}


def logits_of(seed: int, frames: int = FRAMES, num_pdfs: int = NUM_PDFS, scale: float = 2.0) -> torch.Tensor:
    return scale * torch.randn(frames, num_pdfs, generator=torch.Generator().manual_seed(seed))


def dense(posteriors: torch.Tensor) -> SoftTargets:
    return SoftTargets(posteriors, torch.zeros(len(posteriors)).to(posteriors))


def sparse(posteriors: torch.Tensor, k: int) -> SoftTargets:
    probs, ids = posteriors.topk(k, dim=-1)
    return SoftTargets(probs, (1 - probs.sum(-1)).clamp_min(0), ids)


def padded(posteriors: torch.Tensor, counts: list[int]) -> SoftTargets:
    """As many pdfs of a frame as ``counts`` says; the rest of the row repeats the first with no probability."""
    soft = sparse(posteriors, max(counts))
    assert soft.ids is not None
    listed = torch.arange(max(counts)) < torch.tensor(counts)[:, None]
    probs = soft.probs * listed
    return SoftTargets(probs, 1 - probs.sum(-1), torch.where(listed, soft.ids, soft.ids[:, :1]))


def batch(soft: SoftTargets | None, labels: list[int] | None = None, progress: float = 0.0) -> Batch:
    frames = len(soft.probs) if soft is not None else len(labels or [])
    return Batch(torch.zeros(frames, 1), torch.tensor(labels or [NO_LABEL] * frames), soft, progress)


def soft_loss(name: str, temperature: float = 2.0, alpha: Any = 1.0) -> Loss:
    return build_loss({"type": name, "temperature": temperature, "alpha": alpha}, "loss")


def gradient(loss: Loss, logits: torch.Tensor, targets: Batch) -> torch.Tensor:
    """Gradient of the summed (not averaged) loss with respect to each logit."""
    logits = logits.clone().requires_grad_()
    (grad,) = torch.autograd.grad(loss(logits, targets) * len(logits), logits)
    return grad


def scaled(name: str, temperature: float, soft: SoftTargets) -> Callable[[torch.Tensor], torch.Tensor]:
    """T^2 times a divergence per frame, of logits; in the precision that they have, where a loss has float32."""
    return lambda z: temperature**2 * DIVERGENCES[name](torch.log_softmax(z / temperature, -1), soft)


def exact_gradient(name: str, temperature: float, logits: torch.Tensor, soft: SoftTargets) -> torch.Tensor:
    """Gradient of that in the logits, float64."""
    logits = logits.double().requires_grad_()
    (grad,) = torch.autograd.grad(scaled(name, temperature, soft)(logits).sum(), logits)
    return grad
