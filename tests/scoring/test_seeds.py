"""Intervals over seeds and utterances: closed forms at both ends, coverage by simulation between them."""

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import t

from asrkd.scoring.seeds import difference_over_seeds, rate_over_seeds, recovered_over_seeds, share_over_seeds
from asrkd.scoring.significance import PairedBootstrap

Counts = NDArray[Any]


def bootstrap(frames: Counts, **right: Counts) -> PairedBootstrap:
    def named(values: Counts) -> dict[str, float]:
        return {f"u{i:04d}": float(value) for i, value in enumerate(values)}

    return PairedBootstrap({name: named(values) for name, values in right.items()}, named(frames), 2000)


def test_seeds_alone_give_students_interval() -> None:
    frames = np.full(50, 100.0)
    interval = rate_over_seeds(bootstrap(frames, a=frames * 0.5, b=frames * 0.53, c=frames * 0.56), ["a", "b", "c"])
    assert interval.estimate == pytest.approx(0.53)
    assert interval.deviation == pytest.approx(0.03)
    half = 4.3027 * 0.03 / math.sqrt(3)  # Student's quantile at 2 degrees of freedom
    assert [interval.low, interval.high] == pytest.approx([0.53 - half, 0.53 + half], abs=1e-5)


def test_utterances_alone_give_the_bootstraps_interval() -> None:
    rng = np.random.default_rng(0)
    frames = np.full(400, 10.0)
    right = rng.binomial(10, 0.4, 400).astype(float)
    systems = bootstrap(frames, a=right, b=right)
    interval = rate_over_seeds(systems, ["a", "b"])
    half = t.ppf(0.975, 399) * right.std() / 10 / math.sqrt(400)
    assert interval.deviation == 0
    assert interval.high - interval.estimate == pytest.approx(half, rel=0.05)
    alone = rate_over_seeds(systems, ["a"])
    assert alone.deviation is None
    assert (alone.low, alone.high) == (interval.low, interval.high)


def test_differences_are_paired_by_seed_and_utterance() -> None:
    rng = np.random.default_rng(1)
    frames = np.full(100, 100.0)
    easy, seeds = rng.integers(10, 80, 100), (0, 6, 12)  # utterances and seeds differ much, the systems by 2 points
    right = {f"a{seed}": easy + seed + 2.0 for seed in seeds} | {f"b{seed}": easy + 0.0 + seed for seed in seeds}
    systems = bootstrap(frames, **right)
    interval = difference_over_seeds(systems, ["a0", "a6", "a12"], ["b0", "b6", "b12"])
    assert interval.low == pytest.approx(0.02) == interval.high
    crossed = difference_over_seeds(systems, ["a0", "a6", "a12"], ["b12", "b6", "b0"])
    assert crossed.estimate == pytest.approx(0.02)
    assert crossed.low < 0 < crossed.high


def test_shares_are_paired_by_seed_and_utterance() -> None:
    """Four fifths of each other on every utterance: no doubt is left, however much seeds and utterances differ."""
    rng = np.random.default_rng(3)
    frames = np.full(100, 100.0)
    right = {f"a{seed}": 40 + rng.integers(-9, 9, 100) * 1.0 + seed for seed in (0, 6, 12)}
    systems = bootstrap(frames, **right, **{name.replace("a", "b"): 0.8 * counts for name, counts in right.items()})
    share = share_over_seeds(systems, ["b0", "b6", "b12"], ["a0", "a6", "a12"])
    assert [share.low, share.estimate, share.high] == pytest.approx([0.8] * 3)
    crossed = share_over_seeds(systems, ["b12", "b6", "b0"], ["a0", "a6", "a12"])
    means = [float(right[name].mean()) for name in ("a0", "a6", "a12")]
    expected = [0.8 * ours / theirs for ours, theirs in zip(reversed(means), means, strict=True)]
    assert crossed.estimate == pytest.approx(np.mean(expected))
    assert crossed.deviation == pytest.approx(np.std(expected, ddof=1))
    assert crossed.low < 0.8 < crossed.high


def test_one_net_for_all_seeds_leaves_the_doubt_of_utterances() -> None:
    rng = np.random.default_rng(4)
    frames = np.full(400, 10.0)
    systems = bootstrap(frames, a=rng.binomial(10, 0.4, 400) * 1.0, b=rng.binomial(10, 0.5, 400) * 1.0)
    share = share_over_seeds(systems, ["a"] * 3, ["b"] * 3)
    # The delta method: relative variances add, those of binomials (1 - p) / (p n).
    half = t.ppf(0.975, 399) * share.estimate * math.sqrt((0.6 / 0.4 + 0.5 / 0.5) / 4000)
    assert share.deviation == 0
    assert share.high - share.estimate == pytest.approx(half, rel=0.1)


def test_the_interval_covers_the_true_rate_as_often_as_it_says_or_more() -> None:
    """200 experiments with three seeds: 95 % of them are 190 ± 3.1; the sum of variances is no less than the truth."""
    rng = np.random.default_rng(2)
    covered = 0
    for _ in range(200):
        utterances, frames = rng.normal(0, 0.1, 60), np.full(60, 1000.0)
        right = {
            f"s{seed}": frames * (0.5 + utterances + rng.normal(0, 0.02) + rng.normal(0, 0.05, 60)) for seed in range(3)
        }
        interval = rate_over_seeds(bootstrap(frames, **right), list(right))
        covered += interval.low <= 0.5 <= interval.high
    assert covered >= 181


def test_the_share_of_a_gap_is_that_of_the_means_and_varies_with_all_three() -> None:
    frames = np.full(50, 100.0)
    rates = {"f1": 0.30, "f2": 0.32, "s1": 0.45, "s2": 0.46, "t1": 0.50, "t2": 0.54}
    systems = bootstrap(frames, **{name: frames * rate for name, rate in rates.items()})
    found = recovered_over_seeds(systems, ["s1", "s2"], ["f1", "f2"], ["t1", "t2"])
    assert found is not None
    share = (0.455 - 0.31) / (0.52 - 0.31)
    assert found.estimate == pytest.approx(share)
    # The delta method by hand: a = s - f and b = t - f, each with its deviations over the two seeds.
    deviations = [(0.15 - share * 0.20) / 0.21, (0.14 - share * 0.22) / 0.21]
    assert found.deviation == pytest.approx(np.std(deviations, ddof=1))
    half = t.ppf(0.975, 1) * np.std(deviations, ddof=1) / math.sqrt(2)
    assert [found.low, found.high] == pytest.approx([share - half, share + half], rel=1e-3)
    assert recovered_over_seeds(systems, ["s1"], ["f1"], ["f1"]) is None


def test_the_share_of_a_gap_varies_with_utterances_as_the_bootstraps() -> None:
    rng = np.random.default_rng(0)
    frames = np.full(300, 10.0)
    right = {name: rng.binomial(10, rate, 300).astype(float) for name, rate in (("f", 0.3), ("s", 0.45), ("t", 0.5))}
    systems = bootstrap(frames, **right)
    found = recovered_over_seeds(systems, ["s"], ["f"], ["t"])
    assert found is not None
    ratio = systems.transfer_ratio("f", "t", "s")
    assert ratio.low is not None
    assert ratio.high is not None
    assert found.estimate == pytest.approx(ratio.estimate)
    assert found.high - found.low == pytest.approx(ratio.high - ratio.low, rel=0.05)


def test_the_share_of_a_gap_near_chance_has_an_interval_that_says_something() -> None:
    """A gap of some two standard errors, so that draws with hardly any are among them: the delta method by hand."""
    rng, count = np.random.default_rng(5), 300
    frames = np.full(count, 10.0)
    right = {
        name: rng.binomial(10, rate, count).astype(float) for name, rate in (("f", 0.3), ("s", 0.315), ("t", 0.33))
    }
    found = recovered_over_seeds(bootstrap(frames, **right), ["s"], ["f"], ["t"])
    assert found is not None
    f, s, t_ = (right[name].mean() for name in "fst")
    assert found.estimate == pytest.approx((s - f) / (t_ - f))
    each = (right["s"] - right["f"]) - found.estimate * (right["t"] - right["f"])
    half = t.ppf(0.975, count - 1) * each.std() / math.sqrt(count) / (t_ - f)
    assert found.high - found.estimate == pytest.approx(half, rel=0.05)
    assert half < 1.5
