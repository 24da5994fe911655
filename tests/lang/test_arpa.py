"""ARPA models that a user brings: what is kept of them, and that every damage names its file and line."""

import gzip
from pathlib import Path

import pytest

from asrkd.core.errors import DataError
from asrkd.lang.arpa import arpa_words, is_arpa, restrict_arpa
from asrkd.lang.ngram import read_arpa
from asrkd.lang.prepare import Lang, LangConfig, make_lang

MODEL = """made by hand

\\data\\
ngram 1=6
ngram 2=5
ngram 3=1

\\1-grams:
-1.0	</s>
-99	<s>	-0.3
-0.7	<unk>	-0.1
-0.5	CAT	-0.2
-0.6	SAT	-0.2
-0.9	ZEBRA	-0.4

\\2-grams:
-0.1	<s> CAT	-0.2
-0.2	CAT SAT
-0.3	CAT ZEBRA
-0.4	SAT </s>
-0.5	CAT <unk>

\\3-grams:
-0.1	<s> CAT ZEBRA

\\end\\
"""
KNOWN = {"CAT", "SAT", "DOG"}


def model_file(folder: Path, text: str = MODEL, name: str = "lm.txt") -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


@pytest.mark.parametrize("name", ["lm.txt", "lm.txt.gz", "lm.arpa", "lm.arpa.gz"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_words_outside_the_lexicon_go_with_their_ngrams(tmp_path: Path, name: str, end: str) -> None:
    source = model_file(tmp_path, MODEL.replace("\n", end), name)
    assert is_arpa(source)
    left = restrict_arpa(source, KNOWN, True, tmp_path / "out")
    assert left.words == {"<s>", "</s>", "<UNK>", "CAT", "SAT"}
    assert (left.num_ngrams, left.num_words_dropped, left.num_ngrams_dropped) == ((5, 4, 0), 1, 3)
    model = read_arpa(tmp_path / "out")
    assert (model.order, left.order) == (2, 3)  # none is left of the highest
    assert model.log_probs["CAT", "SAT"] == -0.2
    assert model.log_probs["CAT", "<UNK>"] == -0.5
    assert model.backoffs["<UNK>",] == -0.1
    assert "ZEBRA" not in (tmp_path / "out").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "out"])


def test_the_unknown_word_is_dropped_where_it_has_no_meaning(tmp_path: Path) -> None:
    left = restrict_arpa(model_file(tmp_path), KNOWN, False, tmp_path / "out")
    assert left.words == {"<s>", "</s>", "CAT", "SAT"}
    assert (left.num_words_dropped, left.num_ngrams_dropped) == (1, 5)


def test_sentences_are_no_model(tmp_path: Path) -> None:
    assert not is_arpa(model_file(tmp_path, "THE CAT\n\nSAT\n"))


@pytest.mark.parametrize(
    ("old", "new", "cause"),
    [
        ("ngram 2=5", "ngram 2=6", r":22: end of 5 2-grams, its header says 6"),
        ("ngram 1=6", "ngram 1=5", r":15: end of 6 1-grams, its header says 5"),
        ("\\end\\\n", "", r":25: ends before \\end\\: cut short\?"),
        ("\n\\3-grams:\n-0.1\t<s> CAT ZEBRA\n\n\\end\\\n", "", r":21: ends before \\3-grams:"),
        ("-0.2\tCAT SAT", "x\tCAT SAT", r":18: no number in"),
        ("-0.2\tCAT SAT", "nan\tCAT SAT", r":18: a number that is not finite in 'nan"),
        ("-0.2\tCAT SAT", "-inf\tCAT SAT", r":18: a number that is not finite in '-inf.*: write -99"),
        ("-0.9\tZEBRA\t-0.4", "-0.9\tZEBRA\tnan", r":14: a number that is not finite in '-0.9"),
        ("-0.9\tZEBRA\t-0.4", "-0.9\tZEBRA\tinf", r":14: a number that is not finite in '-0.9"),
        ("ngram 1=6", "ngram 1=" + "9" * 5000, r":4: expected `ngram 1=COUNT`"),
        ("-0.6\tSAT", "-0.6\tCAT", r": unigram CAT is there twice"),
        ("-0.6\tSAT", "-0.6\tMAT", r": n-gram CAT SAT: there is no unigram SAT: was one taken out\?"),
        ("-0.2\tCAT SAT", "0.2\tCAT SAT", r":18: log probability 0.2 is not below zero"),
        ("-0.2\tCAT SAT", "-0.2\tCAT", r":18: expected a number, 2 words"),
        ("<s> CAT ZEBRA", "<s> CAT ZEBRA -0.1", r":24: expected a number, 3 words, found"),
        ("ngram 3=1", "ngrams", r":6: expected `ngram 3=COUNT`"),
        ("-1.0\t</s>", "-1.0\tEND", r": has no unigram </s>"),
        ("\\1-grams:", "\\2-grams:", r":8: expected \\1-grams:"),
    ],
)
@pytest.mark.parametrize("name", ["lm.arpa", "lm.arpa.gz"])
def test_damage_is_named_with_its_line(tmp_path: Path, name: str, old: str, new: str, cause: str) -> None:
    assert old in MODEL
    with pytest.raises(DataError, match=rf"{name}{cause}"):
        restrict_arpa(model_file(tmp_path, MODEL.replace(old, new, 1), name), KNOWN, True, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_gzip_cut_short_and_other_bytes_are_named(tmp_path: Path) -> None:
    path = model_file(tmp_path, name="lm.arpa.gz")
    whole = path.read_bytes()
    for missing in (20, 2):  # within the model, and after its end
        path.write_bytes(whole[:-missing])
        with pytest.raises(DataError, match=r"lm\.arpa\.gz is not a whole gzip file .*: cut short\?"):
            restrict_arpa(path, KNOWN, True, tmp_path / "out")
    path.write_bytes(b"\\data\\\n\xff\n")
    with pytest.raises(DataError, match=r"lm\.arpa\.gz is not UTF-8 text \(line 2\)"):
        restrict_arpa(path, KNOWN, True, tmp_path / "out")


def test_a_model_of_other_words_gets_a_guess(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none of its 3 words \(such as 'cat'\) .* its words are in another case"):
        restrict_arpa(
            model_file(tmp_path, MODEL.replace("CAT", "cat").replace("SAT", "sat")), {"CAT"}, False, tmp_path / "out"
        )
    with pytest.raises(DataError, match="is it of another language"):
        restrict_arpa(model_file(tmp_path), {"CHAT"}, False, tmp_path / "out")


def test_the_vocabulary_is_the_models(tmp_path: Path) -> None:
    source = model_file(tmp_path, name="lm.arpa.gz")
    assert arpa_words(source, KNOWN, True) == {"<s>", "</s>", "<UNK>", "CAT", "SAT"}
    assert arpa_words(source, KNOWN, False) == {"<s>", "</s>", "CAT", "SAT"}
    assert arpa_words(source, {*KNOWN, "<unk>"}, False) == {"<s>", "</s>", "<unk>", "CAT", "SAT"}
    with pytest.raises(DataError, match="is it of another language"):
        arpa_words(source, {"CHAT"}, True)
    (tmp_path / "lexicon").write_text("CAT K AE T\nSAT S AE T\nDOG D AO G\n")
    make_lang(LangConfig(oov="unk", min_count=2), tmp_path / "lexicon", source, tmp_path)
    assert Lang.open(tmp_path).lexicon.words == ["<UNK>", "CAT", "SAT"]
