"""Intervals and p-values: coverage by simulation, closed forms on large sets, frozen values."""

import math

import numpy as np
import pytest

from asrkd.core.errors import DataError, MismatchError
from asrkd.scoring.significance import PairedBootstrap


def _by_utterance(values: np.ndarray) -> dict[str, float]:
    return {f"u{i:05d}": float(value) for i, value in enumerate(values)}


def _bootstrap(words: np.ndarray, resamples: int = 1000, seed: int = 0, **errors: np.ndarray) -> PairedBootstrap:
    table = {name: _by_utterance(values) for name, values in errors.items()}
    return PairedBootstrap(table, _by_utterance(words), resamples, seed)


def test_interval_covers_the_true_rate_as_often_as_it_says() -> None:
    """300 sets of 120 utterances: a 95 % interval covers 285 +- 3.8; 4.5 deviations and some skew are allowed."""
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(300):
        words = rng.integers(5, 30, 120)
        interval = _bootstrap(words, 400, a=rng.binomial(words, 0.1)).rate("a")
        covered += interval.low <= 0.1 <= interval.high
    assert 268 <= covered <= 300


def test_p_values_are_uniform_where_there_is_no_difference() -> None:
    """Kolmogorov's distance of 300 p-values from uniform: below 1.95 / sqrt(300) = 0.1126 with probability 0.999."""
    rng = np.random.default_rng(2)
    p_values = []
    for _ in range(300):
        words = rng.integers(10, 30, 150)
        hard = rng.beta(2, 15, 150)  # shared difficulty: the systems' errors are correlated
        a, b = rng.binomial(words, hard), rng.binomial(words, hard)
        p_values.append(_bootstrap(words, 400, a=a, b=b).difference("a", "b").p_value)
    ranked = np.sort(p_values)
    assert np.abs(ranked - (np.arange(300) + 0.5) / 300).max() < 0.1126


def test_agrees_with_the_normal_interval_on_a_large_set() -> None:
    """The variance of a ratio of sums (the delta method), 1.96 deviations on either side."""
    rng = np.random.default_rng(3)
    words = rng.integers(10, 40, 3000)
    a, b = rng.binomial(words, 0.12), rng.binomial(words, 0.1)
    interval = _bootstrap(words, 10_000, a=a, b=b).difference("a", "b")
    estimate = (a.sum() - b.sum()) / words.sum()
    half = 1.96 * np.sqrt(np.square(a - b - estimate * words).sum()) / words.sum()
    assert interval.estimate == pytest.approx(estimate)
    assert interval.low == pytest.approx(estimate - half, abs=0.05 * half)
    assert interval.high == pytest.approx(estimate + half, abs=0.05 * half)


def test_pairing_is_narrower_than_the_two_intervals_apart() -> None:
    rng = np.random.default_rng(4)
    words = rng.integers(10, 40, 400)
    hard = rng.binomial(words, rng.beta(1, 6, 400))
    boot = _bootstrap(words, 2000, a=hard, b=np.maximum(hard - rng.binomial(1, 0.3, 400), 0))
    difference, a, b = boot.difference("a", "b"), boot.rate("a"), boot.rate("b")
    assert difference.high - difference.low < 0.3 * math.hypot(a.high - a.low, b.high - b.low)
    assert difference.p_value < 0.01


def test_p_value_agrees_with_the_interval() -> None:
    rng = np.random.default_rng(5)
    words = np.full(60, 20)
    for _ in range(50):
        boot = _bootstrap(words, 999, a=rng.binomial(words, 0.13), b=rng.binomial(words, 0.1))
        difference = boot.difference("a", "b")
        if abs(difference.p_value - 0.05) > 2 / 1000:  # what one draw, of either sign, changes
            assert (difference.p_value < 0.05) == (not difference.low <= 0 <= difference.high)


def test_equal_systems_do_not_differ() -> None:
    words, errors = np.full(30, 10), np.arange(30) % 4
    boot = _bootstrap(words, a=errors, b=errors)
    assert boot.difference("a", "b").p_value == 1
    assert boot.difference("a", "b").low == boot.difference("a", "b").high == 0


def test_difference_is_antisymmetric() -> None:
    rng = np.random.default_rng(6)
    words = rng.integers(10, 40, 100)
    boot = _bootstrap(words, a=rng.binomial(words, 0.2), b=rng.binomial(words, 0.17))
    there, back = boot.difference("a", "b"), boot.difference("b", "a")
    assert there.estimate == pytest.approx(-back.estimate)
    assert there.low == pytest.approx(-back.high)
    assert there.p_value == back.p_value


def test_mean_over_systems_is_the_baseline() -> None:
    words = np.array([10, 20, 30])
    boot = _bootstrap(words, a=np.array([1, 2, 3]), b=np.array([3, 4, 5]), c=np.array([2, 3, 4]))
    assert boot.rate("a", "b").estimate == pytest.approx(9 / 60)
    difference = boot.difference(["a", "b"], "c")
    assert difference.estimate == pytest.approx(0)
    assert difference.p_value == 1


def test_transfer_ratio_of_the_paper() -> None:
    """Frame accuracies 58.9, 61.1 and 60.8 % (Hinton et al. 2015, table 1): 86 % of the gain is kept."""
    frames = np.full(500, 1000)
    rng = np.random.default_rng(7)
    noise = rng.integers(-50, 50, 500)
    noise -= int(noise.mean())
    noise[0] -= noise.sum()
    boot = _bootstrap(frames, 2000, base=589 + noise, ensemble=611 + noise, distilled=608 + noise)
    ratio = boot.transfer_ratio("base", "ensemble", "distilled")
    assert ratio.estimate == pytest.approx(1.9 / 2.2)
    assert ratio.reliable
    assert ratio.low == pytest.approx(ratio.high)  # the same noise in all of them cancels


def test_transfer_ratio_interval_covers() -> None:
    """200 sets with a true ratio of 0.8; a 95 % interval covers 190 +- 3.1."""
    rng = np.random.default_rng(8)
    covered = 0
    for _ in range(200):
        frames = rng.integers(200, 800, 100)
        b1, b2, e, d = (rng.binomial(frames, accuracy) for accuracy in (0.55, 0.55, 0.6, 0.59))
        boot = _bootstrap(frames, 400, b1=b1, b2=b2, e=e, d=d)
        ratio = boot.transfer_ratio(["b1", "b2"], "e", "d")
        assert ratio.reliable
        assert ratio.low is not None
        assert ratio.high is not None
        covered += ratio.low <= 0.8 <= ratio.high
    assert 174 <= covered <= 200


def test_transfer_ratio_without_a_gain() -> None:
    errors = np.arange(20) % 3
    ratio = _bootstrap(np.full(20, 10), a=errors, b=errors, c=errors).transfer_ratio("a", "b", "c")
    assert (ratio.estimate, ratio.low, ratio.high, ratio.reliable) == (None, None, None, False)


def test_transfer_ratio_of_an_uncertain_gain_is_not_reliable() -> None:
    errors = np.arange(30) % 4
    boot = _bootstrap(np.full(30, 10), a=errors, b=np.roll(errors, 1), c=np.roll(errors, 2))
    ratio = boot.transfer_ratio("a", "b", "c")
    assert ratio.gain.low < 0 < ratio.gain.high
    assert not ratio.reliable


def test_same_seed_same_numbers_and_frozen_values() -> None:
    """Frozen from another way to the same draws: quantiles of a[draws].sum(1) / words[draws].sum(1)."""
    words, a = np.arange(5, 45), np.arange(40) % 7
    first, again = (_bootstrap(words, 2000, 11, a=a).rate("a") for _ in range(2))
    assert first == again
    assert _bootstrap(words, 2000, 12, a=a).rate("a") != first
    assert first.estimate == pytest.approx(115 / 980)
    assert first.low == pytest.approx(0.08826733486690766, abs=1e-12)
    assert first.high == pytest.approx(0.14803500083934867, abs=1e-12)


def test_systems_scored_on_other_utterances() -> None:
    with pytest.raises(MismatchError, match=r"system 'b': utterance v is not scored \(1 such\)"):
        PairedBootstrap({"a": {"u": 1, "v": 1}, "b": {"u": 1}}, {"u": 5, "v": 5})
    with pytest.raises(MismatchError, match="scored, but not in the set"):
        PairedBootstrap({"a": {"u": 1, "v": 1}}, {"u": 5})


@pytest.mark.parametrize("denominators", [{}, {"u": 0.0}])
def test_nothing_to_resample(denominators: dict[str, float]) -> None:
    with pytest.raises(DataError, match="nothing to resample"):
        PairedBootstrap({}, denominators)


def test_unknown_system() -> None:
    with pytest.raises(DataError, match="no scores of system 'x'; there are a"):
        _bootstrap(np.full(3, 2), a=np.ones(3)).rate("x")


def test_utterances_without_words_do_not_break_the_rate() -> None:
    interval = _bootstrap(np.array([0, 10]), a=np.array([1, 1])).rate("a")
    assert interval.estimate == pytest.approx(0.2)
    assert interval.high >= interval.low > 0
