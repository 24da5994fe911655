"""The phrase grammar: what is refused, what is drawn, and that the one that ships is sound."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrkd.core.errors import ConfigError
from asrkd.core.random import rng_for
from asrkd.corpora.grammar import MAX_WORDS, MIN_WORDS, Grammar, load_grammar

MINI = Path(__file__).parents[2] / "data" / "mini"

PHONES = set(
    "AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH".split()  # noqa: SIM905
)


@pytest.fixture(scope="module")
def mini() -> Grammar:
    return load_grammar(MINI / "grammar.yaml")


def _grammar(folder: Path, text: str) -> Grammar:
    (folder / "grammar.yaml").write_text(text, encoding="utf-8")
    return load_grammar(folder / "grammar.yaml")


def _pronunciations() -> list[tuple[str, list[str]]]:
    lines = (MINI / "lexicon.txt").read_text(encoding="utf-8").splitlines()
    return [(word, phones) for word, *phones in map(str.split, lines)]


def test_drawing_follows_the_rules(tmp_path: Path) -> None:
    grammar = _grammar(tmp_path, 'sentence: ["the {pet} sleeps", "a {pet} eats {pet} food"]\npet: [cat, guinea pig]\n')
    drawn = {grammar.draw(rng_for(0, i)) for i in range(200)}
    pets = ["CAT", "GUINEA PIG"]
    assert drawn == {f"THE {a} SLEEPS" for a in pets} | {f"A {a} EATS {b} FOOD" for a in pets for b in pets}
    assert grammar.words == ["A", "CAT", "EATS", "FOOD", "GUINEA", "PIG", "SLEEPS", "THE"]


def test_sentences_outside_the_lengths_are_not_drawn(tmp_path: Path) -> None:
    grammar = _grammar(tmp_path, f"sentence: [too short, just long enough, {'long ' * 13}]\n")
    assert {grammar.draw(rng_for(0, i)) for i in range(50)} == {"JUST LONG ENOUGH"}


def test_sets_are_disjoint_and_an_exhausted_grammar_says_so(tmp_path: Path) -> None:
    grammar = _grammar(tmp_path, "sentence: ['one two {number}']\nnumber: [three, four, five]\n")
    taken: set[str] = set()
    drawn = [grammar.draw_new(rng_for(0, "set", i), taken) for i in range(3)]
    assert len(set(drawn)) == 3
    with pytest.raises(ConfigError, match=r"no new sentence was found after 3: ask for fewer minutes"):
        grammar.draw_new(rng_for(1), taken)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("start: [a b c]", "has no rule 'sentence'"),
        ("sentence: ['a {per} b']\nperson: [x]", "sentence: unknown rule 'per'; did you mean 'person'"),
        ("sentence: ['a {b}']\nb: ['c {d}']\nd: ['e {b}']", "rules refer to each other in a circle: "),
        ("sentence: [a b c]\nspare: [d]", "nothing refers to the rule 'spare'"),
        ("sentence: [a b c, on]", "sentence: True is no phrase: YAML reads it as another type"),
        ("sentence: [a b c, 7]", "sentence: 7 is no phrase"),
        ("sentence: a b c", "sentence: expected a list of phrases"),
        ("sentence: []", "sentence: expected a list of phrases"),
        ("sentence: ['']", "sentence: an empty phrase"),
        ("sentence: [a B c]", "'B' in 'a B c' is no lower-case word"),
        ("sentence: ['a b{c}d']\nc: [x]", "is no lower-case word"),
        ("sentence: [a b c, a b c]", "sentence: a phrase is there twice"),
        ("Sentence: [a b c]", "'Sentence' can't name a rule"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)) as caught:
        _grammar(tmp_path, text)
    assert "grammar.yaml" in str(caught.value)


def test_a_grammar_without_usable_sentences_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="hardly any sentence has 3 to 12 words"):
        _grammar(tmp_path, "sentence: [too short]").draw(np.random.default_rng(0))


@given(seed=st.integers(0, 2**31))
def test_what_ships_draws_sentences_of_its_words(mini: Grammar, seed: int) -> None:
    words = mini.draw(rng_for(seed)).split()
    assert MIN_WORDS <= len(words) <= MAX_WORDS
    assert set(words) <= set(mini.words)
    assert mini.draw(rng_for(seed)).split() == words


def test_what_ships_is_large_and_varied(mini: Grammar) -> None:
    assert 600 <= len(mini.words) <= 1000
    drawn = [mini.draw(rng_for(1, i)) for i in range(5000)]
    assert len(set(drawn)) > 4500
    assert len({word for sentence in drawn for word in sentence.split()}) > 0.95 * len(mini.words)


def test_the_lexicon_that_ships_covers_the_grammar_and_nothing_else(mini: Grammar) -> None:
    pronunciations = _pronunciations()
    assert sorted({word for word, _ in pronunciations}) == mini.words
    assert len({(word, *phones) for word, phones in pronunciations}) == len(pronunciations)
    words = [word for word, _ in pronunciations]
    assert words == sorted(words, key=str)


def test_every_phone_is_heard_often_enough_to_be_learned(mini: Grammar) -> None:
    first = dict(reversed(_pronunciations()))
    bare = {word: [phone.rstrip("012") for phone in phones] for word, phones in first.items()}
    assert {phone for phones in bare.values() for phone in phones} == PHONES
    drawn = " ".join(mini.draw(rng_for(2, i)) for i in range(600)).split()
    counts = {phone: sum(bare[word].count(phone) for word in drawn) for phone in PHONES}
    assert min(counts.values()) >= 30, counts


def test_stress_digits_are_on_vowels_alone() -> None:
    vowels = {"AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW"}
    for word, phones in _pronunciations():
        for phone in phones:
            assert (phone[-1] in "012") == (phone.rstrip("012") in vowels), (word, phone)
        assert any(phone[-1] in "012" for phone in phones), word
