"""Language models of a lang dir: whose words, how likely, and what pruning leaves."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asrkd.core.errors import DataError, MismatchError
from asrkd.graph.hclg import compile_grammar
from asrkd.lang.arpa import arpa_entries
from asrkd.lang.lm import LmConfig, check_words, make_lm
from asrkd.lang.ngram import ArpaModel, read_arpa
from asrkd.lang.prepare import LangConfig, make_lang
from tests.lang.test_arpa import model_file

LEXICON = "A  AH0\nCAT  K AE1 T\nSAT  S AE1 T\nDOG  D AO1 G\nUNUSED  Y UW1 Z\nUNHEARD  Y UW1 D\n"
TEXT = "A CAT SAT\nA CAT\nDOG CAT SAT\n\nSAT A CAT\nA DOG SAT\nA CAT SAT A DOG\n"


def lang_dir(tmp_path: Path, **options: Any) -> Path:
    folder = tmp_path / "lang"
    folder.mkdir(exist_ok=True)
    (tmp_path / "lexicon").write_text(LEXICON)
    make_lang(LangConfig(vocabulary="lexicon", **options), tmp_path / "lexicon", None, folder)
    return folder


def made(tmp_path: Path, text: str = TEXT, oov: str = "error", **options: Any) -> tuple[dict[str, Any], ArpaModel]:
    (tmp_path / "text").write_text(text)
    (tmp_path / "lm").mkdir(exist_ok=True)
    description = make_lm(LmConfig(**options), lang_dir(tmp_path, oov=oov), tmp_path / "text", tmp_path / "lm")
    assert description == json.loads((tmp_path / "lm/lm.json").read_text())
    return description, read_arpa(tmp_path / "lm/lm.arpa")


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("oov", ["error", "unk"])
def test_every_word_of_the_lang_dir_can_follow_and_the_whole_is_one(tmp_path: Path, order: int, oov: str) -> None:
    description, model = made(tmp_path, order=order, oov=oov)
    assert description["order"] == order
    words = {"A", "CAT", "SAT", "DOG", "UNUSED", "UNHEARD", "</s>", *(["<UNK>"] if oov == "unk" else [])}
    assert {ngram[0] for ngram in model.log_probs if len(ngram) == 1} == {"<s>", *words}
    assert description["num_unseen_words"] == len(words) - 5
    assert description["num_ngrams"] == [sum(len(n) == o for n in model.log_probs) for o in range(1, order + 1)]
    for history in [("<s>",), ("A",), ("A", "CAT"), ("UNUSED",)]:
        assert sum(10 ** model.log_prob(history, word) for word in words) == pytest.approx(1, abs=1e-5)
    assert model.log_probs["UNUSED",] == model.log_probs["UNHEARD",] < model.log_probs["DOG",]


def test_unseen_words_share_what_the_discount_takes(tmp_path: Path) -> None:
    """By hand: 3 words come before A, say; none comes after one word only, so the discount is a half."""
    _, model = made(tmp_path, "A CAT\nDOG CAT\nSAT A DOG\nCAT SAT\nA SAT\nDOG A\n", order=2)
    contexts = {("A",): 3, ("CAT",): 3, ("SAT",): 3, ("DOG",): 2, ("</s>",): 4}
    for word, count in contexts.items():
        assert model.log_probs[word] == pytest.approx(math.log10((count - 0.5) / 15), abs=1e-6)
    assert model.log_probs["UNUSED",] == pytest.approx(math.log10(5 * 0.5 / 15 / 2), abs=1e-6)


def test_unknown_words_are_refused_or_taken_for_unk(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"text:2: word 'ZEBRA' \(1 times\) is not in .*words.txt"):
        made(tmp_path, "A CAT\nA ZEBRA\n")
    _, model = made(tmp_path, TEXT + "A ZEBRA SAT\n", oov="unk", order=2)
    assert ("A", "<UNK>") in model.log_probs


def test_a_text_too_small_for_the_order_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    description, _ = made(tmp_path, "A CAT\n", order=3)
    assert description["order"] < 3
    assert f"lm: {description['order']}-grams instead of 3-grams" in capsys.readouterr().err


def test_pruning_takes_what_the_perplexity_hardly_misses(tmp_path: Path) -> None:
    """Against the definition: a pruned n-gram is one whose loss costs less than the threshold, relative."""
    rng = np.random.default_rng(3)
    words = rng.choice(["A", "CAT", "SAT", "DOG"], 400, p=[0.5, 0.3, 0.15, 0.05])
    text = "\n".join(" ".join(words[i : i + rng.integers(2, 7)]) for i in range(0, 400, 7)) + "\n"
    _, whole = made(tmp_path, text, order=3)
    description, pruned = made(tmp_path, text, order=3, prune=0.003)
    assert description["num_ngrams_before"] == [sum(len(n) == o for n in whole.log_probs) for o in (1, 2, 3)]
    assert description["num_ngrams"] == [sum(len(n) == o for n in pruned.log_probs) for o in (1, 2, 3)]
    assert pruned.log_probs.keys() < whole.log_probs.keys()
    vocabulary = sorted({ngram[0] for ngram in whole.log_probs if len(ngram) == 1} - {"<s>"})
    for history in [("<s>",), ("A",), ("A", "CAT"), ("SAT", "A")]:
        assert sum(10 ** pruned.log_prob(history, word) for word in vocabulary) == pytest.approx(1, abs=1e-5)
    trigrams = [ngram for ngram in whole.log_probs if len(ngram) == 3]
    histories = {ngram[:2] for ngram in trigrams if ngram in pruned.log_probs}  # whose bigrams have to stay
    free = [ngram for ngram in whole.log_probs if len(ngram) == 2 and ngram not in histories]
    for ngram in trigrams + free:
        lost = relative_growth(whole, ngram, vocabulary)
        assert (ngram in pruned.log_probs) == (lost >= 0.003), (ngram, lost)
    assert 0 < sum(ngram in pruned.log_probs for ngram in trigrams) < len(trigrams)


def relative_growth(model: ArpaModel, ngram: tuple[str, ...], words: list[str]) -> float:
    """Of the perplexity, were ``ngram`` left out and its history's back-off weight set right: Stolcke's equation 1."""
    history, left_out = ngram[:-1], ngram[-1]
    kept = [word for word in words if (*history, word) in model.log_probs and word != left_out]
    left = 1 - sum(10 ** model.log_prob(history, word) for word in kept)
    weight = left / (1 - sum(10 ** model.log_prob(history[1:], word) for word in kept))
    divergence = 0.0
    for word in words:
        if word not in kept:
            after = math.log10(weight) + model.log_prob(history[1:], word)
            before = model.log_prob(history, word)
            divergence += 10**before * (before - after)
    marginal = 10 ** sum(
        model.log_prob(history[:i], word if word != "<s>" else "</s>") for i, word in enumerate(history)
    )
    return 10 ** (marginal * divergence) - 1


def test_a_model_that_is_given_keeps_its_order_and_loses_unknown_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lang = lang_dir(tmp_path, oov="unk")
    description = make_lm(LmConfig(order=1), lang, model_file(tmp_path, name="lm.arpa.gz"), tmp_path)
    assert (description["order"], description["num_ngrams"]) == (3, [5, 4, 0])
    assert "3-grams as given; 1 words are not in" in (said := capsys.readouterr().err)
    assert "3 of 12 n-grams dropped" in said
    assert compile_grammar(tmp_path / "lm.arpa", lang / "words.txt").num_states > 1


def test_a_folder_with_words_alone_will_do(tmp_path: Path) -> None:
    """Such as a graph that Kaldi made."""
    (tmp_path / "words.txt").write_text("<eps> 0\nCAT 1\nSAT 2\n<UNK> 3\n#0 4\n<s> 5\n</s> 6\n")
    make_lm(LmConfig(), tmp_path, model_file(tmp_path), tmp_path)
    assert ("CAT", "<UNK>") in {entry.words for entry in arpa_entries(tmp_path / "lm.arpa")}
    (tmp_path / "words.txt").write_text("<eps> 0\nCAT 1\nSAT 2\n<unk> 3\n#0 4\n")
    make_lm(LmConfig(), tmp_path, model_file(tmp_path), tmp_path)
    assert ("CAT", "<unk>") in {entry.words for entry in arpa_entries(tmp_path / "lm.arpa")}


def test_a_graph_keeps_to_what_its_lang_dir_says_of_unknown_words(tmp_path: Path) -> None:
    lang = lang_dir(tmp_path, oov="error")
    (tmp_path / "graph").mkdir()
    (tmp_path / "graph/words.txt").write_text((lang / "words.txt").read_text())
    (tmp_path / "graph/graph.json").write_text('{"oov": "error"}')
    (tmp_path / "text").write_text("A ZEBRA\n")
    for folder in (lang, tmp_path / "graph"):
        with pytest.raises(DataError, match="word 'ZEBRA'"):
            make_lm(LmConfig(), folder, tmp_path / "text", tmp_path)
    (tmp_path / "text").write_text("A <UNK> CAT\n")
    with pytest.raises(DataError, match="word '<UNK>'"):
        make_lm(LmConfig(), lang, tmp_path / "text", tmp_path)


def test_words_that_become_unknown_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    description, _ = made(tmp_path, TEXT + "A ZEBRA SAT ZEBRA\n", oov="unk", order=1)
    assert description["num_unknown"] == 2
    assert f"2 of 23 words are not in {tmp_path / 'lang'}: taken for <UNK>" in capsys.readouterr().err
    with pytest.raises(DataError, match="the lexicon has it in another case"):
        made(tmp_path, "a cat sat\na cat\n", oov="unk")


def test_pruning_a_model_of_fewer_words_goes_by_the_threshold(tmp_path: Path) -> None:
    """Without YORK, which took nearly all after A, A CAT is likelier by its n-gram than by backing off."""
    unigrams = {"</s>": 0.1, "A": 0.3, "CAT": 0.2, "YORK": 0.2, "SAT": 0.2}
    text = "\\data\\\nngram 1=6\nngram 2=2\n\n\\1-grams:\n-99 <s>\n"
    text += "".join(f"{math.log10(p)} {word}{' -1.0' if word == 'A' else ''}\n" for word, p in unigrams.items())
    text += f"\n\\2-grams:\n{math.log10(0.9)} A YORK\n-1.3 A CAT\n\n\\end\\\n"
    lang = lang_dir(tmp_path, oov="unk")
    description = make_lm(LmConfig(prune=1e-6), lang, model_file(tmp_path, text), tmp_path)
    assert description["num_ngrams"] == [5, 1]
    model = read_arpa(tmp_path / "lm.arpa")
    assert model.log_probs["A", "CAT"] == pytest.approx(-1.3)
    share = 1 - 10**-1.3  # of all but CAT, over what the unigrams give to all but CAT; YORK's own is lost
    assert 10 ** model.log_prob(("A",), "SAT") == pytest.approx(share / (1 - 0.2) * 0.2, abs=1e-4)


def test_pruning_may_leave_a_lower_order(tmp_path: Path) -> None:
    """Fields may stand between spaces, and numbers be written as they like."""
    text = "\\data\\\nngram 1=4\nngram 2=1\n\n\\1-grams:\n-99 <s> -.1\n-5e-1 </s>\n-.4 A 0\n-.6 CAT\n\n"
    text += "\\2-grams:\n-.3 <s> A\n\n\\end\\\n"
    description = make_lm(LmConfig(prune=0.9), lang_dir(tmp_path), model_file(tmp_path, text), tmp_path)
    assert (description["order"], description["num_ngrams"], description["num_ngrams_before"]) == (1, [4], [4, 1])
    assert read_arpa(tmp_path / "lm.arpa").order == 1
    assert compile_grammar(tmp_path / "lm.arpa", tmp_path / "lang/words.txt").num_states >= 1


def test_an_ngram_that_is_there_twice_is_named(tmp_path: Path) -> None:
    text = "\\data\\\nngram 1=4\nngram 2=2\n\n\\1-grams:\n-99\t<s>\t-0.1\n-0.5\t</s>\n-0.4\tA\n-0.6\tCAT\n\n"
    text += "\\2-grams:\n-0.3\t<s> A\n-0.2\t<s> A\n\n\\end\\\n"
    for prune in (0.0, 0.1):
        with pytest.raises(DataError, match=r"lm\.txt: .*twice"):
            make_lm(LmConfig(prune=prune), lang_dir(tmp_path), model_file(tmp_path, text), tmp_path)


def test_sentences_may_be_gzipped(tmp_path: Path) -> None:
    lang, models = lang_dir(tmp_path), []
    for name in ("plain", "packed.gz"):
        make_lm(LmConfig(order=2), lang, model_file(tmp_path, TEXT, name), tmp_path)
        models.append((tmp_path / "lm.arpa").read_bytes())
    assert models[0] == models[1]


def test_a_model_of_other_words_is_refused(tmp_path: Path) -> None:
    made(tmp_path)
    check_words(tmp_path / "lm", tmp_path / "lang")
    (tmp_path / "lang/words.txt").write_text("<eps> 0\nCAT 1\n")
    with pytest.raises(MismatchError, match="is a model of other words than those of"):
        check_words(tmp_path / "lm", tmp_path / "lang")
