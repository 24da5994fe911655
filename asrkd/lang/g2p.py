"""Pronunciations of words that a lexicon lacks, by a model of the lexicon itself: grapheme to phoneme.

An n-gram over graphones (letters with their phones, `asrkd.lang.graphones`) gives the probability of word and phones
together; the search takes the phones that are most probable with the word's letters (Bisani and Ney 2008). Trained on
the user's own lexicon, it speaks with that lexicon's phones, of whatever language.
"""

import math
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass as plain_dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import Field
from pydantic.dataclasses import dataclass

from asrkd.core.config import STRICT
from asrkd.core.datadir import read_data_dir
from asrkd.core.errors import DataError
from asrkd.core.files import atomic_write, iter_lines
from asrkd.core.messages import say
from asrkd.core.parallel import map_shards, split_shards
from asrkd.lang.arpa import Ngram
from asrkd.lang.graphones import Pair, align
from asrkd.lang.lexicon import UNKNOWN, Lexicon, Pronunciation, read_lexicon
from asrkd.lang.ngram import ArpaModel, estimate_ngram, read_arpa

_SHARD = 200
"""Words."""


@dataclass(frozen=True, config=STRICT)
class G2pConfig:
    """How long a history the model has, how wide it searches, and how many pronunciations it gives."""

    order: int = Field(default=5, ge=1, le=8)
    """Graphones of an n-gram."""
    beam: int = Field(default=12, ge=1)
    """Hypotheses kept at each letter."""
    num_pronunciations: int = Field(default=1, ge=1)
    """At most, of each word."""
    ratio: float = Field(default=0.3, gt=0, le=1)
    """A further pronunciation must have this share of the best one's probability."""


@plain_dataclass(frozen=True)
class G2pModel:
    """N-gram over the names of graphones, and these by their letters; ``num_left_out`` entries did not align."""

    ngram: ArpaModel
    graphones: Mapping[str, Sequence[tuple[str, Pronunciation]]]
    num_entries: int
    num_left_out: int


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
        model = train_g2p(given, config.order)
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


def _pronounce_all(model: "G2pModel", config: G2pConfig, words: Sequence[str]) -> dict[str, tuple[Pronunciation, ...]]:
    return {word: tuple(pronounce(model, word, config)) for word in words}


def train_g2p(lexicon: Lexicon, order: int) -> G2pModel:
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
    return G2pModel(ngram, dict(by_letters), len(pairs), len(pairs) - len(aligned))


def pronounce(model: G2pModel, word: str, config: G2pConfig) -> list[Pronunciation]:
    """The most probable pronunciations of a word, best first; none where it has a letter that the lexicon lacks."""
    start: Ngram = ("<s>",)
    frontier: list[dict[tuple[Ngram, Pronunciation], float]] = [{} for _ in range(len(word) + 1)]
    frontier[0] = {(start, ()): 0.0}
    for position in range(len(word)):
        for (history, phones), score in _most_probable(frontier[position], config.beam):
            for length in (1, 2):
                for name, added in model.graphones.get(word[position : position + length], ()):
                    if position + length > len(word):
                        continue
                    new = (*history, name)[-max(1, model.ngram.order - 1) :], (*phones, *added)
                    value = score + model.ngram.log_prob(history, name)
                    if value > frontier[position + length].get(new, -math.inf):
                        frontier[position + length][new] = value
    best: dict[Pronunciation, float] = {}
    for (history, phones), score in _most_probable(frontier[-1], config.beam):
        value = score + model.ngram.log_prob(history, "</s>")
        if phones and value > best.get(phones, -math.inf):
            best[phones] = value
    ordered = sorted(best, key=lambda phones: (-best[phones], phones))[: config.num_pronunciations]
    return [phones for phones in ordered if best[phones] >= best[ordered[0]] + math.log10(config.ratio)]


def _most_probable(
    hypotheses: Mapping[tuple[Ngram, Pronunciation], float], beam: int
) -> list[tuple[tuple[Ngram, Pronunciation], float]]:
    return sorted(hypotheses.items(), key=lambda item: (-item[1], item[0]))[:beam]
