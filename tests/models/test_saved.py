"""Models on disk: the same bytes for the same weights, and no mixing."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from asrkd.core.errors import DataError, MismatchError
from asrkd.models import build_model
from asrkd.models.saved import ModelInfo, check_belongs, load_model, log_softmax, save_model

INFO = ModelInfo({"hidden_layers": 1, "hidden_units": 4}, 1, 1, 2, 3, "fbank2-x", "a" * 64, (-1.0, -1.5, -0.75))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save(tmp_path)
    return tmp_path


def save(folder: Path) -> torch.nn.Module:
    torch.manual_seed(1)
    module = build_model(INFO.model, INFO.input_dim, INFO.num_pdfs, "model")
    save_model(folder, module, INFO)
    return module


def test_round_trip(folder: Path) -> None:
    module, frames = save(folder), torch.randn(5, INFO.input_dim)
    model = load_model(folder)
    assert model.info == INFO
    assert not model.module.training
    assert model.num_parameters == 6 * 4 + 4 + 4 * 3 + 3
    torch.testing.assert_close(model.module(frames), module(frames), rtol=0, atol=0)
    np.testing.assert_array_equal(model.log_priors, np.array(INFO.log_priors, np.float32))


def test_same_weights_same_bytes(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    save(other)
    assert sorted(path.name for path in other.iterdir()) == ["model.json", "model.safetensors"]
    for path in folder.iterdir():
        assert path.read_bytes() == (other / path.name).read_bytes()


def test_weights_cut_at_any_length(folder: Path) -> None:
    path = folder / "model.safetensors"
    content = path.read_bytes()
    for size in [*range(0, len(content), 37), len(content) - 1]:
        path.write_bytes(content[:size])
        with pytest.raises(DataError, match=r"model\.safetensors: not readable as safetensors .*cut short"):
            load_model(folder)
    path.unlink()
    with pytest.raises(DataError, match=r"model\.safetensors"):
        load_model(folder)


def test_weights_of_another_shape_are_named(folder: Path) -> None:
    path = folder / "model.safetensors"
    weights = load_file(path)
    save_file({**weights, "0.weight": torch.zeros(4, 7)}, path)
    with pytest.raises(DataError, match=r"0\.weight has shape \(4, 7\), the architecture .* has \(4, 6\)"):
        load_model(folder)
    save_file({name: tensor for name, tensor in weights.items() if name != "2.bias"}, path)
    with pytest.raises(DataError, match=r"2\.bias has shape None"):
        load_model(folder)
    save_file({**weights, "extra": torch.zeros(1)}, path)
    with pytest.raises(DataError, match="extra has shape"):
        load_model(folder)


def test_description_that_is_missing_or_of_another_version(folder: Path) -> None:
    description = json.loads((folder / "model.json").read_text())
    for changed in ({**description, "new": 1}, {k: v for k, v in description.items() if k != "log_priors"}):
        (folder / "model.json").write_text(json.dumps(changed))
        with pytest.raises(DataError, match="written by another version"):
            load_model(folder)
    (folder / "model.json").unlink()
    with pytest.raises(DataError, match=r"model\.json is missing"):
        load_model(folder)


@pytest.mark.parametrize(
    ("value", "message"),
    [("x", "could not convert"), (None, "float"), (float("nan"), "a log prior is no finite number")],
)
def test_priors_that_were_edited(folder: Path, value: object, message: str) -> None:
    description = json.loads((folder / "model.json").read_text())
    description["log_priors"][0] = value
    (folder / "model.json").write_text(json.dumps(description))
    with pytest.raises(DataError, match=rf"model\.json: .*{message}"):
        load_model(folder)


def test_what_does_not_belong_together(folder: Path) -> None:
    model = load_model(folder)
    check_belongs(model, INFO.features, INFO.tied_states)
    check_belongs(model, INFO.features)
    with pytest.raises(MismatchError, match="trained on features fbank2-x, these are mfcc2-y"):
        check_belongs(model, "mfcc2-y")
    with pytest.raises(MismatchError, match="tied states aaaaaaaaaaaa, these are bbbbbbbbbbbb: was the tree built"):
        check_belongs(model, INFO.features, "b" * 64)
    assert replace(INFO, left=20, right=5, feature_dim=40).input_dim == 1040


def test_log_softmax_is_over_pdfs_in_float32() -> None:
    logits = torch.tensor([[[1.0, 3.0], [0.0, 0.0]]], dtype=torch.bfloat16)
    log_posteriors = log_softmax(logits, 2.0)
    assert log_posteriors.dtype == torch.float32
    torch.testing.assert_close(log_posteriors.exp().sum(-1), torch.ones(1, 2))
    torch.testing.assert_close(log_posteriors[0, 0, 1] - log_posteriors[0, 0, 0], torch.tensor(1.0))
