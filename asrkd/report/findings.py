"""What was found, in plain sentences, from the figures alone; an absent or reversed effect is said as plainly.

An effect is claimed only where its 95 % interval excludes 0.
"""

from asrkd.report import formats
from asrkd.report.schema import Comparison, Report


def findings(report: Report) -> list[str]:
    """One sentence or two for each question: the ensemble, the share that is kept, the words, the small net."""
    sentences = [_ensemble(report), _distilled(report), _words(report), _small(report)]
    return [sentence for sentence in sentences if sentence]


def excludes_zero(comparison: Comparison) -> bool:
    """Whether the interval lies wholly on one side of 0."""
    return comparison.low > 0 or comparison.high < 0


def _accuracy(report: Report, name: str) -> float:
    system = report.system(name)
    assert system is not None, name
    assert system.frame_accuracy is not None, name
    return system.frame_accuracy.test


def _size(comparison: Comparison) -> str:
    """``2.1 points of frame accuracy [1.7, 2.5]``: without a sign where the words give the direction."""
    measure = {"frame_accuracy": "frame accuracy", "wer": "word error rate"}.get(comparison.metric, comparison.metric)
    low, high = comparison.low, comparison.high
    if comparison.difference < 0:
        low, high = -high, -low
    size = formats.points(abs(comparison.difference)).lstrip("+")
    return f"{size} points of {measure} {formats.clear_interval(low, high)}"


def _ensemble(report: Report) -> str:
    """Whether averaging helped the frames."""
    subject = f"The ensemble of {report.num_teachers}"
    figures = _from_to(_accuracy(report, "ensemble"), _accuracy(report, "baseline"))
    comparison = report.comparison("ensemble", "baseline", "frame_accuracy")
    if comparison is None:
        difference = formats.points(_accuracy(report, "ensemble") - _accuracy(report, "baseline"))
        return f"{subject} differs from the mean single net by {difference} points of frame accuracy {figures}."
    if not excludes_zero(comparison):
        return (
            f"{subject} and the mean single net are not told apart in frame accuracy {figures}: the difference of "
            f"{formats.points(comparison.difference)} points {_bounds(comparison)} includes 0."
        )
    side = "above" if comparison.difference > 0 else "below"
    return f"{subject} is {side} the mean single net by {_size(comparison)} {figures}."


def _from_to(ours: float, theirs: float) -> str:
    return f"({formats.percent(ours)} % against {formats.percent(theirs)} %)"


def _bounds(comparison: Comparison) -> str:
    return formats.clear_interval(comparison.low, comparison.high)


def _distilled(report: Report) -> str:
    """How much of the ensemble's gain is kept, where there is a gain to keep."""
    gain = report.comparison("ensemble", "baseline", "frame_accuracy")
    ratio = report.transfer_ratio
    cost = _cost(report, "distilled")
    has_gain = excludes_zero(gain) and gain.difference > 0 if gain else ratio.reliable
    if ratio.value is None or not has_gain:
        accuracy = formats.percent(_accuracy(report, "distilled"))
        return (
            f"The distilled net, with {cost}, reaches {accuracy} %; since the ensemble shows no gain, "
            "there is no share of it to state."
        )
    bounds = f" {formats.interval(ratio.low, ratio.high, 0)}" if ratio.low is not None else ""
    value = f"{formats.percent(ratio.value, 0)} %{bounds}"
    if ratio.value <= 0:
        return f"The distilled net, with {cost}, keeps none of that gain (share {value})."
    doubt = ", a share that the interval does not tell from none" if ratio.low is not None and ratio.low <= 0 else ""
    return f"The distilled net keeps {value} of that gain with {cost}{doubt}."


def _cost(report: Report, name: str) -> str:
    system, ensemble = report.system(name), report.system("ensemble")
    if system is None or ensemble is None or not system.parameters or not ensemble.parameters:
        return "parameters of unknown number"
    share = formats.share(system.parameters, ensemble.parameters)
    return f"{share} parameters as the ensemble" if share == "as many" else f"{share} the ensemble's parameters"


def _words(report: Report) -> str:
    """Whether fewer words are wrong."""
    rates = {name: report.system(name) for name in ("baseline", "ensemble", "distilled")}
    shown = {name: formats.percent(system.wer.test) for name, system in rates.items() if system}
    sentence = (
        f"Word error rate on test is {shown['baseline']} % for the mean single net, {shown['ensemble']} % for the "
        f"ensemble and {shown['distilled']} % for the distilled net."
    )
    verdicts = [_verdict(report, name) for name in ("ensemble", "distilled")]
    return " ".join([sentence, *filter(None, verdicts)])


def _verdict(report: Report, name: str) -> str:
    comparison = report.comparison(name, "baseline", "wer")
    system = report.system(name)
    if comparison is None:
        return ""
    subject = f"The {name}{' net' if name == 'distilled' else ''}'s difference from the mean single net"
    difference = f"{formats.points(comparison.difference)} points {_bounds(comparison)}"
    if not excludes_zero(comparison):
        words = f"{formats.count(system.words)} words" if system and system.words else "this test set"
        return f"{subject}, {difference}, does not exclude 0: on {words} the two are not told apart."
    kind = "fewer" if comparison.difference < 0 else "more"
    return f"{subject}, {difference}, excludes 0: it gets {kind} words wrong."


def _small(report: Report) -> str:
    """What a smaller student keeps."""
    small = report.system("distilled_small")
    if small is None or small.frame_accuracy is None:
        return ""
    sentence = (
        f"A small distilled net, with {_cost(report, 'distilled_small')}, reaches "
        f"{formats.percent(small.frame_accuracy.test)} % of frame accuracy and {formats.percent(small.wer.test)} % WER"
    )
    comparison = report.comparison("distilled_small", "baseline", "frame_accuracy")
    if comparison is None:
        return f"{sentence}."
    if not excludes_zero(comparison):
        return f"{sentence}; in frame accuracy it is not told apart from the mean single net {_bounds(comparison)}."
    side = "above" if comparison.difference > 0 else "below"
    return f"{sentence}; it is {side} the mean single net by {_size(comparison)}."
