"""Alignment by nets: a linear net that knows what a GMM knows aligns as it does."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from asrkd.cli import main
from asrkd.core.errors import MismatchError
from asrkd.decoding import realign
from asrkd.decoding.realign import realign_stage
from asrkd.decoding.sources import nets
from asrkd.features.window import Window
from asrkd.hmm.align import AlignConfig, align_stage
from asrkd.hmm.alignment import Alignment
from asrkd.hmm.gmm import DiagGmms
from asrkd.hmm.gmm_features import SplicedTransform
from asrkd.hmm.mono import MonoConfig, mono_stage
from asrkd.hmm.tied_states import TiedStates
from asrkd.models import build_model
from asrkd.models.saved import ModelInfo, save_model
from tests.hmm.conftest import DIM, Toy, make_toy
from tests.outputs import contents

VARIANCE = 0.5


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    return make_toy(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="module")
def gmm(toy: Toy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One Gaussian a pdf, all of one variance, over the toy's features as they are."""
    folder, work = tmp_path_factory.mktemp("gmm"), tmp_path_factory.mktemp("mono")
    mono_stage(MonoConfig(num_passes=4, num_gauss=1), toy.features, toy.data, toy.lang, work, 1)
    trained = TiedStates.load(work)
    means = trained.gmms.means[:, :DIM]
    gmms = DiagGmms.from_moments(np.ones(len(means)), means, np.full(means.shape, VARIANCE), np.arange(len(means)))
    as_it_is = SplicedTransform(np.eye(DIM, dtype=np.float32), Window(0, 0))
    replace(trained, gmms=gmms, transform=as_it_is).write(folder)
    return folder


def write_net(folder: Path, gmm: Path, seed: int) -> Path:
    """Posteriors of the Gaussians under priors drawn by ``seed``: linear, since they share one variance."""
    model = TiedStates.load(gmm)
    folder.mkdir()
    priors = np.random.default_rng(seed).dirichlet(np.ones(model.num_pdfs))
    net = build_model({"type": "dnn", "hidden_layers": 0}, DIM, model.num_pdfs, "net")
    means = model.gmms.means
    with torch.no_grad():
        net[0].weight.copy_(torch.from_numpy(means / VARIANCE))  # type: ignore[index]
        bias = np.log(priors) - (means**2).sum(axis=1) / (2 * VARIANCE)
        net[0].bias.copy_(torch.from_numpy(bias))  # type: ignore[index]
    log_priors = tuple(np.log(priors).tolist())
    info = ModelInfo({"type": "dnn", "hidden_layers": 0}, 0, 0, DIM, model.num_pdfs, "toy", model.hash, log_priors)
    save_model(folder, net, info)
    return folder


@pytest.fixture(scope="module")
def net(gmm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_net(tmp_path_factory.mktemp("nets") / "1", gmm, 1)


@pytest.fixture(scope="module")
def by_gmm(toy: Toy, gmm: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    work = tmp_path_factory.mktemp("ali")
    align_stage(AlignConfig(), toy.features, toy.data, toy.lang, gmm, work, 1)
    return contents(work)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_net_aligns_as_the_gmm_whose_posteriors_it_has(  # noqa: PLR0917
    toy: Toy, gmm: Path, net: Path, by_gmm: dict[str, bytes], tmp_path: Path, jobs: int
) -> None:
    realign_stage(AlignConfig(), toy.features, toy.data, toy.lang, gmm, [net], tmp_path, jobs)
    assert contents(tmp_path) == by_gmm
    assert Alignment.open(tmp_path).tied_states == TiedStates.load(gmm).hash


def test_several_nets_are_averaged_from_the_command_line(
    toy: Toy, gmm: Path, net: Path, by_gmm: dict[str, bytes], tmp_path: Path
) -> None:
    inputs = [toy.features, toy.data, toy.lang, gmm]
    assert main(["align", *map(str, [*inputs, net, net, tmp_path / "ali"])]) == 0
    assert contents(tmp_path / "ali") == by_gmm
    assert main(["align", *map(str, [*inputs, tmp_path / "by_gmm"])]) == 0
    assert contents(tmp_path / "by_gmm") == by_gmm


def test_the_acoustic_scale_is_the_sections(
    toy: Toy, gmm: Path, net: Path, by_gmm: dict[str, bytes], tmp_path: Path
) -> None:
    config = AlignConfig(acoustic_scale=0.0005)
    realign_stage(config, toy.features, toy.data, toy.lang, gmm, [net], tmp_path, 1)
    assert contents(tmp_path)["ali.1.ark"] != by_gmm["ali.1.ark"]


def test_what_a_gpu_computes_is_searched_in_workers(  # noqa: PLR0917
    toy: Toy, gmm: Path, net: Path, by_gmm: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU: log-likelihoods come from this process alone, each utterance's once."""
    asked: list[str] = []

    def on_gpu(*arguments: Any) -> Any:
        source = nets(*arguments)

        def noted(utt_id: str) -> NDArray[np.float32]:
            asked.append(utt_id)
            return source.log_likelihoods(utt_id)

        return replace(source, log_likelihoods=noted, on_gpu=True)

    monkeypatch.setattr(realign, "nets", on_gpu)
    realign_stage(AlignConfig(), toy.features, toy.data, toy.lang, gmm, [net], tmp_path, 2)
    assert contents(tmp_path) == by_gmm
    assert asked == sorted(toy.phones)


def test_nets_of_other_tied_states_or_features_are_refused(toy: Toy, gmm: Path, net: Path, tmp_path: Path) -> None:
    text = (net / "model.json").read_text()
    for name, old, new, message in (
        ("tree", TiedStates.load(gmm).hash, "0" * 64, r"belongs to tied states 0{12}, .* was the tree built again"),
        ("front", '"toy"', '"other"', "was trained on features other, these are toy"),
    ):
        other = tmp_path / name
        other.mkdir()
        (other / "model.safetensors").write_bytes((net / "model.safetensors").read_bytes())
        (other / "model.json").write_text(text.replace(old, new))
        with pytest.raises(MismatchError, match=message):
            realign_stage(AlignConfig(), toy.features, toy.data, toy.lang, gmm, [other], tmp_path / "ali", 1)
