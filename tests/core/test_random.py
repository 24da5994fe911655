"""Random choices must be the same in every process, on every machine, in every version."""

from asrkd.core.random import rng_for

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
