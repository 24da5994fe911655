"""Language models over a lang dir's words: estimated from sentences, or taken from an ARPA file; pruned on demand."""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass as plain_dataclass
from pathlib import Path
from typing import Any

from pydantic import Field
from pydantic.dataclasses import dataclass

from asrkd.core.config import STRICT
from asrkd.core.errors import DataError, MismatchError
from asrkd.core.files import read_fields, sha256, write_json
from asrkd.core.messages import say
from asrkd.lang.arpa import is_arpa, restrict_arpa
from asrkd.lang.lexicon import UNKNOWN, unknown_words, unknown_words_error
from asrkd.lang.ngram import estimate_ngram, prune_ngram, read_sentences
from asrkd.lang.ngram_table import NgramTable, write_table
from asrkd.lang.phones import BACKOFF, read_symbols, write_symbols

ARPA = "lm.arpa"
_TABLE, _WORDS = "table", "words.txt"

_MARKS = {"<eps>", BACKOFF, "<s>", "</s>"}


@dataclass(frozen=True, config=STRICT)
class LmConfig:
    """Order and size of a language model."""

    order: int = Field(default=3, ge=1, le=5)
    """Of a model that is estimated (Kneser-Ney); one that is given has its own."""
    prune: float = Field(default=0.0, ge=0, lt=1)
    """N-grams without which the perplexity grows by less than this share are left out (Stolcke 1998); 0 keeps all. Of a
    model that is given, too, once words outside the lang dir are dropped and its back-off weights set right."""


@plain_dataclass(frozen=True)
class _Vocabulary:
    """Words of a lang dir or graph folder, and whether others are taken for <UNK>, which is one of them then."""

    folder: Path
    words: Collection[str]
    with_unknown: bool

    @classmethod
    def of(cls, folder: Path) -> "_Vocabulary":
        words = read_symbols(folder / _WORDS).keys() - _MARKS
        with_unknown = UNKNOWN in words and oov_of(folder) != "error"
        return cls(folder, words if with_unknown else words - {UNKNOWN}, with_unknown)


def make_lm(config: LmConfig, lang: Path, text: Path, work: Path) -> dict[str, Any]:
    """Write a language model over the words of ``lang``, a lang dir or graph folder; returns lm.json's content.

    lm.arpa is for graphs and for other tools, table/ for scoring.

    ``text`` is one sentence a line, or an ARPA model, either of them gzipped or not. A model is taken as it is but for
    words outside the lang dir, which are dropped and counted. Words of the lang dir that the sentences lack share what
    Kneser-Ney's discount takes from the unigrams. Raises DataError for malformed files and for unknown words, unless
    the lang dir takes them for <UNK>.
    """
    vocabulary = _Vocabulary.of(lang)
    if is_arpa(text):
        made = _from_arpa(vocabulary, text, work)
    else:
        made = _from_sentences(config.order, vocabulary, text, work)
    description = {**made, "prune": config.prune, "words": _hash_of_words(lang)}
    if config.prune:
        description["num_ngrams_before"] = description["num_ngrams"]
        description["num_ngrams"] = list(prune_ngram(work / ARPA, config.prune, text))
        description["order"] = len(description["num_ngrams"])
    words = read_symbols(lang / _WORDS)
    write_table(work / ARPA, words, work / _TABLE, text)
    write_symbols(work / _WORDS, words)
    description["arpa"] = sha256(work / ARPA)
    _say(f"{description['order']}-grams, by order {' '.join(map(str, description['num_ngrams']))}")
    write_json(work / "lm.json", description)
    return description


def oov_of(folder: Path) -> str | None:
    """`oov` of a lang dir or graph folder: "unk" or "error"; None where it does not say, as Kaldi's do not."""
    described = [path for name in ("lang.json", "graph.json") if (path := folder / name).is_file()]
    return read_fields(described[0]).get("oov") if described else None


def check_words(lm: Path, lang: Path) -> None:
    """MismatchError where a language model was made for another lang dir's words than ``lang``'s."""
    if not (lm / "lm.json").is_file():
        return  # Kaldi's, or made by hand
    if read_fields(lm / "lm.json", words=str)["words"] != _hash_of_words(lang):
        raise MismatchError(f"{lm} is a model of other words than those of {lang}: make it again from this lang dir")


def _hash_of_words(folder: Path) -> str:
    """Of the symbol table itself, however it is written."""
    words = sorted(read_symbols(folder / _WORDS).items())
    return hashlib.sha256(json.dumps(words).encode()).hexdigest()


def identity(lm: Path) -> str:
    """What tells a language model from others: the hash of its ARPA file."""
    described = lm / "lm.json"
    return str(read_fields(described, arpa=str)["arpa"]) if described.is_file() else sha256(lm / ARPA)


def open_table(lm: Path) -> NgramTable:
    """The n-grams of a finished folder, for scoring. DataError where it is missing or not whole."""
    if not (lm / _TABLE).is_dir():
        raise DataError(f"{lm} is no language model of `asrkd lm`: it has no {_TABLE}/")
    return NgramTable.open(lm / _TABLE, read_symbols(lm / _WORDS), read_fields(lm / "lm.json", order=int)["order"])


def _from_arpa(vocabulary: _Vocabulary, arpa: Path, work: Path) -> dict[str, Any]:
    model = restrict_arpa(arpa, vocabulary.words, vocabulary.with_unknown, work / ARPA)
    total = sum(model.num_ngrams) + model.num_ngrams_dropped
    _say(
        f"{arpa}: {model.order}-grams as given; {model.num_words_dropped} words are not in {vocabulary.folder}, and "
        f"{model.num_ngrams_dropped} of {total} n-grams dropped with them"
    )
    return {
        "order": model.order,
        "num_ngrams": list(model.num_ngrams),
        "num_words_dropped": model.num_words_dropped,
        "num_ngrams_dropped": model.num_ngrams_dropped,
    }


def _from_sentences(order: int, vocabulary: _Vocabulary, text: Path, work: Path) -> dict[str, Any]:
    lines = read_sentences(text)
    sentences, num_unknown = _known_sentences(lines, vocabulary)
    made = estimate_ngram(sentences, order, work / ARPA, vocabulary.words)
    if made.reason:
        _say(f"{made.order}-grams instead of {order}-grams: {made.reason}")
    return {
        "order": made.order,
        "reason": made.reason,
        "num_ngrams": list(made.num_ngrams),
        "num_sentences": len(sentences),
        "num_unseen_words": made.num_unseen,
        "num_unknown": num_unknown,
    }


def _known_sentences(lines: Mapping[str, str], vocabulary: _Vocabulary) -> tuple[list[str], int]:
    """The sentences over known words, and how many words became <UNK>."""
    unknown = unknown_words(lines, vocabulary.words)
    error = unknown_words_error(unknown, vocabulary.words, str(vocabulary.folder / _WORDS)) if unknown else None
    if error is not None and not vocabulary.with_unknown:
        raise error
    sentences = [" ".join(UNKNOWN if word in unknown else word for word in line.split()) for line in lines.values()]
    num_words, num_unknown = sum(len(line.split()) for line in sentences), sum(count for count, _ in unknown.values())
    if error is not None:
        if num_unknown == num_words:
            raise error
        _say(f"{num_unknown} of {num_words} words are not in {vocabulary.folder}: taken for {UNKNOWN}")
    return sentences, num_unknown


def _say(line: str) -> None:
    say(f"lm: {line}")
