"""Clusters of pdfs that are predicted together."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from asrkd.core.errors import ConfigError, DataError
from asrkd.core.files import read_json, write_json
from asrkd.features.store import FeatureDir
from asrkd.models import build_model
from asrkd.models.saved import ModelInfo, save_model
from asrkd.targets.clusters import (
    ClusterConfig,
    Clusters,
    cluster,
    covariance,
    nearest,
    online_kmeans,
    unit_columns,
)
from asrkd.targets.weights import open_ensemble

GROUPS = ([0, 3, 6], [1, 4, 7], [2, 5, 8])
NUM_PDFS = 9


@pytest.fixture
def generalist(tmp_path: Path) -> Path:
    """Tells groups apart by the first three features, and the members of a group hardly, by the others."""
    info = ModelInfo({"hidden_layers": 0}, 0, 0, 6, NUM_PDFS, "tiny", "t" * 64, (-2.0,) * NUM_PDFS)
    module = build_model(info.model, 6, NUM_PDFS, "model")
    weight = torch.zeros(NUM_PDFS, 6)
    for index, group in enumerate(GROUPS):
        for place, pdf in enumerate(group):
            weight[pdf, index], weight[pdf, 3 + place] = 5.0, 0.5
    module.load_state_dict({"0.weight": weight, "0.bias": torch.zeros(NUM_PDFS)})
    (tmp_path / "model").mkdir()
    save_model(tmp_path / "model", module, info)
    return tmp_path / "model"


@pytest.fixture
def features(tmp_path: Path, make_features: Callable[..., Path]) -> Path:
    rng = np.random.default_rng(0)
    return make_features(tmp_path / "features", {f"u{n}": rng.normal(size=(200 + n, 6)) for n in range(5)})


def test_covariance_is_numpys(generalist: Path, features: Path) -> None:
    ensemble, opened = open_ensemble([generalist], "cpu"), FeatureDir.open(features)
    posteriors = [ensemble.log_posteriors(opened.load(utt)).exp().double().numpy() for utt in opened.utt_ids]
    expected = np.cov(np.concatenate(posteriors).T, bias=True)
    np.testing.assert_allclose(covariance(ensemble, [opened]), expected, atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_what_is_confused_is_a_cluster(generalist: Path, features: Path, tmp_path: Path, seed: int) -> None:
    summary = cluster(ClusterConfig(clusters=3, seed=seed), [features], generalist, tmp_path)
    found = Clusters.open(tmp_path)
    assert sorted(map(list, found.members)) == [list(group) for group in GROUPS]
    assert summary == {"num_clusters": 3, "covered_pdfs": NUM_PDFS}
    assert (tmp_path / "numbers").read_text() == "1 2 3\n"
    assert found.pdfs(1) == found.members[0]
    with pytest.raises(ConfigError, match="clusters 1 to 3, there is no cluster 4"):
        found.pdfs(4)


def test_clusters_of_one_size_overlap_or_leave_some_out(generalist: Path, features: Path, tmp_path: Path) -> None:
    cluster(ClusterConfig(clusters=3, size=5), [features], generalist, tmp_path)
    wide = Clusters.open(tmp_path).members
    assert all(len(pdfs) == 5 and any(set(group) <= set(pdfs) for group in GROUPS) for pdfs in wide)
    cluster(ClusterConfig(clusters=2, size=3), [features], generalist, tmp_path)
    assert len({pdf for pdfs in Clusters.open(tmp_path).members for pdf in pdfs}) < NUM_PDFS


def test_online_kmeans_finds_directions_that_are_far_apart() -> None:
    rng = np.random.default_rng(1)
    means = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [-0.6, -0.8, 0.0]])
    points = unit_columns((np.repeat(means, 30, axis=0) + 0.1 * rng.normal(size=(90, 3))).T)
    centres = online_kmeans(points, 3, 10, 1)
    order = (means @ centres.T).argmax(1).tolist()
    assert sorted(order) == [0, 1, 2]
    expected = points.reshape(3, 30, 3).mean(1)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(centres[order], expected, atol=0.02)
    assert [len(part) for part in nearest(points, centres, None)] == [30, 30, 30]


def test_no_cluster_takes_all_though_hardly_any_two_columns_are_alike() -> None:
    """Pairs of like columns among 40 directions: by distance the short mean of many would be the nearest to all."""
    directions = np.repeat(np.eye(40), 2, axis=0) + 0.3 * np.random.default_rng(0).normal(size=(80, 40)) / 40**0.5
    points = unit_columns(directions.T)
    sizes = [len(part) for part in nearest(points, online_kmeans(points, 8, 20, 1), None)]
    assert max(sizes) < 40


def test_a_pdf_that_is_never_predicted_has_a_column_all_the_same() -> None:
    matrix = np.array([[4.0, 0.0], [0.0, 0.0]])
    np.testing.assert_array_equal(unit_columns(matrix), [[1.0, 0.0], [0.0, 0.0]])


def test_bad_input(generalist: Path, features: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there are 9 pdfs"):
        cluster(ClusterConfig(clusters=5), [features], generalist, tmp_path)
    with pytest.raises(ConfigError, match="there are 9 pdfs"):
        cluster(ClusterConfig(clusters=2, size=9), [features], generalist, tmp_path)
    cluster(ClusterConfig(clusters=3), [features], generalist, tmp_path)
    content = read_json(tmp_path / "clusters.json")
    for wrong in ([9], [1, 0], [], ["a"], 3):
        write_json(tmp_path / "clusters.json", {**content, "clusters": [wrong]})
        with pytest.raises(DataError, match="cluster 1 is no list of ascending pdf-ids"):
            Clusters.open(tmp_path)
