"""One number added to the output biases of some classes, the one that is best on a dev set.

A student that was trained without a class still learns it from soft targets, but gives it too little: its biases were
pulled down in every frame. Hinton, Vinyals and Dean (2015), section 3, raise the bias of the class by the number that
does best on test data; here it is found on dev data. For a frame with logits z, let m be by how much the best of the
other classes exceeds the best of these. Raised by b, one of these is the net's choice where b > m: as b grows the
choices of frames change one after another, and the exact best is found by going through them once.

A bias raised by b multiplies the posteriors by e^b, but for the sum to 1, just as a prior e^b times smaller does at
decoding (`decoding.acoustic`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from asrkd.core.device import choose_device
from asrkd.core.errors import ConfigError
from asrkd.features.store import FeatureDir
from asrkd.hmm.alignment import Alignment
from asrkd.hmm.classes import ClassName, pdf_mask
from asrkd.models.layers import output_layer
from asrkd.models.saved import check_belongs, load_model, save_model
from asrkd.targets.averaging import Ensemble
from asrkd.targets.weigh import labelled_logits

FloatArray = NDArray[np.float64]
_BEYOND = 1.0  # past the last frame's margin, where all or none are best


@dataclass(frozen=True)
class Best:
    """``offset`` to add; how many frames are ``right`` with it, and how many without any."""

    offset: float
    right: int
    right_before: int


def best_offset(margins: FloatArray, right_below: NDArray[np.bool_], right_above: NDArray[np.bool_]) -> Best:
    """The offset with most frames right: ``right_above`` where it exceeds a frame's margin, else ``right_below``.

    All are (frames,). Of the offsets that are best alike, the middle of a range between two margins; of such ranges,
    the one nearest to 0.
    """
    order = np.argsort(margins, kind="stable")
    ordered = margins[order]
    change = right_above[order].astype(np.int64) - right_below[order]
    counts = right_below.sum() + np.concatenate([[0], np.cumsum(change)])  # with the first n frames changed
    edges = np.concatenate([[ordered[0] - 2 * _BEYOND], ordered, [ordered[-1] + 2 * _BEYOND]])
    possible = edges[1:] > edges[:-1]
    middles = (edges[1:] + edges[:-1]) / 2
    most = int(counts[possible].max())
    best = min(middles[possible & (counts == most)], key=abs)
    return Best(float(best), most, int(counts[np.searchsorted(ordered, 0.0)]))


def raise_bias(  # noqa: PLR0917 (inputs first)
    model_dir: Path,
    features_dir: Path,
    alignment_dir: Path,
    classes: Sequence[ClassName],
    tied_states: Path | None,
    work: Path,
) -> dict[str, Any]:
    """Write ``model_dir``'s net to ``work``, with the biases of ``classes`` raised by what is best on the dev set.

    Raises ConfigError for unknown classes, MismatchError where model, features and alignment do not belong together.
    """
    features, alignment = FeatureDir.open(features_dir), Alignment.open(alignment_dir)
    model = load_model(model_dir, choose_device("auto"))
    check_belongs(model, features.identity, alignment.tied_states)
    output = output_layer(model.module)
    mask = torch.from_numpy(pdf_mask(classes, alignment.num_pdfs, alignment.tied_states, tied_states, "--class"))
    if not mask.any() or mask.all():
        raise ConfigError("--class: name some of the pdfs, and not all of them")
    every = labelled_logits(Ensemble([model]), features, alignment, "bias")
    parts = [_margins(logits.float().cpu(), labels.cpu(), mask) for (logits,), labels in every]
    margins, below, above = (np.concatenate(part) for part in zip(*parts, strict=True))
    best = best_offset(margins, below, above)
    with torch.no_grad():
        output.bias[mask.to(output.bias.device)] += best.offset
    save_model(work, model.module, model.info)
    accuracy, before = best.right / len(margins), best.right_before / len(margins)
    print(
        f"bias: {int(mask.sum())} pdfs by {best.offset:+.3f}: "
        f"frame accuracy {100 * before:.2f} -> {100 * accuracy:.2f} %",
        flush=True,
    )
    return {
        "offset": best.offset,
        "pdfs": int(mask.sum()),
        "dev_frame_accuracy": accuracy,
        "dev_frame_accuracy_before": before,
        "parameters": model.num_parameters,
    }


def _margins(
    logits: torch.Tensor, labels: torch.Tensor, mask: torch.Tensor
) -> tuple[FloatArray, NDArray[np.bool_], NDArray[np.bool_]]:
    """By how much the others lead, (frames,); whether the best of the others is right, and the best of the masked."""
    of_mask, others = (logits.masked_fill(out, -torch.inf).max(-1) for out in (~mask, mask))
    margins = (others.values - of_mask.values).double().numpy()
    return margins, (others.indices == labels).numpy(), (of_mask.indices == labels).numpy()
