"""Soft targets as Kaldi's ``Posterior`` archives, which its tools read as ``scp:post.scp``, or as matrices.

An entry is, in binary, a count of frames, and for each frame a count and as many pairs of pdf-id (int32) and weight
(float32). Every number is a byte with its size, 4, and four bytes, so that an entry is a run of five-byte units.

An entry does not say where a frame begins, so that a range of frames would be found by reading all before it: archives
keep the same pairs (codec `kaldi_posterior`) in a layout of their own, and are exported.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asrkd.core.archive import absolute_index, write_sharded
from asrkd.core.errors import DataError
from asrkd.core.files import atomic_write
from asrkd.core.parallel import map_shards, split_shards
from asrkd.hmm.kaldi_io import BINARY_HEADER
from asrkd.losses import SoftTargets
from asrkd.targets.archive import SoftTargetArchive, Spread

SHARD_SIZE = 500
_UNIT = np.dtype([("size", "u1"), ("value", "<i4")])


def posterior_bytes(ids: NDArray[np.integer[Any]], weights: NDArray[np.floating[Any]]) -> bytes:
    """The entry of an utterance from pdf-ids and weights, both (num_frames, k); weights of 0 are left out."""
    kept = weights > 0
    counts = kept.sum(axis=1)
    ends = np.cumsum(counts)
    heads = 1 + np.arange(len(counts)) + 2 * (ends - counts)
    units = np.empty(1 + len(counts) + 2 * int(counts.sum()), _UNIT)
    units["size"] = 4
    values = np.zeros(len(units), "<i4")
    values[0], values[heads] = len(counts), counts
    within = np.arange(int(counts.sum())) - np.repeat(ends - counts, counts)
    places = np.repeat(heads + 1, counts) + 2 * within
    values[places], values[places + 1] = ids[kept], weights[kept].astype("<f4").view("<i4")
    units["value"] = values
    return BINARY_HEADER + units.tobytes()


def export_posteriors(
    soft_targets: Path, work: Path, output: Path, renormalise: bool = False, jobs: int = 1
) -> dict[str, Any]:
    """Write post.N.ark and post.scp into ``work``, which will be ``output``, the folder that post.scp names.

    Weights are the stored posteriors at the archive's temperature. Where pdfs beyond the k largest have been put
    together, a frame's weights sum to less than 1, unless ``renormalise``. Raises DataError for an archive that is
    damaged.
    """
    archive = _opened(soft_targets)
    shards = split_shards(sorted(archive.utt_ids), max(1, len(archive.utt_ids) // SHARD_SIZE))
    folder = os.path.abspath(output)  # noqa: PTH100 (links stay links)

    def write(number: int) -> list[str]:
        lines, name = [], f"post.{number}.ark"
        with atomic_write(work / name, "wb") as file:
            for utt_id in shards[number - 1]:
                file.write(utt_id.encode() + b" ")
                lines.append(f"{utt_id} {folder}/{name}:{file.tell()}\n")
                file.write(posterior_bytes(*_weights(archive, utt_id, renormalise)))
        return lines

    indices = map_shards(write, range(1, len(shards) + 1), jobs, "posteriors")
    with atomic_write(work / "post.scp") as file:
        file.writelines(line for lines in indices for line in lines)
    return _summary(archive)


def export_matrices(soft_targets: Path, work: Path, output: Path, spread: Spread, jobs: int = 1) -> dict[str, Any]:
    """Write targets.N.ark and targets.scp: float32 matrices (num_frames, num_pdfs), whose rows sum to 1.

    What was stored as one mass, the tail, is spread over the pdfs that are not listed: in proportion to their priors,
    or evenly. Raises what `export_posteriors` raises.
    """
    archive = _opened(soft_targets)

    def matrix(utt_id: str) -> NDArray[np.float32]:
        soft = archive.soft_targets(utt_id)
        _check(archive, utt_id, soft)
        return archive.dense(soft, spread)

    write_sharded(work, "targets", sorted(archive.utt_ids), matrix, jobs=jobs, description="targets")
    absolute_index(work / "targets.scp", output)
    return _summary(archive)


def _opened(soft_targets: Path) -> SoftTargetArchive:
    archive = SoftTargetArchive.open(soft_targets)
    if not archive.utt_ids:
        raise DataError(f"{soft_targets / 'index'}: holds no utterances: was it cut short?")
    return archive


def _summary(archive: SoftTargetArchive) -> dict[str, Any]:
    return {
        "utterances": len(archive.utt_ids),
        "frames": sum(archive.num_frames.values()),
        "num_pdfs": archive.header.num_pdfs,
        "temperature": archive.header.temperature,
    }


def _weights(
    archive: SoftTargetArchive, utt_id: str, renormalise: bool
) -> tuple[NDArray[np.integer[Any]], NDArray[np.floating[Any]]]:
    soft = archive.soft_targets(utt_id)
    ids, weights = _check(archive, utt_id, soft)
    return ids, weights / weights.sum(axis=1, keepdims=True) if renormalise else weights


def _check(
    archive: SoftTargetArchive, utt_id: str, soft: SoftTargets
) -> tuple[NDArray[np.integer[Any]], NDArray[np.floating[Any]]]:
    """Ids and weights (num_frames, k) of an utterance's soft targets; DataError for what none can be."""
    weights = soft.probs.numpy()
    ids = np.broadcast_to(np.arange(weights.shape[1]), weights.shape) if soft.ids is None else soft.ids.numpy()
    possible = (weights >= 0) & (weights <= 1) & (ids >= 0) & (ids < archive.header.num_pdfs)
    if not possible.all():
        frame = int(np.argmin(possible.all(axis=1)))
        raise DataError(f"{archive.path}: {utt_id}: a posterior that can't be at frame {frame}: is a shard damaged?")
    return ids, weights
