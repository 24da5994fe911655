"""N-gram language models in ARPA form: estimated and pruned by kaldingram, checked, and scored on text."""

import contextlib
import io
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from asrkd.core.errors import DataError
from asrkd.core.files import atomic_write, iter_lines
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


@dataclass(frozen=True)
class Estimated:
    """What came of a text: the model's order, why it is lower than asked for (or ""), and how many n-grams it has.

    ``num_unseen`` words of the vocabulary do not come in the text.
    """

    order: int
    reason: str
    num_ngrams: tuple[int, ...]
    num_unseen: int


def read_sentences(path: Path) -> dict[str, str]:
    """Lines of a text, gzipped or not, that hold words, by ``file:line``. DataError for a text without words."""
    lines = {f"{path}:{number}": line for number, line in enumerate(iter_lines(path), 1) if line.split()}
    if not lines:
        raise DataError(f"{path}: holds no words: is it the right file?")
    return lines


def estimate_ngram(sentences: Sequence[str], order: int, path: Path, vocabulary: Collection[str] = ()) -> Estimated:
    """Write a Kneser-Ney model of ``sentences`` to ``path``.

    Words of the ``vocabulary`` that do not come in the text get equal shares of what absolute discounting takes from
    the unigrams, as SRILM has it for words with a count of zero (ngram-discount(7)). A text may be too small for the
    order (Kneser-Ney takes its discounts from n-grams seen once and twice): then the next lower order is taken.
    Raises DataError for a text without words.
    """
    seen = {word for sentence in sentences for word in sentence.split()}
    if not seen:
        raise DataError("the language model's text holds no words: is it the right file?")
    unseen = sorted(set(vocabulary) - seen)
    reason = ""
    for lower in range(order, 0, -1):
        try:
            text, num_ngrams = _estimated(sentences, lower, unseen)
        except (ValueError, ZeroDivisionError, KeyError, OverflowError) as error:
            reason = f"the text is too small for {lower}-grams ({error})"
            continue
        with atomic_write(path) as file:
            file.write(text)
        return Estimated(lower, reason, num_ngrams, len(unseen))
    raise DataError(f"no language model can be estimated: {reason}")


def _estimated(sentences: Sequence[str], order: int, unseen: Sequence[str]) -> tuple[str, tuple[int, ...]]:
    """The model in ARPA form, and how many n-grams of each order it has."""
    from kaldingram.train import NgramCounts

    output = io.StringIO()
    with _no_progress_bars():
        counts = NgramCounts(order)
        for sentence in sentences:
            counts.add_raw_counts_from_line(" ".join(sentence.split()))
        counts.cal_discounting_constants()
        if unseen:
            counts.d[0] = _unigram_discount(counts)
        counts.cal_f()
        if order == 1:
            _without_start(counts)
        _share(counts, unseen)
        counts.cal_bow()
        counts.print_as_arpa(output)
    text = output.getvalue()
    # Where every n-gram of an order is seen once, the discount is 1 and leaves them nothing.
    impossible = [fields[1] for line in text.splitlines() if len(fields := line.split("\t")) > 1 and fields[0] == _ZERO]
    if empty := [ngram for ngram in impossible if ngram != "<s>"]:
        raise ValueError(f"{empty[0]!r} would have no probability")
    num_ngrams = (sum(len(words.word_to_f) for words in histories.values()) for histories in counts.counts)
    return text, tuple(num_ngrams)


def _unigram_discount(counts: Any) -> float:
    """n1 / (n1 + 2 n2) of the unigrams' counts, as `NgramCounts` has it for higher orders; it has 0 for this one.

    A half where the text is too small to tell.
    """
    unigrams = counts.counts[0][()]
    contexts = Counter(len(contexts) for contexts in unigrams.word_to_context.values())
    times = contexts if counts.ngram_order > 1 else Counter(unigrams.word_to_count.values())
    return times[1] / (times[1] + 2 * times[2]) if times[1] and times[2] else 0.5


def _without_start(counts: Any) -> None:
    """Give what `NgramCounts` has for <s> to what can follow: in models of order 1 it takes <s> for a word."""
    unigrams = counts.counts[0][()]
    total = 1 - unigrams.word_to_f["<s>"]
    for word, probability in unigrams.word_to_f.items():
        unigrams.word_to_f[word] = probability / total if word != "<s>" else 0.0


def _share(counts: Any, unseen: Sequence[str]) -> None:
    """Give the probability that the unigrams leave to the ``unseen`` words, the same to each."""
    unigrams = counts.counts[0][()]
    left = 1 - sum(unigrams.word_to_f.values())
    for word in unseen:
        unigrams.word_to_count[word] = 0
        unigrams.word_to_f[word] = left / len(unseen)


def prune_ngram(path: Path, threshold: float, name: Path | None = None) -> tuple[int, ...]:
    """Prune an ARPA file in place; returns how many n-grams of each order are left.

    N-grams of order 2 and more go without which the model's perplexity grows by less than ``threshold``, relative
    (Stolcke 1998, "Entropy-based pruning of backoff language models"); unigrams, and what longer n-grams need, stay.
    The back-off weights are computed anew before, too: where n-grams were dropped since the model was estimated, what
    a history's words leave is more than its weight says. The model is held in memory: 600 bytes an n-gram.

    Raises DataError, calling the file ``name`` where given, for an n-gram that is there twice, and for a model that
    leaves nothing to back-off.
    """
    from kaldingram.prune import ArpaParser, prune

    parser = ArpaParser()
    with _no_progress_bars():
        model = parser.loadf(path, encoding="utf-8")[0]
        declared = dict(model.counts())
        if declared != _counted(model):
            raise DataError(f"{name or path}: holds an n-gram twice")
        model.log_joint_prob = partial(_history_log_prob, model.log_joint_prob)
        try:
            prune(model, 0.0, 2)
            prune(model, threshold, 2)
        except ValueError:  # of the logarithm of what is left, 0 or a little less
            cause = "after one of its histories all words have n-grams, and nothing is left to back-off"
            raise DataError(f"{name or path}: can't be pruned: {cause}. Set `prune: 0`") from None
        for order, count in _counted(model).items():
            if not count:  # which `model.update_counts` leaves as it was
                del model._counts[order], model._ngrams[order - 1]
        with atomic_write(path) as file:
            parser.dump(model, file)
    return tuple(count for _, count in model.counts())


def _counted(model: Any) -> dict[int, int]:
    """How many n-grams of each order `ArpaParser`'s model holds."""
    return {order: sum(map(len, model._ngrams[order - 1].values())) for order, _ in model.counts()}


def _history_log_prob(log_joint_prob: Callable[[Ngram], float], history: Ngram) -> float:
    """log10 of how often a history comes; a sentence begins as often as one ends (SRILM's ``contextProb``).

    `ArpaParser`'s model says so of longer histories, but takes <s> alone for impossible, and so all bigrams after it
    for worthless.
    """
    return log_joint_prob(("</s>",) if history == ("<s>",) else history)


@contextlib.contextmanager
def _no_progress_bars() -> Iterator[None]:
    """kaldingram draws progress bars, for which there is no switch."""
    with contextlib.redirect_stderr(io.StringIO()):
        yield


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
