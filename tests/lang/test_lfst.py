"""The lexicon transducer against enumeration of its paths."""

import itertools
import math

import kaldifst
import pytest

from asrkd.lang.lexicon import disambiguate
from asrkd.lang.lfst import lexicon_fst
from asrkd.lang.phones import phone_table, word_table

ENTRIES = [("AB", ("A", "B")), ("A", ("A",)), ("A", ("B",))]
PHONES, WORDS = phone_table("AB", 4), word_table(["A", "AB"])


def cost(fst: kaldifst.StdVectorFst, phones: str, words: str) -> float:
    """Cost of the best path with these phones and words; infinite where there is none."""
    spoken = kaldifst.make_linear_acceptor([PHONES[phone] for phone in phones.split()])
    said = kaldifst.make_linear_acceptor([WORDS[word] for word in words.split()])
    kaldifst.arcsort(said, "ilabel")
    composed = kaldifst.compose(kaldifst.compose(spoken, fst), said)
    if composed.num_states == 0:
        return math.inf
    done, _, _, weight = kaldifst.get_linear_symbol_sequence(kaldifst.shortest_path(composed))
    return float(weight.value) if done else math.inf


def test_silence_has_its_probability_at_every_boundary() -> None:
    fst = lexicon_fst(ENTRIES, PHONES, WORDS, silence_probability=0.2)
    silent, direct = -math.log(0.2), -math.log(0.8)
    assert cost(fst, "A B", "AB") == pytest.approx(2 * direct)
    assert cost(fst, "SIL A B", "AB") == pytest.approx(silent + direct)
    assert cost(fst, "SIL A SIL B SIL", "A A") == pytest.approx(3 * silent)
    assert cost(fst, "A SIL B", "AB") == math.inf
    assert cost(fst, "A B", "A A") == pytest.approx(3 * direct)


def test_without_silence_there_is_none() -> None:
    fst = lexicon_fst(ENTRIES, PHONES, WORDS, silence_probability=0.0)
    assert cost(fst, "A B", "AB") == pytest.approx(0.0)
    assert cost(fst, "SIL A B", "AB") == math.inf


def test_the_marked_lexicon_is_unambiguous() -> None:
    """Each sequence of phones and marks has one word sequence at most."""
    marked, highest = disambiguate(ENTRIES)
    fst = lexicon_fst(marked, PHONES, WORDS, 0.5, silence_mark=f"#{highest + 1}")
    tapes = ["A B", "A #1", "B", "SIL #2 A B", "A #1 SIL #2 B"]
    sentences = [" ".join(words) for count in (1, 2) for words in itertools.product(["A", "AB"], repeat=count)]
    for tape in tapes:
        assert sum(math.isfinite(cost(fst, tape, sentence)) for sentence in sentences) == 1, tape
