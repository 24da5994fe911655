"""A toy language whose true alignment is known: three phones, each state a Gaussian far from the others."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from asrkd.core.archive import ArchiveWriter, join_indices
from asrkd.core.datadir import DataDir, write_data_dir
from asrkd.features.store import write_feature_dir
from asrkd.hmm.tied_states import TiedStates
from asrkd.lang.lm import LmConfig, make_lm
from asrkd.lang.prepare import LangConfig, make_lang

LEXICON = {"BASS": ["B", "AA", "S"], "ABS": ["AA", "B", "S"], "SOB": ["S", "AA", "B"], "SAAB": ["S", "B"]}
DIM = 3
STATES = 3


@dataclass(frozen=True)
class Toy:
    """Folders of a toy corpus, and the true phone of each frame by utterance."""

    features: Path
    data: Path
    lang: Path
    lm: Path
    phones: dict[str, list[str]]


def _utterance(
    rng: np.random.Generator, means: dict[str, NDArray[np.float64]]
) -> tuple[list[str], list[str], list[int]]:
    words = [str(word) for word in rng.choice(sorted(LEXICON), size=rng.integers(2, 5))]
    spoken = ["SIL", *(phone for word in words for phone in [*LEXICON[word], *["SIL"] * int(rng.integers(0, 2))])]
    frames, states = [], []
    for phone in spoken:
        for state in range(STATES):
            for _ in range(int(rng.integers(1, 5)) + 1):
                frames.append(phone)
                states.append(state)
    return words, frames, states


def make_toy(root: Path, num_utterances: int = 24) -> Toy:
    rng = np.random.default_rng(5)
    means = {phone: 4.0 * rng.standard_normal((STATES, DIM)) for phone in ("AA", "B", "S")}
    means["SIL"] = np.full((STATES, DIM), -9.0)
    text, phones = {}, {}
    features = root / "features"
    features.mkdir(parents=True)
    with ArchiveWriter(features / "feats.1.ark") as writer:
        for number in range(num_utterances):
            utt = f"spk{number % 2}-{number:03d}"
            words, frames, states = _utterance(rng, means)
            values = np.stack([means[phone][state] for phone, state in zip(frames, states, strict=True)])
            writer.write(utt, (values + 0.7 * rng.standard_normal(values.shape)).astype(np.float32))
            text[utt], phones[utt] = " ".join(words), frames
    join_indices(features / "feats.scp", [features / "feats.1.ark"])
    speakers = {utt: utt[:4] for utt in text}
    write_feature_dir(features, speakers, {"dim": DIM, "norm_vars": False, "identity": "toy"})
    durations = {utt: len(frames) / 100 for utt, frames in phones.items()}
    write_data_dir(root / "data", DataDir({utt: f"{utt}.wav" for utt in text}, speakers, durations, text))
    (root / "lexicon").write_text("".join(f"{word} {' '.join(spelled)}\n" for word, spelled in LEXICON.items()))
    (root / "text").write_text("".join(f"{words}\n" for words in text.values()))
    (root / "lang").mkdir()
    make_lang(LangConfig(num_silence_states=3), root / "lexicon", root / "text", root / "lang")
    (root / "lm").mkdir()
    make_lm(LmConfig(order=2), root / "lang", root / "text", root / "lm")
    return Toy(features, root / "data", root / "lang", root / "lm", phones)


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    """Not to be written to."""
    return make_toy(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="session")
def mono_dir(toy: Toy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Monophones of the toy corpus. Not to be written to."""
    from asrkd.hmm.mono import MonoConfig, mono_stage

    work = tmp_path_factory.mktemp("mono")
    mono_stage(
        MonoConfig(num_passes=5, realign_passes=(2, 3, 4), num_gauss=20), toy.features, toy.data, toy.lang, work, 1
    )
    return work


@pytest.fixture(scope="session")
def triphone_dir(toy: Toy, mono_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Triphones of the toy corpus. Not to be written to."""
    from asrkd.hmm.triphone import TriphoneConfig, triphone_stage

    config = TriphoneConfig(num_passes=3, realign_passes=(2,), num_gauss=30, num_leaves=20, min_leaf_count=20.0)
    work = tmp_path_factory.mktemp("triphone")
    triphone_stage(config, toy.features, toy.data, toy.lang, mono_dir, work, 1)
    return work


@pytest.fixture(scope="session")
def mono(mono_dir: Path) -> TiedStates:
    return TiedStates.load(mono_dir)


@pytest.fixture(scope="session")
def triphone(triphone_dir: Path) -> TiedStates:
    return TiedStates.load(triphone_dir)


@pytest.fixture(scope="session")
def kaldi_dir(shared_dir: Path) -> Path:
    """A real model and its alignments, written by Kaldi's own tools."""
    return shared_dir / "kaldi-exp" / "tri1_ali"
