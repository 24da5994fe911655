"""Pronunciations of words that a lexicon lacks, by a model of the lexicon itself: grapheme to phoneme.

Trained on the user's own lexicon, it speaks with that lexicon's phones, of whatever language. The model is
Phonetisaurus's; `graphones` serves where there is no package of it.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

from pydantic import Field
from pydantic.dataclasses import dataclass

from asrkd.core.config import STRICT
from asrkd.core.datadir import read_data_dir
from asrkd.core.errors import DataError
from asrkd.core.files import atomic_write, iter_lines
from asrkd.core.messages import say
from asrkd.core.parallel import map_shards, split_shards
from asrkd.lang.graphone_model import train_graphones
from asrkd.lang.lexicon import Lexicon, Pronunciation, read_lexicon
from asrkd.lang.phonetisaurus import train_phonetisaurus

_SHARD = 500
"""Words."""


class G2pModel(Protocol):
    """A model of a lexicon; ``num_left_out`` of its ``num_entries`` entries could not be learnt from."""

    @property
    def num_entries(self) -> int: ...

    @property
    def num_left_out(self) -> int: ...

    def pronounce(self, words: Sequence[str], count: int) -> dict[str, list[tuple[Pronunciation, float]]]:
        """Up to ``count`` pronunciations of each word with their ln p(word, phones), best first.

        None where a word has a letter that the lexicon lacks.
        """
        ...


@dataclass(frozen=True, config=STRICT)
class G2pConfig:
    """Whose model, how long a history it has, and how many pronunciations it gives."""

    model: Literal["phonetisaurus", "graphones"] = "phonetisaurus"
    order: int | None = Field(default=None, ge=1, le=8)
    """Letters, with their phones, of an n-gram; by default 7, of graphones 5."""
    num_pronunciations: int = Field(default=1, ge=1)
    """At most, of each word."""
    ratio: float = Field(default=0.3, gt=0, le=1)
    """A further pronunciation must have this share of the best one's probability."""


def g2p_stage(config: G2pConfig, words: Sequence[Path], lexicon: Path, work: Path, jobs: int = 1) -> dict[str, Any]:
    """Pronounce what ``words`` (texts, lists or data dirs) hold and ``lexicon`` lacks; returns the counts.

    Writes lexicon_g2p.txt, the words with their generated pronunciations; lexicon.txt, the given lexicon and these;
    and no_pronunciation.txt, words with letters that the lexicon does not have. Raises DataError for malformed input.
    """
    given = read_lexicon(lexicon, keep_stress=True)
    missing = sorted({word for path in words for word in _words(path)} - set(given.words))
    summary = {"words_missing": len(missing), "words_pronounced": 0, "words_without": 0}
    generated: dict[str, tuple[Pronunciation, ...]] = {}
    if missing:
        model = train_g2p(config, given, work)
        shards = split_shards(missing, math.ceil(len(missing) / _SHARD))
        found = map_shards(partial(_pronounce_all, model, config), shards, jobs, "pronunciations")
        generated = {word: phones for shard in found for word, phones in shard.items()}
        summary |= {"entries_of_training": model.num_entries, "entries_left_out": model.num_left_out}
    without = [word for word in missing if not generated.get(word)]
    generated = {word: phones for word, phones in generated.items() if phones}
    Lexicon(generated).write(work / "lexicon_g2p.txt")
    both = {**given.pronunciations, **generated}
    Lexicon({word: both[word] for word in sorted(both)}).write(work / "lexicon.txt")
    with atomic_write(work / "no_pronunciation.txt") as file:
        file.writelines(f"{word}\n" for word in without)
    summary |= {"words_pronounced": len(generated), "words_without": len(without)}
    if missing and not generated:
        cause = "are they in another case than the lexicon?"
        raise DataError(
            f"{lexicon}: has not the letters of any of {len(missing)} words, such as {missing[0]!r}: {cause}"
        )
    lacking = f", {len(without)} have letters that it lacks (such as {without[0]!r})" if without else ""
    line = f"g2p: {len(missing)} words are not in {lexicon}: {len(generated)} pronounced{lacking}"
    say(line)
    return summary


def _words(path: Path) -> Iterator[str]:
    """Words of a text or list, or of a data dir's transcripts."""
    if path.is_dir():
        text = read_data_dir(path).text
        if text is None:
            raise DataError(f"{path}: has no transcripts to take words from")
        lines: Iterable[str] = text.values()
    else:
        lines = iter_lines(path)
    for line in lines:
        yield from line.split()


def _pronounce_all(model: G2pModel, config: G2pConfig, words: Sequence[str]) -> dict[str, tuple[Pronunciation, ...]]:
    found = model.pronounce(words, config.num_pronunciations)
    return {word: tuple(_probable(pronunciations, config.ratio)) for word, pronunciations in found.items()}


def _probable(pronunciations: Sequence[tuple[Pronunciation, float]], ratio: float) -> Iterator[Pronunciation]:
    for phones, log_prob in pronunciations:
        if log_prob >= pronunciations[0][1] + math.log(ratio):
            yield phones


def train_g2p(config: G2pConfig, lexicon: Lexicon, work: Path) -> G2pModel:
    """A model of a lexicon's entries; Phonetisaurus's is kept in ``work``. Errors as in either model's training."""
    if config.model == "phonetisaurus":
        return train_phonetisaurus(lexicon, config.order or 7, work / "model.fst")
    return train_graphones(lexicon, config.order or 5)
