"""Windows of context against a plain loop."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asrkd.core.config import parse
from asrkd.core.errors import ConfigError
from asrkd.features.window import Window, pad, splice, windows_of


def spliced_by_loop(features: torch.Tensor, left: int, right: int) -> torch.Tensor:
    last = len(features) - 1
    return torch.stack(
        [
            torch.cat([features[min(max(t + offset, 0), last)] for offset in range(-left, right + 1)])
            for t in range(len(features))
        ]
    )


@given(left=st.integers(0, 25), right=st.integers(0, 8), num_frames=st.integers(1, 30), dim=st.integers(1, 4))
def test_splice_equals_a_plain_loop(left: int, right: int, num_frames: int, dim: int) -> None:
    features = torch.randn(num_frames, dim, generator=torch.Generator().manual_seed(0))
    spliced = splice(features, Window(left, right))
    assert spliced.shape == (num_frames, (left + 1 + right) * dim)
    torch.testing.assert_close(spliced, spliced_by_loop(features, left, right), rtol=0, atol=0)


def test_papers_window_predicts_the_21st_of_26_frames() -> None:
    window = Window()
    assert (window.size, window.left) == (26, 20)
    features = torch.arange(100.0)[:, None]
    assert splice(features, window)[50, 20] == 50
    assert splice(features, window)[0].tolist() == [0.0] * 21 + [1.0, 2.0, 3.0, 4.0, 5.0]
    assert splice(features, window)[99, 20:].tolist() == [99.0] * 6


def test_windows_are_a_view() -> None:
    window = Window(2, 1)
    padded = pad(torch.randn(6, 3), window)
    windows = windows_of(padded, window)
    assert windows.untyped_storage().data_ptr() == padded.untyped_storage().data_ptr()
    part = windows_of(padded[2:], window)
    torch.testing.assert_close(part, windows[2:], rtol=0, atol=0)


def test_features_need_not_be_contiguous() -> None:
    features = torch.randn(3, 7).T
    torch.testing.assert_close(splice(features, Window(1, 1)), spliced_by_loop(features, 1, 1))


@pytest.mark.parametrize("section", [{"left": -1}, {"right": -1}, {"left": 1.0}])
def test_impossible_windows(section: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        parse(Window, section, "window")
