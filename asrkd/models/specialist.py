"""A specialist: a generalist's net with outputs for some pdfs and one for all others (Hinton et al. 2015, 5.3).

Its folder holds ``specialist.safetensors``, the weights, and ``specialist.json``: a model's description without priors,
the pdfs, and the correction of the last logit, which is the dustbin's. It has no posteriors of single pdfs outside its
own, so that no verb takes it for a model: `specialised` joins it to its generalist.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn

from asrkd.core.errors import DataError
from asrkd.core.files import read_fields, write_json
from asrkd.models import build_model
from asrkd.models.saved import NET_FIELDS, SPECIALIST, NetInfo, SavedModel, load_weights, save_weights

_WEIGHTS = "specialist.safetensors"


@dataclass(frozen=True)
class SpecialistInfo(NetInfo):
    """``pdfs`` are ids among the tree's ``num_pdfs``; ``correction`` is added to the dustbin's logit."""

    pdfs: tuple[int, ...]
    correction: float


@dataclass(frozen=True)
class SavedSpecialist:
    """A specialist that was read back."""

    path: Path
    info: SpecialistInfo
    module: nn.Module


def start_from(generalist: SavedModel, pdfs: Sequence[int]) -> nn.Module:
    """A net (..., input_dim) -> (..., len(pdfs) + 1) with the generalist's weights.

    The dustbin starts with the mean of the others' rows plus, in its bias, the log of their number: a lower bound of
    the log of their summed exponentials (Jensen).
    """
    info = generalist.info
    module = build_model(info.model, info.input_dim, len(pdfs) + 1, "model")
    own = torch.tensor(pdfs)
    others = torch.ones(info.num_pdfs, dtype=torch.bool)
    others[own] = False
    weights = {name: tensor.detach().cpu() for name, tensor in generalist.module.state_dict().items()}
    for name, wanted in module.state_dict().items():
        if weights[name].shape != wanted.shape:  # the output layer's
            dustbin = weights[name][others].mean(0, keepdim=True)
            if wanted.dim() == 1:
                dustbin = dustbin + others.sum().log()
            weights[name] = torch.cat([weights[name][own], dustbin])
    module.load_state_dict(weights)
    return module


def save_specialist(folder: Path, module: nn.Module, info: SpecialistInfo) -> None:
    """Write weights, then description. The same weights give the same bytes."""
    save_weights(folder / _WEIGHTS, module)
    write_json(folder / SPECIALIST, asdict(info))


_FIELDS: dict[str, type | tuple[type, ...]] = {
    **NET_FIELDS,
    "pdfs": list,
    "correction": (int, float),
}


def load_specialist(folder: Path) -> SavedSpecialist:
    """Read a specialist's folder. Raises DataError for missing or damaged files."""
    fields = read_fields(folder / SPECIALIST, **_FIELDS)
    if not fields["pdfs"] or any(type(pdf) is not int for pdf in fields["pdfs"]):
        raise DataError(f"{folder / SPECIALIST}: pdfs is no list of pdf-ids: was it edited?")
    info = SpecialistInfo(**{**{name: fields[name] for name in _FIELDS}, "pdfs": tuple(fields["pdfs"])})
    module = build_model(info.model, info.input_dim, len(info.pdfs) + 1, str(folder / SPECIALIST))
    load_weights(module, folder / _WEIGHTS)
    return SavedSpecialist(folder, info, module.eval())
