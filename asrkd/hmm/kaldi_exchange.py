"""Tied states and alignments of a Kaldi experiment, taken over and given back.

In: ``exp/tri3b_ali`` and the like, with final.mdl, tree, phones.txt and ali.*.gz. Out: the same files, as Kaldi's
``steps/`` read them.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from asrkd.core.archive import read_scp
from asrkd.core.config import STRICT
from asrkd.core.datadir import read_speakers
from asrkd.core.errors import ConfigError, DataError, MismatchError
from asrkd.core.files import atomic_write, read_lines
from asrkd.core.messages import say
from asrkd.features.kaldi import ImportFeaturesConfig
from asrkd.hmm.alignment import Alignment, write_alignment
from asrkd.hmm.event_map import read_tree
from asrkd.hmm.gmm_features import SPLICE, TRANSFORM
from asrkd.hmm.kaldi_ali import ali_files, read_ali, split_evenly, write_ali
from asrkd.hmm.paths import PathCheck
from asrkd.hmm.tied_states import GMM_INPUT, MODEL, TREE, TiedStates, read_model
from asrkd.hmm.transitions import Int32Array
from asrkd.lang.phones import real_phones

NAMED = 5
"""Utterances that a message names; all are in alignment.json."""


@dataclass(frozen=True, config=STRICT)
class ImportAlignmentConfig:
    """``max_failed``: share of the utterances that may have no alignment; more are an error."""

    max_failed: float = Field(default=0.05, ge=0, le=1)


@dataclass(frozen=True, config=STRICT)
class ImportKaldiConfig:
    """What the parts of an experiment are taken as."""

    features: ImportFeaturesConfig = Field(default_factory=ImportFeaturesConfig)
    alignment: ImportAlignmentConfig = Field(default_factory=ImportAlignmentConfig)


def import_tied_states(kaldi_dir: Path, work: Path) -> dict[str, Any]:
    """Take over final.mdl, tree, phones.txt and final.mat, if any, of a Kaldi GMM; returns tied_states.json's content.

    Raises DataError for files that are missing or damaged, and for other models than GMMs of diagonal covariances;
    MismatchError where phones.txt is another model's.
    """
    if kaldi_dir.is_dir() and not (kaldi_dir / "phones.txt").is_file():
        read_model(kaldi_dir / MODEL)  # where it is of a kind that is refused, phones.txt would not help
        raise DataError(
            f"{kaldi_dir / 'phones.txt'} is missing: copy it from the lang dir that the model was made with"
        )
    model = TiedStates.load(kaldi_dir)
    known, named = set(model.transitions.topology.phones), set(model.phones.values())
    if unknown := sorted(known - named):
        raise MismatchError(
            f"{kaldi_dir}: final.mdl models phone {unknown[0]}, phones.txt has none of that number: "
            "is it of another lang dir?"
        )
    if extra := sorted(set(real_phones(model.phones)) - known):
        raise MismatchError(
            f"{kaldi_dir / 'phones.txt'}: has a symbol {extra[0]}, of which final.mdl has no model: "
            "is it of another lang dir, or words.txt?"
        )
    seen = gmm_input(kaldi_dir)
    if seen:
        say(
            f"{kaldi_dir}: its Gaussians are over {seen}: nets use its tied states and alignments, but the Gaussians "
            "themselves can neither align nor decode here"
        )
    return model.write(work, **({GMM_INPUT: seen} if seen else {}))


def gmm_input(kaldi_dir: Path) -> str:
    """What the Gaussians of a folder of Kaldi's see, where that is not MFCC with deltas; else empty."""
    if any(kaldi_dir.glob("trans.*")):
        return "features adapted to the speaker (fMLLR, trans.*)"
    path = kaldi_dir / "delta_opts"
    options = " ".join(read_lines(path)).strip() if path.is_file() else ""
    return f"MFCC with other deltas (delta_opts: {options[:60]})" if options else ""


def import_alignment(
    config: ImportAlignmentConfig, kaldi_dir: Path, tied_states: Path, data: Path, work: Path
) -> dict[str, Any]:
    """Alignment folder, in ``work``, of the utterances of ``data`` from Kaldi's ali.*.gz.

    ``data`` is a folder with utt2spk, a data dir or features; where it has utt2num_frames too, lengths must agree.
    Utterances without an alignment are listed as failed. Raises MismatchError, naming file, utterance and frame, for
    an alignment of another tree; DataError for archives that are missing or damaged.
    """
    model = TiedStates.load(tied_states)
    _check_same_tree(kaldi_dir, model, tied_states)
    wanted = read_speakers(data)
    alignments = _read_wanted(kaldi_dir, wanted, model, tied_states)
    _check_lengths(alignments, data, kaldi_dir)
    _check_missing(sorted(wanted.keys() - alignments.keys()), len(wanted), config, data, kaldi_dir)
    nothing = np.zeros(0, np.int32)
    return write_alignment(work, model, sorted(wanted), lambda utt: alignments.get(utt, nothing), max_failed=1.0)


def _check_same_tree(kaldi_dir: Path, model: TiedStates, tied_states: Path) -> None:
    """An alignment folder of Kaldi's has a copy of its tree, which tells at once."""
    if (kaldi_dir / TREE).is_file() and read_tree(kaldi_dir / TREE).to_bytes() != model.context_tree.to_bytes():
        raise MismatchError(
            f"{kaldi_dir / TREE} is not the tree of {tied_states}: was the tree built again? "
            "Import the tied states from this folder"
        )


def _read_wanted(
    kaldi_dir: Path, wanted: Mapping[str, str], model: TiedStates, tied_states: Path
) -> dict[str, Int32Array]:
    paths, checked = PathCheck(model), dict[str, Int32Array]()
    for path in ali_files(kaldi_dir):
        for utt_id, ids in read_ali(path):
            if utt_id not in wanted or not len(ids):
                continue
            if utt_id in checked:
                raise DataError(f"{path}: {utt_id} is there twice: were archives of two runs mixed?")
            try:
                paths.check(ids)
            except MismatchError as error:
                raise MismatchError(
                    f"{path}: {utt_id}: {error}: no alignment of {tied_states}; was it made with another tree?"
                ) from None
            checked[utt_id] = ids
    return checked


def _check_lengths(alignments: Mapping[str, Int32Array], data: Path, kaldi_dir: Path) -> None:
    if not (data / "utt2num_frames").is_file():
        return
    num_frames = read_scp(data / "utt2num_frames")
    for utt_id, ids in alignments.items():
        if num_frames.get(utt_id) != str(len(ids)):
            raise MismatchError(
                f"{kaldi_dir}: {utt_id} has {len(ids)} frames, {num_frames.get(utt_id, 'none')} in "
                f"{data / 'utt2num_frames'}: do snip_edges, frame shift or the audio differ?"
            )


def _check_missing(missing: list[str], total: int, config: ImportAlignmentConfig, data: Path, kaldi_dir: Path) -> None:
    if not missing:
        return
    named = ", ".join(missing[:NAMED]) + (", .." if len(missing) > NAMED else "")
    problem = f"{len(missing)} of {total} utterances of {data} have no alignment in {kaldi_dir} ({named})"
    if len(missing) > config.max_failed * total or len(missing) == total:
        raise DataError(f"{problem}: were both made from one data dir? (at most max_failed = {config.max_failed:g})")
    say(problem)


def export_alignment(
    alignment: Path, tied_states: Path, work: Path, num_jobs: int = 1, text: bool = False
) -> dict[str, Any]:
    """Write ali.N.gz, num_jobs, final.mdl, tree and phones.txt into ``work``, in Kaldi's own formats.

    With them go final.mat and splice_opts of a model that has them. Utterances stand in sorted order and are split as
    ``split_data.sh --per-utt`` splits them. Raises MismatchError where the alignment is of other tied states.
    """
    opened, model = Alignment.open(alignment), TiedStates.load(tied_states)
    opened.check_tied_states(model.hash, str(tied_states))
    utt_ids = sorted(opened.utt_ids)
    if not 1 <= num_jobs <= len(utt_ids):
        raise ConfigError(f"{num_jobs} jobs for {len(utt_ids)} utterances: give 1 to {len(utt_ids)}")
    for number, part in enumerate(split_evenly(utt_ids, num_jobs), 1):
        write_ali(work / f"ali.{number}.gz", ((utt, opened.transition_ids(utt)) for utt in part), text)
    with atomic_write(work / "num_jobs") as file:
        file.write(f"{num_jobs}\n")
    for name in (MODEL, TREE, "phones.txt", TRANSFORM, SPLICE):
        if name not in (TRANSFORM, SPLICE) or (tied_states / name).is_file():
            shutil.copyfile(tied_states / name, work / name)
    return {"utterances": len(utt_ids), "jobs": num_jobs, "num_pdfs": model.num_pdfs}
