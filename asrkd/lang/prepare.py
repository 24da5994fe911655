"""Lang dirs: lexicon, symbol tables, topology and lexicon transducers, in one folder.

Nothing in them depends on how likely words are, so that another language model (`asrkd.lang.lm`) trains nothing anew.
"""

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
from asrkd.core.files import atomic_write, read_fields, write_json
from asrkd.lang.arpa import arpa_words, is_arpa
from asrkd.lang.lexicon import (
    UNKNOWN,
    Lexicon,
    disambiguate,
    read_lexicon,
    unknown_words,
    unknown_words_error,
)
from asrkd.lang.lfst import lexicon_fst
from asrkd.lang.ngram import read_sentences
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
    """What the lexicon holds and how phones are modelled."""

    vocabulary: Literal["text", "lexicon"] = "text"
    """Words of the language model's text (or of the model that is given), or all of the lexicon's."""
    min_count: int = Field(default=1, ge=1)
    """A word of the text that comes less often is left out, so unknown; above 1 only with `oov: unk`."""
    oov: Literal["error", "unk"] = "error"
    """Words outside the lang dir, in the language model's text and in transcripts: refused, or taken for <UNK>."""
    keep_stress: bool = False
    """Keep the stress digits of vowels, which makes phones of their own of them."""
    silence_probability: float = Field(default=0.5, ge=0, lt=1)
    """Of silence before the first word and after each word."""
    num_states: int = Field(default=3, ge=1)
    """HMM states of a speech phone."""
    num_silence_states: int = Field(default=5, ge=1)
    """HMM states of silence and spoken noise; from 4 on they may be passed in any order."""


def make_lang(config: LangConfig, lexicon: Path, text: Path | None, work: Path) -> dict[str, Any]:
    """Write a lang dir into ``work`` from a lexicon (CMUdict's format); returns lang.json's content.

    ``text`` is one sentence a line, or an ARPA model, either of them gzipped or not; with `vocabulary: lexicon` it is
    not read. Raises DataError for malformed files and, with `oov: error`, for a word of the text that the lexicon
    lacks; ConfigError for options that contradict each other.
    """
    if config.min_count > 1 and config.oov == "error":
        raise ConfigError("lang: min_count above 1 makes rare words unknown, which `oov: error` refuses")
    full = read_lexicon(lexicon, config.keep_stress)
    if config.vocabulary == "lexicon":
        chosen = full
    elif text is None:
        raise ConfigError("lang: `vocabulary: text` needs the text or ARPA model whose words to take")
    else:
        chosen = full.restricted(_words(config, full, lexicon, text))
    description = _write_lexicon(config, chosen, work)
    write_json(work / "lang.json", description)
    return description


def _words(config: LangConfig, lexicon: Lexicon, name: Path, text: Path) -> set[str]:
    """Words of a text or model that the lexicon has."""
    if is_arpa(text):
        return arpa_words(text, lexicon, config.oov == "unk")
    lines = read_sentences(text)
    unknown = unknown_words(lines, lexicon)
    if unknown and config.oov == "error":
        raise unknown_words_error(unknown, lexicon, str(name))
    counts = Counter(word for line in lines.values() for word in line.split())
    return {word for word, count in counts.items() if count >= config.min_count and word not in unknown}


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
