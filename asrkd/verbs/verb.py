"""What a verb is, and what its arguments share.

A plan names inputs and output and imports what does the work only inside ``run``.
"""

from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asrkd.core.errors import ConfigError
from asrkd.core.stage import Stage

Section = Mapping[str, Any]
Argument = tuple[tuple[str, ...], dict[str, Any]]


@dataclass(frozen=True)
class Verb:
    """``plan(arguments, section)`` returns the stage or stages to run, or None when it did its work itself."""

    name: str
    help: str
    example: str
    section: str | None
    arguments: Sequence[Argument]
    plan: Callable[[Namespace, Section], Stage | Sequence[Stage] | None]


def path(name: str, text: str, **options: Any) -> Argument:
    """A path argument, positional or, with dashes, an option."""
    return (name,), {"type": Path, "metavar": name.lstrip("-").upper().replace("-", "_"), "help": text, **options}


def flag(name: str, text: str) -> Argument:
    """An option that is given or not."""
    return (name,), {"action": "store_true", "help": text}


REPEATED: dict[str, Any] = {"action": "append", "default": []}

OUTPUT = path("output", "folder to make")


def stage(
    arguments: Namespace,
    section: Section,
    inputs: Sequence[Path | None],
    run: Callable[[Path], Mapping[str, Any] | None],
    version: int = 1,
    **options: Any,
) -> Stage:
    """A stage of this verb; ``options`` are arguments that change the output and so belong to its identity."""
    config = {**section, **({"options": options} if any(options.values()) else {})}
    present = [path for path in inputs if path is not None]
    return Stage(arguments.verb.name, run, present, arguments.output, config, version)


def where(arguments: Namespace) -> str:
    """The recipe and section that an error in the configuration should name."""
    return f"{arguments.config[-1] if arguments.config else 'configuration'}: {arguments.section}"


def one_source(arguments: Namespace) -> None:
    """ConfigError unless either ``models`` or ``gmm`` is given."""
    if bool(arguments.models) == bool(arguments.gmm):
        raise ConfigError("give the models to use before the output, or one GMM as --gmm DIR, and not both")


def how_combined(arguments: Namespace) -> dict[str, Any]:
    """What was given of `COMBINED`, for a stage's identity: nothing, where all models count the same."""
    given = {"combination": arguments.combination, "weights": bool(arguments.weights)}
    return {name: value for name, value in given.items() if value}


DATA = path("data", "data dir")
FEATURES = path("features", "feature folder")
LANG = path("lang", "lang folder")
TIED_STATES = path("tied_states", "tied-state model, e.g. exp/mini/tri")

MODELS = path("models", "model folders; several are averaged", nargs="*")

COMBINATION: Argument = (
    ("--combination",),
    {
        "choices": ["arithmetic", "geometric", "logits"],
        "help": "of several models: arithmetic mean of posteriors (default), or geometric, which is the mean of logits",
    },
)
WEIGHTS = path("--weights", "what `asrkd weigh` learnt of these very models, and its combination")
COMBINED = (COMBINATION, WEIGHTS)
