from typing import Any

from asrkd.report.markdown import render_markdown
from asrkd.report.schema import parse_report

Report = dict[str, Any]


def test_rows_of_a_table_have_the_same_number_of_cells_and_width(report: Report) -> None:
    blocks = render_markdown(parse_report(report)).split("\n\n")
    tables = [block.splitlines() for block in blocks if block.startswith("|")]
    assert len(tables) == 11
    for lines in tables:
        assert len({line.count("|") for line in lines}) == 1
        assert len({len(line) for line in lines}) == 1


def test_a_name_cannot_make_markup_or_cells(report: Report) -> None:
    report["recipe"] = "<script>alert(1)</script> a|b *c* [d](javascript:e)\n# f"
    text = render_markdown(parse_report(report))
    title = text.splitlines()[0]
    assert title.endswith(r"&lt;script>alert(1)&lt;/script> a\|b \*c\* [d]\(javascript:e) # f")


def test_the_chosen_trial_is_bold(report: Report) -> None:
    assert "**61.30**" in render_markdown(parse_report(report))


def test_what_is_absent_has_no_heading(report: Report) -> None:
    for key in ("paper", "tuning", "data", "environment"):
        del report[key]
    text = render_markdown(parse_report(report))
    assert all(heading not in text for heading in ("Beside the paper", "Tuning", "## Data", "Environment"))
    assert "## Results" in text
