import re
from html.parser import HTMLParser
from typing import Any

import pytest

from asrkd.report.html import Cell, headings, render_html, split_cell
from asrkd.report.schema import parse_report
from asrkd.report.tables import Column, seeds_table, systems_table

Report = dict[str, Any]

_VOID = {"meta", "br", "hr", "img", "link", "input"}


class _Walk(HTMLParser):
    """Checks that tags are balanced; keeps what is needed below."""

    def __init__(self, page: str):
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_tags_are_balanced_and_ids_unique(report: Report) -> None:
    walk = _Walk(render_html(parse_report(report)))
    ids = [attributes["id"] for _, attributes in walk.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_the_page_fetches_nothing(report: Report) -> None:
    page = render_html(parse_report(report))
    walk = _Walk(page)
    assert not {tag for tag, _ in walk.tags} & {"script", "link", "iframe", "img", "object", "base"}
    links = [value for _, attributes in walk.tags for key, value in attributes.items() if key in {"src", "href"}]
    assert all(link is not None and link.startswith("#") for link in links)
    assert not re.search(r"https?:|@import|url\((?!#)", page)


def test_a_hostile_name_stays_text(report: Report) -> None:
    hostile = "<script>alert('x')</script>\"&"
    report["recipe"] = hostile
    report["data"]["note"] = hostile
    report["seconds"][hostile] = 1.0
    report["environment"][hostile] = hostile
    report["systems"][4]["name"] = hostile
    report["curves"][hostile] = report["curves"].pop("distilled_small")
    report["calibration"][hostile] = report["calibration"]["distilled"]
    page = render_html(parse_report(report))
    assert "<script" not in page
    assert hostile in "".join(_Walk(page).text)


def test_every_cell_of_every_table_is_on_the_page(report: Report) -> None:
    parsed = parse_report(report)
    text = "".join(_Walk(render_html(parsed)).text)
    seeds = seeds_table(parsed)
    assert seeds is not None
    for table in (systems_table(parsed), seeds):
        for row in table.rows:
            assert all(cell in text for cell in row)
        assert all(note in text for note in table.notes)


def test_headings_have_scope_and_figures_say_what_they_show(report: Report) -> None:
    tags = _Walk(render_html(parse_report(report))).tags
    assert all(attributes.get("scope") for tag, attributes in tags if tag == "th")
    names = [tag for tag, _ in tags]
    assert names.count("figure") == names.count("figcaption") == 7
    assert sum(bool(attributes.get("role") == "img" and attributes.get("aria-label")) for _, attributes in tags) == 7
    assert names.count("caption") == names.count("table")


def test_what_is_absent_has_no_section(report: Report) -> None:
    for key in ("paper", "tuning", "curves", "calibration", "temperature_curves", "data", "environment", "alpha"):
        del report[key]
    page = render_html(parse_report(report))
    _Walk(page)
    for heading in ("Beside the paper", "Tuning", "Learning curves", "Calibration and", "Environment", ">Data<"):
        assert heading not in page
    assert "Paired comparisons" in page


def test_headings_in_two_rows_cover_all_columns() -> None:
    columns = [Column("System", numeric=False), Column("dev", "WER"), Column("test", "WER"), Column("RTF")]
    top, below = headings(columns)
    assert [(each.text, each.span, each.rows) for each in top] == [("System", 1, 2), ("WER", 2, 1), ("RTF", 1, 2)]
    assert [each.text for each in below] == ["dev", "test"]
    assert len(headings(columns[:1])) == 1


@pytest.mark.parametrize(
    ("text", "head", "tail"),
    [("58.9 x 0.3", "58", ".9 x 0.3"), ("4,321", "4,321", ""), ("[1.7, 2.5]", "[1", ".7, 2.5]")],
)
def test_cells_are_cut_at_the_decimal_point(text: str, head: str, tail: str) -> None:
    assert split_cell(text) == Cell(head, tail)
