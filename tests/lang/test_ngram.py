"""N-gram models: probabilities that sum to one, agreement with kaldingram's own scoring, damaged files."""

import contextlib
import io
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrkd.core.errors import DataError
from asrkd.lang.ngram import estimate_ngram, perplexity, prune_ngram, read_arpa

SENTENCES = ["THE CAT SAT", "THE DOG SAT", "A CAT RAN", "THE CAT RAN HOME", "A DOG SAT HOME", "THE DOG RAN"] * 2 + [
    "A CAT SAT HOME",
    "HOME RAN THE DOG",
]


@pytest.mark.parametrize("order", [2, 3])
def test_probabilities_after_every_history_sum_to_one(tmp_path: Path, order: int) -> None:
    made = estimate_ngram(SENTENCES, order, tmp_path / "lm.arpa")
    assert (made.order, made.reason, made.num_unseen) == (order, "", 0)
    model = read_arpa(tmp_path / "lm.arpa")
    words = {ngram[0] for ngram in model.log_probs if len(ngram) == 1} - {"<s>"}
    for history in [("<s>",), ("THE",), ("THE", "CAT"), ("HOME", "THE"), ("NEVER", "SEEN")]:
        total = sum(10 ** model.log_prob(history, word) for word in words)
        assert total == pytest.approx(1.0, abs=1e-5), history


def test_perplexity_is_that_of_kaldingram(tmp_path: Path) -> None:
    from kaldingram.ppl import compute_ppl
    from kaldingram.prune import ArpaParser

    path = tmp_path / "lm.arpa"
    estimate_ngram(SENTENCES, 3, path)
    text = ["THE CAT SAT HOME", "DOG A"]
    with contextlib.redirect_stderr(io.StringIO()):
        expected = compute_ppl(ArpaParser().loadf(str(path))[0], text)
    ours = perplexity(read_arpa(path), text)
    assert ours.perplexity == pytest.approx(expected["ppl"], rel=1e-6)
    assert (ours.num_words, ours.num_sentences, ours.num_unknown) == (6, 2, 0)


def test_unknown_words_are_counted_and_left_out(tmp_path: Path) -> None:
    estimate_ngram(SENTENCES, 2, tmp_path / "lm.arpa")
    result = perplexity(read_arpa(tmp_path / "lm.arpa"), ["THE ZEBRA SAT"])
    assert result.num_unknown == 1
    assert math.isfinite(result.perplexity)


def test_a_text_too_small_for_the_order_takes_a_lower_one_and_says_so(tmp_path: Path) -> None:
    made = estimate_ngram(["ONE TWO", "ONE"], 4, tmp_path / "lm.arpa")
    assert made.order == 2
    assert "too small for 3-grams" in made.reason
    assert read_arpa(tmp_path / "lm.arpa").order == 2


@given(st.lists(st.lists(st.sampled_from(["A", "B", "C"]), min_size=1, max_size=5), min_size=1, max_size=6))
def test_no_text_with_words_is_too_small(tmp_path_factory: pytest.TempPathFactory, text: list[list[str]]) -> None:
    path = tmp_path_factory.mktemp("lm") / "lm.arpa"
    sentences = [" ".join(words) for words in text]
    assert 1 <= estimate_ngram(sentences, 3, path).order <= 3
    assert perplexity(read_arpa(path), sentences).perplexity < 100


def test_a_text_without_words_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no words"):
        estimate_ngram(["", " "], 2, tmp_path / "lm.arpa")


def damaged(tmp_path: Path, old: str, new: str) -> Path:
    path = tmp_path / "lm.arpa"
    estimate_ngram(SENTENCES, 2, path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return path


@pytest.mark.parametrize(
    ("old", "new", "cause"),
    [
        ("ngram 2=", "ngram 2=1", "2-grams, its header says"),
        ("\\data\\", "", "no \\\\data\\\\ line"),
        ("ngram 1=", "ngram 7=", "expected `ngram 1=COUNT`"),
        ("\\2-grams:", "\\3-grams:", "expected .2-grams:"),
        ("\\end\\", "", "ends before .end"),
        ("\tTHE", "\t0.5\t0.5\tTHE\tX\tY", "expected a number"),
    ],
)
def test_damage_is_named(tmp_path: Path, old: str, new: str, cause: str) -> None:
    path = damaged(tmp_path, old, new)
    with pytest.raises(DataError, match=cause) as raised:
        read_arpa(path)
    assert str(path) in str(raised.value)


@given(st.floats(0.0, 0.999))
def test_cutting_short_is_noticed_wherever_it_happens(tmp_path_factory: pytest.TempPathFactory, share: float) -> None:
    path = tmp_path_factory.mktemp("lm") / "lm.arpa"
    estimate_ngram(SENTENCES, 2, path)
    whole = path.read_text()
    path.write_text(whole[: int(share * whole.index("\\end\\"))])
    with pytest.raises(DataError):
        read_arpa(path)


def test_a_model_that_leaves_nothing_to_back_off_is_not_pruned(tmp_path: Path) -> None:
    path = tmp_path / "lm.arpa"
    rng = np.random.default_rng(4)
    shares = 1 / np.arange(1, 9) / np.sum(1 / np.arange(1, 9))
    estimate_ngram([" ".join(rng.choice(list("ABCDEFGH"), rng.integers(1, 7), p=shares)) for _ in range(150)], 4, path)
    before = path.read_bytes()
    with pytest.raises(DataError, match=r"lm\.arpa: can't be pruned: .* nothing is left to back-off. Set `prune: 0`"):
        prune_ngram(path, 0.01)
    assert path.read_bytes() == before
