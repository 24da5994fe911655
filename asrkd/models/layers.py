"""A net as its layers: its last hidden state beside its logits, and layers of a deeper net as another's start.

Of nets that are a sequence which ends in a linear layer, the output, such as `dnn`. Its input is the last hidden state.
"""

from typing import cast

import torch
from torch import nn

from asrkd.core.errors import ConfigError, MismatchError


def logits_and_hidden(net: nn.Module, windows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (..., num_pdfs) and the last hidden state (..., units), in one pass over windows (..., input_dim)."""
    layers, output = _sequence(net)
    hidden = layers(windows)
    return output(hidden), hidden


def hidden_units(net: nn.Module) -> int:
    """The width of the last hidden state."""
    return _sequence(net)[1].in_features


def output_layer(net: nn.Module) -> nn.Linear:
    """The layer that gives the logits."""
    return _sequence(net)[1]


def take_every_second(student: nn.Module, teacher: nn.Module) -> None:
    """Start ``student`` as DistilBERT does (Sanh et al. 2019, section 2): with every second layer of a deeper net.

    It takes the first hidden layer, which is the one that sees the input, the third, and so on, and the output layer.
    ConfigError where the student has not half the teacher's hidden layers, MismatchError where a layer's shape differs.
    """
    *hidden, output = _linear(teacher)
    chosen = [*enumerate(hidden)][::2]
    ours = _linear(student)
    if len(ours) != len(chosen) + 1:
        raise ConfigError(
            f"every second of the teacher's {len(hidden)} hidden layers makes {len(chosen)}, the student has "
            f"{len(ours) - 1}: take hidden_layers: {len(chosen)}"
        )
    named = [(f"hidden layer {number + 1}", layer) for number, layer in chosen] + [("the output layer", output)]
    for layer, (name, theirs) in zip(ours, named, strict=True):
        shapes = [tuple(each.weight.shape) for each in (layer, theirs)]
        if shapes[0] != shapes[1]:
            raise MismatchError(
                f"the teacher's {name.removeprefix('the ')} has shape {shapes[1]}, the student's in its place "
                f"{shapes[0]}: do window, hidden_units or tied states differ?"
            )
        layer.load_state_dict(theirs.state_dict())


@torch.no_grad()
def limit_norms(net: nn.Module, largest: float) -> None:
    """Max-norm (Srivastava et al. 2014, section 5.1): the weights into each hidden unit, shrunk to the norm ``largest``
    where theirs is larger. The output's are left."""
    for layer in _linear(net)[:-1]:
        layer.weight.renorm_(2, 0, largest)


def drop_in_use(net: nn.Module) -> bool:
    """Let ``net`` leave out units as in training, though all else is as in use; False where it has no dropout."""
    layers = [layer for layer in net.modules() if isinstance(layer, nn.Dropout)]
    for layer in layers:
        layer.train()
    return bool(layers)


def _sequence(net: nn.Module) -> tuple[nn.Sequential, nn.Linear]:
    """All layers but the output, and the output."""
    if not isinstance(net, nn.Sequential) or not isinstance(net[-1], nn.Linear):
        raise ConfigError(f"a {type(net).__name__} has no last hidden state that is known: take model type dnn")
    return cast("nn.Sequential", net[:-1]), net[-1]


def _linear(net: nn.Module) -> list[nn.Linear]:
    return [layer for layer in net.modules() if isinstance(layer, nn.Linear)]
