"""What systems are compared by: rates that are one count over another, by utterance.

The names of measures are those of compare.json. All are fractions: of the words of the references, of utterances, or of
frames. ``class:NAME`` is frame accuracy on the frames of that class of phones.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asrkd.core.errors import MismatchError
from asrkd.core.files import read_fields
from asrkd.hmm.alignment import Alignment
from asrkd.scoring.frame_results import labels_hash
from asrkd.scoring.frames import Calibration
from asrkd.scoring.phone_frames import FramePhones
from asrkd.scoring.predictions import Predictions, read_predictions
from asrkd.scoring.words import WordErrors

Counts = Mapping[str, float]
"""By utterance id."""


@dataclass(frozen=True)
class Measure:
    """``counts`` by system; the rate is their sum over the sum of ``over``."""

    name: str
    counts: Mapping[str, Counts]
    over: Counts


@dataclass(frozen=True)
class SystemFrames:
    """frames.json and predictions.npy of a system: ``correct`` and ``total`` frames by utterance."""

    path: Path
    parameters: int
    ece: float
    tied_states: str
    labels: str
    num_pdfs: int
    correct: Mapping[str, int]
    total: Mapping[str, int]
    predictions: Mapping[str, Predictions]

    @classmethod
    def read(cls, path: Path) -> "SystemFrames":
        """Raises DataError for scores by an older version, and for damage."""
        types: dict[str, type | tuple[type, ...]] = {"parameters": int, "ece": (int, float), "num_pdfs": int}
        types |= {"tied_states": str, "labels": str}
        fields = read_fields(path / "frames.json", utterances=dict, **types)
        utterances = fields["utterances"]
        total = {utt: int(pair[1]) for utt, pair in utterances.items()}
        return cls(
            path,
            **{name: fields[name] for name in types},
            correct={utt: int(pair[0]) for utt, pair in utterances.items()},
            total=total,
            predictions=read_predictions(path, total, fields["num_pdfs"]),
        )


def check_together(systems: Mapping[str, SystemFrames]) -> None:
    """MismatchError unless all were scored on the same utterances, tied states and alignment."""
    (first, model), *others = systems.items()
    for name, other in others:
        if difference := sorted(model.total.keys() ^ other.total.keys()):
            missing, there = (name, first) if difference[0] in model.total else (first, name)
            raise MismatchError(
                f"{difference[0]} is in the frames of {there}, not of {missing} ({len(difference)} such): "
                "were the two scored on different sets?"
            )
        if other.tied_states != model.tied_states:
            raise MismatchError(
                f"{first} predicts states of the tree {model.tied_states[:12]}, {name} of {other.tied_states[:12]}: "
                "frames of different trees can't be compared; words can (give decode/hyp.txt alone)"
            )
        if other.labels != model.labels:
            raise MismatchError(
                f"the frames of {first} and {name} were scored against different alignments: run `asrkd frames` of "
                "both with one alignment (one may have been made again by a net)"
            )


def check_alignment(name: str, scored: SystemFrames, alignment: Alignment) -> None:
    """MismatchError unless ``scored`` was scored against ``alignment``."""
    alignment.check_tied_states(scored.tied_states, str(scored.path))
    if absent := sorted(scored.total.keys() - set(alignment.utt_ids)):
        raise MismatchError(f"{absent[0]} of {name} is not in alignment {alignment.path}: is it another set's?")
    if labels_hash({utt: alignment.pdf_ids(utt) for utt in scored.total}) != scored.labels:
        raise MismatchError(
            f"the frames of {name} were scored against another alignment than {alignment.path}: give the one that "
            "`asrkd frames` was given"
        )


def word_measures(systems: Mapping[str, WordErrors]) -> Iterator[Measure]:
    """Word error rate, its parts, and the share of utterances with any error. All of one set of references."""
    words = next(iter(systems.values())).words_by_utterance()
    for name, field in (
        ("wer", "errors"),
        *((field, field) for field in ("substitutions", "deletions", "insertions")),
    ):
        counts = {
            system: {utt: float(getattr(each, field)) for utt, each in errors.utterances.items()}
            for system, errors in systems.items()
        }
        yield Measure(name, counts, words)
    any_wrong = {
        system: {utt: float(each.errors > 0) for utt, each in errors.utterances.items()}
        for system, errors in systems.items()
    }
    yield Measure("ser", any_wrong, dict.fromkeys(words, 1.0))


def frame_measures(
    systems: Mapping[str, SystemFrames],
    teacher: str | None,
    phones: FramePhones | None,
    labels: Mapping[str, np.ndarray],
) -> Iterator[Measure]:
    """Accuracy on all frames, agreement with the teacher's predictions; with ``phones``, also what needs them.

    ``labels`` are the aligned pdf-ids, for what is counted over some of the frames.
    """
    total = next(iter(systems.values())).total
    yield Measure("frame_accuracy", {name: each.correct for name, each in systems.items()}, total)
    if phones is not None:
        yield from _phone_measures(systems, phones, labels, total)
    if teacher is None:
        return
    ahead = systems[teacher].predictions
    yield Measure(
        "agreement",
        {
            name: {utt: float((rows["pdf"] == ahead[utt]["pdf"]).sum()) for utt, rows in each.predictions.items()}
            for name, each in systems.items()
        },
        total,
    )
    if phones is not None:
        said = {utt: phones.predicted(utt, rows) for utt, rows in ahead.items()}
        yield Measure(
            "phone_agreement",
            {
                name: {utt: float((phones.predicted(utt, r) == said[utt]).sum()) for utt, r in each.predictions.items()}
                for name, each in systems.items()
            },
            total,
        )


def _phone_measures(
    systems: Mapping[str, SystemFrames], phones: FramePhones, labels: Mapping[str, np.ndarray], total: Counts
) -> Iterator[Measure]:
    names = list(dict.fromkeys(phones.classes.values()))
    chosen = {"speech_accuracy": phones.speech, **{f"class:{name}": phones.members(name) for name in names}}
    for measure, members in chosen.items():
        inside = {utt: members[aligned] for utt, aligned in phones.aligned.items()}
        over = {utt: float(mask.sum()) for utt, mask in inside.items()}
        if not any(over.values()):
            continue
        counts = {
            name: {
                utt: float(((rows["pdf"] == labels[utt]) & inside[utt]).sum()) for utt, rows in s.predictions.items()
            }
            for name, s in systems.items()
        }
        yield Measure(measure, counts, over)
    right = {
        name: {utt: float((phones.predicted(utt, r) == phones.aligned[utt]).sum()) for utt, r in s.predictions.items()}
        for name, s in systems.items()
    }
    yield Measure("phone_accuracy", right, total)


def speech_ece(scored: SystemFrames, phones: FramePhones, labels: Mapping[str, np.ndarray]) -> float:
    """Expected calibration error over the frames whose aligned phone is no silence."""
    calibration, speech = Calibration(), phones.speech
    for utt_id, rows in scored.predictions.items():
        kept = speech[phones.aligned[utt_id]]
        calibration += Calibration.of(rows["confidence"][kept], (rows["pdf"] == labels[utt_id])[kept])
    return calibration.expected_error
