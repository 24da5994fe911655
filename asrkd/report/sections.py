"""The order of the report: what stands under which heading, for Markdown and HTML alike."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from asrkd.report import ensemble_tables, formats, tables
from asrkd.report.findings import findings
from asrkd.report.schema import Report
from asrkd.report.sweep_schema import Sweep, figure_name
from asrkd.report.sweep_tables import study_tables
from asrkd.report.tables import Table


@dataclass(frozen=True)
class Section:
    """``figures`` are names of `plots.FIGURES`."""

    name: str
    title: str
    tables: Sequence[Table] = ()
    figures: Sequence[str] = field(default=())


@dataclass(frozen=True)
class Page:
    """What a page says, for Markdown and HTML alike; ``setting`` and ``environment`` are one line each, or empty."""

    title: str
    setting: str
    findings: Sequence[str]
    sections: Sequence[Section]
    environment: str = ""


def page(report: Report) -> Page:
    """The report's."""
    return Page(title(report), setting(report), findings(report), sections(report), environment(report))


def title(report: Report) -> str:
    return f"Distilling an ensemble of acoustic models: {report.recipe}"


def setting(report: Report) -> str:
    """One line on what was run."""
    alpha = f", alpha = {formats.plain(report.alpha)}" if report.alpha is not None else ""
    part = f", test set {report.test_part}" if report.test_part != "test" else ""
    return (
        f"{report.num_teachers} teachers, {report.num_pdfs:,} tied states, "
        f"T = {formats.plain(report.temperature)}{alpha}{part}"
    )


def environment(report: Report) -> str:
    """One line on the machine; empty where nothing is known."""
    return ", ".join(f"{key} {value}" for key, value in sorted(report.environment.items()) if value is not None)


def sections(report: Report) -> list[Section]:
    """All sections; one with neither table nor figure is for the caller to leave out."""

    def section(name: str, heading: str, parts: Sequence[Table | None] = (), figures: Sequence[str] = ()) -> Section:
        return Section(name, heading, [part for part in parts if part is not None], figures)

    return [
        section("results", "Results", [tables.systems_table(report), tables.details_table(report)], ["systems"]),
        section("paper", "Beside the paper", [tables.paper_table(report)]),
        section("comparisons", "Paired comparisons", [tables.comparisons_table(report)]),
        section("nets", "Single nets", [tables.seeds_table(report)]),
        section(
            "growing",
            "Growing ensemble",
            [ensemble_tables.growing_table(report), ensemble_tables.combinations_table(report)],
            ["growing"],
        ),
        section("soft-targets", "Soft targets", [tables.soft_targets_table(report)]),
        section("tuning", "Tuning of temperature and alpha", [tables.tuning_table(report)], ["tuning"]),
        *(study_sections(report.sweep) if report.sweep else ()),
        section("curves", "Learning curves", figures=["curves"]),
        section("calibration", "Calibration and temperature", figures=["reliability", "temperature"]),
        section("data", "Data", [tables.data_table(report)]),
        section("seconds", "Time", [tables.seconds_table(report)], ["seconds"]),
    ]


def study_sections(sweep: Sweep) -> list[Section]:
    """One for each study."""
    return [
        Section(figure_name(study), study.title, study_tables(study), [figure_name(study)]) for study in sweep.studies
    ]
