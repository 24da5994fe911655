"""The offset of some classes' biases: the best there is, and nothing else of the net is changed."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asrkd.core.errors import ConfigError, DataError, MismatchError
from asrkd.decoding.acoustic import scaled_log_likelihoods
from asrkd.features.store import FeatureDir
from asrkd.models.layers import output_layer
from asrkd.models.saved import load_model, log_softmax
from asrkd.scoring.frame_results import net_frame_scores
from asrkd.training.bias import best_offset, raise_bias
from asrkd.training.train import TrainConfig, TrainInputs, train
from tests.training.conftest import write_alignment

FRAMES = st.lists(
    st.tuples(st.integers(-40, 40), st.booleans(), st.booleans()).filter(lambda frame: not (frame[1] and frame[2])),
    min_size=1,
    max_size=30,
)


@given(frames=FRAMES)
def test_no_offset_is_better(frames: list[tuple[int, bool, bool]]) -> None:
    """Against every whole number and what lies between them; margins may be equal."""
    margins, below, above = (np.array(column) for column in zip(*frames, strict=True))

    def right(offset: float) -> int:
        return int(np.where(offset > margins, above, below).sum())

    best = best_offset(margins.astype(float), below, above)
    assert best.right == right(best.offset) == max(right(number / 2) for number in range(-90, 91))
    assert best.right_before == right(0.0)


@pytest.fixture
def student(problem: TrainInputs, config_of: Callable[..., TrainConfig], tmp_path: Path) -> Path:
    """One that saw no frame of class 2 but its dropout's."""
    train(config_of(omit=[2]), problem, tmp_path)
    return tmp_path


def test_the_net_is_raised_by_what_is_said(problem: TrainInputs, student: Path, tmp_path: Path) -> None:
    out = tmp_path / "raised"
    out.mkdir()
    summary = raise_bias(student, problem.dev_features, problem.dev_alignment, [2], None, out)
    before, after = load_model(student), load_model(out)
    difference = output_layer(after.module).bias - output_layer(before.module).bias
    torch.testing.assert_close(difference, torch.tensor([0.0, 0.0, summary["offset"]]))
    assert summary["offset"] > 0
    for folder, key in ((student, "dev_frame_accuracy_before"), (out, "dev_frame_accuracy")):
        work = folder / "frames"
        work.mkdir()
        scores = net_frame_scores(problem.dev_features, problem.dev_alignment, [folder], work)
        assert scores["frame_accuracy"] == pytest.approx(summary[key])
    assert summary["dev_frame_accuracy"] > summary["dev_frame_accuracy_before"] + 0.05
    for name, tensor in before.module.state_dict().items():
        if not torch.equal(tensor, after.module.state_dict()[name]):
            assert tensor.shape == (3,)


def test_a_raised_bias_is_a_smaller_prior(problem: TrainInputs, student: Path) -> None:
    """At decoding: log posterior - log prior is the same, but for a number for each frame, which no path feels."""
    model, offset = load_model(student), 1.7
    windows = torch.randn(5, model.info.input_dim, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = model.module(windows)
    raised = logits.clone()
    raised[:, 2] += offset
    priors = model.log_priors.copy()
    lowered = priors.copy()
    lowered[2] -= offset
    by_bias = scaled_log_likelihoods(log_softmax(raised).numpy(), priors, 1.0)
    by_prior = scaled_log_likelihoods(log_softmax(logits).numpy(), lowered, 1.0)
    difference = by_bias - by_prior
    np.testing.assert_allclose(difference, np.broadcast_to(difference[:, :1], difference.shape), atol=1e-5)


def test_mistakes(problem: TrainInputs, student: Path, tmp_path: Path) -> None:
    def attempt(classes: list[int | str], alignment: Path = problem.dev_alignment) -> None:
        raise_bias(student, problem.dev_features, alignment, classes, None, tmp_path)

    with pytest.raises(ConfigError, match="pdf 3: there are 3, from 0 on"):
        attempt([3])
    with pytest.raises(ConfigError, match="not all of them"):
        attempt([0, 1, 2])
    with pytest.raises(ConfigError, match="phone AA: which pdfs it has the tied-state model says"):
        attempt(["AA"])
    features = FeatureDir.open(problem.dev_features)
    short = write_alignment(tmp_path / "short", {utt: np.zeros(3, np.int32) for utt in features.utt_ids})
    with pytest.raises(MismatchError, match="has 20 frames, 3 in the alignment"):
        attempt([0], short)
    none = write_alignment(tmp_path / "none", {utt: [0] for utt in features.utt_ids}, failed=tuple(features.utt_ids))
    with pytest.raises(DataError, match="no labelled frames"):
        attempt([0], none)
