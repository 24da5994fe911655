"""Training passes: likelihood rises, a killed run ends with the same bytes, jobs make no difference."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asrkd.core.files import read_json
from asrkd.hmm import alignment, em, triphone
from asrkd.hmm.mono import MonoConfig, mono_stage
from asrkd.hmm.triphone import LdaConfig, TriphoneConfig, triphone_stage
from tests.outputs import contents

CONFIG = MonoConfig(num_passes=4, realign_passes=(2, 3), num_gauss=18)


class Killed(BaseException):
    """As if by a signal: no handler of ours sees it."""


def killing(function: Callable[..., Any], call: int) -> Callable[..., Any]:
    """``function``, but for its ``call``-th call, which never returns."""
    calls = 0

    def wrapped(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            raise Killed
        return function(*arguments, **options)

    return wrapped


LDA_CONFIG = TriphoneConfig(
    num_passes=3,
    realign_passes=(2,),
    num_gauss=30,
    num_leaves=20,
    min_leaf_count=10.0,
    max_utterances=20,
    lda=LdaConfig(dim=4, context=1, mllt_passes=(2, 3)),
)


@pytest.fixture(scope="module")
def lda_run(toy: Any, mono_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """From the alignment that the monophones left, in two processes."""
    work = tmp_path_factory.mktemp("lda")
    triphone_stage(LDA_CONFIG, toy.features, toy.data, toy.lang, mono_dir, work, 2)
    return contents(work)


@pytest.fixture(scope="module")
def uninterrupted(toy: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    work = tmp_path_factory.mktemp("whole")
    mono_stage(CONFIG, toy.features, toy.data, toy.lang, work, 1)
    return contents(work)


def test_likelihood_rises_and_components_reach_their_number(mono_dir: Path) -> None:
    history = read_json(mono_dir / "tied_states.json")["history"]
    values = [entry["log_likelihood"] for entry in history]
    assert values == sorted(values)
    assert values[-1] > values[0] + 1.0
    assert 20 <= history[-1]["num_gauss"] <= 22
    assert [entry["pass"] for entry in history] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "where",
    [("write_model", 1), ("write_model", 3), ("accumulate", 2), ("write_sharded", 2), ("_clear", 2), ("write_json", 4)],
)
def test_a_killed_run_ends_with_the_same_bytes(
    toy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uninterrupted: dict[str, bytes], where: tuple[str, int]
) -> None:
    function, call = where
    monkeypatch.setattr(em, function, killing(getattr(em, function), call))
    with pytest.raises(Killed):
        mono_stage(CONFIG, toy.features, toy.data, toy.lang, tmp_path, 1)
    monkeypatch.undo()
    mono_stage(CONFIG, toy.features, toy.data, toy.lang, tmp_path, 1)
    assert contents(tmp_path) == uninterrupted


def test_a_resumed_run_does_not_train_its_passes_again(
    toy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(em, "_clear", killing(em._clear, 3))
    with pytest.raises(Killed):
        mono_stage(CONFIG, toy.features, toy.data, toy.lang, tmp_path, 1)
    monkeypatch.undo()
    trained = []
    update = em._update

    def noted(config: Any, number: int, *rest: Any) -> Any:
        trained.append(number)
        return update(config, number, *rest)

    monkeypatch.setattr(em, "_update", noted)
    mono_stage(CONFIG, toy.features, toy.data, toy.lang, tmp_path, 1)
    assert trained == [4]


def test_the_number_of_jobs_makes_no_difference(toy: Any, tmp_path: Path, uninterrupted: dict[str, bytes]) -> None:
    mono_stage(CONFIG, toy.features, toy.data, toy.lang, tmp_path, 2)
    assert contents(tmp_path) == uninterrupted


def test_another_seed_gives_another_model(toy: Any, tmp_path: Path, uninterrupted: dict[str, bytes]) -> None:
    config = MonoConfig(num_passes=4, realign_passes=(2, 3), num_gauss=18, seed=1)
    mono_stage(config, toy.features, toy.data, toy.lang, tmp_path, 1)
    assert (tmp_path / "tree").read_bytes() == uninterrupted["tree"]
    assert (tmp_path / "final.mdl").read_bytes() != uninterrupted["final.mdl"]


@pytest.mark.parametrize(
    "where",
    [
        (em, "write_model", 2),
        (em, "write_matrix", 2),
        (em, "accumulate_mllt", 1),
        (em, "estimate_mllt", 2),
        (triphone, "lda", 1),
        (triphone, "build_tree", 1),
        (alignment, "write_json", 1),
    ],
)
def test_triphones_resume_too(  # noqa: PLR0917
    toy: Any, mono_dir: Path, lda_run: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: Any
) -> None:
    """On a part of the utterances, aligned by the previous model, with LDA and MLLT."""
    module, function, call = where
    previous, work = tmp_path / "mono", tmp_path / "work"
    shutil.copytree(mono_dir, previous, ignore=shutil.ignore_patterns("ali"))
    work.mkdir()
    inputs = LDA_CONFIG, toy.features, toy.data, toy.lang, previous, work, 1
    monkeypatch.setattr(module, function, killing(getattr(module, function), call))
    with pytest.raises(Killed):
        triphone_stage(*inputs)
    monkeypatch.undo()
    triphone_stage(*inputs)
    assert contents(work) == lda_run
