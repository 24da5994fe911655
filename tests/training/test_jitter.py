"""Images shifted at random in training."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from asrkd.core.errors import ConfigError
from asrkd.training.jitter import Jitter
from asrkd.training.train import TrainConfig, TrainInputs, train


def test_whole_images_are_shifted_by_every_amount() -> None:
    torch.manual_seed(0)
    image = torch.zeros(5, 6)
    image[2, 2], image[2, 3] = 1, 2
    shifted = Jitter(1, 5, 6)(image.view(1, -1).repeat(300, 1)).view(300, 5, 6)
    places = {tuple(each.nonzero()[0].tolist()) for each in shifted}
    assert places == {(row, column) for row in (1, 2, 3) for column in (1, 2, 3)}
    for each in shifted:
        row, column = each.nonzero()[0].tolist()
        torch.testing.assert_close(each, image.roll((row - 2, column - 2), (0, 1)))


def test_what_is_shifted_in_is_blank() -> None:
    torch.manual_seed(0)
    left = Jitter(2, 5, 6)(torch.ones(500, 30)).sum(1).int().tolist()
    assert set(left) == {rows * columns for rows in (3, 4, 5) for columns in (4, 5, 6)}


def test_it_is_for_images(problem: TrainInputs, config_of: Callable[..., TrainConfig], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no images"):
        train(config_of(jitter=1), problem, tmp_path)
