"""Accuracy by how many specialists hold a frame's pdf, against a count by hand; systems over seeds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from asrkd.core.errors import ConfigError, DataError, MismatchError
from asrkd.core.files import read_json, write_json
from asrkd.models import build_model
from asrkd.models.saved import ModelInfo, load_model, log_softmax, save_model
from asrkd.models.specialised import Specialised, add_specialists
from asrkd.models.specialist import SavedSpecialist, SpecialistInfo, start_from
from asrkd.report.specialists import render_specialists
from asrkd.scoring.specialists import score_specialists
from tests.training.conftest import write_alignment

NUM_PDFS, DIM, TREE = 5, 3, "t" * 64
SETS = ((0, 1), (1, 2))
COVERING = np.array([1, 2, 1, 0, 0])
LABELS = {"u": np.arange(40) % NUM_PDFS, "v": np.arange(25) % 3}


@pytest.fixture
def world(tmp_path: Path, make_features: Callable[..., Path]) -> Path:
    """Features, an alignment, and two models of the same clusters with several seeds: 1, 2."""
    rng = np.random.default_rng(0)
    make_features(tmp_path / "features", {utt: rng.normal(size=(len(pdfs), DIM)) for utt, pdfs in LABELS.items()})
    write_alignment(tmp_path / "ali", LABELS)
    write_json(tmp_path / "ali/alignment.json", {"tied_states": TREE, "num_pdfs": NUM_PDFS, "failed": []})
    for seed in (1, 2):
        joined(tmp_path, str(seed), seed, SETS)
    return tmp_path


def joined(root: Path, name: str, seed: int, sets: tuple[tuple[int, ...], ...]) -> None:
    torch.manual_seed(seed)
    section = {"hidden_layers": 0}
    info = ModelInfo(section, 0, 0, DIM, NUM_PDFS, "tiny", TREE, (-1.0,) * NUM_PDFS)
    for folder in (f"generalist{name}", name):
        (root / folder).mkdir()
    save_model(root / f"generalist{name}", build_model(section, DIM, NUM_PDFS, "model"), info)
    generalist, added = load_model(root / f"generalist{name}"), []
    for pdfs in sets:
        module = start_from(generalist, pdfs)
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.add_(torch.randn_like(parameter))
        said = SpecialistInfo(section, 0, 0, DIM, NUM_PDFS, "tiny", TREE, pdfs, 0.3)
        added.append(SavedSpecialist(root, said, module.eval()))
    save_model(root / name, *add_specialists(generalist, added))


def by_hand(world: Path, seed: int) -> dict[str, np.ndarray]:
    """For all frames of both utterances: labels; whether each system is right, in all pdfs and in those covered."""
    from asrkd.features.store import FeatureDir

    model, features = load_model(world / str(seed)), FeatureDir.open(world / "features")
    assert isinstance(model.module, Specialised)
    windows = torch.cat([torch.from_numpy(features.load(utt)) for utt in LABELS])
    labels = np.concatenate(list(LABELS.values()))
    found = {"labels": labels}
    with torch.no_grad():
        log_p = log_softmax(model.module.generalist(windows)).numpy()
        log_q = model.module(windows).numpy()
    for name, scores in (("generalist", log_p), ("specialised", log_q)):
        found[f"top {name}"] = scores.argmax(1) == labels
        found[f"conditional {name}"] = scores[:, :3].argmax(1) == labels
    return found


def test_rows_are_counts_by_hand(world: Path) -> None:
    scores = score_specialists(world / "features", world / "ali", [world / "1", world / "2"])
    rows = {row["covering"]: row for row in scores["rows"]}
    assert list(rows) == ["0", "1", "2", "1 or more", "all"]
    for name, row in rows.items():
        for kind in ("top", "conditional"):
            if kind not in row:
                assert kind == "conditional"
                assert name in ("0", "all")
                continue
            rates = []
            for seed in (1, 2):
                counted = by_hand(world, seed)
                cover = COVERING[counted["labels"]]
                chosen = cover > 0 if name == "1 or more" else cover >= 0 if name == "all" else cover == int(name)
                assert row["frames"] == chosen.sum()
                rates.append([counted[f"{kind} {system}"][chosen].mean() for system in ("generalist", "specialised")])
            before, after = np.mean(rates, axis=0)
            assert row[kind]["generalist"]["estimate"] == pytest.approx(before)
            assert row[kind]["specialised"]["estimate"] == pytest.approx(after)
            assert row[kind]["gain"]["estimate"] == pytest.approx(after - before)
    assert (scores["covered_pdfs"], scores["specialists"], scores["pdfs_each"]) == (3, 2, 2)
    assert 0 < scores["called"] < 2


def counts(folder: Path, kind: str, right: dict[str, list[int]]) -> None:
    (folder / kind).mkdir(parents=True)
    write_json(folder / kind / f"{kind}.json", {"utterances": right, "parameters": 7})


def test_systems_over_seeds_and_the_page(world: Path) -> None:
    for system, gain in (("first", 0), ("second", 2), ("third", 5)):
        for seed in (1, 2):
            folder = world / "eval" / system / str(seed)
            counts(folder, "frames", {"u": [10 + seed + gain, 40], "v": [5 + gain, 25]})
            counts(folder, "words", {"u": [6 - gain, 9], "v": [5, 7]})
    folders = [world / "eval" / name for name in ("first", "second", "third")]
    scores = score_specialists(world / "features", world / "ali", [world / "1", world / "2"], folders)
    first, second, third = scores["systems"]
    assert first["frame_accuracy"]["rate"]["estimate"] == pytest.approx(16.5 / 65)
    assert set(first["wer"]) == {"rate"}
    assert third["frame_accuracy"]["from_first"]["estimate"] == pytest.approx(10 / 65)
    assert third["frame_accuracy"]["from_last"]["estimate"] == pytest.approx(6 / 65)
    assert second["wer"]["from_last"]["estimate"] == pytest.approx(-2 / 16)
    render_specialists(scores, world)
    text, page = ((world / f"specialists.{suffix}").read_text() for suffix in ("md", "html"))
    assert "| third " in text
    assert "WER" in text
    assert "Beside the paper" in text
    assert page.count("<svg") == 1
    assert read_json(world / "specialists.json") == scores


@pytest.mark.parametrize(
    ("change", "error", "expected"),
    [
        ("generalist", ConfigError, "has no specialists"),
        ("clusters", MismatchError, "specialists for other pdfs"),
        ("seed", DataError, r"2/frames/frames\.json"),
    ],
)
def test_bad_input(world: Path, change: str, error: type[Exception], expected: str) -> None:
    models, evaluated = [world / "1", world / "2"], []
    if change == "generalist":
        models[1] = world / "generalist2"
    elif change == "clusters":
        joined(world, "other", 3, ((0, 1), (2, 3)))
        models[1] = world / "other"
    else:
        counts(world / "eval/one/1", "frames", {"u": [1, 40], "v": [1, 25]})
        evaluated = [world / "eval/one"]
    with pytest.raises(error, match=expected):
        score_specialists(world / "features", world / "ali", models, evaluated)


def test_the_alignment_is_of_these_features(world: Path) -> None:
    shorter: dict[str, Any] = {**LABELS, "u": LABELS["u"][:-1]}
    write_alignment(world / "short", shorter)
    write_json(world / "short/alignment.json", {"tied_states": TREE, "num_pdfs": NUM_PDFS, "failed": []})
    with pytest.raises(MismatchError, match="u has 40 frames of features and 39 of alignment"):
        score_specialists(world / "features", world / "short", [world / "1"])
