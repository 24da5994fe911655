"""Tables of a sweep's studies."""

from asrkd.report import formats, tables
from asrkd.report.sweep_schema import MEASURES, Estimate, Paper, Study, StudyRow
from asrkd.report.tables import Column, Table

METRICS = {"frame_accuracy": tables.METRICS["frame_accuracy"], "recall": "Recall", "wer": tables.METRICS["wer"]}

_INTERVAL = "95 % interval"
_PLUS_MINUS = "\N{PLUS-MINUS SIGN}"
AXES = {
    "temperature": "Temperature",
    "alpha": "Alpha",
    "codec": "Codec",
    "num_teachers": "Teachers",
    "hidden_units": "Hidden units",
    "train.loss.type": "Loss",
    "posteriors.combination": "Mean of the teachers",
    "targets": "Targets",
    "share": "Share of the utterances, %",
}


def axis_name(axis: str) -> str:
    return AXES.get(axis, axis)


def study_tables(study: Study) -> list[Table]:
    """One for each metric: a row a point, what it costs, its rate, and its difference from the reference; then the
    paper's."""
    metrics = [metric for metric in METRICS if any(metric in row.rates for row in study.rows)]
    return [_table(study, metric) for metric in metrics] + ([_paper(study.paper)] if study.paper else [])


def _paper(paper: Paper) -> Table:
    columns = [Column(name, numeric=index > 0) for index, name in enumerate(paper.columns)]
    rows = [[str(cell) for cell in row] for row in paper.rows]
    notes = ["Other data and larger nets: compare the order of the rows, not their figures."]
    return Table(paper.title, columns, rows, notes + [paper.note] * bool(paper.note))


def _table(study: Study, metric: str) -> Table:
    measures = [name for name in (*MEASURES, "kl_nats") if study.varies(name)]
    on_dev = metric == "frame_accuracy"
    shared, recovered = (on_dev and any(getattr(row, name) for row in study.rows) for name in ("share", "recovered"))
    biased = metric == "recall" and any(row.offset for row in study.rows)
    measured = ["train"] * (on_dev and any(row.train for row in study.rows)) + ["dev"] * on_dev
    columns = [
        *(Column(axis_name(axis), numeric=index > 0) for index, axis in enumerate(study.axes)),
        *(Column({**MEASURES, "kl_nats": "KL lost, nats"}[name]) for name in measures),
        *[Column("Added to biases")] * biased,
        *(Column(name, f"{METRICS[metric]}, %") for name in (*measured, "test", _INTERVAL)),
        *(Column(name, "From the reference") for name in ["points", _INTERVAL] * bool(study.reference)),
        *(Column(name, "Of the reference, %") for name in ["test", _INTERVAL] * shared),
        *(Column(name, "Gap recovered, %") for name in ["test", _INTERVAL] * recovered),
    ]
    rows = []
    for row in study.rows:
        cells = [row.labels[axis] for axis in study.axes] + [_measure(row, name) for name in measures]
        cells += [_offset(row.offset)] * biased
        cells += [_mean(getattr(row, name)) for name in measured] + _rate(row, metric)
        cells += _difference(row, metric) if study.reference else []
        cells += _share(row.share, row.is_reference) if shared else []
        rows.append(cells + (_share(row.recovered if row.has_gap else None) if recovered else []))
    marked = next((index for index, row in enumerate(study.rows) if row.chosen), None)
    return Table(METRICS[metric], columns, rows, _notes(study) if on_dev else [], marked)


def _measure(row: StudyRow, name: str) -> str:
    if name == "kl_nats":
        return formats.number(row.kl_nats, 4)
    return formats.count(getattr(row, name))


def _rate(row: StudyRow, metric: str) -> list[str]:
    rate = row.rates.get(metric)
    return [_mean(rate), formats.interval(rate.low, rate.high) if rate else formats.ABSENT]


def _difference(row: StudyRow, metric: str) -> list[str]:
    difference = row.differences.get(metric)
    if difference is None:
        return ["reference" if row.is_reference else formats.ABSENT, formats.ABSENT]
    return [formats.points(difference.estimate, 2), formats.interval(difference.low, difference.high, 2)]


def _share(share: Estimate | None, is_reference: bool = False) -> list[str]:
    if share is None:
        return ["100.0" if is_reference else formats.ABSENT, formats.ABSENT]
    return [_mean(share), formats.interval(share.low, share.high)]


def _offset(offset: Estimate | None) -> str:
    return formats.ABSENT if offset is None else f"{offset.estimate:+.2f}"


def _mean(estimate: Estimate | None) -> str:
    return formats.ABSENT if estimate is None else formats.spread(estimate.estimate, estimate.deviation)


def _notes(study: Study) -> list[str]:
    seeds = max(row.seeds_wanted for row in study.rows)
    notes = [
        f"Mean over {seeds} seeds {_PLUS_MINUS} their standard deviation. Intervals, 95 %, cover both the seed and the "
        "choice of test utterances: the variance over seeds and that of a paired bootstrap over utterances are added, "
        "and the quantile is Student's t."
        if seeds > 1
        else "One seed. Intervals, 95 %, cover the choice of test utterances alone."
    ]
    notes.append("The best row was chosen on dev; test had no part in that.")
    if study.reference:
        values = ", ".join(f"{axis_name(axis).lower()} {text}" for axis, text in study.reference.items())
        same = "" if len(study.reference) == len(study.axes) else " and otherwise the same settings"
        notes.append(
            f"The reference has {values}{same}. Differences are paired by seed and utterance; where an interval holds "
            "0 none is shown."
        )
    if study.gap_from:
        values = ", ".join(f"{axis_name(axis).lower()} {text}" for axis, text in study.gap_from.items())
        unsure = " There is none beyond chance for some rows." * any(not row.has_gap for row in study.rows)
        notes.append(f"Gap recovered: of the reference's gain over the row with {values}.{unsure}")
    if any(row.train for row in study.rows):
        notes.append("Train: on the utterances that the net was trained on with labels.")
    notes += [study.note] * bool(study.note)
    if any(row.random for row in study.rows):
        notes.append("Random draws are right on the average: the KL of single frames says little of them.")
    if cut := [row for row in study.rows if row.seeds < row.seeds_wanted]:
        notes.append(
            "Trials that failed are left out: "
            + "; ".join(f"{study.label(row)} has {row.seeds} of {row.seeds_wanted} seeds" for row in cut)
            + "."
        )
    return notes
