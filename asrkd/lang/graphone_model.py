"""Grapheme to phoneme by an n-gram over graphones (letters with their phones, `asrkd.lang.graphones`).

It gives the probability of word and phones together; the search takes the phones that are most probable with the
word's letters (Bisani and Ney 2008). Needs no package beside those that asrkd needs anyway, and is less exact than
`asrkd.lang.phonetisaurus` (bench/g2p.py).
"""

import math
import tempfile
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from asrkd.core.errors import DataError
from asrkd.lang.arpa import Ngram
from asrkd.lang.graphones import Pair, align
from asrkd.lang.lexicon import UNKNOWN, Lexicon, Pronunciation
from asrkd.lang.ngram import ArpaModel, estimate_ngram, read_arpa

BEAM = 12
"""Hypotheses kept at each letter."""


@dataclass(frozen=True)
class GraphoneModel:
    """N-gram over the names of graphones, and these by their letters; ``num_left_out`` entries did not align."""

    ngram: ArpaModel
    graphones: Mapping[str, Sequence[tuple[str, Pronunciation]]]
    num_entries: int
    num_left_out: int

    def pronounce(self, words: Sequence[str], count: int) -> dict[str, list[tuple[Pronunciation, float]]]:
        """Up to ``count`` pronunciations of each word with their ln p(word, phones), best first.

        None where a word has a letter that the lexicon lacks.
        """
        return {word: _pronounce(self, word)[:count] for word in words}


def train_graphones(lexicon: Lexicon, order: int) -> GraphoneModel:
    """A model of a lexicon's entries. Raises DataError where none of them can be aligned."""
    pairs: list[Pair] = [(word, phones) for word, phones in lexicon.entries if word != UNKNOWN]
    aligned = [graphones for graphones in align(pairs) if graphones]
    if not aligned:
        raise DataError("grapheme to phoneme: no word of the lexicon can be aligned with its phones: is it a lexicon?")
    counts = Counter(graphone for graphones in aligned for graphone in graphones)
    names = {graphone: f"g{number}" for number, graphone in enumerate(sorted(counts))}
    sentences = [" ".join(names[graphone] for graphone in graphones) for graphones in aligned]
    with tempfile.TemporaryDirectory(prefix="asrkd-") as folder:
        path = Path(folder) / "graphones.arpa"
        estimate_ngram(sentences, order, path)
        ngram = read_arpa(path)
    by_letters = defaultdict(list)
    for (letters, phones), name in names.items():
        by_letters[letters].append((name, phones))
    return GraphoneModel(ngram, dict(by_letters), len(pairs), len(pairs) - len(aligned))


def _pronounce(model: GraphoneModel, word: str) -> list[tuple[Pronunciation, float]]:
    start: Ngram = ("<s>",)
    frontier: list[dict[tuple[Ngram, Pronunciation], float]] = [{} for _ in range(len(word) + 1)]
    frontier[0] = {(start, ()): 0.0}
    for position in range(len(word)):
        for (history, phones), score in _most_probable(frontier[position], BEAM):
            for length in (1, 2):
                for name, added in model.graphones.get(word[position : position + length], ()):
                    if position + length > len(word):
                        continue
                    new = (*history, name)[-max(1, model.ngram.order - 1) :], (*phones, *added)
                    value = score + model.ngram.log_prob(history, name)
                    if value > frontier[position + length].get(new, -math.inf):
                        frontier[position + length][new] = value
    best: dict[Pronunciation, float] = {}
    for (history, phones), score in _most_probable(frontier[-1], BEAM):
        value = score + model.ngram.log_prob(history, "</s>")
        if phones and value > best.get(phones, -math.inf):
            best[phones] = value
    ordered = sorted(best, key=lambda phones: (-best[phones], phones))
    return [(phones, math.log(10) * best[phones]) for phones in ordered]


def _most_probable(
    hypotheses: Mapping[tuple[Ngram, Pronunciation], float], beam: int
) -> list[tuple[tuple[Ngram, Pronunciation], float]]:
    return sorted(hypotheses.items(), key=lambda item: (-item[1], item[0]))[:beam]
