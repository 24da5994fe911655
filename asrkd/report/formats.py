"""How figures are written: one function a kind, so that a figure reads the same wherever it stands.

Rates come as fractions and are written in per cent without the sign; differences of rates in points, with theirs.
"""

MINUS = "\N{MINUS SIGN}"
ABSENT = "\N{EN DASH}"

_SMALLEST_P = 0.001
_PARTS = {2: "half", 3: "a third", 4: "a quarter", 5: "a fifth", 6: "a sixth", 7: "a seventh", 8: "an eighth"}
_PARTS |= {9: "a ninth", 10: "a tenth"}


def number(value: float | None, decimals: int) -> str:
    """``value`` with a true minus sign, thousands apart and no negative zero; a dash for None."""
    if value is None:
        return ABSENT
    text = f"{value:,.{decimals}f}"
    if not text.strip("-0.,"):
        text = text.lstrip("-")
    return text.replace("-", MINUS)


def percent(fraction: float | None, decimals: int = 1) -> str:
    """0.589 -> ``58.9``."""
    return number(None if fraction is None else 100 * fraction, decimals)


def points(fraction: float, decimals: int = 1) -> str:
    """A difference of fractions in points, signed: 0.021 -> ``+2.1``."""
    text = percent(fraction, decimals)
    return text if text.startswith(MINUS) or not text.strip("0.") else f"+{text}"


def interval(low: float | None, high: float | None, decimals: int = 1) -> str:
    """Bounds in per cent or points: ``[58.2, 59.6]``; a dash where one is unknown."""
    if low is None or high is None:
        return ABSENT
    return f"[{percent(low, decimals)}, {percent(high, decimals)}]"


def clear_interval(low: float, high: float) -> str:
    """Bounds of a difference in points, with a second decimal where one would hide on which side of 0 a bound is."""
    hides = any(bound != 0 and not percent(bound).strip("0." + MINUS) for bound in (low, high))
    return interval(low, high, 2 if hides else 1)


def spread(fraction: float, deviation: float | None) -> str:
    """Mean and standard deviation in per cent: ``58.9 ± 0.3``."""
    return percent(fraction) + (f" ± {percent(deviation)}" if deviation is not None else "")


def p_value(p: float | None) -> str:
    """Three decimals; a smaller one as ``<0.001``, since the bootstrap resolves no finer."""
    if p is None:
        return ABSENT
    return f"<{_SMALLEST_P}" if p < _SMALLEST_P else f"{p:.3f}"


def count(value: float | None) -> str:
    """Whole numbers with thousands apart; a mean over seeds keeps one decimal."""
    if value is None:
        return ABSENT
    return number(value, 0 if float(value).is_integer() else 1)


def parameters(value: int | None) -> str:
    """1523000 -> ``1.52 M``."""
    if value is None:
        return ABSENT
    return f"{value / 1e6:,.2f} M" if value >= 10_000 else f"{value:,}"


def plain(value: float | str) -> str:
    """A setting such as a temperature: 2.0 -> ``2``, 0.5 -> ``0.5``; one that changes is text as it is."""
    return value if isinstance(value, str) else f"{value:g}".replace("-", MINUS)


def duration(seconds: float) -> str:
    """Seconds with one decimal, and from two minutes on also ``h:mm:ss``."""
    text = f"{seconds:,.1f} s"
    if seconds < 120:
        return text
    minutes, rest = divmod(round(seconds), 60)
    return f"{text} ({minutes // 60}:{minutes % 60:02d}:{rest:02d})"


def share(part: int, whole: int) -> str:
    """How ``part`` stands to ``whole`` in words: ``a fifth of``, ``37 % of``, ``as many``, ``1.4 times``."""
    if part == whole:
        return "as many"
    if part > whole:
        return f"{part / whole:.1f} times"
    ratio = whole / part
    if round(ratio) in _PARTS and abs(ratio / round(ratio) - 1) < 0.02:
        return f"{_PARTS[round(ratio)]} of"
    fraction = 100 * part / whole
    return f"{fraction:.0f} % of" if fraction >= 1 else f"{fraction:.1g} % of"
