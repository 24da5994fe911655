"""The report's tables: what stands in them, as text, once for both Markdown and HTML."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from asrkd.report import formats
from asrkd.report.schema import DataSet, Rate, Report, Spread, System

NAMES = {
    "gmm": "GMM-HMM",
    "baseline": "Baseline",
    "ensemble": "Ensemble",
    "distilled": "Distilled",
    "distilled_labelled": "Distilled, labelled audio alone",
    "distilled_small": "Distilled, small",
}
METRICS = {"frame_accuracy": "Frame accuracy", "wer": "WER"}
_METRICS_PER_CENT = [f"{name}, %" for name in METRICS.values()]
_SETS = ("train", "transfer", "dev", "test")
INTERVAL = "95 % interval"


@dataclass(frozen=True)
class Column:
    """``group`` is a heading over several columns; ``numeric`` columns are aligned on the decimal point."""

    name: str
    group: str = ""
    numeric: bool = True

    @property
    def heading(self) -> str:
        """Both headings in one, where only one row of them is to be had."""
        return f"{self.group}, {self.name}" if self.group else self.name


RATES = [Column(name, group) for group in _METRICS_PER_CENT for name in ("dev", "test", INTERVAL)]
"""Columns of both measures, three each, which `rate_cells` fills."""


@dataclass(frozen=True)
class Table:
    """A row's first cell is its heading. ``marked`` is the index of the row that was chosen, if one was.

    ``drawn`` says that a figure of the page shows the same, so that only who cannot see it needs the table.
    """

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()
    marked: int | None = None
    drawn: bool = False


def system_name(name: str, report: Report | None = None) -> str:
    """A reader's name of a system; the ensemble's and the baseline's say of how many nets, given the report."""
    label = NAMES.get(name, name)
    if report is None:
        return label
    return {
        "baseline": f"{label}, mean of {report.num_teachers}",
        "ensemble": f"{label} of {report.num_teachers}",
    }.get(name, label)


def within(name: str) -> str:
    """A system's name within a line: the first letter of one of ours small, unless it is an abbreviation."""
    return name if name not in NAMES.values() or name[:2].isupper() else name[0].lower() + name[1:]


def systems_table(report: Report) -> Table:
    """Every system with both measures."""
    columns = [
        Column("System", numeric=False),
        Column("Parameters"),
        *RATES,
    ]
    notes = [
        "WER: word error rate, errors over words of the whole set. Intervals are 95 % bootstrap intervals on test, "
        "over utterances. The baseline is the mean over the single nets that form the ensemble, \N{PLUS-MINUS SIGN} "
        "the standard deviation over their seeds.",
    ]
    return Table("Accuracy", columns, [_system_row(system, report) for system in report.systems], notes)


def _system_row(system: System, report: Report) -> list[str]:
    return [
        system_name(system.name, report),
        formats.parameters(system.parameters),
        *_rates(system, "frame_accuracy"),
        *_rates(system, "wer"),
    ]


def _rates(system: System, metric: str) -> list[str]:
    rate = getattr(system, metric)
    if rate is None:
        return [formats.ABSENT] * 3
    spread: Spread | None = system.spread
    deviation = getattr(spread, metric) if spread else None
    return rate_cells(rate, deviation)


def rate_cells(rate: Rate, deviation: Rate | None = None) -> list[str]:
    """A rate on dev and on test, each with its deviation, and the interval of the latter."""
    return [
        formats.spread(rate.dev, deviation.dev if deviation else None),
        formats.spread(rate.test, deviation.test if deviation else None),
        formats.interval(rate.low, rate.high),
    ]


def details_table(report: Report) -> Table:
    """What the words' errors are, how sure the frames' posteriors are, and how fast decoding is."""
    columns = [
        Column("System", numeric=False),
        Column("Words"),
        Column("Errors"),
        *(Column(name, "Of these") for name in ("subst.", "del.", "ins.")),
        Column("Acoustic scale"),
        Column("Cross-entropy, nats"),
        Column("ECE,\N{NO-BREAK SPACE}%"),
        Column("RTF"),
    ]
    rows = [
        [
            system_name(each.name, report),
            *map(formats.count, (each.words, each.errors, each.substitutions, each.deletions, each.insertions)),
            formats.number(each.acoustic_scale, 3),
            formats.number(each.cross_entropy.test if each.cross_entropy else None, 3),
            formats.percent(each.ece),
            formats.number(each.real_time_factor, 3),
        ]
        for each in report.systems
    ]
    note = (
        "All on test; the acoustic scale is tuned on dev. Cross-entropy: a frame's, against the alignment. ECE: "
        "expected calibration error, how far confidence is from accuracy. RTF: decoding time over length of the audio."
    )
    return Table("Words, calibration and speed", columns, rows, [note])


def paper_table(report: Report) -> Table | None:
    """Hinton, Vinyals and Dean's Table 1 beside ours; None where the report does not carry it."""
    if not report.paper:
        return None
    columns = [
        Column("System", numeric=False),
        *(Column(name, group) for group in _METRICS_PER_CENT for name in ("paper", "here")),
    ]
    rows = []
    for paper in report.paper:
        ours = report.system(paper.name)
        accuracy = ours.frame_accuracy.test if ours and ours.frame_accuracy else None
        cells = (paper.frame_accuracy, accuracy, paper.wer, ours.wer.test if ours else None)
        name = f"{NAMES[paper.name]} of 10 / of {report.num_teachers}" if paper.name == "ensemble" else None
        rows.append([name or system_name(paper.name), *map(formats.percent, cells)])
    if kept := _paper_share(report):
        here = report.transfer_ratio.value if report.transfer_ratio.reliable else None
        rows.append(["Gain kept by distilled, %", kept, formats.percent(here, 0), formats.ABSENT, formats.ABSENT])
    notes = [
        "The data differ, so compare the order of the systems and the share of the gain that is kept, never the "
        "figures themselves. The paper: 2,000 hours of English speech, 14,000 tied states, nets of about 85 million "
        f"parameters, ensemble of 10. Here: {_ours(report)}.",
        "Paper: G. Hinton, O. Vinyals, J. Dean, \N{LEFT DOUBLE QUOTATION MARK}Distilling the Knowledge in a Neural "
        "Network\N{RIGHT DOUBLE QUOTATION MARK}, 2015, arXiv:1503.02531, Table 1.",
    ]
    return Table("Beside the paper", columns, rows, notes)


def _paper_share(report: Report) -> str | None:
    accuracy = {system.name: system.frame_accuracy for system in report.paper}
    if not {"baseline", "ensemble", "distilled"} <= accuracy.keys():
        return None
    gain = accuracy["ensemble"] - accuracy["baseline"]
    return formats.percent((accuracy["distilled"] - accuracy["baseline"]) / gain, 0) if gain else None


def _ours(report: Report) -> str:
    train = report.data.get("train")
    hours = f"{formats.number(train.hours, 1)} hours, " if isinstance(train, DataSet) else ""
    distilled = report.system("distilled")
    size = f"{formats.parameters(distilled.parameters)} parameters" if distilled else "unknown size"
    return f"{hours}{report.num_pdfs:,} tied states, nets of {size}, ensemble of {report.num_teachers}"


def on_p(count: int) -> str:
    """What p-values are, of ``count`` comparisons by one measure."""
    if count == 1:
        return "p is two-sided."
    quoted = "\N{LEFT DOUBLE QUOTATION MARK}Holm\N{RIGHT DOUBLE QUOTATION MARK}"
    return f"p is two-sided; {quoted} is p adjusted for the {count} comparisons by its measure."


def comparisons_table(report: Report) -> Table | None:
    """Paired differences; None where none were made."""
    columns = [
        Column("Comparison", numeric=False),
        Column("Measure", numeric=False),
        *(Column(name) for name in ("Difference, points", INTERVAL, "p", "Holm")),
    ]
    rows = [
        [
            f"{system_name(each.a)} {formats.MINUS} {within(system_name(each.b))}",
            METRICS.get(each.metric, each.metric),
            formats.points(each.difference, 2),
            formats.interval(each.low, each.high, 2),
            formats.p_value(each.p),
            formats.p_value(each.p_holm),
        ]
        for each in report.comparisons
    ]
    pairs = {(each.a, each.b) for each in report.comparisons}
    notes = [
        "Paired bootstrap on test: utterances are drawn anew with replacement, both systems are scored on the same "
        f"draw, and the interval is that of their difference. {on_p(len(pairs))} "
        f"The baseline is the mean over the {report.num_teachers} teachers, not the best of them.",
        "More frame accuracy is better; less WER is better. An interval that includes 0 shows no difference. It covers "
        "the choice of test utterances, not the seed of the distilled net.",
    ]
    return Table("Paired comparisons", columns, rows, notes) if rows else None


def seeds_table(report: Report) -> Table | None:
    """The single nets of the baseline; None where they are not listed."""
    baseline = report.system("baseline")
    if baseline is None or not baseline.per_seed:
        return None
    columns = [
        Column("Seed", numeric=False),
        *(Column(name, group) for group in _METRICS_PER_CENT for name in ("dev", "test")),
        Column("Errors"),
    ]
    rows = [
        [
            str(each.seed),
            *map(formats.percent, (each.frame_accuracy.dev, each.frame_accuracy.test, each.wer.dev, each.wer.test)),
            formats.count(each.errors),
        ]
        for each in baseline.per_seed
    ]
    note = "The nets differ only in the seed of their random initialisation and of the order of the frames."
    return Table("Single nets", columns, rows, [note])


def soft_targets_table(report: Report) -> Table:
    """What the archive of soft targets costs and loses."""
    soft = report.soft_targets
    smaller = soft.dense_bytes_per_frame / soft.bytes_per_frame if soft.bytes_per_frame else None
    lost = "Lost by the encoding: KL to the dense posteriors, nats"
    if soft.random:
        lost = "Random draws, right on the average: KL of single frames, nats"
    figures: list[tuple[str, float | str | None, Callable[[Any], str]]] = [
        ("Temperature", soft.temperature or report.temperature, formats.plain),
        ("Weight of the soft targets, alpha", report.alpha, formats.plain),
        ("Bytes a frame", soft.bytes_per_frame, formats.count),
        ("Bytes a frame, dense float32", soft.dense_bytes_per_frame, formats.count),
        ("Times smaller than dense", smaller, lambda value: formats.number(value, 1)),
        (lost, soft.kl_nats, lambda value: f"{value:.4g}"),
        ("Frames", soft.frames, formats.count),
        ("Frames a second, written", soft.frames_per_second, lambda value: formats.number(value, 0)),
        ("Encoding's share of that time, %", soft.encode_share, formats.percent),
    ]
    rows = [[name, write(value)] for name, value, write in figures if value is not None]
    return Table("Soft targets", [Column("Figure", numeric=False), Column("Value")], rows)


def tuning_table(report: Report) -> Table | None:
    """Students of the search over temperature and alpha; None where there was none."""
    columns = [*(Column(name) for name in ("Temperature", "Alpha", "Frame accuracy on dev, %"))]
    rows = [
        [formats.plain(each.temperature), formats.plain(each.alpha), formats.percent(each.dev_frame_accuracy, 2)]
        for each in report.tuning
    ]
    chosen = next((index for index, each in enumerate(report.tuning) if each.chosen), None)
    return Table("Tuning on dev", columns, rows, marked=chosen) if rows else None


def data_table(report: Report) -> Table | None:
    """Sizes of the sets; None where they are not known."""
    sets = {name: each for name, each in report.data.items() if isinstance(each, DataSet)}
    rows = [
        [name, formats.number(each.hours, 2), formats.count(each.utterances), formats.count(each.speakers)]
        for name, each in sorted(
            sets.items(), key=lambda item: _SETS.index(item[0]) if item[0] in _SETS else len(_SETS)
        )
    ]
    columns = [Column("Set", numeric=False), *(Column(name) for name in ("Hours", "Utterances", "Speakers"))]
    note = report.data.get("note")
    return Table("Data", columns, rows, [note] if isinstance(note, str) and note else []) if rows else None


def seconds_table(report: Report) -> Table | None:
    """Time of each stage and of all; None where none was measured."""
    if not report.seconds:
        return None
    times = {**report.seconds, "all": sum(report.seconds.values())}
    rows = [[stage, formats.duration(seconds)] for stage, seconds in times.items()]
    return Table("Time of each stage", [Column("Stage", numeric=False), Column("Time")], rows, drawn=True)
