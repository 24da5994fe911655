"""The order of the comparison's page, and what was found, in plain sentences."""

from collections.abc import Sequence

from asrkd.report import formats
from asrkd.report.comparison import tables
from asrkd.report.comparison.plots import FIGURES
from asrkd.report.comparison.schema import Compared, ComparedSystem
from asrkd.report.sections import Page, Section
from asrkd.report.tables import Table, system_name, within


def page(compared: Compared) -> Page:
    """The page."""
    return Page("Comparison of acoustic models", setting(compared), findings(compared), sections(compared))


def setting(compared: Compared) -> str:
    """One line on what is compared."""
    parts = [f"{len(compared.systems)} systems"]
    if compared.words:
        parts.append(f"{formats.count(compared.words.words)} words")
    if compared.frames:
        parts.append(f"{formats.count(compared.frames.frames)} frames")
    return ", ".join(parts)


def sections(compared: Compared) -> list[Section]:
    """All sections that have something to show."""

    def section(name: str, heading: str, parts: Sequence[Table | None], figures: Sequence[str] = ()) -> Section:
        return Section(name, heading, [part for part in parts if part is not None], figures)

    found = [
        section(
            "results",
            "Results",
            [tables.frames_table(compared), tables.words_table(compared), tables.calibration_table(compared)],
        ),
        section("transfer", "Transfer from teacher to student", [tables.transfer_table(compared)]),
        section(
            "comparisons",
            "Paired comparisons",
            [tables.word_pairs_table(compared), tables.frame_pairs_table(compared)],
        ),
        section("classes", "Classes of phones", [tables.classes_table(compared)]),
        section("confusions", "Confusions of phones", [tables.confused_table(compared)], list(FIGURES)),
    ]
    return [each for each in found if each.tables]


def findings(compared: Compared) -> list[str]:
    """What the student keeps of its teacher, and whether its words are better than the baseline's."""
    student, baseline = compared.student, compared.baseline
    if student is None or baseline is None:
        return []
    said = [_kept(compared, student), _agrees(student, baseline), _words(compared, student, baseline)]
    return [each for each in said if each]


def _kept(compared: Compared, student: ComparedSystem) -> str:
    wanted = (student.name, "frame_accuracy")
    ratio = next((each for each in compared.transfer if (each.student, each.measure) == wanted), None)
    if ratio is None:
        return ""
    if not ratio.reliable or ratio.gain.estimate <= 0:
        return "In frame accuracy the teacher shows no gain over the baseline, so there is no share of it to state."
    share = f"{formats.percent(ratio.estimate, 0)} % {formats.interval(ratio.low, ratio.high, 0)}"
    return f"Of the teacher's gain in frame accuracy over the baseline, {_name(student)} keeps {share}."


def _agrees(student: ComparedSystem, baseline: ComparedSystem) -> str:
    ours, theirs = (each.rates.get("agreement") for each in (student, baseline))
    if ours is None or theirs is None:
        return ""
    shares = f"{formats.percent(ours.value)} % of the frames, the baseline in {formats.percent(theirs.value)} %"
    return f"It predicts the teacher's state in {shares}."


def _words(compared: Compared, student: ComparedSystem, baseline: ComparedSystem) -> str:
    found = compared.difference(student.name, baseline.name, "wer")
    if found is None:
        return ""
    bounds = f"{formats.points(found.difference)} points of WER {formats.clear_interval(found.low, found.high)}"
    verdict = "excludes" if found.low > 0 or found.high < 0 else "does not exclude"
    return f"From the baseline, {_name(student)} differs by {bounds}, which {verdict} 0."


def _name(system: ComparedSystem) -> str:
    return within(system_name(system.name))
