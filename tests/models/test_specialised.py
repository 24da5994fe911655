"""Generalist and specialists as one model: who is asked, what comes of it, and specialists that are added later."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from asrkd.core.errors import ConfigError, DataError, MismatchError
from asrkd.core.files import read_json, write_json
from asrkd.models import build_model
from asrkd.models.consensus import Opinion, consensus
from asrkd.models.saved import ModelInfo, SavedModel, load_model, log_softmax, save_model
from asrkd.models.specialised import Specialised, add_specialists
from asrkd.models.specialist import SavedSpecialist, SpecialistInfo, load_specialist, save_specialist, start_from

NUM_PDFS, DIM = 6, 4
NET = {"hidden_layers": 1, "hidden_units": 8, "dropout": 0.2}
INFO = ModelInfo(NET, 0, 0, DIM, NUM_PDFS, "fbank", "t" * 64, (-1.0,) * NUM_PDFS)
SETS = ((0, 1), (1, 2, 3), (2, 3))


def generalist(folder: Path) -> SavedModel:
    torch.manual_seed(0)
    module = build_model(NET, DIM, NUM_PDFS, "model")
    torch.nn.init.normal_(module.get_parameter("3.weight"))
    folder.mkdir(exist_ok=True)
    save_model(folder, module, INFO)
    return load_model(folder)


def specialist(model: SavedModel, pdfs: tuple[int, ...], correction: float = 0.7) -> SavedSpecialist:
    """One that has learnt something of its own."""
    torch.manual_seed(len(pdfs) + 10 * pdfs[0])
    module = start_from(model, pdfs)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    said = SpecialistInfo(NET, 0, 0, DIM, NUM_PDFS, "fbank", "t" * 64, pdfs, correction)
    return SavedSpecialist(Path("s"), said, module.eval())


@pytest.fixture
def model(tmp_path: Path) -> SavedModel:
    return generalist(tmp_path / "generalist")


@pytest.fixture
def specialists(model: SavedModel) -> list[SavedSpecialist]:
    return [specialist(model, pdfs) for pdfs in SETS]


@torch.no_grad()
def test_a_specialist_starts_as_its_generalist(model: SavedModel) -> None:
    windows = torch.randn(9, DIM)
    module = start_from(model, (4, 1)).eval()
    ours, theirs = module(windows), model.module(windows)
    torch.testing.assert_close(ours[:, :2], theirs[:, [4, 1]])
    others = theirs[:, [0, 2, 3, 5]]
    torch.testing.assert_close(ours[:, 2], others.mean(1) + torch.tensor(4.0).log())
    assert (ours[:, 2] <= others.logsumexp(1) + 1e-5).all()


@torch.no_grad()
def test_a_frame_is_what_its_own_specialists_and_the_generalist_agree_on(
    model: SavedModel, specialists: list[SavedSpecialist]
) -> None:
    module, _ = add_specialists(model, specialists)
    windows = torch.randn(200, DIM)
    log_q = module(windows)
    log_p = log_softmax(model.module(windows))
    numbers = set()
    for frame in range(200):
        top = int(log_p[frame].argmax())
        opinions = []
        for each in specialists:
            if top in each.info.pdfs:
                logits = each.module(windows[frame : frame + 1])
                logits[:, -1] += each.info.correction
                opinions.append(Opinion(log_softmax(logits), torch.tensor(each.info.pdfs)))
        numbers.add(len(opinions))
        expected = consensus(log_p[frame : frame + 1], opinions).float()
        torch.testing.assert_close(log_q[frame : frame + 1], expected, rtol=1e-4, atol=1e-5)
    assert numbers == {0, 1, 2}
    torch.testing.assert_close(log_q.exp().sum(1), torch.ones(200))
    torch.testing.assert_close(module(windows.reshape(4, 50, DIM)).reshape(200, -1), log_q, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_specialists_run_on_the_frames_that_call_for_them_alone(
    model: SavedModel, specialists: list[SavedSpecialist]
) -> None:
    module, _ = add_specialists(model, specialists)
    seen = [0] * len(SETS)

    def hook(index: int) -> None:
        module.specialists[index].register_forward_hook(
            lambda _net, inputs, _out: seen.__setitem__(index, seen[index] + len(inputs[0]))
        )

    for index in range(len(SETS)):
        hook(index)
    windows = torch.randn(300, DIM)
    module(windows)
    top = model.module(windows).argmax(1).tolist()
    assert seen == [sum(pdf in pdfs for pdf in top) for pdfs in SETS]


@torch.no_grad()
def test_one_added_later_is_as_if_it_had_been_there(
    model: SavedModel, specialists: list[SavedSpecialist], tmp_path: Path
) -> None:
    module, info = add_specialists(model, specialists[:2])
    (tmp_path / "two").mkdir()
    save_model(tmp_path / "two", module, info)
    later, later_info = add_specialists(load_model(tmp_path / "two"), specialists[2:])
    at_once, at_once_info = add_specialists(model, specialists)
    assert later_info == at_once_info
    windows = torch.randn(50, DIM)
    torch.testing.assert_close(later(windows), at_once(windows), rtol=0, atol=0)
    others = ~torch.isin(model.module(windows).argmax(1), torch.tensor(SETS[2]))
    assert 0 < others.sum() < 50
    torch.testing.assert_close(later(windows)[others], module(windows)[others])


@torch.no_grad()
def test_round_trip_of_both_folders(model: SavedModel, specialists: list[SavedSpecialist], tmp_path: Path) -> None:
    for name in ("joined", "specialist"):
        (tmp_path / name).mkdir()
    module, info = add_specialists(model, specialists)
    save_model(tmp_path / "joined", module, info)
    read, windows = load_model(tmp_path / "joined"), torch.randn(20, DIM)
    assert isinstance(read.module, Specialised)
    torch.testing.assert_close(read.module(windows), module(windows), rtol=0, atol=0)
    save_specialist(tmp_path / "specialist", specialists[1].module, specialists[1].info)
    one = load_specialist(tmp_path / "specialist")
    assert one.info == specialists[1].info
    torch.testing.assert_close(one.module(windows), specialists[1].module(windows), rtol=0, atol=0)
    with pytest.raises(DataError, match=r"holds a specialist.*add-specialists"):
        load_model(tmp_path / "specialist")
    path = tmp_path / "specialist/specialist.json"
    description = read_json(path)
    for pdfs in ([], ["1", "2"], [0.5]):
        write_json(path, {**description, "pdfs": pdfs})
        with pytest.raises(DataError, match="pdfs is no list of pdf-ids"):
            load_specialist(tmp_path / "specialist")


def test_what_does_not_belong_together(model: SavedModel, specialists: list[SavedSpecialist]) -> None:
    first = specialists[0]
    for changes, expected in (
        ({"features": "mfcc"}, "features"),
        ({"tied_states": "u" * 64}, "tied states"),
        ({"left": 1}, "sees 1 past"),
    ):
        stranger = replace(first, info=replace(first.info, **changes))
        with pytest.raises(MismatchError, match=expected):
            add_specialists(model, [stranger])


@pytest.mark.parametrize("pdfs", [[0, 0], [6], [-1], [0, 1, 2, 3, 4, 5]])
def test_pdfs_that_can_not_be(pdfs: list[int]) -> None:
    section = {"type": "specialised", "generalist": NET, "specialists": [{"model": NET, "pdfs": pdfs}]}
    with pytest.raises(ConfigError, match=r"specialists\.0: pdfs are not distinct ids"):
        build_model(section, DIM, NUM_PDFS, "model")


def test_it_is_not_trained_as_one(model: SavedModel, specialists: list[SavedSpecialist]) -> None:
    module, info = add_specialists(model, specialists)
    with pytest.raises(ConfigError, match="train-specialist"):
        module.train()(torch.randn(2, DIM))
    with pytest.raises(ConfigError, match="add the specialists to it"):
        build_model({"type": "specialised", "generalist": info.model}, DIM, NUM_PDFS, "model")
