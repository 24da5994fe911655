"""Lang dirs: lexicon, symbol tables, topology, lexicon transducers and language model, in one folder."""

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass as plain_dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import kaldifst
from pydantic import Field
from pydantic.dataclasses import dataclass

from asrkd.core.config import STRICT
from asrkd.core.errors import ConfigError, DataError
from asrkd.core.files import atomic_write, iter_lines, read_fields, write_json
from asrkd.lang.arpa import is_arpa, restrict_arpa
from asrkd.lang.lexicon import (
    UNKNOWN,
    Lexicon,
    disambiguate,
    read_lexicon,
    unknown_words,
    unknown_words_error,
)
from asrkd.lang.lfst import lexicon_fst
from asrkd.lang.ngram import estimate_ngram
from asrkd.lang.phones import (
    BACKOFF,
    SILENCE,
    SPOKEN_NOISE,
    phone_table,
    read_symbols,
    real_phones,
    word_table,
    write_symbols,
)
from asrkd.lang.topo import topology_text


@dataclass(frozen=True, config=STRICT)
class LangConfig:
    """What the lexicon holds, how phones are modelled, and the order of the language model."""

    vocabulary: Literal["text", "lexicon"] = "text"
    """Words of the language model's text (or of the model that is given), or all of the lexicon's."""
    min_count: int = Field(default=1, ge=1)
    """A word of the text that comes less often is taken for <UNK>; above 1 only with `oov: unk`."""
    oov: Literal["error", "unk"] = "error"
    """Words outside the lexicon, in the text and in transcripts: refused, or taken for <UNK>."""
    keep_stress: bool = False
    """Keep the stress digits of vowels, which makes phones of their own of them."""
    silence_probability: float = Field(default=0.5, ge=0, lt=1)
    """Of silence before the first word and after each word."""
    num_states: int = Field(default=3, ge=1)
    """HMM states of a speech phone."""
    num_silence_states: int = Field(default=5, ge=1)
    """HMM states of silence and spoken noise; from 4 on they may be passed in any order."""
    ngram_order: int = Field(default=3, ge=1, le=5)
    """Of the language model (Kneser-Ney). A model that is given has its own order, and `min_count` does nothing."""


def make_lang(config: LangConfig, lexicon: Path, lm_text: Path, work: Path) -> dict[str, Any]:
    """Write a lang dir into ``work`` from a lexicon and a text of one sentence a line, or an ARPA model in its place.

    Either may be gzipped. A model is taken as it is but for words outside the lexicon, which are dropped and counted.
    Returns lang.json's content. Raises DataError for malformed files and, with `oov: error`, for a word of the text
    that the lexicon lacks; ConfigError for options that contradict each other.
    """
    if config.min_count > 1 and config.oov == "error":
        raise ConfigError("lang: min_count above 1 makes rare words unknown, which `oov: error` refuses")
    full = read_lexicon(lexicon, config.keep_stress)
    if is_arpa(lm_text):
        return _from_arpa(config, full, lm_text, work)
    sentences = _sentences(config, lm_text, full, lexicon)
    seen = {word for sentence in sentences for word in sentence.split()}
    chosen = full.restricted(seen) if config.vocabulary == "text" else full
    description = _write_lexicon(config, chosen, work)
    order, reason = estimate_ngram(sentences, config.ngram_order, work / "lm.arpa")
    if reason:
        print(f"lang: {order}-grams instead of {config.ngram_order}-grams: {reason}", file=sys.stderr, flush=True)
    description |= {"ngram_order": order, "ngram_reason": reason, "num_sentences": len(sentences)}
    write_json(work / "lang.json", description)
    return description


def _from_arpa(config: LangConfig, full: Lexicon, arpa: Path, work: Path) -> dict[str, Any]:
    """The rest of `make_lang` for an ARPA model, which has its own order and words."""
    model = restrict_arpa(arpa, full, config.oov == "unk", work / "lm.arpa")
    chosen = full.restricted(model.words) if config.vocabulary == "text" else full
    description = _write_lexicon(config, chosen, work)
    description |= {
        "ngram_order": model.order,
        "num_ngrams": list(model.num_ngrams),
        "num_words_dropped": model.num_words_dropped,
        "num_ngrams_dropped": model.num_ngrams_dropped,
    }
    print(
        f"lang: {arpa}: {model.order}-grams as given; {model.num_words_dropped} words are not in the lexicon, and "
        f"{model.num_ngrams_dropped} of {sum(model.num_ngrams) + model.num_ngrams_dropped} n-grams dropped with them",
        file=sys.stderr,
        flush=True,
    )
    write_json(work / "lang.json", description)
    return description


def _sentences(config: LangConfig, lm_text: Path, lexicon: Lexicon, name: Path) -> list[str]:
    """Lines of the text that hold words; unknown and rare words are refused or replaced."""
    lines = {f"{lm_text}:{number}": line for number, line in enumerate(iter_lines(lm_text), 1) if line.split()}
    if not lines:
        raise DataError(f"{lm_text}: holds no words: is it the right file?")
    unknown = unknown_words(lines, lexicon)
    if unknown and config.oov == "error":
        raise unknown_words_error(unknown, lexicon, str(name))
    counts = Counter(word for line in lines.values() for word in line.split())
    replaced = {word for word, count in counts.items() if count < config.min_count or word in unknown}
    return [" ".join(UNKNOWN if word in replaced else word for word in line.split()) for line in lines.values()]


def _write_lexicon(config: LangConfig, lexicon: Lexicon, work: Path) -> dict[str, Any]:
    marked, highest = disambiguate(lexicon.entries)
    phones = phone_table(lexicon.speech_phones, highest + 2)  # and #0, and the one after silence
    words = word_table(lexicon.words)
    silence = [phones[SILENCE], phones[SPOKEN_NOISE]]
    lexicon.write(work / "lexicon.txt")
    write_symbols(work / "phones.txt", phones)
    write_symbols(work / "words.txt", words)
    speech = [phone for phone in real_phones(phones) if phone not in silence]
    with atomic_write(work / "topo") as file:
        file.write(topology_text(speech, silence, config.num_states, config.num_silence_states))
    plain = lexicon_fst(lexicon.entries, phones, words, config.silence_probability)
    _write_fst(plain, work / "L.fst")
    mark = f"#{highest + 1}"
    disambiguated = lexicon_fst(marked, phones, words, config.silence_probability, mark)
    kaldifst.add_self_loops(disambiguated, [phones[BACKOFF]], [words[BACKOFF]])
    kaldifst.arcsort(disambiguated, sort_type="olabel")
    _write_fst(disambiguated, work / "L_disambig.fst")
    return {
        "num_phones": len(real_phones(phones)),
        "num_words": len(lexicon.words),
        "num_pronunciations": len(lexicon.entries),
        "silence_phones": silence,
        "oov": config.oov,
        "oov_word": UNKNOWN,
    }


def _write_fst(fst: kaldifst.StdVectorFst, path: Path) -> None:
    with atomic_write(path, "wb") as file:
        if not fst.write(file.name):
            raise DataError(f"{path}: not written: is the disk full?")


@plain_dataclass(frozen=True)
class Lang:
    """A finished lang dir. ``silence_phones`` are ids, silence itself first."""

    path: Path
    phones: dict[str, int]
    words: dict[str, int]
    silence_phones: tuple[int, ...]
    oov: str
    oov_word: str

    @classmethod
    def open(cls, path: Path) -> "Lang":
        """Open a lang dir. DataError when it is missing or not whole."""
        if not path.is_dir():
            raise DataError(f"lang dir {path} does not exist: has the stage that makes it been run?")
        description = read_fields(path / "lang.json", silence_phones=list, oov=str, oov_word=str)
        return cls(
            path,
            read_symbols(path / "phones.txt"),
            read_symbols(path / "words.txt"),
            tuple(description["silence_phones"]),
            description["oov"],
            description["oov_word"],
        )

    @cached_property
    def lexicon(self) -> Lexicon:
        """Pronunciations as used."""
        lexicon = read_lexicon(self.path / "lexicon.txt", keep_stress=True)
        if unknown := sorted({phone for _, phones in lexicon.entries for phone in phones} - self.phones.keys()):
            raise DataError(f"{self.path}: phone {unknown[0]} of lexicon.txt is not in phones.txt: of two runs?")
        return lexicon

    @cached_property
    def fst(self) -> kaldifst.StdVectorFst:
        """L without disambiguation symbols, for training graphs."""
        path = self.path / "L.fst"
        if not path.is_file():
            raise DataError(f"{path} is missing: is {self.path} a lang dir?")
        fst = kaldifst.StdVectorFst.read(str(path))
        if fst is None:
            raise DataError(f"{path} is not readable as a transducer: cut short?")
        return fst

    def word_ids(self, utt_id: str, words: Sequence[str]) -> list[int]:
        """Ids of words. DataError for one outside the lexicon, unless the lang dir takes it for <UNK>."""
        known = self.words
        if unknown := unknown_words({f"utterance {utt_id}": " ".join(words)}, self.lexicon):
            if self.oov == "error":
                raise unknown_words_error(unknown, known, str(self.path / "lexicon.txt"))
            return [known[self.oov_word if word in unknown else word] for word in words]
        return [known[word] for word in words]
