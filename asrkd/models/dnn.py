"""The feed-forward net of Hinton, Vinyals and Dean (2015, section 4): hidden ReLU layers on a window of frames.

The paper's: 8 layers of 2560 units over 26 frames of 40 filterbank coefficients, 14,000 tied states, about 85 M
parameters.
"""

from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import nn

from asrkd.core.config import STRICT


@dataclass(frozen=True, config=STRICT)
class Config:
    """Hidden layers of equal width. ``dropout`` is the probability with which a hidden unit is left out, and
    ``input_dropout`` that of a coefficient of the window."""

    hidden_layers: int = Field(default=3, ge=0)
    hidden_units: int = Field(default=256, ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    input_dropout: float = Field(default=0.0, ge=0, lt=1)


def build(config: Config, input_dim: int, num_pdfs: int) -> nn.Sequential:
    """Logits (..., num_pdfs) from windows (..., input_dim). He initialisation, which suits ReLU; biases start at 0."""
    layers: list[nn.Module] = [nn.Dropout(config.input_dropout)] if config.input_dropout else []
    width = input_dim
    for _ in range(config.hidden_layers):
        layers += [nn.Linear(width, config.hidden_units), nn.ReLU()]
        if config.dropout:
            layers.append(nn.Dropout(config.dropout))
        width = config.hidden_units
    output = nn.Linear(width, num_pdfs)
    for layer in layers:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    # Small first logits: training starts from nearly uniform posteriors.
    nn.init.xavier_normal_(output.weight)
    nn.init.zeros_(output.bias)
    return nn.Sequential(*layers, output)
