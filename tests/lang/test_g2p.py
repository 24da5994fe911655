"""Pronunciations of unknown words: a regular language is learnt, an irregular one well enough, mistakes are told."""

import itertools
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import pytest

from asrkd.cli import main
from asrkd.core.datadir import DataDir, write_data_dir
from asrkd.core.errors import ConfigError, DataError
from asrkd.lang.g2p import G2pConfig, g2p_stage, train_g2p
from asrkd.lang.lexicon import Lexicon, Pronunciation, read_lexicon

Model = Literal["phonetisaurus", "graphones"]

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


@pytest.fixture(
    params=[
        "graphones",
        pytest.param(
            "phonetisaurus",
            marks=pytest.mark.skipif(
                not find_spec("phonetisaurus"), reason="the package phonetisaurus is not installed"
            ),
        ),
    ]
)
def model(request: pytest.FixtureRequest) -> Model:
    name: Model = request.param
    return name


def test_a_regular_language_is_learnt(lexicon: Path, tmp_path: Path, model: Model) -> None:
    known = read_lexicon(lexicon, keep_stress=True)
    trained = train_g2p(G2pConfig(model, order=4), known, tmp_path)
    unseen = {word: phones for word, phones in regular().items() if word not in known}
    assert len(unseen) == 200
    found = trained.pronounce(list(unseen), 1)
    right = [[phones for phones, _ in found[word]] == [tuple(phones.split())] for word, phones in unseen.items()]
    assert sum(right) >= 180  # an S before SH's silent one is rare, and back-off spreads what it is given


def two_ways() -> Lexicon:
    """A that is AH, or EY nearly as often."""
    entries: dict[str, tuple[Pronunciation, ...]]
    entries = {f"{first}A{last}": ((first, "AH", last), (first, "EY", last)) for first in "BDKT" for last in "BDKT"}
    entries |= {f"{first}AN": ((first, "AH", "N"),) for first in "BDKTN"}
    entries |= {f"SA{last}": (("S", "AH", last),) for last in "BDK"}
    return Lexicon(entries)


def test_further_pronunciations_come_in_order_of_probability(tmp_path: Path, model: Model) -> None:
    trained = train_g2p(G2pConfig(model, order=3), two_ways(), tmp_path)
    both = trained.pronounce(["NAB"], 2)["NAB"]
    assert {phones for phones, _ in both} == {("N", "AH", "B"), ("N", "EY", "B")}
    assert 0 > both[0][1] >= both[1][1]
    assert trained.pronounce(["NAB"], 1) == {"NAB": both[:1]}


def test_letters_that_the_lexicon_lacks_have_no_pronunciation(lexicon: Path, tmp_path: Path, model: Model) -> None:
    trained = train_g2p(G2pConfig(model, order=3), read_lexicon(lexicon), tmp_path)
    assert trained.pronounce(["KAZA", "", "KA"], 1) == {"KAZA": [], "": [], "KA": trained.pronounce(["KA"], 1)["KA"]}


def test_letters_beyond_ascii_are_letters(tmp_path: Path, model: Model) -> None:
    lexicon = Lexicon({f"{c}{v}": ((c, p),) for c in "KTNS" for v, p in (("É", "EY"), ("Ü", "UW"))})
    trained = train_g2p(G2pConfig(model, order=2), lexicon, tmp_path)
    assert [phones for phones, _ in trained.pronounce(["TÉNÜ"], 1)["TÉNÜ"]] == [("T", "EY", "N", "UW")]


def test_a_lexicon_that_can_not_be_aligned_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no word of the lexicon can be aligned"):
        train_g2p(G2pConfig("graphones"), Lexicon({"A": (("T", "R", "IH", "P"),)}), tmp_path)


@pytest.mark.skipif(not find_spec("phonetisaurus"), reason="the package phonetisaurus is not installed")
def test_a_lexicon_of_a_single_word_is_too_small(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"estimate-ngram failed .*: is the lexicon too small to learn from"):
        train_g2p(G2pConfig(), Lexicon({"A": (("AH",),)}), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def without_phonetisaurus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "phonetisaurus", None)


def test_a_package_that_is_missing_is_named(lexicon: Path, tmp_path: Path, without_phonetisaurus: None) -> None:
    with pytest.raises(ConfigError, match=r"pip install 'asrkd\[g2p\]' .* or set g2p.model to graphones"):
        train_g2p(G2pConfig(), read_lexicon(lexicon), tmp_path)
    assert not list(tmp_path.glob("*.fst"))


def run(config: G2pConfig, words: list[Path], lexicon: Path, work: Path, jobs: int = 1) -> dict[str, object]:
    work.mkdir()
    return g2p_stage(config, words, lexicon, work, jobs)


def test_missing_words_are_pronounced_into_files(
    lexicon: Path, tmp_path: Path, model: Model, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "words").write_text("KASHI XONEE\nKANA KANA\nNAZI\n")
    unseen = [word for word in ("KASHI", "XONEE", "KANA") if word not in read_lexicon(lexicon)]
    summary = run(G2pConfig(model, order=4), [tmp_path / "words"], lexicon, tmp_path / "out")
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


def test_processes_make_no_difference(lexicon: Path, tmp_path: Path, model: Model) -> None:
    (tmp_path / "words").write_text("\n".join(regular()))
    for jobs in (1, 2):
        run(G2pConfig(model, order=3), [tmp_path / "words"], lexicon, tmp_path / f"out{jobs}", jobs)
    names = [path.name for path in sorted((tmp_path / "out1").iterdir())]
    assert names == [
        "lexicon.txt",
        "lexicon_g2p.txt",
        *["model.fst"] * (model == "phonetisaurus"),
        "no_pronunciation.txt",
    ]
    for name in names:
        assert (tmp_path / "out1" / name).read_bytes() == (tmp_path / "out2" / name).read_bytes()


def test_words_come_from_data_dirs_too(lexicon: Path, tmp_path: Path) -> None:
    data = DataDir({"u1": "/a.flac"}, {"u1": "s"}, {"u1": 1.0}, {"u1": "KASHI SHEESHEE"})
    write_data_dir(tmp_path / "data", data)
    missing = [word for word in ("KASHI", "SHEESHEE") if word not in read_lexicon(lexicon)]
    arguments = [
        "g2p",
        "--set=g2p.model=graphones",
        "--set=g2p.order=3",
        str(tmp_path / "data"),
        str(lexicon),
        str(tmp_path / "out"),
    ]
    assert main(arguments) == 0
    assert read_lexicon(tmp_path / "out" / "lexicon_g2p.txt").words == ["<UNK>", *missing]
    (tmp_path / "data" / "text").unlink()
    with pytest.raises(DataError, match="has no transcripts to take words from"):
        run(G2pConfig("graphones"), [tmp_path / "data"], lexicon, tmp_path / "other")


def test_nothing_missing_is_no_work(lexicon: Path, tmp_path: Path) -> None:
    (tmp_path / "words").write_text(" ".join(read_lexicon(lexicon).words[1:]))
    summary = run(G2pConfig("graphones"), [tmp_path / "words"], lexicon, tmp_path / "out")
    assert summary["words_missing"] == 0
    assert (tmp_path / "out" / "lexicon_g2p.txt").read_text() == ""


def test_another_case_is_guessed(lexicon: Path, tmp_path: Path) -> None:
    (tmp_path / "words").write_text("kashi\n")
    with pytest.raises(DataError, match=r"letters of any of 1 words, such as 'kashi': are they in another case"):
        run(G2pConfig("graphones", order=3), [tmp_path / "words"], lexicon, tmp_path / "out")


def test_a_further_pronunciation_needs_its_share_of_the_best_ones_probability(tmp_path: Path, model: Model) -> None:
    two_ways().write(tmp_path / "lexicon.txt")
    (tmp_path / "words").write_text("NAB\n")
    for ratio, expected in ((0.1, 2), (1.0, 1)):
        config = G2pConfig(model, order=3, num_pronunciations=3, ratio=ratio)
        run(config, [tmp_path / "words"], tmp_path / "lexicon.txt", tmp_path / f"out{ratio}")
        generated = read_lexicon(tmp_path / f"out{ratio}" / "lexicon_g2p.txt").pronunciations
        assert len(generated["NAB"]) == expected
