from typing import Any

from asrkd.report import formats, tables
from asrkd.report.schema import parse_report

Report = dict[str, Any]

MINUS = "\N{MINUS SIGN}"
PLUS_MINUS = "\N{PLUS-MINUS SIGN}"
ABSENT = "\N{EN DASH}"


def _rows(table: tables.Table | None) -> dict[str, list[str]]:
    assert table is not None
    assert all(len(row) == len(table.columns) for row in table.rows)
    return {row[0]: list(row[1:]) for row in table.rows}


def test_systems_frozen(report: Report) -> None:
    rows = _rows(tables.systems_table(parse_report(report)))
    assert rows["Baseline, mean of 5"] == [
        "1.52 M",
        f"59.5 {PLUS_MINUS} 0.5",
        f"58.9 {PLUS_MINUS} 0.6",
        "[58.2, 59.6]",
        f"10.5 {PLUS_MINUS} 0.2",
        f"10.9 {PLUS_MINUS} 0.3",
        "[10.0, 11.8]",
    ]
    assert rows["GMM-HMM"] == ["0.06 M", ABSENT, ABSENT, ABSENT, "13.9", "14.3", "[13.4, 15.2]"]


def test_every_figure_of_every_system_is_the_formatted_input(report: Report) -> None:
    parsed = parse_report(report)
    rows = tables.systems_table(parsed).rows
    details = tables.details_table(parsed).rows
    for system, row, detail in zip(report["systems"], rows, details, strict=True):
        for start, metric in ((2, "frame_accuracy"), (5, "wer")):
            if rate := system.get(metric):
                assert row[start].startswith(formats.percent(rate["dev"]))
                assert row[start + 1].startswith(formats.percent(rate["test"]))
                assert row[start + 2] == formats.interval(rate["low"], rate["high"])
        assert detail[1:5] == [formats.count(system[key]) for key in ("words", "errors", "substitutions", "deletions")]
        assert detail[8] == formats.percent(system.get("ece"))
        assert detail[9] == formats.number(system["real_time_factor"], 3)


def test_paper_beside_ours(report: Report) -> None:
    table = tables.paper_table(parse_report(report))
    rows = _rows(table)
    assert rows["Baseline"] == ["58.9", "58.9", "10.9", "10.9"]
    assert rows["Ensemble of 10 / of 5"] == ["61.1", "61.0", "10.7", "10.3"]
    assert rows["Distilled"] == ["60.8", "60.7", "10.7", "10.5"]
    assert rows["Gain kept by distilled, %"][:2] == ["86", "86"]
    assert table is not None
    assert "data differ" in table.notes[0]


def test_a_share_of_no_gain_is_not_set_beside_the_papers(report: Report) -> None:
    report["transfer_ratio"] = {"value": 14.2, "low": -30.0, "high": 50.0, "reliable": False}
    assert _rows(tables.paper_table(parse_report(report)))["Gain kept by distilled, %"][:2] == ["86", ABSENT]


def test_comparisons(report: Report) -> None:
    table = tables.comparisons_table(parse_report(report))
    assert table is not None
    assert list(table.rows[0]) == [
        f"Ensemble {MINUS} baseline",
        "Frame accuracy",
        "+2.14",
        "[1.74, 2.54]",
        "<0.001",
        "<0.001",
    ]
    assert list(table.rows[5]) == [
        f"Distilled {MINUS} baseline",
        "WER",
        f"{MINUS}0.37",
        f"[{MINUS}0.89, 0.15]",
        "0.172",
        "0.516",
    ]
    assert "Paired bootstrap" in table.notes[0]


def test_seeds(report: Report) -> None:
    rows = _rows(tables.seeds_table(parse_report(report)))
    assert rows["2"] == ["59.5", "58.9", "10.4", "10.8", "467"]
    assert list(rows) == ["1", "2", "3", "4", "5"]


def test_soft_targets(report: Report) -> None:
    rows = _rows(tables.soft_targets_table(parse_report(report)))
    assert rows["Bytes a frame"] == ["82.4"]
    assert rows["Times smaller than dense"] == ["23.3"]
    assert rows["Frames a second, written"] == ["48,214"]
    assert rows["Lost by the encoding: KL to the dense posteriors, nats"] == ["0.000412"]
    report["soft_targets"]["random"] = True
    assert any(name.startswith("Random draws") for name in _rows(tables.soft_targets_table(parse_report(report))))
    del report["soft_targets"]["kl_nats"]
    assert not any("KL" in name for name in _rows(tables.soft_targets_table(parse_report(report))))


def test_tuning_marks_the_chosen_row(report: Report) -> None:
    table = tables.tuning_table(parse_report(report))
    assert table is not None
    assert table.marked is not None
    assert list(table.rows[table.marked]) == ["2", "0.9", "61.30"]


def test_an_alpha_that_changes_is_text(report: Report) -> None:
    report["alpha"] = report["tuning"][0]["alpha"] = "1 to 0.5, linear"
    parsed = parse_report(report)
    assert _rows(tables.soft_targets_table(parsed))["Weight of the soft targets, alpha"] == ["1 to 0.5, linear"]
    table = tables.tuning_table(parsed)
    assert table is not None
    assert list(table.rows[0]) == ["1", "1 to 0.5, linear", "60.10"]


def test_data_sets_of_any_name_after_the_usual_ones(report: Report) -> None:
    report["data"] = {"dev_other": {"hours": 1, "utterances": 2, "speakers": 1}, **report["data"]}
    table = tables.data_table(parse_report(report))
    assert list(_rows(table)) == ["train", "transfer", "dev", "test", "dev_other"]
    assert table is not None
    assert table.notes == ["Synthetic speech, read by text-to-speech voices from sentences of a small grammar."]


def test_seconds_sum_up(report: Report) -> None:
    report["seconds"] = {"corpus": 1.5, "train": 200.0}
    assert _rows(tables.seconds_table(parse_report(report))) == {
        "corpus": ["1.5 s"],
        "train": ["200.0 s (0:03:20)"],
        "all": ["201.5 s (0:03:22)"],
    }


def test_what_is_absent_has_no_table(report: Report) -> None:
    for key in ("paper", "tuning", "data"):
        del report[key]
    report["comparisons"], report["seconds"] = [], {}
    del report["systems"][1]["per_seed"]
    parsed = parse_report(report)
    assert tables.paper_table(parsed) is None
    assert tables.tuning_table(parsed) is None
    assert tables.data_table(parsed) is None
    assert tables.comparisons_table(parsed) is None
    assert tables.seconds_table(parsed) is None
    assert tables.seeds_table(parsed) is None
