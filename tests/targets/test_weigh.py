"""Learnt weights against expectation-maximisation, brute force and finite differences, and end to end."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asrkd.core.errors import ConfigError, DataError, MismatchError
from asrkd.models import build_model
from asrkd.models.saved import ModelInfo, save_model
from asrkd.scoring.frame_results import net_frame_scores
from asrkd.targets.averaging import Combination, combine
from asrkd.targets.simplex import TOLERANCE
from asrkd.targets.weigh import _of_geometric_mean, _of_mixture, learn, weigh
from tests.training.conftest import CENTRES, DIM, NUM_PDFS, TREE, write_alignment

Pass = Callable[[], Iterator[tuple[torch.Tensor, torch.Tensor]]]


def problem(seed: int, count: int, num_pdfs: int = 6, frames: int = 200, skill: float = 2.0) -> Pass:
    """Teachers of different skill, over two utterances; each knows of the label, and errs in its own way."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(num_pdfs, (frames,), generator=generator)
    logits = 2 * torch.randn(count, frames, num_pdfs, generator=generator)
    logits[:, torch.arange(frames), labels] += skill * torch.rand(count, 1, generator=generator)
    log_posteriors = torch.log_softmax(logits, -1)

    def utterances() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        yield log_posteriors[:, :70], labels[:70]
        yield log_posteriors[:, 70:], labels[70:]

    return utterances


def cross_entropy(frames: Pass, weights: list[float], combination: Combination) -> float:
    total = [combine(list(z), 1.0, combination, weights).gather(1, y[:, None]).double() for z, y in frames()]
    return -float(torch.cat(total).mean())


def mixture_by_em(frames: Pass, count: int) -> list[float]:
    """Dempster, Laird and Rubin 1977: w_m <- mean over frames of w_m p_m / sum w p."""
    of_label = torch.cat([z.gather(2, y.expand(count, -1)[..., None])[..., 0] for z, y in frames()], 1)
    probs, weights = of_label.double().exp().T.numpy(), np.full(count, 1 / count)
    for _ in range(20_000):
        weights = (probs * weights / (probs @ weights)[:, None]).mean(0)
    return weights.tolist()


@pytest.mark.parametrize(("seed", "count"), [(0, 2), (1, 3), (2, 5)])
def test_mixture_weights_are_those_of_em(seed: int, count: int) -> None:
    frames = problem(seed, count)
    found, by_em = learn(frames, "arithmetic", count), mixture_by_em(frames, count)
    np.testing.assert_allclose(found.weights, by_em, atol=5e-3)
    assert found.value == pytest.approx(cross_entropy(frames, by_em, "arithmetic"), abs=2e-6)


@pytest.mark.parametrize("combination", ["arithmetic", "geometric"])
@pytest.mark.parametrize("skill", [2.0, 8.0])
def test_two_teachers_against_brute_force(combination: Combination, skill: float) -> None:
    frames = problem(3, 2, skill=skill)
    found = learn(frames, combination, 2)
    grid = {w: cross_entropy(frames, [w, 1 - w], combination) for w in np.linspace(0, 1, 201).tolist()}
    best = min(grid, key=grid.__getitem__)
    assert found.weights[0] == pytest.approx(best, abs=5e-3)
    assert found.value <= grid[best] + 2 * TOLERANCE


@given(seed=st.integers(0, 500), count=st.integers(2, 5))
def test_learnt_is_no_worse_than_equal_and_both_are_what_combine_gives(seed: int, count: int) -> None:
    frames = problem(seed, count, frames=90)
    for combination in ("arithmetic", "logits"):
        found = learn(frames, combination, count)
        equal = cross_entropy(frames, [1 / count] * count, combination)
        learnt = cross_entropy(frames, found.weights.tolist(), combination)
        assert found.start == pytest.approx(equal, abs=1e-5)
        assert found.value == pytest.approx(learnt, abs=1e-5)
        assert found.value <= found.start
        assert found.gap <= TOLERANCE


def test_derivatives_against_finite_differences() -> None:
    frames = problem(4, 3)
    of_label = torch.cat([z.gather(2, y.expand(3, -1)[..., None])[..., 0] for z, y in frames()], 1)
    probs = of_label.double().exp().T.numpy()
    weights, step = np.array([0.5, 0.2, 0.3]), 3e-3
    for evaluate in (partial(_of_mixture, probs, 0.0), partial(_of_geometric_mean, frames)):
        here = evaluate(weights)
        ahead, behind = ([evaluate(weights + sign * step * row) for row in np.eye(3)] for sign in (1, -1))
        slopes = [(a.value - b.value) / (2 * step) for a, b in zip(ahead, behind, strict=True)]
        curves = [(a.gradient - b.gradient) / (2 * step) for a, b in zip(ahead, behind, strict=True)]
        np.testing.assert_allclose(here.gradient, slopes, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(here.hessian, curves, rtol=1e-3, atol=1e-4)


def test_labels_drawn_from_a_mixture_give_its_weights_back() -> None:
    generator = torch.Generator().manual_seed(5)
    log_posteriors = torch.log_softmax(3 * torch.randn(3, 40_000, 8, generator=generator), -1)
    shares = torch.tensor([0.6, 0.1, 0.3])
    mixture = (shares[:, None, None] * log_posteriors.exp()).sum(0)
    labels = torch.multinomial(mixture, 1, generator=generator)[:, 0]
    found = learn(lambda: iter([(log_posteriors, labels)]), "arithmetic", 3)
    np.testing.assert_allclose(found.weights, shares, atol=0.015)


def test_a_teacher_that_only_harms_gets_nothing() -> None:
    good, labels = next(iter(problem(6, 1, skill=12.0)()))
    bad = torch.log_softmax(-8.0 * good, -1)
    both = torch.cat([good, bad])
    for combination in ("arithmetic", "geometric"):
        found = learn(lambda: iter([(both, labels)]), combination, 2)
        assert found.weights[1] < 0.02


def test_underflowing_posteriors_have_a_finite_cross_entropy() -> None:
    logits = torch.tensor([[[0.0, -2000.0]], [[-2000.0, 0.0]]]).repeat(1, 4, 1)
    found = learn(lambda: iter([(torch.log_softmax(logits, -1), torch.tensor([0, 0, 0, 1]))]), "arithmetic", 2)
    np.testing.assert_allclose(found.weights, [0.75, 0.25], atol=1e-3)
    assert found.value == pytest.approx(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25)), abs=1e-5)


@pytest.fixture
def dev(tmp_path: Path, make_features: Callable[..., Path]) -> tuple[Path, Path, list[Path]]:
    """Features, alignment (of which one utterance failed), and a good and a poor model of other windows."""
    rng = np.random.default_rng(0)
    labels = {f"dev-{n}": rng.integers(NUM_PDFS, size=20 + n) for n in range(5)}
    matrices = {utt: CENTRES[pdfs] + 1.5 * rng.normal(size=(len(pdfs), DIM)) for utt, pdfs in labels.items()}
    features = make_features(tmp_path / "features", matrices)
    alignment = write_alignment(tmp_path / "alignment", labels, failed=("dev-3",))
    models = []
    for seed, left in enumerate((0, 2)):
        info = ModelInfo({"hidden_layers": 0}, left, 0, DIM, NUM_PDFS, "tiny", TREE, (-1.0,) * NUM_PDFS)
        torch.manual_seed(seed)
        module = build_model(info.model, info.input_dim, NUM_PDFS, "model")
        with torch.no_grad():
            weight = next(p for p in module.parameters() if p.ndim == 2)
            weight[:, -DIM:] += torch.eye(DIM)[:NUM_PDFS] * (1 - seed)
        models.append(tmp_path / f"model{seed}")
        models[-1].mkdir()
        save_model(models[-1], module, info)
    return features, alignment, models


@pytest.mark.parametrize("combination", ["arithmetic", "geometric"])
def test_folders_to_weights_whose_cross_entropy_is_what_scoring_gives(
    dev: tuple[Path, Path, list[Path]], tmp_path: Path, combination: Combination
) -> None:
    features, alignment, models = dev
    (tmp_path / "weights").mkdir()
    summary = weigh(features, alignment, models, tmp_path / "weights", combination)
    written = json.loads((tmp_path / "weights" / "weights.json").read_text())
    assert written["combination"] == combination
    assert written["frames"] == summary["frames"] == 20 + 21 + 22 + 24
    assert written["weights"][0] > written["weights"][1]
    for name, how in (("uniform", {"combination": combination}), ("learnt", {"weights": tmp_path / "weights"})):
        scored = net_frame_scores(features, alignment, models[::-1], tmp_path, **how)
        assert scored["cross_entropy"] == pytest.approx(written["cross_entropy"][name], abs=1e-5)
    assert written["cross_entropy"]["learnt"] < written["cross_entropy"]["uniform"]


def test_the_same_bytes_again(dev: tuple[Path, Path, list[Path]], tmp_path: Path) -> None:
    written = []
    for name in ("once", "again"):
        (tmp_path / name).mkdir()
        weigh(*dev, tmp_path / name, "geometric")
        written.append((tmp_path / name / "weights.json").read_bytes())
    assert written[0] == written[1]


def test_what_can_not_be_weighed(
    dev: tuple[Path, Path, list[Path]], tmp_path: Path, make_features: Callable[..., Path]
) -> None:
    features, alignment, models = dev
    with pytest.raises(ConfigError, match="two models or more"):
        weigh(features, alignment, models[:1], tmp_path)
    with pytest.raises(ConfigError, match=f"{models[0]} is given twice"):
        weigh(features, alignment, [models[0], models[0]], tmp_path)
    other = write_alignment(tmp_path / "other", {"dev-0": np.zeros(9, int)}, tied_states="x" * 64)
    with pytest.raises(MismatchError, match="was the tree built again"):
        weigh(features, other, models, tmp_path)
    shifted = write_alignment(tmp_path / "shifted", {f"dev-{n}": np.zeros(19 + n, int) for n in range(5)})
    with pytest.raises(MismatchError, match=r"dev-0 has 20 frames, 19 in the alignment"):
        weigh(features, shifted, models, tmp_path)
    none = write_alignment(tmp_path / "none", {f"dev-{n}": [0] for n in range(5)}, tuple(f"dev-{n}" for n in range(5)))
    with pytest.raises(DataError, match="did every utterance fail to align"):
        weigh(features, none, models, tmp_path)
    assert not (tmp_path / "weights.json").exists()
