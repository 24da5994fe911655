"""The alignment of augmented copies: that of their originals, with which they share every frame's time.

Better than aligning noisy speech itself: the labels are those of the clean recording.
"""

from pathlib import Path
from typing import Any

import numpy as np

from asrkd.core.datadir import read_data_dir
from asrkd.core.errors import MismatchError
from asrkd.hmm.alignment import Alignment, write_alignment
from asrkd.hmm.tied_states import TiedStates
from asrkd.hmm.transitions import Int32Array


def align_copies(alignment: Path, data_dir: Path, tied_states: Path, work: Path) -> dict[str, Any]:
    """Alignment folder, in ``work``, of all utterances of a data dir, each aligned as its utt2ali says.

    ``alignment`` holds the originals; copies of those that failed to align are listed as failed. Raises MismatchError
    where it is of other tied states or lacks an original.
    """
    originals, model = Alignment.open(alignment), TiedStates.load(tied_states)
    originals.check_tied_states(model.hash, str(tied_states))
    data = read_data_dir(data_dir, allow_pipes=True)  # no audio is read, no command run
    aligned_as = {utt: data.aligned_as.get(utt, utt) for utt in data.wav}
    known = {*originals.utt_ids, *originals.failed}
    if missing := sorted(utt for utt, original in aligned_as.items() if original not in known):
        raise MismatchError(
            f"{data_dir}: {missing[0]} has the timing of {aligned_as[missing[0]]}, which is not in {alignment} "
            f"({len(missing)} such): was something else augmented, or are there speed copies, to be aligned first?"
        )

    def align(utt: str) -> Int32Array:
        original = aligned_as[utt]
        return originals.transition_ids(original) if original in originals.num_frames else np.zeros(0, np.int32)

    return write_alignment(work, model, sorted(aligned_as), align, max_failed=1.0)
