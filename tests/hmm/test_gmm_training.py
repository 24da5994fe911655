"""Statistics, updates and splits against Kaldi's own, and against closed forms."""

import kaldi_hmm_gmm
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrkd.hmm.gmm import DiagGmms
from asrkd.hmm.gmm_training import UpdateLimits, accumulate, split, split_targets, update
from tests.hmm.gmms import random_gmms, to_kaldi

DIM = 4


@given(st.integers(0, 2**32 - 1), st.sampled_from([40, 200]))
def test_an_update_is_kaldis(seed: int, num_frames: int) -> None:
    """Of frames so few that components are lost, and of frames enough."""
    rng = np.random.default_rng(seed)
    gmms = random_gmms(rng, 3, DIM)
    feats = rng.standard_normal((num_frames, DIM)).astype(np.float32)
    pdf_ids = rng.integers(0, 3, num_frames)
    model = to_kaldi(gmms)
    kaldi = kaldi_hmm_gmm.AccumAmDiagGmm()
    kaldi.init(model=model, flags=kaldi_hmm_gmm.GmmUpdateFlags.kGmmAll)
    total = sum(
        kaldi.accumulate_for_gmm(model=model, data=frame, gmm_index=int(pdf), weight=1.0)
        for frame, pdf in zip(feats, pdf_ids, strict=True)
    )
    statistics = accumulate(gmms, feats, pdf_ids)
    assert statistics.num_frames == num_frames
    assert statistics.log_likelihood == pytest.approx(total, rel=1e-4)
    kaldi_hmm_gmm.mle_am_diag_gmm_update(
        config=kaldi_hmm_gmm.MleDiagGmmOptions(),
        amdiag_gmm_acc=kaldi,
        flags=kaldi_hmm_gmm.str_to_gmm_flags("mvwt"),
        am_gmm=model,
    )
    updated = update(gmms, statistics, UpdateLimits())
    for pdf in range(3):
        expected, of = model.get_pdf(pdf), updated.owner == pdf
        assert of.sum() == expected.num_gauss
        np.testing.assert_allclose(updated.weights[of], expected.weights, rtol=1e-3)
        np.testing.assert_allclose(updated.means[of], expected.means, rtol=1e-2, atol=1e-3)
        np.testing.assert_allclose(updated.variances[of], expected.vars, rtol=1e-2, atol=1e-3)


def test_one_gaussian_gets_the_mean_and_variance_of_its_frames() -> None:
    rng = np.random.default_rng(0)
    gmms = DiagGmms.from_moments(np.ones(2), np.zeros((2, DIM)), np.ones((2, DIM)), np.arange(2))
    feats = (3 + 2 * rng.standard_normal((500, DIM))).astype(np.float32)
    updated = update(gmms, accumulate(gmms, feats, np.zeros(500, int)), UpdateLimits())
    np.testing.assert_allclose(updated.means[0], feats.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(updated.variances[0], feats.var(axis=0), rtol=1e-3)
    np.testing.assert_allclose(updated.means[1], 0.0)  # a pdf without frames stays as it is
    np.testing.assert_allclose(updated.weights, 1.0)


def test_variances_stop_at_the_floor() -> None:
    gmms = DiagGmms.from_moments(np.ones(1), np.zeros((1, DIM)), np.ones((1, DIM)), np.zeros(1, int))
    feats = np.ones((50, DIM), np.float32)
    updated = update(gmms, accumulate(gmms, feats, np.zeros(50, int)), UpdateLimits(min_variance=0.25))
    np.testing.assert_allclose(updated.variances, 0.25, rtol=1e-6)


def test_statistics_add_up() -> None:
    rng = np.random.default_rng(3)
    gmms = random_gmms(rng, 3, DIM)
    feats, pdf_ids = rng.standard_normal((90, DIM)).astype(np.float32), rng.integers(0, 3, 90)
    whole = accumulate(gmms, feats, pdf_ids)
    halves = accumulate(gmms, feats[:40], pdf_ids[:40])
    halves += accumulate(gmms, feats[40:], pdf_ids[40:])
    np.testing.assert_allclose(halves.second, whole.second, rtol=1e-4)
    assert halves.per_frame == pytest.approx(whole.per_frame, rel=1e-5)


@given(st.integers(0, 2**32 - 1))
def test_em_never_lowers_the_likelihood(seed: int) -> None:
    rng = np.random.default_rng(seed)
    gmms = random_gmms(rng, 2, DIM)
    feats, pdf_ids = rng.standard_normal((300, DIM)).astype(np.float32), rng.integers(0, 2, 300)
    limits, before = UpdateLimits(min_occupancy=0.0, min_weight=0.0, min_variance=1e-6), -np.inf
    for _ in range(4):
        statistics = accumulate(gmms, feats, pdf_ids)
        assert statistics.per_frame >= before - 1e-4
        before, gmms = statistics.per_frame, update(gmms, statistics, limits)


@given(st.lists(st.floats(0, 5000), min_size=1, max_size=6), st.integers(1, 40), st.sampled_from([0.0, 0.2, 1.0]))
def test_split_targets_are_kaldis(occupancy: list[float], target: int, power: float) -> None:
    """One Gaussian for each pdf, split by Kaldi to the same total: the same numbers."""
    # Kaldi counts in float32, where near ties may fall the other way: keep them apart.
    occupancy = [round(value) * 1.37 + number for number, value in enumerate(occupancy)]
    count = len(occupancy)
    one = DiagGmms.from_moments(np.ones(count), np.zeros((count, 2)), np.ones((count, 2)), np.arange(count))
    model = to_kaldi(one)
    model.split_by_count(
        state_occs=np.array(occupancy, np.float32),
        target_components=target,
        perturb_factor=0.01,
        power=power,
        min_count=20.0,
    )
    ours = split_targets(np.array(occupancy), target, power, 20.0)
    theirs = np.array([model.num_gauss_in_pdf(pdf) for pdf in range(count)])
    assert ours.sum() == theirs.sum()
    if power:  # with equal shares, who gets the odd one is by chance
        np.testing.assert_allclose(ours, theirs, atol=1)


def test_a_split_halves_the_heaviest_and_moves_the_halves_apart() -> None:
    means = np.array([[0.0, 0.0], [5.0, 5.0], [1.0, 1.0]])
    gmms = DiagGmms.from_moments([0.3, 0.7, 1.0], means, np.full((3, 2), 4.0), np.array([0, 0, 1]))  # type: ignore[arg-type]
    result = split(gmms, np.array([3, 1]), np.random.default_rng(0), perturb=0.1)
    np.testing.assert_array_equal(result.owner, [0, 0, 0, 1])
    np.testing.assert_allclose(result.weights, [0.3, 0.35, 0.35, 1.0], rtol=1e-6)
    np.testing.assert_allclose(result.means[1] + result.means[2], [10.0, 10.0], rtol=1e-5)
    assert (np.abs(result.means[1] - 5.0) > 1e-4).all()
    np.testing.assert_allclose(result.means[[0, 3]], means[[0, 2]], atol=1e-6)
    np.testing.assert_allclose(result.variances, 4.0, rtol=1e-6)


def test_splitting_depends_on_the_seed_alone() -> None:
    gmms = random_gmms(1, 3, DIM)
    first, again, other = (split(gmms, np.full(3, 6), np.random.default_rng(s), 0.1).to_bytes() for s in (7, 7, 8))
    assert first == again != other


def test_two_clusters_are_found_after_a_split() -> None:
    rng = np.random.default_rng(2)
    feats = np.concatenate([rng.normal(-3, 0.5, (200, 2)), rng.normal(3, 0.5, (200, 2))]).astype(np.float32)
    zeros = np.zeros(400, int)
    gmms = DiagGmms.from_moments(np.ones(1), np.zeros((1, 2)), np.ones((1, 2)), np.zeros(1, int))
    gmms = split(update(gmms, accumulate(gmms, feats, zeros), UpdateLimits()), np.array([2]), rng, 0.1)
    for _ in range(10):
        gmms = update(gmms, accumulate(gmms, feats, zeros), UpdateLimits())
    np.testing.assert_allclose(np.sort(gmms.means[:, 0]), [-3, 3], atol=0.2)
    np.testing.assert_allclose(gmms.weights, 0.5, atol=0.01)
