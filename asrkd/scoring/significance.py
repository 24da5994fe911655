"""Is a difference more than chance? Paired bootstrap over utterances; `scoring.matched_pairs` has the other test.

Bisani and Ney 2004, "Bootstrap estimates for confidence intervals in ASR performance evaluation": utterances, not
words or frames, are drawn with replacement, since errors within one are not independent; a rate is a ratio of sums;
all systems are scored on the same draws, so what they share cancels in a difference. Intervals are percentiles of the
resampled values (95 %), and p-values are two-sided and agree with them: p < 0.05 where the interval leaves out 0, but
for one draw. Where few utterances differ, draws hold too few of the differences, and p is too small: of three to five
that favour one system it is below 0.05, where their signs alone would be so by chance one time in four to sixteen.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from asrkd.core.errors import DataError, MismatchError
from asrkd.core.random import rng_for

NUM_RESAMPLES = 10_000
_LEVEL = 0.95
_CELLS = 2_000_000  # resamples x utterances at a time: some tens of megabytes

FloatArray: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A rate, or a difference of two, with its 95 % interval."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference(Interval):
    """First rate minus second, with its interval and the two-sided p-value of there being none."""

    p_value: float

    def row(self, a: str, b: str, metric: str) -> dict[str, Any]:
        """As files of results have it: of systems ``a`` and ``b``."""
        bounds = {"difference": self.estimate, "low": self.low, "high": self.high}
        return {"a": a, "b": b, "metric": metric, **bounds, "p": self.p_value}


@dataclass(frozen=True)
class TransferRatio:
    """How much of the ensemble's gain over the baseline the distilled model keeps.

    ``gain`` is ensemble minus baseline. Where its interval holds 0 there may be nothing to transfer: ``reliable`` is
    then false. The numbers are None where the gain is exactly 0.
    """

    estimate: float | None
    low: float | None
    high: float | None
    gain: Difference
    reliable: bool


class PairedBootstrap:
    """Rates of several systems on one set, resampled together."""

    def __init__(
        self,
        numerators: Mapping[str, Mapping[str, float]],
        denominators: Mapping[str, float],
        num_resamples: int = NUM_RESAMPLES,
        seed: int = 0,
    ):
        """``numerators``: by system, then by utterance, errors or correct frames; ``denominators``: by utterance,
        words or frames.

        Raises MismatchError where a system was not scored on the same utterances, DataError for an empty set.
        """
        validate(numerators, denominators)
        self.systems = list(numerators)
        self.num_utterances = len(denominators)
        utterances = sorted(denominators)
        over = np.array([denominators[utt_id] for utt_id in utterances], dtype=np.float64)
        counts = np.array([[numerators[name][utt_id] for utt_id in utterances] for name in self.systems], np.float64)
        values = np.vstack([over, counts]).T  # (num_utterances, 1 + num_systems)
        totals = values.sum(axis=0)
        self._rates: FloatArray = totals[1:] / totals[0]
        sums = np.vstack(list(_resampled_sums(values, num_resamples, seed)))
        self._resampled: FloatArray = sums[:, 1:] / sums[:, :1]  # (num_resamples, num_systems)

    @classmethod
    def of_pairs(
        cls, pairs: Mapping[str, Mapping[str, Sequence[float]]], num_resamples: int = NUM_RESAMPLES, seed: int = 0
    ) -> "PairedBootstrap":
        """Of what files of scores hold: by system and utterance a pair, numerator and denominator."""
        numerators = {name: {utt: pair[0] for utt, pair in each.items()} for name, each in pairs.items()}
        denominators = {utt: pair[1] for utt, pair in next(iter(pairs.values())).items()}
        return cls(numerators, denominators, num_resamples, seed)

    def rate(self, *systems: str) -> Interval:
        """A system's rate; the mean of the rates of several."""
        return _interval(*self._of(systems))

    def difference(self, first: str | Sequence[str], second: str | Sequence[str]) -> Difference:
        """Rate of ``first`` minus rate of ``second``; a sequence stands for the mean over its systems."""
        (rate_a, resampled_a), (rate_b, resampled_b) = self._of(_names(first)), self._of(_names(second))
        return _difference(rate_a - rate_b, resampled_a - resampled_b)

    def standard_error(self, first: str | Sequence[str], second: str | Sequence[str] = ()) -> float:
        """Standard deviation over the draws of a rate, or of ``first`` minus ``second``, if that is given."""
        resampled = self._of(_names(first))[1]
        return float((resampled - self._of(_names(second))[1] if second else resampled).std())

    def standard_error_of_share(self, first: str | Sequence[str], second: str | Sequence[str]) -> float:
        """Standard deviation over the draws of the rate of ``first`` over that of ``second``."""
        return float((self._of(_names(first))[1] / self._of(_names(second))[1]).std())

    def standard_error_of_recovered(
        self, systems: str | Sequence[str], floor: str | Sequence[str], top: str | Sequence[str]
    ) -> float:
        """Standard deviation over the draws of the share that ``systems`` have of the gap from ``floor`` to ``top``.

        Of a ratio a / b it is taken for that of a - (a / b) b, over b (the delta method): the draws' own ratios have
        no deviation where their gaps come near 0.
        """
        of = [self._of(_names(each)) for each in (systems, floor, top)]
        ours, low, high = (rate for rate, _ in of)
        our_draws, low_draws, high_draws = (resampled for _, resampled in of)
        share = (ours - low) / (high - low)
        return float(((our_draws - low_draws) - share * (high_draws - low_draws)).std() / abs(high - low))

    def transfer_ratio(self, baseline: str | Sequence[str], ensemble: str, distilled: str) -> TransferRatio:
        """(distilled - baseline) / (ensemble - baseline); the baseline may be the mean over several systems."""
        (base, base_resampled) = self._of(_names(baseline))
        (top, top_resampled), (kept, kept_resampled) = self._of([ensemble]), self._of([distilled])
        gain = _difference(top - base, top_resampled - base_resampled)
        gains = top_resampled - base_resampled
        some = gains != 0
        if top == base or not some.any():
            return TransferRatio(None, None, None, gain, reliable=False)
        ratios = (kept_resampled - base_resampled)[some] / gains[some]
        interval = _interval((kept - base) / (top - base), ratios)
        return TransferRatio(
            interval.estimate, interval.low, interval.high, gain, reliable=not gain.low <= 0 <= gain.high
        )

    def _of(self, systems: Sequence[str]) -> tuple[float, FloatArray]:
        if unknown := [name for name in systems if name not in self.systems]:
            raise DataError(f"no scores of system {unknown[0]!r}; there are {', '.join(self.systems)}")
        columns = [self.systems.index(name) for name in systems]
        return float(self._rates[columns].mean()), self._resampled[:, columns].mean(axis=1)


def validate(numerators: Mapping[str, Mapping[str, float]], denominators: Mapping[str, float]) -> None:
    """Check that every system was scored on the utterances of ``denominators``, and that these are not empty."""
    if not denominators or sum(denominators.values()) <= 0:
        raise DataError("there is nothing to resample: no utterances, or none with words or frames")
    for system, counts in numerators.items():
        if difference := sorted(counts.keys() ^ denominators.keys()):
            where = "not scored" if difference[0] in denominators else "scored, but not in the set"
            raise MismatchError(
                f"system {system!r}: utterance {difference[0]} is {where} ({len(difference)} such): "
                "were all systems scored on one set?"
            )


def _resampled_sums(values: FloatArray, num_resamples: int, seed: int) -> Iterator[FloatArray]:
    """Column sums of ``values`` (num_utterances, columns) over resampled rows, (some resamples, columns) at a time."""
    rng = rng_for(seed, "bootstrap")
    num_utterances = len(values)
    step = max(1, _CELLS // num_utterances)
    for start in range(0, num_resamples, step):
        rows = min(step, num_resamples - start)
        draws = rng.integers(0, num_utterances, (rows, num_utterances))
        draws += np.arange(rows)[:, None] * num_utterances
        times = np.bincount(draws.ravel(), minlength=rows * num_utterances).reshape(rows, num_utterances)
        sums = times.astype(np.float64) @ values
        yield sums[sums[:, 0] > 0]  # a draw of nothing but empty references has no rate


def _names(systems: str | Sequence[str]) -> Sequence[str]:
    return [systems] if isinstance(systems, str) else systems


def _interval(estimate: float, resampled: NDArray[np.floating[Any]]) -> Interval:
    low, high = np.quantile(resampled, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return Interval(estimate, float(low), float(high))


def _difference(estimate: float, resampled: FloatArray) -> Difference:
    interval = _interval(estimate, resampled)
    # One is added to both, as the observed sample is one of those possible: p is never 0.
    tail = min((resampled <= 0).sum(), (resampled >= 0).sum())
    p_value = min(1.0, 2.0 * float(tail + 1) / (len(resampled) + 1))
    return Difference(interval.estimate, interval.low, interval.high, p_value)
