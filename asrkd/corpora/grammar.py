"""A phrase grammar in plain YAML, and sentences drawn from it.

The file maps rule names to lists of alternatives. An alternative is a phrase of lower-case words and references
``{rule}``; drawing starts at the rule ``sentence`` and takes each alternative of a rule with equal chance.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import numpy as np

from asrkd.core.config import load_yaml, nearest
from asrkd.core.errors import ConfigError

START = "sentence"
MIN_WORDS, MAX_WORDS = 3, 12

_NAME = re.compile(r"[a-z][a-z_]*")
_TOKEN = re.compile(r"\{([^{}]*)\}|(\S+)")
_WORD = re.compile(r"[a-z]+('[a-z]+)*")
_TRIES_A_SENTENCE = 200

Token = tuple[bool, str]
"""(is a reference, its rule or the word itself)"""


@dataclass(frozen=True)
class Grammar:
    """Rules by name; each is a tuple of alternatives, each of those a tuple of tokens. Made by `load_grammar`."""

    path: Path
    rules: Mapping[str, tuple[tuple[Token, ...], ...]]

    @property
    def words(self) -> list[str]:
        """Every word that a sentence may hold, upper case, sorted."""
        tokens = (token for rule in self.rules.values() for alternative in rule for token in alternative)
        return sorted({text.upper() for is_reference, text in tokens if not is_reference})

    def draw(self, rng: np.random.Generator) -> str:
        """One sentence of MIN_WORDS to MAX_WORDS words, upper case."""
        for _ in range(_TRIES_A_SENTENCE):
            words = self._expand(START, rng)
            if MIN_WORDS <= len(words) <= MAX_WORDS:
                return " ".join(words).upper()
        raise ConfigError(f"{self.path}: hardly any sentence has {MIN_WORDS} to {MAX_WORDS} words")

    def draw_new(self, rng: np.random.Generator, taken: set[str]) -> str:
        """One sentence that is not in ``taken``, which it joins: so sets drawn with one ``taken`` are disjoint."""
        for _ in range(_TRIES_A_SENTENCE):
            sentence = self.draw(rng)
            if sentence not in taken:
                taken.add(sentence)
                return sentence
        raise ConfigError(
            f"{self.path}: no new sentence was found after {len(taken)}: ask for fewer minutes, or add phrases"
        )

    def _expand(self, name: str, rng: np.random.Generator) -> list[str]:
        rule = self.rules[name]
        words: list[str] = []
        for is_reference, text in rule[int(rng.integers(len(rule)))]:
            words.extend(self._expand(text, rng)) if is_reference else words.append(text)
        return words


def load_grammar(path: Path) -> Grammar:
    """Read and check a grammar.

    Raises ConfigError, naming file and rule, for a rule that is no list of phrases, an unknown reference, a rule
    that refers to itself, one that nothing refers to, an alternative given twice, and characters that are no word.
    """
    rules = {name: _rule(path, name, value) for name, value in load_yaml(path).items()}
    if START not in rules:
        raise ConfigError(f"{path}: has no rule {START!r}, from which drawing starts")
    references = {
        name: {text for alternative in rule for is_reference, text in alternative if is_reference}
        for name, rule in rules.items()
    }
    for name, used in references.items():
        if unknown := sorted(used - rules.keys()):
            raise ConfigError(f"{path}: {name}: unknown rule {unknown[0]!r}{nearest(unknown[0], list(rules))}")
    try:
        TopologicalSorter(references).prepare()
    except CycleError as error:
        raise ConfigError(f"{path}: rules refer to each other in a circle: {' < '.join(error.args[1])}") from None
    if unused := sorted(rules.keys() - {START}.union(*references.values())):
        raise ConfigError(f"{path}: nothing refers to the rule {unused[0]!r}")
    return Grammar(path, rules)


def _rule(path: Path, name: str, value: Any) -> tuple[tuple[Token, ...], ...]:
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{path}: {name!r} can't name a rule: lower-case letters and _ only")
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise ConfigError(f"{path}: {name}: expected a list of phrases")
    for phrase in value:
        if not isinstance(phrase, str):
            raise ConfigError(f"{path}: {name}: {phrase!r} is no phrase: YAML reads it as another type, quote it")
    alternatives = tuple(_tokens(path, name, phrase) for phrase in value)
    # Twice the same entry is a way to give it twice the chance; in a long word list it is a slip.
    if name == START and len(set(alternatives)) < len(alternatives):
        raise ConfigError(f"{path}: {name}: a phrase is there twice")
    return alternatives


def _tokens(path: Path, name: str, phrase: str) -> tuple[Token, ...]:
    tokens = []
    for match in _TOKEN.finditer(phrase):
        reference, word = match.groups()
        if reference is None and not _WORD.fullmatch(word):
            raise ConfigError(f"{path}: {name}: {word!r} in {phrase!r} is no lower-case word or {{rule}}")
        tokens.append((reference is not None, word if reference is None else reference))
    if not tokens:
        raise ConfigError(f"{path}: {name}: an empty phrase")
    return tuple(tokens)
