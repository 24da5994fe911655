"""The comparison's tables: what stands in them, as text, once for both Markdown and HTML."""

from collections.abc import Sequence

from asrkd.report import formats
from asrkd.report.comparison.schema import CLASS, Compared, ComparedSystem, Difference, Interval, PairsTest
from asrkd.report.tables import INTERVAL, Column, Table, on_p, system_name, within

MEASURES = {
    "frame_accuracy": "Frame accuracy",
    "speech_accuracy": "Frame accuracy, speech",
    "wer": "WER",
}
_MOST_CONFUSED = 12


def label(system: ComparedSystem) -> str:
    """A row's heading."""
    name = system_name(system.name)
    return f"{name}, mean of {len(system.members)}" if len(system.members) > 1 else name


def _rate(rate: Interval | None) -> list[str]:
    """A rate, with the deviation over a mean's members, and its interval."""
    if rate is None:
        return [formats.ABSENT] * 2
    return [formats.spread(rate.value, rate.spread), formats.interval(rate.low, rate.high)]


def _value(system: ComparedSystem, measure: str) -> str:
    rate = system.rates.get(measure)
    return formats.percent(rate.value if rate else None)


def words_table(compared: Compared) -> Table | None:
    """Word error rate and its parts; None where no hypotheses were given."""
    if compared.words is None:
        return None
    columns = [
        Column("System", numeric=False),
        *(Column(name, "WER, %") for name in ("rate", INTERVAL, "subst.", "del.", "ins.")),
        *(Column(name, "Utterances with errors, %") for name in ("rate", INTERVAL)),
        Column("Errors"),
    ]
    rows = [
        [
            label(each),
            *_rate(each.rates.get("wer")),
            *(_value(each, part) for part in ("substitutions", "deletions", "insertions")),
            *_rate(each.rates.get("ser")),
            formats.count(each.errors),
        ]
        for each in compared.systems
    ]
    words = compared.words
    notes = [
        f"Of {formats.count(words.words)} words in {formats.count(words.utterances)} utterances; substitutions, "
        "deletions and insertions are shares of the same words. Intervals: 95 %, bootstrap over utterances.",
        *_missing(compared),
    ]
    return Table("Words", columns, rows, notes)


def _missing(compared: Compared) -> list[str]:
    return [
        f"{label(each)}: {each.missing} utterances have no hypothesis, {each.first_missing} first: deletions."
        for each in compared.systems
        if each.missing
    ]


def frames_table(compared: Compared) -> Table | None:
    """Frame accuracy; None where there are no frames."""
    if compared.frames is None:
        return None
    with_phones = compared.phones is not None
    columns = [
        Column("System", numeric=False),
        Column("Parameters"),
        *(Column(name, "Frame accuracy, %") for name in ("all frames", INTERVAL)),
        *(Column(name, "Frame accuracy, %") for name in ("speech", INTERVAL, "phones") if with_phones),
    ]
    rows = []
    for each in compared.systems:
        cells = [label(each), formats.parameters(each.parameters), *_rate(each.rates.get("frame_accuracy"))]
        if with_phones:
            cells += [*_rate(each.rates.get("speech_accuracy")), _value(each, "phone_accuracy")]
        rows.append(cells)
    return Table("Frames", columns, rows, _frames_notes(compared))


def _frames_notes(compared: Compared) -> list[str]:
    assert compared.frames
    frames = compared.frames
    size = f"Of {formats.count(frames.frames)} frames in {formats.count(frames.utterances)} utterances"
    if frames.speech_frames is None:
        return [f"{size}. Phones and speech frames are known given an alignment and its tied states."]
    return [
        f"{size}, {formats.count(frames.speech_frames)} of them speech: frames whose aligned phone is no silence. "
        "Accuracy is of tied states; the column of phones counts a frame as right where the state predicted is one of "
        "the aligned phone."
    ]


def calibration_table(compared: Compared) -> Table | None:
    """Calibration, and agreement with the teacher; None where there are no frames."""
    if compared.frames is None:
        return None
    with_phones, teacher = compared.phones is not None, compared.system(compared.roles.teacher)
    columns = [
        Column("System", numeric=False),
        *(Column(name, "ECE, %") for name in ("all frames", "speech")[: 1 + with_phones]),
        *(Column(name, "Agreement with the teacher, %") for name in ("states", INTERVAL) if teacher),
        *(Column(name, "Agreement with the teacher, %") for name in ("phones",) if teacher and with_phones),
    ]
    rows = []
    for each in compared.systems:
        cells = [label(each), formats.percent(each.ece), *([formats.percent(each.speech_ece)] if with_phones else [])]
        if teacher:
            cells += _rate(None if each is teacher else each.rates.get("agreement"))
            phones = formats.ABSENT if each is teacher else _value(each, "phone_agreement")
            cells += [phones] if with_phones else []
        rows.append(cells)
    notes = ["ECE: expected calibration error, how far confidence is from accuracy, in 15 bins."]
    if teacher:
        notes.append(f"Agreement: frames for which a system predicts what the teacher does, {within(label(teacher))}.")
    return Table("Calibration and agreement", columns, rows, notes)


def transfer_table(compared: Compared) -> Table | None:
    """How much of the teacher's gain over the baseline each student keeps."""
    columns = [
        Column("Student", numeric=False),
        Column("Measure", numeric=False),
        *(Column(name, "Teacher's gain, points") for name in ("gain", INTERVAL)),
        *(Column(name, "Kept by the student, %") for name in ("share", INTERVAL)),
    ]
    rows = [
        [
            system_name(each.student),
            MEASURES.get(each.measure, each.measure),
            formats.points(each.gain.estimate),
            formats.interval(each.gain.low, each.gain.high),
            *(
                [formats.percent(each.estimate, 0), formats.interval(each.low, each.high, 0)]
                if each.reliable
                else [formats.ABSENT] * 2
            ),
        ]
        for each in compared.transfer
    ]
    notes = ["(student \N{MINUS SIGN} baseline) / (teacher \N{MINUS SIGN} baseline), on the same draws of utterances."]
    if not all(each.reliable for each in compared.transfer):
        notes.append("No share is given of a gain whose interval includes 0.")
    return Table("Transfer", columns, rows, notes) if rows else None


def _pair(a: str, b: str) -> str:
    return f"{system_name(a)} {formats.MINUS} {within(system_name(b))}"


def _difference(found: Difference | None, decimals: int) -> list[str]:
    if found is None:
        return [formats.ABSENT] * 2
    return [formats.points(found.difference, decimals), formats.interval(found.low, found.high, decimals)]


def _p_values(found: Difference | PairsTest | None) -> list[str]:
    return [formats.p_value(found.p if found else None), formats.p_value(found.p_holm if found else None)]


def word_pairs_table(compared: Compared) -> Table | None:
    """Paired differences in word error rate, by bootstrap and by matched pairs."""
    tests = {(each.a, each.b): each for each in compared.matched_pairs}
    columns = [
        Column("Comparison", numeric=False),
        *(Column(name, "WER, points") for name in ("difference", INTERVAL, "p", "Holm")),
        *(Column(name, "Matched pairs") for name in ("segments", "p", "Holm")),
    ]
    rows = [
        [
            _pair(each.a, each.b),
            *[*_difference(each, 2), *_p_values(each)],
            formats.count(test.segments if (test := tests.get((each.a, each.b))) else None),
            *_p_values(test),
        ]
        for each in compared.comparisons
        if each.metric == "wer"
    ]
    notes = [
        "Less WER is better. Left: paired bootstrap over utterances. Right: Gillick and Cox's matched pairs (MAPSSWE) "
        "over stretches with errors between two or more words that all systems of the pair have right. "
        + on_p(len(rows)),
    ]
    return Table("Word error rate", columns, rows, notes) if rows else None


def frame_pairs_table(compared: Compared) -> Table | None:
    """Paired differences in frame accuracy."""
    groups = {"frame_accuracy": "All frames, points", "speech_accuracy": "Speech frames, points"}
    known = {each.metric for each in compared.comparisons}
    columns = [
        Column("Comparison", numeric=False),
        *(
            Column(name, group)
            for measure, group in groups.items()
            if measure in known
            for name in ("difference", INTERVAL, "p", "Holm")
        ),
    ]
    rows = []
    for first in (each for each in compared.comparisons if each.metric == "frame_accuracy"):
        cells = [_pair(first.a, first.b)]
        for measure in groups:
            if measure in known:
                found = compared.difference(first.a, first.b, measure)
                cells += [*_difference(found, 2), *_p_values(found)]
        rows.append(cells)
    notes = ["More frame accuracy is better. Paired bootstrap over utterances. " + on_p(len(rows))]
    return Table("Frame accuracy", columns, rows, notes) if rows else None


def classes_table(compared: Compared) -> Table | None:
    """Frame accuracy by the aligned phone's class, and the student's difference from the baseline."""
    if not compared.frames or not compared.frames.classes or not compared.phones:
        return None
    scored = [each for each in compared.systems if "frame_accuracy" in each.rates]
    student, baseline = compared.student, compared.baseline
    columns = [Column("Class", numeric=False), Column("Frames")]
    columns += [Column(system_name(each.name), "Frame accuracy, %") for each in scored]
    if student and baseline and student in scored and baseline in scored:
        columns += [Column(name, f"{_pair(student.name, baseline.name)}, points") for name in ("difference", INTERVAL)]
    rows = []
    for name, frames in compared.frames.classes.items():
        cells = [name.capitalize(), formats.count(frames), *(_value(each, CLASS + name) for each in scored)]
        if student and baseline and len(columns) > len(cells):
            cells += _difference(compared.difference(student.name, baseline.name, CLASS + name), 1)
        rows.append(cells)
    return Table("Phone classes", columns, rows, _phone_notes(compared))


def _phone_notes(compared: Compared) -> list[str]:
    assert compared.phones
    notes = ["A frame is of the class of its aligned phone, whose marks of stress and position do not count."]
    if compared.phones.unclassed:
        notes.append(
            f"No class is known of {', '.join(compared.phones.unclassed)}: `--phone-classes FILE` gives classes."
        )
    if compared.phones.shared_pdfs:
        notes.append(
            f"{compared.phones.shared_pdfs} tied states serve several phones: such a prediction counts as the aligned "
            "phone where it serves that, else as the first of its phones."
        )
    return notes


def confused_table(compared: Compared) -> Table | None:
    """The pairs of phones that the first student (else the last system) confuses most, and how often others do."""
    shown = compared.student or compared.systems[-1]
    counts = compared.confusions(shown)
    if not counts or not compared.phones:
        return None
    names = [each.phone for each in compared.phones.classes]
    wrong = [(n, i, j) for i, row in enumerate(counts) for j, n in enumerate(row) if i != j and n]
    wrong.sort(key=lambda each: (-each[0], each[1:]))
    matrices = [(each, matrix) for each in compared.systems if (matrix := compared.confusions(each))]
    columns = [
        *(Column(name, numeric=False) for name in ("Aligned", "Predicted")),
        *(Column(system_name(each.name), "Share of the aligned phone's frames, %") for each, _ in matrices),
    ]
    rows = [
        [names[i], names[j], *(formats.percent(_share(matrix, i, j)) for _, matrix in matrices)]
        for _, i, j in wrong[:_MOST_CONFUSED]
    ]
    note = f"The pairs with most frames, by {within(system_name(shown.name))}."
    return Table("Most confused phones", columns, rows, [note]) if rows else None


def _share(counts: Sequence[Sequence[int]], aligned: int, predicted: int) -> float:
    return counts[aligned][predicted] / max(sum(counts[aligned]), 1)
