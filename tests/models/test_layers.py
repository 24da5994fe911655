"""Hidden states beside logits, and a student that starts from its teacher's layers."""

import pytest
import torch
from torch import nn

from asrkd.core.errors import ConfigError, MismatchError
from asrkd.models import build_model
from asrkd.models.layers import drop_in_use, hidden_units, limit_norms, logits_and_hidden, take_every_second

INPUT, PDFS = 12, 5


def net(
    layers: int, units: int = 8, input_dim: int = INPUT, pdfs: int = PDFS, seed: int = 0, **more: float
) -> nn.Module:
    torch.manual_seed(seed)
    return build_model({"hidden_layers": layers, "hidden_units": units, **more}, input_dim, pdfs, "model")


@pytest.mark.parametrize("layers", [0, 1, 3])
@pytest.mark.parametrize("shape", [(7,), (2, 7)])
def test_logits_are_the_nets_and_of_the_hidden_state(layers: int, shape: tuple[int, ...]) -> None:
    module, windows = net(layers), torch.randn(*shape, INPUT)
    logits, hidden = logits_and_hidden(module, windows)
    assert hidden.shape == (*shape, hidden_units(module))
    torch.testing.assert_close(logits, module(windows), rtol=0, atol=0)
    assert isinstance(module, nn.Sequential)
    torch.testing.assert_close(module[-1](hidden), logits, rtol=0, atol=0)
    assert layers == 0 or bool((hidden >= 0).all())


def test_logits_belong_to_that_hidden_state_whatever_is_left_out() -> None:
    """One pass, not two: dropout is drawn once for both."""
    module = net(2, dropout=0.5)
    assert isinstance(module, nn.Sequential)
    logits, hidden = logits_and_hidden(module, torch.randn(7, INPUT))
    torch.testing.assert_close(module[-1](hidden), logits, rtol=0, atol=0)


def test_a_net_of_another_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="a Bilinear has no last hidden state that is known: take model type dnn"):
        logits_and_hidden(nn.Bilinear(1, 1, 1), torch.zeros(1))


@pytest.mark.parametrize(("deep", "chosen"), [(8, (0, 2, 4, 6)), (4, (0, 2)), (5, (0, 2, 4)), (1, (0,))])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_the_student_has_the_layers_chosen(deep: int, chosen: tuple[int, ...], dropout: float) -> None:
    """The teacher's dropout, which has no weights, does not shift what is counted."""
    teacher, student = net(deep, seed=1, dropout=dropout), net(len(chosen), seed=2)
    theirs = [layer for layer in teacher.modules() if isinstance(layer, nn.Linear)]
    nn.init.normal_(theirs[-1].bias)
    take_every_second(student, teacher)
    windows = torch.randn(7, INPUT)
    state = windows
    for number in chosen:
        state = torch.relu(theirs[number](state))
    torch.testing.assert_close(student(windows), theirs[-1](state), rtol=0, atol=0)


def test_the_student_is_a_copy() -> None:
    teacher, student = net(4), net(2, seed=1)
    take_every_second(student, teacher)
    before = student(torch.ones(1, INPUT))
    for parameter in teacher.parameters():
        nn.init.zeros_(parameter)
    torch.testing.assert_close(student(torch.ones(1, INPUT)), before, rtol=0, atol=0)


def test_a_student_of_another_depth_is_refused() -> None:
    told = "every second of the teacher's 8 hidden layers makes 4, the student has 3: take hidden_layers: 4"
    with pytest.raises(ConfigError, match=told):
        take_every_second(net(3), net(8))


@pytest.mark.parametrize(
    ("student", "told"),
    [
        ({"units": 9}, r"hidden layer 1 has shape \(8, 12\), the student's in its place \(9, 12\)"),
        ({"input_dim": 6}, r"hidden layer 1 has shape \(8, 12\), the student's in its place \(8, 6\)"),
        ({"pdfs": 4}, r"the teacher's output layer has shape \(5, 8\), the student's in its place \(4, 8\)"),
    ],
)
def test_another_shape_is_told_with_its_layer(student: dict[str, int], told: str) -> None:
    with pytest.raises(MismatchError, match=told):
        take_every_second(net(2, **student), net(4))


def test_norms_of_hidden_units_are_limited_and_no_others() -> None:
    module = net(2)
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
    before = [layer.weight.detach().clone() for layer in layers]
    norms = torch.cat([weight.norm(dim=1) for weight in before[:-1]])
    limit = float(norms.median())
    limit_norms(module, limit)
    for layer, weight in zip(layers[:-1], before, strict=False):
        shrunk = weight * (limit / weight.norm(dim=1, keepdim=True)).clamp(max=1)
        torch.testing.assert_close(layer.weight.detach(), shrunk, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(layers[-1].weight.detach(), before[-1], rtol=0, atol=0)


@pytest.mark.parametrize("kind", ["dropout", "input_dropout"])
def test_a_net_in_use_drops_units_where_it_is_asked_to(kind: str) -> None:
    module, windows = net(2, 8, INPUT, PDFS, 0, **{kind: 0.5}).eval(), torch.randn(7, INPUT)
    torch.testing.assert_close(module(windows), module(windows), rtol=0, atol=0)
    assert drop_in_use(module)
    assert bool((module(windows) != module(windows)).any())
    assert not drop_in_use(net(2))
