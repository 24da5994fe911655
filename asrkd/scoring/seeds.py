"""Means over seeds, with 95 % intervals that hold for other seeds and other utterances alike.

Two things are left to chance: which utterances the test set holds, and which seeds were drawn. The variance of a mean
over S seeds is taken as v = v_u + v_s: v_u of the mean over utterances drawn anew (all seeds on the same draws, see
`significance`), and v_s = s^2 / S, where s is the standard deviation over seeds. What is noise of one seed on one
utterance counts in both, so that the sum is rather too large than too small. The interval is the mean ± t sqrt(v),
with Student's t at Satterthwaite's (1946) degrees of freedom, v^2 / (v_u^2 / (U - 1) + v_s^2 / (S - 1)) for U
utterances: three seeds that differ much give a wide interval, as they should. With one seed v_s is not known, and the
interval holds for that seed alone. Differences are paired: by seed and by utterance.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from asrkd.scoring.significance import PairedBootstrap

_QUANTILE = 0.975


@dataclass(frozen=True)
class SeedInterval:
    """A mean over seeds, or of paired differences; ``deviation`` over seeds is None for a single one."""

    estimate: float
    low: float
    high: float
    deviation: float | None


def rate_over_seeds(bootstrap: PairedBootstrap, systems: Sequence[str]) -> SeedInterval:
    """Of the rates of ``systems``: one net a seed."""
    rates = [bootstrap.rate(name).estimate for name in systems]
    return _interval(rates, bootstrap.standard_error(systems), bootstrap.num_utterances)


def difference_over_seeds(bootstrap: PairedBootstrap, first: Sequence[str], second: Sequence[str]) -> SeedInterval:
    """Of ``first`` minus ``second``, whose nets are of the same seeds in the same order."""
    pairs = list(zip(first, second, strict=True))
    differences = [bootstrap.rate(a).estimate - bootstrap.rate(b).estimate for a, b in pairs]
    return _interval(differences, bootstrap.standard_error(first, second), bootstrap.num_utterances)


def share_over_seeds(bootstrap: PairedBootstrap, first: Sequence[str], second: Sequence[str]) -> SeedInterval:
    """Of ``first`` over ``second``, paired as differences are. The rates of ``second`` are not 0."""
    pairs = list(zip(first, second, strict=True))
    shares = [bootstrap.rate(a).estimate / bootstrap.rate(b).estimate for a, b in pairs]
    return _interval(shares, bootstrap.standard_error_of_share(first, second), bootstrap.num_utterances)


def recovered_over_seeds(
    bootstrap: PairedBootstrap, systems: Sequence[str], floor: Sequence[str], top: Sequence[str]
) -> SeedInterval | None:
    """Of the share that ``systems`` have of the gap from ``floor`` to ``top``, all of the same seeds in the same order.

    The gap is that of the means over seeds, so that a seed with a small one counts no more than others; None where it
    is 0.
    """
    ours, low, high = ([bootstrap.rate(name).estimate for name in names] for names in (systems, floor, top))
    gap = fmean(high) - fmean(low)
    if gap == 0:
        return None
    share = (fmean(ours) - fmean(low)) / gap
    # The delta method, as over the bootstrap's draws.
    shares = [share + (o - lo - share * (h - lo)) / gap for o, lo, h in zip(ours, low, high, strict=True)]
    return _interval(shares, bootstrap.standard_error_of_recovered(systems, floor, top), bootstrap.num_utterances)


def _interval(values: Sequence[float], utterance_error: float, num_utterances: int) -> SeedInterval:
    from scipy.stats import t

    mean, count = fmean(values), len(values)
    deviation = stdev(values) if count > 1 else None
    parts = [(utterance_error**2, num_utterances - 1), ((deviation or 0.0) ** 2 / count, count - 1)]
    variance = sum(part for part, _ in parts)
    if variance == 0:
        return SeedInterval(mean, mean, mean, deviation)
    doubt = sum(part**2 / max(free, 1) for part, free in parts)
    half = float(t.ppf(_QUANTILE, variance**2 / doubt)) * math.sqrt(variance)
    return SeedInterval(mean, mean - half, mean + half, deviation)
