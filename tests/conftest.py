"""What the rooms' tests share: deterministic audio, tiny folders, and where optional data lies."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

# Before numpy or torch start their threads: more of them than cores only slow a small test down.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np  # noqa: E402
import pytest  # noqa: E402
import soundfile  # noqa: E402
from hypothesis import settings  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from asrkd.core.datadir import DataDir, write_data_dir  # noqa: E402

# Machines that run tests are shared and slow at times; the same examples each time keep a run repeatable.
settings.register_profile("repeatable", deadline=None, derandomize=True, database=None, max_examples=50)
settings.load_profile("repeatable")


def _quieten_speechbrain() -> None:
    """SpeechBrain leaves stand-ins for old and optional modules in sys.modules, which import what is not installed
    when they are asked for anything; Hypothesis looks through sys.modules and asks each module for its file."""
    for name, module in list(sys.modules.items()):
        if name.startswith("speechbrain."):
            vars(module).setdefault("__file__", None)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems() -> None:
    _quieten_speechbrain()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    _quieten_speechbrain()


RATE = 16_000

Samples = NDArray[np.float32]
WavMaker = Callable[..., Path]


def tone(seconds: float = 0.5, hertz: float = 440.0, noise: float = 0.01, seed: int = 0, rate: int = RATE) -> Samples:
    """A sine of amplitude 0.3 with white noise, float32 in [-1, 1]; the same arguments give the same samples."""
    time = np.arange(round(seconds * rate)) / rate
    hiss = np.random.default_rng(seed).normal(size=len(time))
    samples: Samples = (0.3 * np.sin(2 * np.pi * hertz * time) + noise * hiss).astype(np.float32)
    return samples


@pytest.fixture
def make_wav(tmp_path: Path) -> WavMaker:
    """``make_wav(name, **what tone takes)`` writes a file, of the format that its suffix names, under tmp_path."""

    def make(name: str, rate: int = RATE, channels: int = 1, **options: float) -> Path:
        path = tmp_path / name
        samples = tone(rate=rate, **options)  # type: ignore[arg-type]
        soundfile.write(path, np.stack([samples] * channels, axis=1), rate, subtype="PCM_16")
        return path

    return make


@pytest.fixture
def tiny_data(tmp_path: Path) -> Path:
    """A data dir of two speakers with two utterances each, 0.3 to 0.45 s long."""
    wav, durations = {}, {}
    for number in range(4):
        utt_id = f"spk{number // 2}-{number}"
        samples = tone(0.3 + 0.05 * number, 300 + 200 * number, seed=number)
        soundfile.write(tmp_path / f"{utt_id}.flac", samples, RATE, subtype="PCM_16")
        wav[utt_id] = str(tmp_path / f"{utt_id}.flac")
        durations[utt_id] = len(samples) / RATE
    data = DataDir(wav, {utt: utt[:4] for utt in wav}, durations, dict.fromkeys(wav, "A TONE"))
    write_data_dir(tmp_path / "data", data)
    return tmp_path / "data"


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Recordings and models that do not ship with the project: ``$ASRKD_SHARED``, else ../shared."""
    default = Path(__file__).parents[2] / "shared"
    path = Path(os.environ.get("ASRKD_SHARED", default))
    if not path.is_dir():
        pytest.skip(f"needs the folder of shared test data (set ASRKD_SHARED; {path} does not exist)")
    return path


FeatureMaker = Callable[..., Path]


@pytest.fixture(scope="session")
def make_features() -> FeatureMaker:
    """``make_features(folder, {utt_id: (num_frames, dim)})`` writes a feature folder, all of one speaker."""
    from asrkd.core.archive import write_sharded
    from asrkd.features.store import write_feature_dir

    def make(folder: Path, matrices: dict[str, Samples], identity: str = "tiny") -> Path:
        folder.mkdir(parents=True)
        write_sharded(folder, "feats", sorted(matrices), lambda utt_id: matrices[utt_id].astype(np.float32))
        dim = next(iter(matrices.values())).shape[1]
        description = {"dim": dim, "norm_vars": True, "identity": identity}
        write_feature_dir(folder, dict.fromkeys(matrices, "speaker"), description)
        return folder

    return make
