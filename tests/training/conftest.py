"""A tiny learnable problem: three classes of Gaussian frames, in utterances, with alignments."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asrkd.core.archive import write_sharded
from asrkd.core.files import write_json
from asrkd.training.train import TrainConfig, TrainInputs

NUM_PDFS = 3
DIM = 4
TREE = "t" * 64
CENTRES = np.array([[3.0, 0, 0, 0], [0, 3, 0, 0], [0, 0, 3, 0]])


def write_alignment(
    folder: Path, labels: dict[str, Any], failed: tuple[str, ...] = (), tied_states: str = TREE
) -> Path:
    """An alignment folder; transition-ids stand in for nothing here and equal the pdf-ids."""
    folder.mkdir(parents=True)
    kept = sorted(set(labels) - set(failed))
    for name in ("ali", "pdf"):
        write_sharded(folder, name, kept, lambda utt_id: np.asarray(labels[utt_id], np.int32))
    (folder / "utt2num_frames").write_text("".join(f"{utt} {len(labels[utt])}\n" for utt in kept))
    counts = np.bincount(np.concatenate([labels[utt] for utt in kept] or [[0]]), minlength=NUM_PDFS)
    (folder / "pdf_counts").write_text(f"[ {' '.join(map(str, counts))} ]\n")
    description = {"tied_states": tied_states, "num_pdfs": NUM_PDFS, "failed": list(failed)}
    write_json(folder / "alignment.json", description)
    return folder


@pytest.fixture(scope="session")
def problem(tmp_path_factory: pytest.TempPathFactory, make_features: Callable[..., Path]) -> TrainInputs:
    """Features and alignments of a training and a dev set, 20 and 6 utterances of 20 to 39 frames."""
    root = tmp_path_factory.mktemp("problem")
    rng = np.random.default_rng(0)
    for name, count in (("train", 20), ("dev", 6)):
        labels = {f"{name}-{n:02d}": rng.integers(NUM_PDFS, size=20 + n) for n in range(count)}
        matrices = {utt: CENTRES[pdfs] + 0.5 * rng.normal(size=(len(pdfs), DIM)) for utt, pdfs in labels.items()}
        make_features(root / f"{name}-features", matrices)
        write_alignment(root / f"{name}-alignment", labels)
    return TrainInputs(
        features=root / "train-features",
        alignment=root / "train-alignment",
        dev_features=root / "dev-features",
        dev_alignment=root / "dev-alignment",
    )


@pytest.fixture
def settings() -> dict[str, Any]:
    """A section for training on the problem in well under a second."""
    return {
        "model": {"hidden_layers": 1, "hidden_units": 16, "dropout": 0.1},
        "window": {"left": 1, "right": 1},
        "epochs": 4,
        "batch_size": 64,
        "learning_rate": 0.01,
        "input_noise": 0.1,
        "precision": "fp32",
        "device": "cpu",
    }


@pytest.fixture
def config_of(settings: dict[str, Any]) -> Callable[..., TrainConfig]:
    """``config_of(**changes)`` of those settings."""
    from asrkd.core.config import parse

    return lambda **changes: parse(TrainConfig, {**settings, **changes}, "section")
