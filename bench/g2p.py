"""Grapheme to phoneme: error on words that were held out of the lexicon, against Phonetisaurus where it is installed.

python -m bench.g2p LEXICON [WORDS]
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from shutil import which

import jiwer

from asrkd.core.random import rng_for
from asrkd.lang.g2p import G2pConfig, pronounce, train_g2p
from asrkd.lang.lexicon import UNKNOWN, Lexicon, Pronunciation, read_lexicon
from bench.table import print_table


def main(lexicon: Path, num_words: int = 2000) -> None:
    """Hold ``num_words`` random words out, train on the others, and print both error rates."""
    full = read_lexicon(lexicon)
    words = [word for word in full.words if word.replace("'", "").isalpha()]
    held_out = [str(word) for word in rng_for(1, "g2p").choice(words, num_words, replace=False)]
    rest = full.restricted(set(words) - set(held_out))  # of plain letters, since some marks are Phonetisaurus's own
    runs = {"asrkd": _ours(rest, held_out)}
    if which("phonetisaurus-train"):
        runs["phonetisaurus"] = _phonetisaurus(rest, held_out)
    rows = []
    for name, (found, seconds) in runs.items():
        phones, right = _score(full, held_out, found)
        rows.append((name, f"{phones:.2%}", f"{right:.2%}", f"{seconds:.0f}"))
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


def _ours(rest: Lexicon, words: list[str]) -> tuple[dict[str, Pronunciation], float]:
    start = time.perf_counter()
    config = G2pConfig()
    model = train_g2p(rest, config.order)
    found = {word: pronounce(model, word, config) for word in words}
    return {word: phones[0] for word, phones in found.items() if phones}, time.perf_counter() - start


def _phonetisaurus(rest: Lexicon, words: list[str]) -> tuple[dict[str, Pronunciation], float]:
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        entries = [f"{word}\t{' '.join(phones)}\n" for word, phones in rest.entries if word != UNKNOWN]
        (folder / "lexicon").write_text("".join(entries), encoding="utf-8")
        (folder / "words").write_text("\n".join(words) + "\n", encoding="utf-8")
        (folder / "out").mkdir()
        train = ["--lexicon", "lexicon", "--seq2_del", "--ngram_order", "7", "--dir_prefix", "out"]
        subprocess.run(["phonetisaurus-train", *train], cwd=folder, check=True, capture_output=True)
        apply = ["phonetisaurus-apply", "--model", "out/model.fst", "--word_list", "words"]
        output = subprocess.run(apply, cwd=folder, check=True, capture_output=True, text=True).stdout
    found = {fields[0]: tuple(fields[1:]) for line in output.splitlines() if (fields := line.split())}
    return found, time.perf_counter() - start


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:3]))
