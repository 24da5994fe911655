"""The lexicon as a transducer from phones to words, with optional silence between words: ``make_lexicon_fst.py``."""

import math
from collections.abc import Sequence

import kaldifst

from asrkd.lang.lexicon import Pronunciation
from asrkd.lang.phones import SILENCE, SymbolTable


def lexicon_fst(
    entries: Sequence[tuple[str, Pronunciation]],
    phones: SymbolTable,
    words: SymbolTable,
    silence_probability: float,
    silence_mark: str | None = None,
) -> kaldifst.StdVectorFst:
    """L: any sequence of words, each in any of its pronunciations.

    At the start and after each word there is silence with ``silence_probability``; 0 leaves it out. ``silence_mark``
    is the disambiguation symbol after silence, for graphs that will be determinised. Arcs are sorted by output label.
    """
    fst = kaldifst.StdVectorFst()
    start, loop, silence = fst.add_state(), fst.add_state(), fst.add_state()
    fst.start = start
    fst.set_final(loop, 0.0)
    ways = [(loop, -math.log1p(-silence_probability))]
    if silence_probability > 0:
        ways.append((silence, -math.log(silence_probability)))
        marked = silence
        if silence_mark is not None:
            marked = fst.add_state()
            fst.add_arc(marked, kaldifst.StdArc(phones[silence_mark], 0, 0.0, loop))
            fst.add_arc(silence, kaldifst.StdArc(phones[SILENCE], 0, 0.0, marked))
        else:
            fst.add_arc(silence, kaldifst.StdArc(phones[SILENCE], 0, 0.0, loop))
    for target, cost in ways:
        fst.add_arc(start, kaldifst.StdArc(0, 0, cost, target))
    for word, pronunciation in entries:
        state, label = loop, words[word]
        for phone in pronunciation[:-1]:
            following = fst.add_state()
            fst.add_arc(state, kaldifst.StdArc(phones[phone], label, 0.0, following))
            state, label = following, 0
        for target, cost in ways:
            fst.add_arc(state, kaldifst.StdArc(phones[pronunciation[-1]], label, cost, target))
    kaldifst.arcsort(fst, sort_type="olabel")
    return fst
