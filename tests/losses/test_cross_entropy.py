"""Cross-entropy of hard labels."""

import pytest
import torch

from asrkd.core.errors import ConfigError
from asrkd.losses import NO_LABEL, Batch, build_loss

LOGITS = torch.tensor([[0.0, 0.0], [2.0, 0.0], [5.0, 5.0]])


def loss_of(logits: torch.Tensor, labels: list[int]) -> torch.Tensor:
    return build_loss({}, "loss")(logits, Batch(torch.zeros(3, 1), torch.tensor(labels)))


def test_mean_over_labelled_frames() -> None:
    expected = (torch.tensor(2.0).log() + torch.tensor(1 + torch.e**2).log()) / 2
    torch.testing.assert_close(loss_of(LOGITS, [0, 1, NO_LABEL]), expected)


def test_float32_whatever_the_logits_are() -> None:
    assert loss_of(LOGITS.bfloat16(), [0, 1, 0]).dtype == torch.float32


def test_it_takes_no_soft_targets_and_no_settings() -> None:
    assert build_loss({"type": "cross_entropy"}, "loss").temperature is None
    with pytest.raises(ConfigError, match="unknown key 'alpha'"):
        build_loss({"alpha": 0.5}, "loss")
