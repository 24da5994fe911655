"""Lang dirs: what is in them, which words, and what is refused."""

from pathlib import Path

import kaldifst
import pytest

from asrkd.core.errors import ConfigError, DataError
from asrkd.lang.prepare import Lang, LangConfig, make_lang

LEXICON = """A  AH0
A  EY1
CAT  K AE1 T
SAT  S AE1 T
RARE  R EH1 R
UNUSED  Y UW1 Z
"""
TEXT = "A CAT SAT\nA CAT\nRARE CAT SAT\n\nSAT A CAT\n"


def made(tmp_path: Path, text: str = TEXT, **options: object) -> Lang:
    (tmp_path / "lexicon").write_text(LEXICON)
    (tmp_path / "text").write_text(text)
    work = tmp_path / "lang"
    work.mkdir(exist_ok=True)
    make_lang(LangConfig(**options), tmp_path / "lexicon", tmp_path / "text", work)  # type: ignore[arg-type]
    return Lang.open(work)


def test_the_vocabulary_is_the_texts(tmp_path: Path) -> None:
    lang = made(tmp_path)
    assert lang.lexicon.words == ["<UNK>", "A", "CAT", "RARE", "SAT"]
    assert list(lang.phones)[:4] == ["<eps>", "SIL", "SPN", "AE"]
    assert "UW" not in lang.phones
    assert lang.silence_phones == (1, 2)
    assert lang.fst.num_states > 0


def test_the_vocabulary_is_the_lexicons_on_demand(tmp_path: Path) -> None:
    lang = made(tmp_path, vocabulary="lexicon")
    assert "UNUSED" in lang.words
    assert "UW" in lang.phones


def test_the_lexicons_words_need_no_text(tmp_path: Path) -> None:
    (tmp_path / "lexicon").write_text(LEXICON)
    make_lang(LangConfig(vocabulary="lexicon"), tmp_path / "lexicon", None, tmp_path)
    assert Lang.open(tmp_path).lexicon.words == ["<UNK>", "A", "CAT", "RARE", "SAT", "UNUSED"]
    with pytest.raises(ConfigError, match="`vocabulary: text` needs the text"):
        make_lang(LangConfig(), tmp_path / "lexicon", None, tmp_path)


def test_rare_words_become_unknown(tmp_path: Path) -> None:
    lang = made(tmp_path, min_count=2, oov="unk")
    assert "RARE" not in lang.words
    assert lang.word_ids("utt1", ["CAT", "RARE", "ZEBRA"]) == [lang.words[w] for w in ("CAT", "<UNK>", "<UNK>")]


def test_the_same_inputs_give_the_same_bytes(tmp_path: Path) -> None:
    first = {path.name: path.read_bytes() for path in made(tmp_path).path.iterdir()}
    assert {path.name: path.read_bytes() for path in made(tmp_path).path.iterdir()} == first
    assert set(first) == {
        "L.fst",
        "L_disambig.fst",
        "lang.json",
        "lexicon.txt",
        "phones.txt",
        "topo",
        "words.txt",
    }


def test_the_marked_lexicon_passes_the_grammars_backoff_through(tmp_path: Path) -> None:
    lang = made(tmp_path)
    fst = kaldifst.StdVectorFst.read(str(lang.path / "L_disambig.fst"))
    arcs = [arc for state in kaldifst.StateIterator(fst) for arc in kaldifst.ArcIterator(fst, state)]
    assert (lang.phones["#0"], lang.words["#0"]) in {(arc.ilabel, arc.olabel) for arc in arcs}


def test_unknown_words_of_the_text_are_refused_with_their_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"text:2: word 'ZEBRA' \(1 times\) is not in .*lexicon"):
        made(tmp_path, text="A CAT\nA ZEBRA\n")


def test_unknown_words_of_a_transcript_are_refused_with_the_utterance(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"utterance utt7: word 'ZEBRA' \(2 times\)"):
        made(tmp_path).word_ids("utt7", ["A", "ZEBRA", "ZEBRA"])


def test_contradicting_options_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="min_count"):
        made(tmp_path, min_count=2)


def test_an_empty_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no words"):
        made(tmp_path, text="\n\n")


def test_a_missing_lang_dir_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        Lang.open(tmp_path / "nowhere")


def test_a_lexicon_transducer_cut_short_is_named(tmp_path: Path) -> None:
    lang = made(tmp_path)
    fst = lang.path / "L.fst"
    fst.write_bytes(fst.read_bytes()[:100])
    with pytest.raises(DataError, match=r"L.fst is not readable"):
        _ = Lang.open(lang.path).fst
