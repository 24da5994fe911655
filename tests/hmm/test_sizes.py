"""Sizes by hours: near those that Kaldi's LibriSpeech recipe sets by hand, and a given number stays."""

from typing import Any

import pytest

from asrkd.core.config import parse
from asrkd.core.errors import ConfigError
from asrkd.hmm.mono import MonoConfig
from asrkd.hmm.sizes import FRAMES_PER_HOUR, MONO_GAUSSIANS, TIED_STATES, TRIPHONE_GAUSSIANS
from asrkd.hmm.triphone import TriphoneConfig

# Hours, tied states, Gaussians: tri1, tri2b, tri4b and the models of 460 and 960 hours in egs/librispeech/s5/run.sh
# (5,000 and 10,000 utterances of train-clean-100 are 17.6 and 35 hours), and recipes/own.
CHOSEN = [
    (1.76, 800, 2800),
    (17.6, 2000, 10_000),
    (35.0, 2500, 15_000),
    (100.0, 4200, 40_000),
    (460.0, 5000, 100_000),
    (960.0, 7000, 150_000),
]


@pytest.mark.parametrize(("hours", "num_leaves", "num_gauss"), CHOSEN)
def test_sizes_are_near_those_chosen_by_hand(hours: float, num_leaves: int, num_gauss: int) -> None:
    frames = round(hours * FRAMES_PER_HOUR)
    assert TIED_STATES.size(None, frames) == pytest.approx(num_leaves, rel=0.25)
    assert TRIPHONE_GAUSSIANS.size(None, frames) == pytest.approx(num_gauss, rel=0.25)


def test_monophones_of_the_2000_shortest_utterances_have_about_1000_gaussians() -> None:
    assert MONO_GAUSSIANS.size(None, round(1.7 * FRAMES_PER_HOUR)) == pytest.approx(1000, rel=0.05)


def test_a_given_number_stays_as_it_is() -> None:
    assert TIED_STATES.size(14_000, 10 * FRAMES_PER_HOUR) == 14_000
    assert TIED_STATES.size(None, 1) >= 1


@pytest.mark.parametrize("value", ["auto", None])
def test_auto_is_no_number_in_a_recipe(value: Any) -> None:
    assert parse(TriphoneConfig, {"num_leaves": value, "num_gauss": value}, "triphone").num_leaves is None
    assert parse(MonoConfig, {"num_gauss": value}, "mono").num_gauss is None
    assert parse(TriphoneConfig, {}, "triphone").num_leaves == 480


@pytest.mark.parametrize("value", [0, -1, "many", 2.5])
def test_other_sizes_are_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match="triphone: num_leaves: input should be"):
        parse(TriphoneConfig, {"num_leaves": value}, "triphone")
