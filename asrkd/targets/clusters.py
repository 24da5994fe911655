"""Which pdfs a generalist confuses: Hinton, Vinyals and Dean (2015), section 5.2.

The covariance of its posteriors over frames, C = E[p p^T] - E[p] E[p]^T, needs no labels. Pdfs that are often predicted
together have like columns, which an online k-means groups: columns come one by one in a random order, several times
over, and each draws the nearest centre to the mean of all it has been nearest to. Nearest is by direction (spherical
k-means): columns of frequent pdfs are long, and the mean of many columns, which point everywhere, is short, and neither
is a cluster for that alone.

A cluster is the ``size`` pdfs that are nearest to its centre, as all of the paper's specialists are of one size:
clusters may then overlap, and leave some pdfs to the generalist. Without a size each pdf is in the cluster of the
nearest centre.
"""

from collections.abc import Sequence
from dataclasses import dataclass as plain_dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass
from tqdm import tqdm

from asrkd.core.config import STRICT
from asrkd.core.device import choose_device
from asrkd.core.errors import ConfigError, DataError
from asrkd.core.files import atomic_write, read_fields, write_json
from asrkd.core.random import rng_for
from asrkd.features.store import FeatureDir
from asrkd.models.saved import check_belongs
from asrkd.targets.averaging import Ensemble
from asrkd.targets.weights import open_ensemble

FILE = "clusters.json"
NUMBERS = "numbers"  # of the clusters, for shell scripts
LEAST = 2  # pdfs of a cluster: fewer are nothing to tell apart

Matrix: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, config=STRICT)
class ClusterConfig:
    """How many clusters, and of how many pdfs; ``passes`` over all columns."""

    clusters: int = Field(default=8, ge=1)
    size: int | None = Field(default=None, ge=LEAST)
    passes: int = Field(default=20, ge=1)
    seed: int = 1


@plain_dataclass(frozen=True)
class Clusters:
    """A finished folder of clusters, each a list of pdf-ids in ascending order."""

    path: Path
    tied_states: str
    num_pdfs: int
    members: Sequence[Sequence[int]]

    @classmethod
    def open(cls, path: Path) -> "Clusters":
        """Read clusters.json. DataError where it is malformed."""
        content = read_fields(path / FILE, tied_states=str, num_pdfs=int, clusters=list)
        num_pdfs, members = content["num_pdfs"], content["clusters"]
        for number, pdfs in enumerate(members, start=1):
            ids = pdfs if isinstance(pdfs, list) else []
            if not ids or sorted(set(ids) & set(range(num_pdfs))) != ids:
                raise DataError(f"{path / FILE}: cluster {number} is no list of ascending pdf-ids: was it edited?")
        return cls(path, content["tied_states"], num_pdfs, members)

    def pdfs(self, number: int) -> Sequence[int]:
        """Of the cluster of this number, from 1; ConfigError where there is none such."""
        if not 1 <= number <= len(self.members):
            raise ConfigError(f"{self.path} has clusters 1 to {len(self.members)}, there is no cluster {number}")
        return self.members[number - 1]


def cluster(config: ClusterConfig, feature_dirs: Sequence[Path], generalist: Path, work: Path) -> dict[str, Any]:
    """Write clusters of the generalist's pdfs, by its posteriors on all of these features, into ``work``.

    Memory: num_pdfs^2 numbers of 8 bytes, twice.
    """
    ensemble = open_ensemble([generalist], choose_device("auto"))
    num_pdfs = ensemble.info.num_pdfs
    if config.clusters > num_pdfs // LEAST or (config.size or 0) >= num_pdfs:
        raise ConfigError(
            f"{config.clusters} clusters of {config.size or LEAST} pdfs or more: there are {num_pdfs} pdfs"
        )
    folders = [FeatureDir.open(path) for path in feature_dirs]
    columns = unit_columns(covariance(ensemble, folders))
    centres = online_kmeans(columns, config.clusters, config.passes, config.seed)
    members = [pdfs for pdfs in nearest(columns, centres, config.size) if len(pdfs) >= LEAST]
    covered = len({pdf for pdfs in members for pdf in pdfs})
    summary = {"num_clusters": len(members), "covered_pdfs": covered}
    content = {"clusters": members, "num_pdfs": num_pdfs, "tied_states": ensemble.info.tied_states}
    write_json(work / FILE, content)
    with atomic_write(work / NUMBERS) as file:
        file.write(" ".join(str(number) for number in range(1, len(members) + 1)) + "\n")
    print(f"cluster: {len(members)} clusters, {covered} of {num_pdfs} pdfs in one or more", flush=True)
    return summary


def covariance(ensemble: Ensemble, folders: Sequence[FeatureDir]) -> Matrix:
    """Of the posteriors at T = 1 over all frames, (num_pdfs, num_pdfs); utterances are read one at a time."""
    device = next(ensemble.models[0].module.parameters()).device
    size = ensemble.info.num_pdfs
    total, products, count = torch.zeros(size, device=device), torch.zeros(size, size, device=device), 0
    total, products = total.double(), products.double()
    for features in folders:
        check_belongs(ensemble.models[0], features.identity)
        for utt_id in tqdm(features.utt_ids, "cluster", disable=None):
            posteriors = ensemble.log_posteriors(features.load(utt_id)).exp()
            total += posteriors.sum(0)
            products += posteriors.T @ posteriors
            count += len(posteriors)
    mean = total / count
    result: Matrix = (products / count - mean[:, None] * mean).cpu().numpy()
    return result


def unit_columns(matrix: Matrix) -> Matrix:
    """The columns, scaled to length 1, as rows; one of zeros stays."""
    return _unit(matrix.T)


def _unit(rows: Matrix) -> Matrix:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    result: Matrix = rows / np.where(lengths > 0, lengths, 1)
    return result


def online_kmeans(points: Matrix, clusters: int, passes: int, seed: int) -> Matrix:
    """Centres (clusters, dim) of points (count, dim), all of length 1: each point moves the nearest to the mean of what
    it has had.

    The first are points drawn far from each other (k-means++).
    """
    rng = rng_for(seed, "clusters")
    centres = points[_spread(points, clusters, rng)]
    for number in range(passes):
        seen = np.ones(clusters)  # anew in each pass: what was nearest to a centre as it was is forgotten
        for index in rng_for(seed, "clusters", number).permutation(len(points)):
            best = int((_unit(centres) @ points[index]).argmax())
            seen[best] += 1
            centres[best] += (points[index] - centres[best]) / seen[best]
    return _unit(centres)


def _spread(points: Matrix, count: int, rng: np.random.Generator) -> list[int]:
    """Indices of points, each drawn in proportion to its squared distance from the nearest before it."""
    chosen = [int(rng.integers(len(points)))]
    distances = ((points - points[chosen[0]]) ** 2).sum(1)
    while len(chosen) < count:
        total = distances.sum()
        chosen.append(int(rng.choice(len(points), p=distances / total if total > 0 else None)))
        distances = np.minimum(distances, ((points - points[chosen[-1]]) ** 2).sum(1))
    return chosen


def nearest(points: Matrix, centres: Matrix, size: int | None) -> list[list[int]]:
    """For each centre the ``size`` points nearest to it, or else those that no other centre is nearer to; ascending."""
    cosines = points @ centres.T
    if size is not None:
        return [sorted(np.argsort(-column, kind="stable")[:size].tolist()) for column in cosines.T]
    closest = cosines.argmax(1)
    return [np.flatnonzero(closest == number).tolist() for number in range(len(centres))]
