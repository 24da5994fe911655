"""Tables of ensembles: how they grow with their teachers, and what other combinations of all give."""

from asrkd.report import formats
from asrkd.report.schema import Gain, Report
from asrkd.report.tables import INTERVAL, RATES, Column, Table, rate_cells

_GAIN = [Column(name, "Gained in frame accuracy, points") for name in ("test", INTERVAL)]


def growing_table(report: Report) -> Table | None:
    """Ensembles of the first teachers; None where none but the whole one was scored."""
    columns = [Column("Teachers"), *RATES, *_GAIN]
    rows = [
        [
            str(each.teachers),
            *rate_cells(each.frame_accuracy),
            *rate_cells(each.wer),
            *_gain(each.gain),
        ]
        for each in report.growing
    ]
    note = (
        "The first teachers by their seeds, in the arithmetic mean of their posteriors; the row of 1 is the first of "
        "them alone, not the mean over all. What is gained, over the row before, is a paired difference: it can be "
        "sure where the intervals of two rows overlap."
    )
    return Table("Frame accuracy and WER by the number of teachers", columns, rows, [note]) if rows else None


def combinations_table(report: Report) -> Table | None:
    """Ways to combine all teachers; None where but one was scored."""
    columns = [
        Column("Mean", numeric=False),
        Column("Weights", numeric=False),
        *(Column(name, "Cross-entropy, nats") for name in ("dev", "test")),
        *RATES[:3],
        *_GAIN,
    ]
    rows = [
        [
            each.combination.capitalize(),
            " ".join(formats.number(weight, 2) for weight in each.weights) if each.weights else "equal",
            *(formats.number(nats, 4) for nats in (each.cross_entropy.dev, each.cross_entropy.test)),
            *rate_cells(each.frame_accuracy),
            *_gain(each.gain),
        ]
        for each in report.combinations
    ]
    note = (
        f"All {report.num_teachers} teachers at T = 1. The geometric mean of posteriors, renormalised, is the softmax "
        "of the mean of logits. Weights, one a teacher, are those with the least cross-entropy on dev. What is gained, "
        "over the first row, is a paired difference."
    )
    return Table("Combinations of all teachers", columns, rows, [note]) if rows else None


def _gain(gain: Gain | None) -> list[str]:
    if gain is None:
        return [formats.ABSENT] * 2
    return [formats.points(gain.difference, 2), formats.interval(gain.low, gain.high, 2)]
