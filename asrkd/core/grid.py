"""Settings of trials, and grids over them written out as points. No work is done here.

A setting is a key of what a trial's nets are trained or their soft targets dumped by, as ``train.KEY`` or
``posteriors.KEY``, or one of `SHORT`'s names.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any, TypeAlias

from pydantic import Field
from pydantic.dataclasses import dataclass

from asrkd.core.config import STRICT, nearest
from asrkd.core.errors import ConfigError

Settings: TypeAlias = dict[str, Any]

SECTION, NUM_TEACHERS, ONLINE, TEACHER = "section", "num_teachers", "online", "teacher"
TEACHERS, PASSES, OWN, ALL = "teachers", "passes", "own", "all"
BIAS = "bias"
SHORT: Mapping[str, Sequence[str]] = {
    SECTION: (),
    NUM_TEACHERS: (),
    ONLINE: (),
    TEACHER: (),
    TEACHERS: (),
    PASSES: ("posteriors.passes",),
    BIAS: (),
    "temperature": ("train.loss.temperature", "posteriors.temperature"),
    "alpha": ("train.loss.alpha",),
    "codec": ("posteriors.codec",),
    "hidden_units": ("train.model.hidden_units",),
}
"""Settings by short names, and the keys that each sets. ``section`` is the recipe's section that a net is trained by,
``num_teachers`` how many teachers are averaged, from the first on; with ``online: true`` they are asked as the net
trains, in place of an archive. ``teacher: N`` is no training but the Nth teacher itself, ``teacher: all`` the
``num_teachers`` together. ``own`` as either number: for the sweep's first seed the first teacher alone, for the second
the second, and so on. ``teachers`` is another folder of them; ``passes`` how many stochastic passes of teachers with
dropout are averaged. ``bias`` lists pdfs or phones whose output biases are raised, once the net is trained, by what is
best on dev."""


Grid: TypeAlias = Mapping[str, Sequence[Any] | Mapping[str, Settings]]
"""By axis: values of the setting of that name, or names of values with the settings that each stands for."""


@dataclass(frozen=True, config=STRICT)
class Adjustment:
    """Settings of the points that have these values ``at`` some axes, over those of the axes."""

    at: Settings = Field(min_length=1)
    set: Settings = Field(min_length=1)


def points(
    grid: Grid, fixed: Settings, where: str, adjust: Sequence[Adjustment] = ()
) -> Iterator[tuple[dict[str, str], Settings]]:
    """Every combination: by axis the name of its value; all its settings."""
    if not grid:
        raise ConfigError(f"{where}: grid is empty: which settings are to vary?")
    _check_settings(fixed, f"{where}: fixed")
    axes = [_axis(name, values, f"{where}: grid") for name, values in grid.items()]
    known = {name: [text for text, _ in values] for name, values in zip(grid, axes, strict=True)}
    adjustments = []
    for index, each in enumerate(adjust):
        _check_settings(each.set, f"{where}: adjust.{index}.set")
        adjustments.append((named(each.at, known, f"{where}: adjust.{index}.at"), each.set))
    for combination in product(*axes):
        settings = dict(fixed)
        for _, values in combination:
            settings |= values
        labels = {axis: text for axis, (text, _) in zip(grid, combination, strict=True)}
        for wanted, values in adjustments:
            if wanted.items() <= labels.items():
                settings |= values
        yield labels, settings


def named(values: Settings, known: Mapping[str, Sequence[str]], where: str) -> dict[str, str]:
    """By axis the name of its value; ConfigError for one that is not ``known``."""
    wanted = {axis: label(value) for axis, value in values.items()}
    for axis, text in wanted.items():
        if axis not in known:
            raise ConfigError(f"{where}: {axis!r} is no axis{nearest(axis, list(known))}")
        if text not in known[axis]:
            raise ConfigError(f"{where}.{axis}: {text!r} is no value of it{nearest(text, known[axis])}")
    return wanted


def label(value: Any) -> str:
    """A value as people name it: ``0.5``, ``topk 40``, ``dense float32``."""
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, (int, float)):
        return f"{value:g}"
    if isinstance(value, Mapping):
        rest = [child for key, child in value.items() if key != "type"]
        return " ".join(map(label, [*([value["type"]] if "type" in value else []), *rest]))
    return " ".join(map(label, value)) if isinstance(value, list) else str(value)


def slug(text: str) -> str:
    """``text`` as one part of a path, which can't climb."""
    return re.sub(r"[^A-Za-z0-9.,=_+-]+", "-", text).strip(".")


def _axis(name: str, values: Sequence[Any] | Mapping[str, Settings], where: str) -> list[tuple[str, Settings]]:
    """Names of the axis' values, each with its settings."""
    if not values:
        raise ConfigError(f"{where}.{name} is empty: which values is it to take?")
    if isinstance(values, Mapping):
        for text, settings in values.items():
            _check_settings(settings, f"{where}.{name}.{text}")
        pairs = list(values.items())
    else:
        for value in values:
            _check_settings({name: value}, where)
        pairs = [(label(value), {name: value}) for value in values]
    folders = [slug(text) for text, _ in pairs]
    if twice := [text for (text, _), folder in zip(pairs, folders, strict=True) if folders.count(folder) > 1]:
        raise ConfigError(f"{where}.{name}: {twice[0]!r} is there twice")
    return pairs


def _check_settings(settings: Settings, where: str) -> None:
    for name, value in settings.items():
        if name == "train.seed":
            raise ConfigError(f"{where}: {name}: the seeds are those of `seeds`")
        if name == ONLINE and not isinstance(value, bool):
            raise ConfigError(f"{where}: {name} {value!r} is neither true nor false")
        if name not in SHORT and not re.fullmatch(r"(train|posteriors)(\.\w+)+", name):
            raise ConfigError(
                f"{where}: unknown setting {name!r}{nearest(name, [*SHORT, 'train.KEY', 'posteriors.KEY'])}"
            )
