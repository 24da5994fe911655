"""Features of a data dir: every utterance through the front end, into a feature folder."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from asrkd.core.archive import write_sharded
from asrkd.core.audio import Seconds
from asrkd.core.datadir import read_data_dir
from asrkd.core.device import choose_device
from asrkd.core.errors import ConfigError, DataError
from asrkd.features.frontend import FeatureConfig, Features, compute_native, compute_torchaudio
from asrkd.features.store import write_feature_dir


def extract(
    config: FeatureConfig, data_dir: Path, work: Path, jobs: int = 1, allow_pipes: bool = False
) -> dict[str, Any]:
    """Write the feature folder of ``data_dir`` into ``work``. Archives that stand there already are kept.

    Raises DataError for audio that is missing, cut short or of another rate, utterances shorter than one frame, and
    features that are not finite; each names the utterance. ConfigError where a backend can't warp as utt2warp says.
    """
    data = read_data_dir(data_dir, allow_pipes)
    backend, device = _backend(config)
    if backend == "native" and any(warp != 1 for warp in data.warps.values()):
        raise ConfigError(f"{data_dir / 'utt2warp'}: backend native can't warp: set backend to auto or torchaudio")

    def compute(utt_id: str) -> Features:
        try:
            samples = data.audio(utt_id, config.sample_rate)
        except DataError as error:
            raise DataError(f"{data_dir}: {utt_id}: {error}") from None
        if backend == "native":
            features = compute_native(samples, config)
        else:
            features = compute_torchaudio(samples, config, device, data.warps.get(utt_id, 1.0))
        return _checked(features, f"{data_dir}: {utt_id}", len(samples) / config.sample_rate, config)

    # One process feeds a GPU; on CPUs each worker computes its own share.
    write_sharded(
        work, "feats", sorted(data.wav), compute, jobs=jobs if device == "cpu" else 1, description=config.kind
    )
    description = {
        "kind": config.kind,
        "dim": config.dim,
        "frame_shift_ms": config.frame_shift_ms,
        "frame_length_ms": config.frame_length_ms,
        "snip_edges": config.snip_edges,
        "sample_rate": config.sample_rate,
        "norm_vars": config.norm_vars,
        "identity": front_end_identity(config),
    }
    num_frames = write_feature_dir(work, data.utt2spk, description)
    return {"utterances": len(data.wav), "frames": num_frames, "dim": config.dim, "backend": backend}


def front_end_identity(config: FeatureConfig) -> str:
    """Names the front end by what changes its output: kind, dimension and a hash of the settings."""
    settings = TypeAdapter(FeatureConfig).dump_python(config)
    for name in ("backend", "device"):
        settings.pop(name)
    digest = hashlib.sha256(repr(sorted(settings.items())).encode()).hexdigest()[:12]
    return f"{config.kind}{config.dim}-{digest}"


def _backend(config: FeatureConfig) -> tuple[str, str]:
    """Which implementation, and where: torchaudio, on a GPU where there is one, unless the other is asked for."""
    if config.backend == "native":
        return "native", "cpu"
    return "torchaudio", choose_device(config.device)


def _checked(features: Features, where: str, seconds: Seconds, config: FeatureConfig) -> Features:
    if len(features) == 0:
        raise DataError(
            f"{where}: {seconds * 1000:.0f} ms of audio are less than one frame of {config.frame_length_ms:g} ms"
        )
    if not np.isfinite(features).all():
        raise DataError(f"{where}: the front end gave NaN or infinity: is the audio damaged?")
    return features
