"""Ensembles: arithmetic and geometric means against naive arithmetic."""

from pathlib import Path

import numpy as np
import pytest
import torch

from asrkd.core.errors import MismatchError
from asrkd.features.window import Window, splice
from asrkd.models import build_model
from asrkd.models.saved import ModelInfo, SavedModel
from asrkd.targets.averaging import Combination, Ensemble, combine

LOGITS = [3 * torch.randn(6, 5, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 10.0])
def test_against_naive_means(temperature: float) -> None:
    distributions = [torch.softmax(z.double() / temperature, -1) for z in LOGITS]
    arithmetic = sum(distributions) / len(distributions)
    torch.testing.assert_close(combine(LOGITS, temperature, "arithmetic").exp().double(), arithmetic)
    product = torch.stack(distributions).prod(0) ** (1 / 3)
    geometric = product / product.sum(-1, keepdim=True)
    torch.testing.assert_close(combine(LOGITS, temperature, "geometric").exp().double(), geometric)
    logits = combine(LOGITS, temperature, "logits")
    torch.testing.assert_close(logits, combine(LOGITS, temperature, "geometric"), rtol=0, atol=0)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("weights", [(0.5, 0.2, 0.3), (0.9, 0.0, 0.1), (1.0, 0.0, 0.0)])
def test_weighted_against_naive_means(temperature: float, weights: tuple[float, ...]) -> None:
    distributions = [torch.softmax(z.double() / temperature, -1) for z in LOGITS]
    arithmetic = torch.stack([w * p for w, p in zip(weights, distributions, strict=True)]).sum(0)
    torch.testing.assert_close(combine(LOGITS, temperature, "arithmetic", weights).exp().double(), arithmetic)
    product = torch.stack([p**w for w, p in zip(weights, distributions, strict=True)]).prod(0)
    geometric = combine(LOGITS, temperature, "geometric", weights)
    torch.testing.assert_close(geometric.exp().double(), product / product.sum(-1, keepdim=True))
    torch.testing.assert_close(combine(LOGITS, temperature, "logits", weights), geometric, rtol=0, atol=0)


@pytest.mark.parametrize("combination", ["arithmetic", "geometric", "logits"])
def test_equal_weights_are_no_weights_and_all_on_one_is_that_teacher(combination: Combination) -> None:
    equal = combine(LOGITS, 2.0, combination, (1 / 3,) * 3)
    torch.testing.assert_close(equal, combine(LOGITS, 2.0, combination))
    torch.testing.assert_close(combine(LOGITS, 2.0, combination, (0, 1, 0)), torch.log_softmax(LOGITS[1] / 2, -1))


@pytest.mark.parametrize("combination", ["arithmetic", "geometric", "logits"])
def test_identical_teachers_are_the_teacher(combination: Combination) -> None:
    one = torch.log_softmax(LOGITS[0] / 2, -1)
    torch.testing.assert_close(combine(LOGITS[:1] * 4, 2.0, combination), one)
    torch.testing.assert_close(combine(LOGITS[:1], 2.0, combination), one)


@pytest.mark.parametrize("combination", ["arithmetic", "geometric"])
def test_sure_and_half_precision_teachers(combination: Combination) -> None:
    sure = [1e4 * torch.eye(3), (1e4 * torch.eye(3)).roll(1, -1)]
    combined = combine(sure, 1.0, combination)
    assert combined.isfinite().all() if combination == "geometric" else (combined.exp().sum(-1) - 1).abs().max() < 1e-5
    assert combine([z.bfloat16() for z in LOGITS], 1.0, combination).dtype == torch.float32


INFO = ModelInfo({"hidden_layers": 1, "hidden_units": 4}, 2, 1, 3, 5, "tiny", "t" * 64, (-1.0,) * 5)


def model(
    seed: int, left: int = 2, features: str = "tiny", tied_states: str = "t" * 64, num_pdfs: int = 5
) -> SavedModel:
    torch.manual_seed(seed)
    info = ModelInfo(INFO.model, left, 1, 3, num_pdfs, features, tied_states, (-1.0,) * num_pdfs)
    module = build_model(info.model, info.input_dim, num_pdfs, "model").eval()
    return SavedModel(Path(f"teacher{seed}"), info, module)


def test_ensemble_of_models_with_different_windows() -> None:
    models = [model(1), model(2, left=4), model(3)]
    ensemble = Ensemble(models)
    features = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    expected = [m.module(splice(torch.from_numpy(features), Window(m.info.left, 1))) for m in models]
    for logits, wanted in zip(ensemble.logits(features), expected, strict=True):
        torch.testing.assert_close(logits, wanted)
    torch.testing.assert_close(ensemble.log_posteriors(features, 2.0), combine(expected, 2.0, "arithmetic"))
    weights = (0.7, 0.1, 0.2)
    weighed = Ensemble(models, "geometric", weights=weights).log_posteriors(features, 2.0)
    torch.testing.assert_close(weighed, combine(expected, 2.0, "geometric", weights))
    assert ensemble.num_parameters == sum(m.num_parameters for m in models)
    np.testing.assert_array_equal(ensemble.log_priors, -np.ones(5, np.float32))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (model(2, features="other"), "teacher2 was trained on features other"),
        (model(2, tied_states="x" * 64), "teacher2 was trained on tied states"),
        (model(2, num_pdfs=6), "teacher2 has 6 pdfs, teacher1 has 5"),
    ],
)
def test_teachers_that_do_not_belong_together(other: SavedModel, message: str) -> None:
    with pytest.raises(MismatchError, match=message):
        Ensemble([model(1), other])
