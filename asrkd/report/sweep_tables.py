"""A table for each study of a sweep."""

from collections.abc import Sequence

from asrkd.report import formats
from asrkd.report.sweep_schema import MEASURES, Estimate, Study, StudyRow
from asrkd.report.tables import METRICS, Column, Table

_INTERVAL = "95 % interval"
_PLUS_MINUS = "\N{PLUS-MINUS SIGN}"
AXES = {
    "temperature": "Temperature",
    "alpha": "Alpha",
    "codec": "Codec",
    "num_teachers": "Teachers",
    "hidden_units": "Hidden units",
    "targets": "Targets",
}


def axis_name(axis: str) -> str:
    return AXES.get(axis, axis)


def study_table(study: Study) -> Table:
    """A row a point: dev, test with its interval, and the difference from the reference."""
    metrics = [metric for metric in METRICS if any(metric in row.rates for row in study.rows)]
    measures = [name for name in ("parameters", "bytes_per_frame", "kl_nats") if study.varies(name)]
    compared = any(row.reference is not None for row in study.rows)
    columns = [
        *(Column(axis_name(axis), numeric=index > 0) for index, axis in enumerate(study.axes)),
        *(Column({**MEASURES, "kl_nats": "KL lost, nats"}[name]) for name in measures),
        Column("dev", "Frame accuracy, %"),
    ]
    for metric in metrics:
        group = f"{METRICS[metric]}, %"
        columns += [Column("test", group), Column(_INTERVAL, group)]
        if compared:
            group = f"{METRICS[metric]}, difference in points"
            columns += [Column("from reference", group), Column(_INTERVAL, group)]
    rows = [_cells(study, row, measures, metrics, compared) for row in study.rows]
    marked = next((index for index, row in enumerate(study.rows) if row.chosen), None)
    return Table(study.title, columns, rows, _notes(study, compared), marked)


def _cells(study: Study, row: StudyRow, measures: Sequence[str], metrics: Sequence[str], compared: bool) -> list[str]:
    write = {"parameters": formats.parameters, "bytes_per_frame": formats.count}
    cells = [row.labels[axis] for axis in study.axes]
    for name in measures:
        cells.append(formats.number(row.kl_nats, 4) if name == "kl_nats" else write[name](getattr(row, name)))
    cells.append(_mean(row.dev))
    for metric in metrics:
        rate, difference = row.rates.get(metric), row.differences.get(metric)
        cells += [_mean(rate), formats.interval(rate.low, rate.high) if rate else formats.ABSENT]
        if not compared:
            continue
        if difference is None:
            cells += ["reference" if rate else formats.ABSENT, formats.ABSENT]
        else:
            cells += [formats.points(difference.estimate, 2), formats.interval(difference.low, difference.high, 2)]
    return cells


def _mean(estimate: Estimate | None) -> str:
    return formats.ABSENT if estimate is None else formats.spread(estimate.estimate, estimate.deviation)


def _notes(study: Study, compared: bool) -> list[str]:
    seeds = max(row.seeds_wanted for row in study.rows)
    notes = [
        f"Mean over {seeds} seeds {_PLUS_MINUS} their standard deviation. Intervals, 95 %, cover both the seed and the "
        "choice of test utterances: the variance over seeds and that of a paired bootstrap over utterances are added, "
        "and the quantile is Student's t."
        if seeds > 1
        else "One seed. Intervals, 95 %, cover the choice of test utterances alone."
    ]
    notes.append("The best row was chosen on dev; test had no part in that.")
    if compared:
        notes.append("Differences are paired by seed and utterance; where an interval holds 0 none is shown.")
    if cut := [row for row in study.rows if row.seeds < row.seeds_wanted]:
        notes.append(
            "Trials that failed are left out: "
            + "; ".join(f"{study.label(row)} has {row.seeds} of {row.seeds_wanted} seeds" for row in cut)
            + "."
        )
    return notes
