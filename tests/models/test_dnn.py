"""The net of the paper."""

import itertools

import pytest
import torch

from asrkd.core.errors import ConfigError
from asrkd.models import build_model


def test_shapes() -> None:
    model = build_model({"hidden_layers": 2, "hidden_units": 8}, 12, 5, "model")
    assert model(torch.zeros(7, 12)).shape == (7, 5)
    assert model(torch.zeros(2, 7, 12)).shape == (2, 7, 5)
    assert build_model({"hidden_layers": 0}, 12, 5, "model")(torch.zeros(7, 12)).shape == (7, 5)


def test_the_papers_net_has_about_85_million_parameters() -> None:
    with torch.device("meta"):
        model = build_model({"hidden_layers": 8, "hidden_units": 2560}, 26 * 40, 14_000, "model")
    count = sum(parameter.numel() for parameter in model.parameters())
    sizes = [26 * 40, *[2560] * 8, 14_000]
    assert count == sum(a * b + b for a, b in itertools.pairwise(sizes))
    assert count == pytest.approx(85e6, rel=0.02)


def test_it_returns_logits_not_posteriors() -> None:
    torch.manual_seed(0)
    logits = build_model({"hidden_units": 64}, 12, 50, "model")(torch.randn(20, 12))
    assert (logits < 0).any()
    assert not torch.allclose(logits.exp().sum(-1), torch.ones(20))


def test_signal_keeps_its_size_through_deep_nets() -> None:
    torch.manual_seed(0)
    model = build_model({"hidden_layers": 8, "hidden_units": 512}, 200, 100, "model")
    assert isinstance(model, torch.nn.Sequential)
    with torch.no_grad():
        hidden = model[:-1](torch.randn(500, 200))
    assert 0.5 < float(hidden.square().mean().sqrt()) < 2


def test_dropout_only_in_training() -> None:
    torch.manual_seed(0)
    model = build_model({"dropout": 0.5}, 12, 5, "model")
    frames = torch.randn(3, 12)
    assert not torch.equal(model(frames), model(frames))
    model.eval()
    assert torch.equal(model(frames), model(frames))


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"type": "dnnn"}, "model: unknown type 'dnnn'; did you mean 'dnn'?"),
        ({"type": "transformer"}, "unknown type 'transformer'; known are dnn"),
        ({"hiden_units": 3}, "unknown key 'hiden_units'; did you mean 'hidden_units'?"),
        ({"hidden_units": 0}, "hidden_units"),
        ({"dropout": 1.0}, "dropout"),
    ],
)
def test_unknown_and_impossible(section: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        build_model(section, 12, 5, "model")
    assert message in str(error.value)
