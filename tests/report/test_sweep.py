"""Studies on paper: tables, figures, the page of their own and the section of a report."""

import re
from pathlib import Path
from typing import Any

import pytest

from asrkd.core.config import parse
from asrkd.core.errors import ConfigError
from asrkd.report import render, render_sweep
from asrkd.report.formats import ABSENT, MINUS
from asrkd.report.sweep_plots import study_figures
from asrkd.report.sweep_schema import Sweep
from asrkd.report.sweep_tables import study_tables


def estimate(value: float, half: float = 0.01, deviation: float = 0.003) -> dict[str, float]:
    return {"estimate": value, "low": value - half, "high": value + half, "deviation": deviation}


def row(accuracy: float, wer: float | None = None, **more: Any) -> dict[str, Any]:
    rates = {"frame_accuracy": estimate(accuracy)} | ({} if wer is None else {"wer": estimate(wer, 0.04)})
    seeds = {"seeds": 3, "seeds_wanted": 3}
    dev = {"estimate": accuracy + 0.17, "deviation": 0.002}
    return {**seeds, "dev": dev, "rates": rates, "differences": {}, "parameters": 500_880, **more}


def mix() -> dict[str, Any]:
    rows = [
        row(
            0.38 - 0.002 * abs(t - 2) + 0.02 * a,
            labels={"temperature": f"{t}", "alpha": f"{a:g}"},
            chosen=(t, a) == (2, 1),
        )
        for t in (1, 2, 5, 10)
        for a in (0, 0.5, 0.9, 1)
    ]
    return {"name": "mix", "title": "T & alpha", "axes": ["temperature", "alpha"], "rows": rows}


def codec() -> dict[str, Any]:
    figures = {"dense float32": (1600, 0.0), "topk 5": (22, 0.6), "topk 40": (162, 0.1), "sampled 50": (99.1, 9.0)}
    rows = [
        row(0.39 - kl / 500, 0.3 + kl / 100, labels={"codec": name}, bytes_per_frame=size, kl_nats=kl)
        for name, (size, kl) in figures.items()
    ]
    rows[0]["is_reference"] = rows[3]["random"] = True
    for each in rows[1:]:
        each["differences"] = {"frame_accuracy": estimate(-0.001, 0.003), "wer": estimate(0.01, 0.02)}
    return {
        "name": "codec",
        "title": "Codec",
        "axes": ["codec"],
        "rows": rows,
        "against": "bytes_per_frame",
        "reference": {"codec": "dense float32"},
    }


def size() -> dict[str, Any]:
    rows = [
        row(
            0.3 + units / 4000 + gain,
            0.4 - gain,
            labels={"targets": name, "hidden_units": f"{units}"},
            parameters=units * 1500,
        )
        for name, gain in (("hard", 0), ("soft", 0.02))
        for units in (256, 96, 32)
    ]
    return {"name": "size", "title": "Size", "axes": ["targets", "hidden_units"], "rows": rows, "against": "parameters"}


@pytest.fixture
def sweep() -> dict[str, Any]:
    return {"studies": [mix(), codec(), size()], "trials": [{"seconds": 1800.0}] * 3, "failed": {}, "test_part": "test"}


def texts(svg: str) -> str:
    return " ".join(re.findall(r"<text[^>]*>([^<]*)</text>", svg))


def test_a_table_has_what_varies_and_differences_from_the_reference(sweep: dict[str, Any]) -> None:
    (mixed,), coded, sized = (study_tables(study) for study in parse(Sweep, sweep, "sweep").studies)
    accuracy, wer = coded
    costs = ("Codec", "Bytes a frame", "KL lost, nats")
    reference = ("From the reference, points", "From the reference, 95 % interval")
    headings = ("Frame accuracy, %, dev", "Frame accuracy, %, test", "Frame accuracy, %, 95 % interval")
    assert [column.heading for column in accuracy.columns] == [*costs, *headings, *reference]
    assert [column.heading for column in wer.columns] == [*costs, "WER, %, test", "WER, %, 95 % interval", *reference]
    assert accuracy.rows[0][6:] == ["reference", ABSENT]
    assert accuracy.rows[1] == [
        *("topk 5", "22", "0.6000", "55.9 ± 0.2", "38.9 ± 0.3", "[37.9, 39.9]"),
        *(f"{MINUS}0.10", f"[{MINUS}0.40, 0.20]"),
    ]
    assert wer.rows[1][3:] == ["30.6 ± 0.3", "[26.6, 34.6]", "+1.00", f"[{MINUS}1.00, 3.00]"]
    assert "The reference has codec dense float32." in " ".join(accuracy.notes)
    assert "Random draws are right on the average" in " ".join(accuracy.notes)
    assert not any("Random" in note for note in sized[0].notes)
    assert "Parameters" in [column.name for column in sized[0].columns]
    assert mixed.marked == 7
    assert [column.name for column in mixed.columns] == ["Temperature", "Alpha", "dev", "test", "95 % interval"]


def test_a_row_that_lacks_seeds_says_so_and_one_without_any_has_no_figures(sweep: dict[str, Any]) -> None:
    rows = sweep["studies"][1]["rows"]
    rows[1] |= {"seeds": 2}
    rows[2] |= {"seeds": 0, "dev": None, "rates": {}, "differences": {}}
    table = study_tables(parse(Sweep, sweep, "sweep").studies[1])[0]
    assert "topk 5 has 2 of 3 seeds; topk 40 has 0 of 3 seeds" in table.notes[-1]
    assert set(table.rows[2][3:]) == {ABSENT}


def test_figures(sweep: dict[str, Any]) -> None:
    drawn = study_figures(parse(Sweep, sweep, "sweep"))
    assert list(drawn) == ["study-mix", "study-codec", "study-size"]
    assert "57.0" in texts(drawn["study-mix"].svg)  # 0.38 + 0.02 + 0.17
    assert {"dense", "topk", "sampled"} <= set(texts(drawn["study-codec"].svg).split())
    assert {"hard", "soft"} <= set(texts(drawn["study-size"].svg).split())
    assert "Parameters" in texts(drawn["study-size"].svg)


def test_names_are_drawn_row_by_row_with_the_reference_as_a_line(sweep: dict[str, Any]) -> None:
    sweep["studies"][1]["against"] = ""
    svg = study_figures(parse(Sweep, sweep, "sweep"))["study-codec"].svg
    labels = [name for name in ("dense float32", "topk 5", "topk 40", "sampled 50") if name in texts(svg)]
    assert len(labels) == 4
    assert "WER on test, % (lower is better)" in texts(svg)
    for each in sweep["studies"][1]["rows"]:
        each["is_reference"] = False
    without = study_figures(parse(Sweep, sweep, "sweep"))["study-codec"].svg
    assert svg.count("stroke-dasharray") == without.count("stroke-dasharray") + 2  # a line for each metric


def test_shares_of_the_reference_have_columns(sweep: dict[str, Any]) -> None:
    sweep["studies"][1]["rows"][1]["share"] = estimate(0.965, 0.012, 0.004)
    accuracy, wer = study_tables(parse(Sweep, sweep, "sweep").studies[1])
    assert [column.heading for column in accuracy.columns[-2:]] == [
        *("Of the reference, %, test", "Of the reference, %, 95 % interval"),
    ]
    assert [row[-2:] for row in accuracy.rows[:3]] == [
        ["100.0", ABSENT], ["96.5 ± 0.4", "[95.3, 97.7]"], [ABSENT, ABSENT]
    ]  # fmt: skip
    assert len(wer.columns) == len(accuracy.columns) - 3  # nor has it a column for dev


def test_what_can_not_be_drawn_is_left_out(sweep: dict[str, Any]) -> None:
    for each in sweep["studies"][1]["rows"]:
        each |= {"bytes_per_frame": None}
    for each in sweep["studies"][0]["rows"]:
        each |= {"dev": None, "rates": {}}
    assert list(study_figures(parse(Sweep, sweep, "sweep"))) == ["study-size"]


def test_three_files_the_same_each_time_and_names_are_text(sweep: dict[str, Any], tmp_path: Path) -> None:
    sweep["studies"][1]["rows"][0]["labels"]["codec"] = "<b>$x"
    sweep["failed"] = {"size/1": "<i>diverged"}
    for name in "ab":
        (tmp_path / name).mkdir()
        render_sweep(sweep, tmp_path / name)
    for name in ("sweep.json", "sweep.md", "sweep.html"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    page = (tmp_path / "a/sweep.html").read_text()
    assert "<b>" not in page
    assert "The trial size/1 failed: &lt;i&gt;diverged." in page
    assert "3 trained nets, 1.5 hours of one process" in page


def test_a_report_holds_the_studies(report: dict[str, Any], sweep: dict[str, Any], tmp_path: Path) -> None:
    render({**report, "sweep": sweep}, tmp_path)
    page, text = (tmp_path / "report.html").read_text(), (tmp_path / "report.md").read_text()
    assert all(f'id="study-{name}"' in page for name in ("mix", "codec", "size"))
    assert "## T &amp; alpha" in text
    assert len(re.findall(r'\sid="([^"]+)"', page)) == len(set(re.findall(r'\sid="([^"]+)"', page)))


def test_a_broken_file_names_its_key(sweep: dict[str, Any]) -> None:
    sweep["studies"][0]["rows"][0]["dev"]["estimate"] = "high"
    with pytest.raises(ConfigError, match=r"studies\.0\.rows\.0\.dev"):
        parse(Sweep, sweep, "sweep")


def test_no_share_is_told_of_a_gap_that_may_be_chance() -> None:
    study = codec() | {"gap_from": {"codec": "topk 5"}}
    study["rows"][2]["recovered"] = study["rows"][3]["recovered"] = estimate(0.8, 0.1)
    study["rows"][3]["has_gap"] = False
    table = study_tables(
        parse(Sweep, {"title": "x", "test_part": "test", "studies": [study], "trials": []}, "x").studies[0]
    )[0]
    shares = [cells[-2:] for cells in table.rows]
    assert shares[2][1] == "[70.0, 90.0]"
    assert shares[3] == [ABSENT, ABSENT]
    assert any("There is none beyond chance for some rows" in note for note in table.notes)
