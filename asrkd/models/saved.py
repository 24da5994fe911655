"""A trained model on disk: weights, and what they belong to.

``model.safetensors`` holds the weights; ``model.json`` the architecture, the window, the front end's identity, the
tied-state model's hash and the log priors of its pdfs. Mixing a model with features or states of another kind is an
error, not a result.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from asrkd.core.errors import DataError, MismatchError
from asrkd.core.files import atomic_write, read_fields, write_json
from asrkd.models import build_model

SPECIALIST = "specialist.json"
"""What the folder of a specialist has in place of model.json (`specialist`)."""


@dataclass(frozen=True)
class NetInfo:
    """What a net is and what it belongs to: features, and tied states of which there are ``num_pdfs``."""

    model: Mapping[str, Any]
    left: int
    right: int
    feature_dim: int
    num_pdfs: int
    features: str
    tied_states: str

    @property
    def input_dim(self) -> int:
        return (self.left + 1 + self.right) * self.feature_dim


@dataclass(frozen=True)
class ModelInfo(NetInfo):
    """A net with a posterior for every pdf. ``log_priors`` has shape (num_pdfs,), natural logarithms."""

    log_priors: tuple[float, ...]


@dataclass(frozen=True)
class SavedModel:
    """A model that was read back: the module in evaluation mode, and its description."""

    path: Path
    info: ModelInfo
    module: nn.Module

    @property
    def log_priors(self) -> NDArray[np.float32]:
        return np.asarray(self.info.log_priors, dtype=np.float32)

    @property
    def num_parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.module.parameters())


def save_model(folder: Path, module: nn.Module, info: ModelInfo) -> None:
    """Write weights, then description. The same weights give the same bytes."""
    save_weights(folder / "model.safetensors", module)
    write_json(folder / "model.json", asdict(info))


def save_weights(path: Path, module: nn.Module) -> None:
    """What `load_weights` reads."""
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
    with atomic_write(path, "wb") as file:
        file.write(save(weights))


NET_FIELDS: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("left", "right", "feature_dim", "num_pdfs"), int),
    **dict.fromkeys(("features", "tied_states"), str),
    "model": dict,
}
"""Fields of a `NetInfo`, and their types in JSON."""


def load_model(folder: Path, device: str = "cpu") -> SavedModel:
    """Read a model folder. Raises DataError for missing or damaged files, naming leaf and shapes."""
    if (folder / SPECIALIST).is_file():
        raise DataError(
            f"{folder} holds a specialist, which tells some pdfs apart and no others: join it to its generalist by "
            "`asrkd add-specialists`"
        )
    description = read_fields(folder / "model.json", **NET_FIELDS, log_priors=list)
    try:
        description["log_priors"] = tuple(map(float, description["log_priors"]))
        info = ModelInfo(**description)
    except (TypeError, KeyError, ValueError) as error:
        raise DataError(f"{folder / 'model.json'}: {error}: was it written by another version?") from None
    if not len(info.log_priors) == info.num_pdfs > 0 or info.feature_dim == 0:
        raise DataError(
            f"{folder / 'model.json'}: {len(info.log_priors)} log priors, {info.num_pdfs} pdfs and features of "
            f"{info.feature_dim} dimensions can't be one model's: was it edited?"
        )
    if not np.isfinite(info.log_priors).all():
        raise DataError(f"{folder / 'model.json'}: a log prior is no finite number: was it edited?")
    module = build_model(info.model, info.input_dim, info.num_pdfs, str(folder / "model.json"))
    load_weights(module, folder / "model.safetensors")
    return SavedModel(folder, info, module.to(device).eval())


def load_weights(module: nn.Module, path: Path) -> None:
    """Fill ``module`` from a safetensors file; DataError names the first leaf that is missing or of another shape."""
    try:
        weights = load_file(path)
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path}: not readable as safetensors ({error}): was it cut short?") from None
    expected = module.state_dict()
    for name in sorted(set(expected) | set(weights)):
        shapes = [tuple(table[name].shape) if name in table else None for table in (expected, weights)]
        if shapes[0] != shapes[1]:
            raise DataError(f"{path}: {name} has shape {shapes[1]}, the architecture in model.json has {shapes[0]}")
    module.load_state_dict(weights)


def check_belongs(model: SavedModel, features: str, tied_states: str | None = None) -> None:
    """MismatchError unless ``model`` was trained on such features and, where given, on these tied states."""
    if model.info.features != features:
        raise MismatchError(
            f"{model.path} was trained on features {model.info.features}, these are {features}: "
            "was the front end's configuration changed?"
        )
    if tied_states is not None and model.info.tied_states != tied_states:
        raise MismatchError(
            f"{model.path} was trained on tied states {model.info.tied_states[:12]}, these are {tied_states[:12]}: "
            "was the tree built again? Train the model again, or use the graph and alignment of its own tree"
        )


def log_softmax(logits: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
    """Log posteriors over the last axis at ``temperature``, in float32 whatever the logits are (equation 1)."""
    return torch.log_softmax(logits.float() / temperature, dim=-1)
