"""Grapheme to phoneme: error of either model on words that were held out of the lexicon.

python -m bench.g2p LEXICON [WORDS]
"""

import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import get_args, get_type_hints

import jiwer

from asrkd.core.random import rng_for
from asrkd.lang.g2p import G2pConfig, train_g2p
from asrkd.lang.lexicon import Lexicon, Pronunciation, read_lexicon
from bench.table import print_table


def main(lexicon: Path, num_words: int = 2000) -> None:
    """Hold ``num_words`` random words out, train on the others, and print both error rates."""
    full = read_lexicon(lexicon)
    words = [word for word in full.words if word.replace("'", "").isalpha()]
    held_out = [str(word) for word in rng_for(1, "g2p").choice(words, num_words, replace=False)]
    rest = full.restricted(set(words) - set(held_out))  # of plain letters, since some marks are Phonetisaurus's own
    rows = []
    for model in get_args(get_type_hints(G2pConfig)["model"]):
        found, seconds = _pronounce(G2pConfig(model), rest, held_out)
        phones, right = _score(full, held_out, found)
        rows.append((model, f"{phones:.2%}", f"{right:.2%}", f"{seconds:.0f}"))
    print_table(f"{num_words} words held out of {lexicon}", ["model", "phone errors", "words right", "seconds"], rows)


def _score(full: Lexicon, words: list[str], found: Mapping[str, Pronunciation]) -> tuple[float, float]:
    """Phone error rate against the nearest of each word's pronunciations, and the share of words without error."""
    errors = length = right = 0
    for word in words:
        scored = [
            (jiwer.process_words(" ".join(phones), " ".join(found.get(word, ()))), len(phones))
            for phones in full.pronunciations[word]
        ]
        best, num_phones = min(scored, key=lambda item: item[0].wer)
        errors += best.substitutions + best.deletions + best.insertions
        length += num_phones
        right += best.wer == 0
    return errors / length, right / len(words)


def _pronounce(config: G2pConfig, rest: Lexicon, words: list[str]) -> tuple[dict[str, Pronunciation], float]:
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        found = train_g2p(config, rest, Path(folder)).pronounce(words, 1)
    seconds = time.perf_counter() - start
    return {word: pronunciations[0][0] for word, pronunciations in found.items() if pronunciations}, seconds


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:3]))
