"""Letters and phones aligned: nothing lost, nothing invented, and the expected alignment where there is one."""

from hypothesis import given
from hypothesis import strategies as st

from asrkd.lang.graphones import align

SPELLED = {"A": ("AH",), "B": ("B",), "SH": ("SH",), "X": ("K", "S"), "O": ("OW",), "T": ("T",), "S": ("S",), "E": ()}


def spelled(*pieces: str) -> tuple[str, tuple[str, ...]]:
    return "".join(pieces), tuple(phone for piece in pieces for phone in SPELLED[piece])


PAIRS = [
    spelled(*pieces)
    for pieces in (
        *(["B", "A", "T"], ["B", "O", "X"], ["T", "A", "X", "E"], ["SH", "O", "T"], ["B", "A", "SH"], ["A", "T", "E"]),
        *(["S", "A", "T"], ["T", "O", "S", "E"], ["SH", "A", "B"], ["B", "O", "T"], ["O", "X"], ["S", "O", "B", "E"]),
    )
]


def test_the_pieces_are_found() -> None:
    aligned = dict(zip([word for word, _ in PAIRS], align(PAIRS), strict=True))
    assert aligned["BAT"] == [("B", ("B",)), ("A", ("AH",)), ("T", ("T",))]
    assert aligned["BOX"] == [("B", ("B",)), ("O", ("OW",)), ("X", ("K", "S"))]
    assert aligned["ATE"] == [("A", ("AH",)), ("T", ("T",)), ("E", ())]
    joined = [("SH", ("SH",))]
    silent = [[("S", ("SH",)), ("H", ())], [("S", ()), ("H", ("SH",))]]
    assert aligned["BASH"][2:] in (joined, *silent)


def test_phones_too_many_for_the_letters_are_left_out() -> None:
    aligned = align([*PAIRS, ("AA", ("T", "R", "IH", "P", "AH")), ("B", ())])
    assert aligned[-2:] == [[], []]
    assert all(aligned[:-2])


words = st.text("ABCDE'", min_size=1, max_size=6)
phones = st.lists(st.sampled_from(["P", "Q", "R0", "R1"]), min_size=1, max_size=8).map(tuple)


@given(st.lists(st.tuples(words, phones), min_size=1, max_size=12))
def test_graphones_join_to_what_was_aligned(pairs: list[tuple[str, tuple[str, ...]]]) -> None:
    for (word, pronunciation), graphones in zip(pairs, align(pairs), strict=True):
        if len(pronunciation) > 2 * len(word):
            assert not graphones
        else:
            assert "".join(letters for letters, _ in graphones) == word
            assert tuple(phone for _, part in graphones for phone in part) == pronunciation
            assert {(len(letters), len(part)) for letters, part in graphones} <= {(1, 0), (1, 1), (1, 2), (2, 1)}
    assert align(pairs) == align(pairs)
