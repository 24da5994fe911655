"""Log-likelihoods as matrix archives, for Kaldi's ``latgen-faster-mapped`` and its kin."""

from pathlib import Path
from typing import Any

from asrkd.core.archive import absolute_index, write_sharded
from asrkd.decoding.sources import Source
from asrkd.features.store import FeatureDir


def export_log_likelihoods(
    source: Source, features: FeatureDir, work: Path, output: Path, jobs: int = 1
) -> dict[str, Any]:
    """Write loglikes.N.ark and loglikes.scp into ``work``, which will be ``output``, the folder that the scp names.

    Matrices are float32, (num_frames, num_pdfs): log posterior - log prior, without the acoustic scale, which
    Kaldi's decoders apply.
    """
    utt_ids = sorted(features.utt_ids)
    write_sharded(
        work, "loglikes", utt_ids, source.log_likelihoods, jobs=1 if source.on_gpu else jobs, description="loglikes"
    )
    absolute_index(work / "loglikes.scp", output)
    return {
        "utterances": len(utt_ids),
        "frames": sum(features.num_frames.values()),
        "tied_states": source.tied_states,
    }
