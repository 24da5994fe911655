from typing import Any

from asrkd.report.ensemble_tables import combinations_table, growing_table
from asrkd.report.schema import parse_report

Report = dict[str, Any]

MINUS = "\N{MINUS SIGN}"
ABSENT = "\N{EN DASH}"


def test_growing_frozen(report: Report) -> None:
    report["growing"][4]["gain"] = {"difference": 0.0014, "low": -0.0002, "high": 0.003}
    table = growing_table(parse_report(report))
    assert table is not None
    assert all(len(row) == len(table.columns) for row in table.rows)
    assert list(table.rows[0]) == ["1", "58.7", "58.1", "[57.4, 58.8]", "10.8", "11.2", "[10.3, 12.1]", ABSENT, ABSENT]
    assert list(table.rows[4][-2:]) == ["+0.14", f"[{MINUS}0.02, 0.30]"]
    assert [row[0] for row in table.rows] == ["1", "2", "3", "4", "5"]


def test_combinations_frozen(report: Report) -> None:
    table = combinations_table(parse_report(report))
    assert table is not None
    assert [list(row) for row in table.rows] == [
        ["Arithmetic", "equal", "1.2400", "1.2900", "61.6", "61.0", "[60.3, 61.7]", ABSENT, ABSENT],
        [
            "Arithmetic",
            "0.21 0.24 0.18 0.19 0.18",
            "1.2393",
            "1.2893",
            "61.7",
            "61.1",
            "[60.4, 61.8]",
            ABSENT,
            ABSENT,
        ],
        ["Geometric", "equal", "1.2491", "1.2991", "61.8", "61.2", "[60.5, 61.9]", "+0.14", "[0.03, 0.30]"],
    ]
    assert len(table.columns) == 9
    assert "softmax of the mean of logits" in table.notes[0]


def test_what_was_not_scored_has_no_table(report: Report) -> None:
    for key in ("growing", "combinations"):
        del report[key]
    assert growing_table(parse_report(report)) is None
    assert combinations_table(parse_report(report)) is None
