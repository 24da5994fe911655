"""Pronunciations of unknown words: a regular language is learnt, an irregular one well enough, mistakes are told."""

import itertools
from pathlib import Path

import pytest

from asrkd.cli import main
from asrkd.core.datadir import DataDir, write_data_dir
from asrkd.core.errors import DataError
from asrkd.lang.g2p import G2pConfig, g2p_stage, pronounce, train_g2p
from asrkd.lang.lexicon import Lexicon, Pronunciation, read_lexicon

SOUNDS = {"K": "K", "SH": "SH", "T": "T", "S": "S", "N": "N", "X": "K S"}
VOWELS = {"A": "AH0", "I": "IH1", "EE": "IY1", "O": "OW1"}


def regular() -> dict[str, str]:
    """Every word of one or two syllables of a language that is spelled as it is spoken."""
    syllables = {c + v: f"{SOUNDS[c]} {VOWELS[v]}" for c, v in itertools.product(SOUNDS, VOWELS)}
    pairs = itertools.product(syllables.items(), repeat=2)
    return {**syllables, **{a + b: f"{p} {q}" for (a, p), (b, q) in pairs}}


@pytest.fixture
def lexicon(tmp_path: Path) -> Path:
    """Two thirds of that language."""
    entries = [f"{word} {phones}\n" for number, (word, phones) in enumerate(regular().items()) if number % 3]
    path = tmp_path / "lexicon.txt"
    path.write_text("".join(entries))
    return path


def test_a_regular_language_is_learnt(lexicon: Path) -> None:
    known = read_lexicon(lexicon, keep_stress=True)
    model = train_g2p(known, order=4)
    unseen = {word: phones for word, phones in regular().items() if word not in known}
    assert len(unseen) == 200
    right = [pronounce(model, word, G2pConfig()) == [tuple(phones.split())] for word, phones in unseen.items()]
    assert sum(right) >= 180  # an S before SH's silent one is rare, and back-off spreads what it is given


def test_further_pronunciations_come_in_order_of_probability() -> None:
    entries: dict[str, tuple[Pronunciation, ...]]
    entries = {f"{first}A{last}": ((first, "AH", last), (first, "EY", last)) for first in "BDKT" for last in "BDKT"}
    entries |= {f"{first}AN": ((first, "AH", "N"),) for first in "BDKT"}
    model = train_g2p(Lexicon(entries), order=3)
    both = pronounce(model, "NAB", G2pConfig(num_pronunciations=3, ratio=0.1))
    assert {("N", "AH", "B"), ("N", "EY", "B")} == set(both)
    assert pronounce(model, "NAB", G2pConfig()) == both[:1]
    assert pronounce(model, "NAB", G2pConfig(num_pronunciations=3, ratio=1.0)) == both[:1]


def test_letters_that_the_lexicon_lacks_have_no_pronunciation(lexicon: Path) -> None:
    model = train_g2p(read_lexicon(lexicon), order=3)
    assert pronounce(model, "KAZA", G2pConfig()) == []
    assert pronounce(model, "", G2pConfig()) == []


def test_a_lexicon_that_can_not_be_aligned_is_refused() -> None:
    with pytest.raises(DataError, match="no word of the lexicon can be aligned"):
        train_g2p(Lexicon({"A": (("T", "R", "IH", "P"),)}), order=3)


def run(config: G2pConfig, words: list[Path], lexicon: Path, work: Path, jobs: int = 1) -> dict[str, object]:
    work.mkdir()
    return g2p_stage(config, words, lexicon, work, jobs)


def test_missing_words_are_pronounced_into_files(
    lexicon: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "words").write_text("KASHI XONEE\nKANA KANA\nNAZI\n")
    unseen = [word for word in ("KASHI", "XONEE", "KANA") if word not in read_lexicon(lexicon)]
    summary = run(G2pConfig(order=4), [tmp_path / "words"], lexicon, tmp_path / "out")
    counts = [summary[key] for key in ("words_missing", "words_pronounced", "words_without")]
    assert counts == [len(unseen) + 1, len(unseen), 1]
    generated = read_lexicon(tmp_path / "out" / "lexicon_g2p.txt", keep_stress=True).pronunciations
    expected = {word: (tuple(regular()[word].split()),) for word in unseen}
    assert {word: phones for word, phones in generated.items() if word != "<UNK>"} == expected
    both = read_lexicon(tmp_path / "out" / "lexicon.txt", keep_stress=True).pronunciations
    assert both == {**read_lexicon(lexicon, keep_stress=True).pronunciations, **expected}
    assert (tmp_path / "out" / "no_pronunciation.txt").read_text() == "NAZI\n"
    told = f"{len(unseen)} pronounced, 1 have letters that it lacks (such as 'NAZI')"
    assert told in capsys.readouterr().err


def test_processes_make_no_difference(lexicon: Path, tmp_path: Path) -> None:
    (tmp_path / "words").write_text("\n".join(regular()))
    for jobs in (1, 2):
        run(G2pConfig(order=3), [tmp_path / "words"], lexicon, tmp_path / f"out{jobs}", jobs)
    for name in ("lexicon_g2p.txt", "lexicon.txt", "no_pronunciation.txt"):
        assert (tmp_path / "out1" / name).read_bytes() == (tmp_path / "out2" / name).read_bytes()


def test_words_come_from_data_dirs_too(lexicon: Path, tmp_path: Path) -> None:
    data = DataDir({"u1": "/a.flac"}, {"u1": "s"}, {"u1": 1.0}, {"u1": "KASHI SHEESHEE"})
    write_data_dir(tmp_path / "data", data)
    missing = [word for word in ("KASHI", "SHEESHEE") if word not in read_lexicon(lexicon)]
    arguments = ["g2p", "--set=g2p.order=3", str(tmp_path / "data"), str(lexicon), str(tmp_path / "out")]
    assert main(arguments) == 0
    assert read_lexicon(tmp_path / "out" / "lexicon_g2p.txt").words == ["<UNK>", *missing]
    (tmp_path / "data" / "text").unlink()
    with pytest.raises(DataError, match="has no transcripts to take words from"):
        run(G2pConfig(), [tmp_path / "data"], lexicon, tmp_path / "other")


def test_nothing_missing_is_no_work(lexicon: Path, tmp_path: Path) -> None:
    (tmp_path / "words").write_text(" ".join(read_lexicon(lexicon).words[1:]))
    summary = run(G2pConfig(), [tmp_path / "words"], lexicon, tmp_path / "out")
    assert summary["words_missing"] == 0
    assert (tmp_path / "out" / "lexicon_g2p.txt").read_text() == ""


def test_another_case_is_guessed(lexicon: Path, tmp_path: Path) -> None:
    (tmp_path / "words").write_text("kashi\n")
    with pytest.raises(DataError, match=r"letters of any of 1 words, such as 'kashi': are they in another case"):
        run(G2pConfig(order=3), [tmp_path / "words"], lexicon, tmp_path / "out")
