"""Images shifted at random in training."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from asrkd.core.errors import ConfigError
from asrkd.corpora.digits import Images
from asrkd.hmm.images import write_parts
from asrkd.training.jitter import Jitter
from asrkd.training.train import TrainConfig, TrainInputs, train
from tests.training.killed import killed_after_epoch_2


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


def test_it_is_seeded_and_goes_on_after_a_kill(config_of: Callable[..., TrainConfig], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    parts = {
        name: Images(rng.random((count, 4, 5), np.float32), rng.integers(10, size=count, dtype=np.int32))
        for name, count in (("train", 100), ("dev", 20))
    }
    write_parts(tmp_path, parts)
    features, alignments = tmp_path / "features", tmp_path / "ali"
    inputs = TrainInputs(features / "train", alignments / "train", features / "dev", alignments / "dev")

    plain: dict[str, Any] = {
        "window": {"left": 0, "right": 0},
        "model": {"hidden_layers": 1, "hidden_units": 16},
        "input_noise": 0.0,
        "early_stopping": False,
    }

    def trained(name: str, jitter: int) -> bytes:
        (tmp_path / name).mkdir(exist_ok=True)
        train(config_of(**plain, jitter=jitter), inputs, tmp_path / name)
        return (tmp_path / name / "model.safetensors").read_bytes()

    whole = trained("whole", 1)
    assert whole != trained("none", 0)
    (tmp_path / "cut").mkdir()
    killed_after_epoch_2(train, config_of(**plain, jitter=1), inputs, tmp_path / "cut")
    assert trained("cut", 1) == whole
