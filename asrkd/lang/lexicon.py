"""Pronunciation lexicons in the form of the CMU dictionary: ``WORD PHONE PHONE ..``, one pronunciation a line.

Comments begin with ``;;;``; a further pronunciation is ``WORD(2)``, ``WORD(1)`` or the word again. Stress digits on
vowels (``AH0``) are dropped unless they are asked for.
"""

import re
from collections import Counter
from collections.abc import Collection, Container, Mapping
from dataclasses import dataclass
from pathlib import Path

from asrkd.core.errors import DataError
from asrkd.core.files import atomic_write, read_lines
from asrkd.lang.phones import SILENCE, SPOKEN_NOISE

UNKNOWN = "<UNK>"
"""The word that stands for all words outside the lexicon."""

_SILENCE_WORDS = frozenset({"!SIL", "<SIL>"})
_RESERVED = frozenset({"<s>", "</s>", "<eps>"})
_VARIANT = re.compile(r"(?P<word>.+)\(\d+\)$")
_MARK = re.compile(r"#\d+")
_STRESS = re.compile(r"(?<=[A-Za-z])[0-2]$")

Pronunciation = tuple[str, ...]


@dataclass(frozen=True)
class Lexicon:
    """Pronunciations of each word, words in sorted order. ``<UNK>`` is always there, as SPN."""

    pronunciations: Mapping[str, tuple[Pronunciation, ...]]

    def __contains__(self, word: object) -> bool:
        return word in self.pronunciations

    @property
    def words(self) -> list[str]:
        return list(self.pronunciations)

    @property
    def entries(self) -> list[tuple[str, Pronunciation]]:
        return [(word, phones) for word, variants in self.pronunciations.items() for phones in variants]

    @property
    def speech_phones(self) -> set[str]:
        return {phone for _, phones in self.entries for phone in phones} - {SILENCE, SPOKEN_NOISE}

    def restricted(self, words: Collection[str]) -> "Lexicon":
        """The same for ``words`` alone (and <UNK>)."""
        kept = {*words, UNKNOWN}
        return Lexicon({word: variants for word, variants in self.pronunciations.items() if word in kept})

    def write(self, path: Path) -> None:
        """Write it in the form that `read_lexicon` reads."""
        with atomic_write(path) as file:
            file.writelines(f"{word} {' '.join(phones)}\n" for word, phones in self.entries)


def read_lexicon(path: Path, keep_stress: bool = False) -> Lexicon:
    """Read a lexicon. DataError names the line that is no ``WORD PHONE ..`` and words or phones that can't be."""
    words: dict[str, list[Pronunciation]] = {UNKNOWN: [(SPOKEN_NOISE,)]}
    for number, line in enumerate(read_lines(path), 1):
        fields = line.partition(" #")[0].split()
        if not fields or line.startswith(";;;"):
            continue
        word, phones = _word(fields[0]), tuple(fields[1:] if keep_stress else (_STRESS.sub("", p) for p in fields[1:]))
        if word in _SILENCE_WORDS or word == UNKNOWN:
            continue
        if not phones:
            raise DataError(f"{path}:{number}: {word} has no pronunciation")
        if word in _RESERVED or _MARK.fullmatch(word):
            raise DataError(f"{path}:{number}: {word} can't be a word: it has a meaning of its own in graphs")
        if bad := [phone for phone in phones if phone.startswith("#") or phone == "<eps>"]:
            raise DataError(f"{path}:{number}: {bad[0]} can't be a phone: it has a meaning of its own in graphs")
        variants = words.setdefault(word, [])
        if phones not in variants:
            variants.append(phones)
    if len(words) == 1:
        raise DataError(f"{path}: holds no words: is it the right file?")
    return Lexicon({word: tuple(words[word]) for word in sorted(words)})


def _word(field: str) -> str:
    variant = _VARIANT.match(field)
    return variant["word"] if variant else field


def disambiguate(entries: list[tuple[str, Pronunciation]]) -> tuple[list[tuple[str, Pronunciation]], int]:
    """Add #1, #2, .. to pronunciations that are those of another word, or the beginning of another's.

    With them the lexicon can be determinised. Returns the entries and the highest number used. After Kaldi's
    ``add_lex_disambig.pl``.
    """
    counts = Counter(phones for _, phones in entries)
    prefixes = {phones[:end] for phones in counts for end in range(1, len(phones))}
    used: Counter[Pronunciation] = Counter()
    result = []
    for word, phones in entries:
        if counts[phones] == 1 and phones not in prefixes:
            result.append((word, phones))
        else:
            used[phones] += 1
            result.append((word, (*phones, f"#{used[phones]}")))
    return result, max(used.values(), default=0)


def unknown_words(texts: Mapping[str, str], known: Container[str]) -> dict[str, tuple[int, str]]:
    """Words of ``texts`` (by id) that are not ``known``: how often each comes, and the id where it comes first."""
    found: dict[str, tuple[int, str]] = {}
    for where, text in texts.items():
        for word in text.split():
            if word not in known:
                count, first = found.get(word, (0, where))
                found[word] = (count + 1, first)
    return found


def unknown_words_error(found: Mapping[str, tuple[int, str]], known: Container[str], lexicon: str) -> DataError:
    """The error for transcripts with words outside the lexicon: the most frequent word, where and how often."""
    word, (count, where) = max(found.items(), key=lambda item: (item[1][0], item[0]))
    others = f", and {len(found) - 1} other words" if len(found) > 1 else ""
    cause = "add it, or set `oov: unk`"
    if word.upper() in known or word.lower() in known:
        cause = "the lexicon has it in another case"
    return DataError(f"{where}: word {word!r} ({count} times{others}) is not in {lexicon}: {cause}")
