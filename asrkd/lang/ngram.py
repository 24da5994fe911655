"""N-gram language models in ARPA form: estimated by kaldingram (Kneser-Ney), checked, and scored on text."""

import contextlib
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from asrkd.core.errors import DataError
from asrkd.core.files import atomic_write
from asrkd.lang.arpa import Ngram, arpa_entries

_NEVER = -99.0
"""log10 probability that ARPA files give to what is never predicted (<s>)."""
_ZERO = f"{_NEVER:.7f}"


@dataclass(frozen=True)
class ArpaModel:
    """Log10 probabilities and back-off weights by n-gram; ``order`` words at most."""

    order: int
    log_probs: dict[Ngram, float]
    backoffs: dict[Ngram, float]

    def log_prob(self, history: Ngram, word: str) -> float:
        """log10 p(word | history), backing off as the ARPA format says. KeyError for a word without a unigram."""
        history = history[max(0, len(history) - self.order + 1) :]
        weight = 0.0
        while (ngram := (*history, word)) not in self.log_probs:
            if not history:
                raise KeyError(word)
            weight += self.backoffs.get(history, 0.0)
            history = history[1:]
        return weight + self.log_probs[ngram]


@dataclass(frozen=True)
class Perplexity:
    """Perplexity of a text; words without a unigram are left out of it and counted."""

    perplexity: float
    num_words: int
    num_sentences: int
    num_unknown: int


def estimate_ngram(sentences: Sequence[str], order: int, path: Path) -> tuple[int, str]:
    """Write a Kneser-Ney model of ``sentences`` to ``path``; returns its order and why it is lower than asked for.

    A text may be too small for the order (Kneser-Ney takes its discounts from n-grams seen once and twice): then the
    next lower order is taken. Raises DataError for a text without words.
    """
    if not any(sentence.split() for sentence in sentences):
        raise DataError("the language model's text holds no words: is it the right file?")
    reason = ""
    for lower in range(order, 0, -1):
        try:
            text = _arpa_text(sentences, lower)
        except (ValueError, ZeroDivisionError, KeyError, OverflowError) as error:
            reason = f"the text is too small for {lower}-grams ({error})"
            continue
        with atomic_write(path) as file:
            file.write(text)
        return lower, reason
    raise DataError(f"no language model can be estimated: {reason}")


def _arpa_text(sentences: Sequence[str], order: int) -> str:
    from kaldingram.train import NgramCounts

    output = io.StringIO()
    # kaldingram draws progress bars, for which there is no switch.
    with contextlib.redirect_stderr(io.StringIO()):
        counts = NgramCounts(order)
        for sentence in sentences:
            counts.add_raw_counts_from_line(" ".join(sentence.split()))
        counts.cal_discounting_constants()
        counts.cal_f()
        counts.cal_bow()
        counts.print_as_arpa(output)
    text = output.getvalue()
    # Where every n-gram of an order is seen once, the discount is 1 and leaves them nothing.
    impossible = [fields[1] for line in text.splitlines() if len(fields := line.split("\t")) > 1 and fields[0] == _ZERO]
    if empty := [ngram for ngram in impossible if ngram != "<s>"]:
        raise ValueError(f"{empty[0]!r} would have no probability")
    return text


def read_arpa(path: Path) -> ArpaModel:
    """Read and check an ARPA file. DataError names the line and the cause: wrong counts, cut short, no number."""
    log_probs: dict[Ngram, float] = {}
    backoffs: dict[Ngram, float] = {}
    order = 0
    for number, entry in enumerate(arpa_entries(path), 1):
        order = len(entry.words)
        log_probs[entry.words] = entry.log_prob
        if entry.backoff is not None:
            backoffs[entry.words] = entry.backoff
        if len(log_probs) != number:
            raise DataError(f"{path}: {' '.join(entry.words)!r} is there twice")
    return ArpaModel(order, log_probs, backoffs)


def perplexity(model: ArpaModel, sentences: Sequence[str]) -> Perplexity:
    """Perplexity of ``sentences``, each with its end, which counts as a word."""
    total, scored, unknown, words = 0.0, 0, 0, 0
    for sentence in sentences:
        history: Ngram = ("<s>",)
        for word in (*sentence.split(), "</s>"):
            words += word != "</s>"
            if model.log_probs.get((word,), _NEVER) > _NEVER:
                total += model.log_prob(history, word)
                scored += 1
            else:
                unknown += 1
            history = (*history, word)
    value = math.pow(10.0, -total / scored) if scored else math.inf
    return Perplexity(value, words, len(sentences), unknown)
