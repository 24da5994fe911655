"""Grapheme to phoneme by Phonetisaurus (Novak, Minematsu and Hirose 2016), the tool that Kaldi's recipes know.

A joint n-gram over letters and phones that its EM has aligned, as a WFST. Its programs come in the package
``phonetisaurus`` (extra ``g2p``), which exists for x86-64 Linux alone.
"""

import os
import re
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from asrkd.core.errors import ConfigError, DataError
from asrkd.lang.lexicon import UNKNOWN, Lexicon, Pronunciation

_RESERVED = re.compile(r"[}|_<>\s]")
"""What its files use for themselves."""

_SEVERAL = 5
"""Paths asked for each pronunciation that is wanted: several may have the same phones."""


@dataclass(frozen=True)
class PhonetisaurusModel:
    """The WFST's file, and the letters that it knows; ``num_left_out`` entries hold characters that it reserves."""

    path: Path
    letters: frozenset[str]
    num_entries: int
    num_left_out: int

    def pronounce(self, words: Sequence[str], count: int) -> dict[str, list[tuple[Pronunciation, float]]]:
        """Up to ``count`` pronunciations of each word with their ln p(word, phones), best first.

        None where a word has a letter that the lexicon lacks.
        """
        known = [word for word in words if word and self.letters.issuperset(word)]
        found: dict[str, dict[Pronunciation, float]] = defaultdict(dict)
        with tempfile.TemporaryDirectory(prefix="asrkd-") as folder:
            (Path(folder) / "words").write_text("".join(f"{word}\n" for word in known), encoding="utf-8")
            paths = 1 if count == 1 else _SEVERAL * count
            arguments = [f"--model={self.path.resolve()}", "--wordlist=words", f"--nbest={paths}"]
            output = _run("phonetisaurus-g2pfst", *arguments, folder=Path(folder))
        for line in output.splitlines():
            word, cost, phones = line.split("\t")
            if phones.strip():
                found[word].setdefault(tuple(phones.split()), -float(cost))
        return {word: list(found[word].items())[:count] for word in words}


def train_phonetisaurus(lexicon: Lexicon, order: int, path: Path) -> PhonetisaurusModel:
    """A model of a lexicon's entries, written to ``path`` unless it stands there, whole.

    Raises ConfigError where Phonetisaurus is not installed, DataError where it can make nothing of the lexicon.
    """
    pairs = [(word, phones) for word, phones in lexicon.entries if word != UNKNOWN]
    usable = [(word, phones) for word, phones in pairs if not any(map(_RESERVED.search, (word, *phones)))]
    if not usable:
        raise DataError("grapheme to phoneme: no word of the lexicon is spelled in letters: is it a lexicon?")
    if not path.exists():
        with tempfile.TemporaryDirectory(prefix="asrkd-", dir=path.parent) as folder:
            _train(usable, order, Path(folder))
            os.replace(Path(folder) / "model.fst", path)
    letters = frozenset(letter for word, _ in usable for letter in word)
    return PhonetisaurusModel(path, letters, len(pairs), len(pairs) - len(usable))


def _train(pairs: Sequence[tuple[str, Pronunciation]], order: int, folder: Path) -> None:
    lines = [f"{word}\t{' '.join(phones)}\n" for word, phones in pairs]
    (folder / "lexicon").write_text("".join(lines), encoding="utf-8")
    _run("phonetisaurus-align", "--input=lexicon", "--ofile=corpus", "--seq1_del=false", "--seq2_del", folder=folder)
    if not (folder / "corpus").stat().st_size:
        raise DataError("grapheme to phoneme: no word of the lexicon can be aligned with its phones: is it a lexicon?")
    _run("estimate-ngram", "-o", str(order), "-t", "corpus", "-wl", "arpa", folder=folder)
    _run("phonetisaurus-arpa2wfst", "--lm=arpa", "--ofile=model.fst", folder=folder)


def _run(program: str, *arguments: str, folder: Path) -> str:
    """What one of its programs prints. DataError where it fails."""
    done = subprocess.run(
        [program, *arguments], cwd=folder, env=_environment(), capture_output=True, encoding="utf-8", check=False
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        cause = "is the lexicon too small to learn from?"
        raise DataError(f"grapheme to phoneme: {program} failed (exit {done.returncode}; {last!r}): {cause}")
    return done.stdout


def _environment() -> Mapping[str, str]:
    """Where the package keeps programs and libraries."""
    try:
        from phonetisaurus import guess_environment
    except ImportError:
        raise ConfigError(
            "g2p: phonetisaurus is not installed: pip install 'asrkd[g2p]' where there is a package of it (x86-64 "
            "Linux), or set g2p.model to graphones"
        ) from None
    return {**os.environ, **guess_environment()}
