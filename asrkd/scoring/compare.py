"""Finished systems compared on one set: compare.json's content, from hypotheses, predictions and an alignment.

Every rate has a 95 % interval, and every pair of rows a paired difference (`significance`), on the same utterances for
all systems; word errors also have a matched-pairs test (`matched_pairs`). With several comparisons of one measure, each
p-value stands beside Holm's adjusted one. A row is a system, or the mean over those of the baseline.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np

from asrkd.core.datadir import read_transcripts
from asrkd.core.errors import AsrkdError, ConfigError
from asrkd.hmm.alignment import Alignment
from asrkd.hmm.tied_states import TiedStates
from asrkd.lang.phone_classes import CLASSES, OTHER_CLASS, read_phone_classes
from asrkd.scoring.matched_pairs import mapsswe, with_holm
from asrkd.scoring.measures import (
    Measure,
    SystemFrames,
    check_alignment,
    check_together,
    frame_measures,
    speech_ece,
    word_measures,
)
from asrkd.scoring.phone_frames import FramePhones
from asrkd.scoring.significance import PairedBootstrap
from asrkd.scoring.systems import Roles, Row, System
from asrkd.scoring.words import WordErrors, read_transcript_file, score_words

TRANSFERRED = ("frame_accuracy", "speech_accuracy", "wer")
"""Measures for which the share of the teacher's gain that a student keeps is given."""


@dataclass(frozen=True)
class Against:
    """What the systems are scored against: a data dir or a file of transcripts; an alignment and its tied states."""

    reference: Path | None = None
    alignment: Path | None = None
    tied_states: Path | None = None
    phone_classes: Path | None = None

    def __post_init__(self) -> None:
        if bool(self.alignment) != bool(self.tied_states):
            raise ConfigError("--alignment and --tied-states go together: an alignment's phones are those of its model")
        if self.phone_classes and not self.tied_states:
            raise ConfigError("--phone-classes needs --alignment and --tied-states: phones are known from them alone")


@dataclass
class _Results:
    """What was read of the systems."""

    words: dict[str, WordErrors] = field(default_factory=dict)
    frames: dict[str, SystemFrames] = field(default_factory=dict)
    phones: FramePhones | None = None
    labels: dict[str, np.ndarray] = field(default_factory=dict)


def compare(systems: Sequence[System], roles: Roles, against: Against) -> dict[str, Any]:
    """compare.json's content.

    Raises DataError for what is missing or malformed, MismatchError where systems, references, alignment or tied states
    do not belong together.
    """
    rows = roles.rows([system.name for system in systems])
    results = _read(systems, against)
    measures = [*_measures(results, roles)]
    pairs = [(a, b) for b, a in itertools.combinations(rows, 2)]
    bootstraps = {measure.name: PairedBootstrap(measure.counts, measure.over) for measure in measures}
    return {
        "words": _word_set(results.words),
        "frames": _frame_set(results, measures),
        "roles": {"baseline": list(roles.baseline), "teacher": roles.teacher, "students": list(roles.students)},
        "systems": [_system(row, results, measures, bootstraps) for row in rows],
        "comparisons": _differences(pairs, bootstraps, roles.teacher),
        "matched_pairs": _matched_pairs(pairs, results.words),
        "transfer": _transfer(roles, bootstraps),
        "phones": _phones(rows, results),
    }


def _read(systems: Sequence[System], against: Against) -> _Results:
    results = _Results()
    said = [system for system in systems if system.hypotheses]
    if said and not against.reference:
        raise ConfigError(f"--ref is needed to score the words of {said[0].name}: a data dir, or a file of transcripts")
    if against.reference and said:
        folder = against.reference.is_dir()
        references = read_transcripts(against.reference) if folder else read_transcript_file(against.reference)
        for system in said:
            results.words[system.name] = _score(system, references)
    results.frames = {system.name: SystemFrames.read(system.frames) for system in systems if system.frames}
    if results.frames:
        check_together(results.frames)
    if results.frames and against.alignment and against.tied_states:
        _read_phones(results, against.alignment, against.tied_states, against.phone_classes)
    return results


def _score(system: System, references: Mapping[str, str]) -> WordErrors:
    assert system.hypotheses
    try:
        return score_words(references, read_transcript_file(system.hypotheses))
    except AsrkdError as error:
        raise type(error)(f"{system.name} ({system.hypotheses}): {error}") from None


def _read_phones(results: _Results, path: Path, tied_states: Path, classes_file: Path | None) -> None:
    alignment, model = Alignment.open(path), TiedStates.load(tied_states)
    alignment.check_tied_states(model.hash, str(tied_states))
    name, first = next(iter(results.frames.items()))
    check_alignment(name, first, alignment)
    modelled = [
        symbol for symbol, number in model.phones.items() if number in set(model.transitions.states[:, 0].tolist())
    ]
    classes = read_phone_classes(classes_file, modelled) if classes_file else CLASSES
    results.labels = {utt: alignment.pdf_ids(utt) for utt in first.total}
    results.phones = FramePhones.read(alignment, model, first.total, classes)


def _measures(results: _Results, roles: Roles) -> Iterable[Measure]:
    if results.words:
        yield from word_measures(results.words)
    if results.frames:
        teacher = roles.teacher if roles.teacher in results.frames else None
        yield from frame_measures(results.frames, teacher, results.phones, results.labels)


def _has(row: Row, bootstrap: PairedBootstrap) -> bool:
    """Whether there are counts of the row, and so of all of its members."""
    missing = [name for name in row.members if name not in bootstrap.systems]
    if missing and len(missing) < len(row.members):
        raise ConfigError(f"{missing[0]} has no such results as the rest of the {row.name}: score it, or leave it out")
    return not missing


def _word_set(words: Mapping[str, WordErrors]) -> dict[str, int] | None:
    if not words:
        return None
    first = next(iter(words.values()))
    return {"utterances": len(first.utterances), "words": first.total.words}


def _frame_set(results: _Results, measures: Sequence[Measure]) -> dict[str, Any] | None:
    if not results.frames:
        return None
    sizes = {measure.name: round(sum(measure.over.values())) for measure in measures}
    classes = {name.removeprefix("class:"): size for name, size in sizes.items() if name.startswith("class:")}
    return {
        "utterances": len(next(iter(results.frames.values())).total),
        "frames": sizes["frame_accuracy"],
        "speech_frames": sizes.get("speech_accuracy"),
        "classes": classes,
    }


def _system(
    row: Row, results: _Results, measures: Sequence[Measure], bootstraps: Mapping[str, PairedBootstrap]
) -> dict[str, Any]:
    rates = {}
    for measure in measures:
        bootstrap = bootstraps[measure.name]
        if not _has(row, bootstrap):
            continue
        interval = bootstrap.rate(*row.members)
        singles = [bootstrap.rate(name).estimate for name in row.members]
        rates[measure.name] = {
            "value": interval.estimate,
            "low": interval.low,
            "high": interval.high,
            "spread": stdev(singles) if len(singles) > 1 else None,
        }
    frames = [results.frames[name] for name in row.members if name in results.frames]
    words = [results.words[name] for name in row.members if name in results.words]
    phones = results.phones
    return {
        "name": row.name,
        "members": list(row.members),
        "rates": rates,
        "parameters": round(fmean(each.parameters for each in frames)) if frames else None,
        "ece": fmean(each.ece for each in frames) if frames else None,
        "speech_ece": fmean(speech_ece(each, phones, results.labels) for each in frames) if frames and phones else None,
        "errors": fmean(each.total.errors for each in words) if words else None,
        "missing": sum(len(each.missing) for each in words),
        "first_missing": next((each.missing[0] for each in words if each.missing), None),
    }


def _differences(
    pairs: Sequence[tuple[Row, Row]], bootstraps: Mapping[str, PairedBootstrap], teacher: str | None
) -> list[dict[str, Any]]:
    found = []
    for measure, bootstrap in bootstraps.items():
        # The teacher agrees with itself.
        left_out = teacher if measure.endswith("agreement") else None
        rows = []
        for a, b in pairs:
            if not (_has(a, bootstrap) and _has(b, bootstrap)) or left_out in (a.name, b.name):
                continue
            rows.append(bootstrap.difference(a.members, b.members).row(a.name, b.name, measure))
        found += with_holm(rows)
    return found


def _matched_pairs(pairs: Sequence[tuple[Row, Row]], words: Mapping[str, WordErrors]) -> list[dict[str, Any]]:
    places = {name: each.places for name, each in words.items()}
    rows = []
    for a, b in pairs:
        if not {*a.members, *b.members} <= places.keys():
            continue
        test = mapsswe([places[name] for name in a.members], [places[name] for name in b.members])
        rows.append({"a": a.name, "b": b.name, "segments": test.segments, "mean": test.mean, "p": test.p_value})
    return with_holm(rows)


def _transfer(roles: Roles, bootstraps: Mapping[str, PairedBootstrap]) -> list[dict[str, Any]]:
    """The share of the teacher's gain over the baseline that each student keeps."""
    rows = []
    for student, measure in itertools.product(roles.students, TRANSFERRED):
        bootstrap = bootstraps.get(measure)
        names = {*roles.baseline, roles.teacher, student}
        if bootstrap is None or not roles.baseline or roles.teacher is None or not names <= {*bootstrap.systems}:
            continue
        ratio = bootstrap.transfer_ratio(roles.baseline, roles.teacher, student)
        rows.append({"student": student, "measure": measure, **asdict(ratio)})
    return rows


def _phones(rows: Sequence[Row], results: _Results) -> dict[str, Any] | None:
    phones = results.phones
    if phones is None:
        return None
    return {
        "classes": [{"phone": phone, "class": name} for phone, name in phones.classes.items()],
        "unclassed": [phone for phone, name in phones.classes.items() if name == OTHER_CLASS],
        "shared_pdfs": phones.num_shared,
        "confusions": {
            row.name: np.sum([phones.confusions(results.frames[name].predictions) for name in row.members], 0).tolist()
            for row in rows
            if set(row.members) <= results.frames.keys()
        },
    }
