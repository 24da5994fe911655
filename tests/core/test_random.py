"""Random choices must be the same in every process, on every machine, in every version."""

import pytest

from asrkd.core.random import random_share, rng_for

# numpy.random.PCG64 seeded with the first four little-endian words of sha256(b"1\x1fnoise\x1futt-1").
FROZEN = [203434564381758556, 4262427628730849868]


def test_frozen_values() -> None:
    assert rng_for(1, "noise", "utt-1").integers(2**62, size=2).tolist() == FROZEN
    assert rng_for(1, "noise", "utt-1").integers(2**62, size=2).tolist() == FROZEN


def test_every_part_counts() -> None:
    draws = [
        rng_for(*key).integers(2**62)  # type: ignore[arg-type]
        for key in [
            (1, "a"),
            (2, "a"),
            (1, "b"),
            (1, "a", 0),
            (1, "a", "0", "0"),
            (1,),
            (11,),
            (1, "ab"),
            (1, "a", "b"),
        ]
    ]
    assert len(set(draws)) == len(draws)


@pytest.mark.parametrize(("fraction", "count"), [(1, 200), (0.3, 60), (0.03, 6), (0.001, 1)])
def test_smaller_shares_lie_in_larger_ones_whatever_the_order(fraction: float, count: int) -> None:
    names = [f"utt-{n}" for n in range(200)]
    share = random_share(names, fraction)
    assert len(share) == count
    assert share == random_share(reversed(names), fraction)
    assert share <= random_share(names, min(1, 2 * fraction))
    assert share != set(sorted(names)[:count]) or count == 200
