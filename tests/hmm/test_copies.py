"""Copies have their originals' labels, frame for frame."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asrkd.core.datadir import read_data_dir, write_data_dir
from asrkd.core.errors import MismatchError
from asrkd.corpora.copies import named_copies, union
from asrkd.hmm.alignment import Alignment
from asrkd.hmm.copies import align_copies


@pytest.fixture
def augmented(toy: Any, tmp_path: Path) -> Path:
    """The toy's data dir with two copies of every utterance."""
    data = read_data_dir(toy.data)
    copies = [named_copies(data, name, same_timing=True) for name in ("noise1", "vtlp1")]
    write_data_dir(tmp_path / "augmented", union([data, *copies]))
    return tmp_path / "augmented"


def test_copies_have_the_labels_of_their_originals(augmented: Path, mono_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "ali").mkdir()
    summary = align_copies(mono_dir / "ali", augmented, mono_dir, tmp_path / "ali")
    originals, copies = Alignment.open(mono_dir / "ali"), Alignment.open(tmp_path / "ali")
    assert summary["num_utterances"] == 3 * len(originals.utt_ids)
    assert copies.tied_states == originals.tied_states
    for utt in originals.utt_ids:
        for copy in (utt, f"noise1-{utt}", f"vtlp1-{utt}"):
            np.testing.assert_array_equal(copies.transition_ids(copy), originals.transition_ids(utt))
            np.testing.assert_array_equal(copies.pdf_ids(copy), originals.pdf_ids(utt))
    np.testing.assert_array_equal(copies.pdf_counts, 3 * originals.pdf_counts)


def test_copies_of_what_failed_fail(toy: Any, augmented: Path, mono_dir: Path, tmp_path: Path) -> None:
    originals = Alignment.open(mono_dir / "ali")
    lost, *kept = originals.utt_ids
    write_data_dir(tmp_path / "kept", read_data_dir(toy.data).subset(kept))
    for name in ("short", "ali"):
        (tmp_path / name).mkdir()
    align_copies(mono_dir / "ali", tmp_path / "kept", mono_dir, tmp_path / "short")
    description = tmp_path / "short/alignment.json"
    description.write_text(description.read_text().replace('"failed": []', f'"failed": ["{lost}"]'))
    summary = align_copies(tmp_path / "short", augmented, mono_dir, tmp_path / "ali")
    assert summary["failed"] == sorted([lost, f"noise1-{lost}", f"vtlp1-{lost}"])


def test_originals_that_are_not_there_are_named(
    toy: Any, augmented: Path, mono_dir: Path, triphone_dir: Path, tmp_path: Path
) -> None:
    fast = named_copies(read_data_dir(toy.data), "sp1.1", same_timing=False)
    write_data_dir(tmp_path / "speed", fast)
    first = min(fast.utt_ids)
    with pytest.raises(
        MismatchError, match=f"{first} has the timing of {first}, which is not in .*24 such.*speed copies"
    ):
        align_copies(mono_dir / "ali", tmp_path / "speed", mono_dir, tmp_path / "ali")
    with pytest.raises(MismatchError, match="was the tree built again"):
        align_copies(mono_dir / "ali", augmented, triphone_dir, tmp_path / "ali")


def test_a_copy_of_a_copy_of_something_else(augmented: Path, mono_dir: Path, tmp_path: Path) -> None:
    data = read_data_dir(augmented)
    copy = min(data.utt_ids)
    wrong = replace(data, aligned_as={**data.aligned_as, copy: "nobody"})
    write_data_dir(tmp_path / "wrong", wrong)
    with pytest.raises(MismatchError, match=rf"{copy} has the timing of nobody.*\(1 such\)"):
        align_copies(mono_dir / "ali", tmp_path / "wrong", mono_dir, tmp_path / "ali")
