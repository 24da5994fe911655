"""``asrkd VERB``: reads arguments, makes its stage or stages, runs them. A user's mistake is one line and exit code 1.

Nothing heavy is imported before a stage is known to have work to do: a verb whose output stands returns at once.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from asrkd import __version__
from asrkd.core.config import apply_overrides, load_yaml, merge, nearest, section
from asrkd.core.errors import AsrkdError, ConfigError
from asrkd.core.messages import say
from asrkd.core.stage import Stage, run_stage
from asrkd.verbs import VERBS, Verb

_DESCRIPTION = "Acoustic-model distillation for speech recognition: ensemble, soft targets, student, WER."


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb. Returns the exit code: 0, 1 for a user's mistake, 130 for Ctrl-C."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    arguments.plan = partial(_plan_again, parser, arguments.config)
    verb: Verb = arguments.verb
    try:
        config = merge([load_yaml(Path(path)) for path in arguments.config])
        for stage in _plan(arguments, apply_overrides(config, arguments.set)):
            run_stage(stage)
    except BrokenPipeError:
        return 1
    except (AsrkdError, OSError) as error:  # OSError: a full disk, a folder that may not be written
        say(f"asrkd {verb.name}: error: {' '.join(_told(error).split())}")
        return 1
    except KeyboardInterrupt:
        say(f"asrkd {verb.name}: interrupted; the same command goes on from here")
        return 130
    return 0


def _plan(arguments: argparse.Namespace, config: Mapping[str, Any]) -> Sequence[Stage]:
    """The stages that a verb makes."""
    section = _section(config, arguments) if arguments.section is not None else config
    outcome = arguments.verb.plan(arguments, section)
    return [outcome] if isinstance(outcome, Stage) else outcome or ()


def _plan_again(
    parser: argparse.ArgumentParser, files: Sequence[str], argv: Sequence[str], config: Mapping[str, Any]
) -> Stage:
    """The one stage of another verb's command line, for a verb that is made of others: they know none but by this."""
    arguments = parser.parse_args(argv)
    arguments.config = files
    (stage,) = _plan(arguments, config)
    return stage


def _told(error: AsrkdError | OSError) -> str:
    """What went wrong; where the system refused a file, the file first."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _section(config: Mapping[str, Any], arguments: argparse.Namespace) -> dict[str, Any]:
    """The section to use; a recipe may be silent on a verb, but not on a section that was asked for by name."""
    name, verb = arguments.section, arguments.verb
    if name != verb.section and name not in config:
        where = ", ".join(arguments.config) or "the configuration"
        raise ConfigError(f"{where} has no section {name!r}{nearest(name, list(config))}")
    return section(config, name)


def _number_of_jobs(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


class _Parser(argparse.ArgumentParser):
    """Exits with 1, not 2, on a mistake in the arguments, and says it in one line."""

    def error(self, message: str) -> NoReturn:
        say(f"{self.prog}: error: {message} (see {self.prog} --help)")
        raise SystemExit(1)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="asrkd", description=_DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"asrkd {__version__}")
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    for verb in VERBS:
        child = verbs.add_parser(
            verb.name,
            help=verb.help,
            description=verb.help + ".",
            epilog=f"example:\n  {verb.example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        for names, options in verb.arguments:
            child.add_argument(*names, **options)
        child.add_argument(
            "--config", action="append", default=[], metavar="YAML", help="recipe; a later one overrides an earlier"
        )
        child.add_argument(
            "--section", default=verb.section, help=f"section of the recipe to use (default: {verb.section})"
        )
        child.add_argument(
            "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="override one value of the recipe"
        )
        child.add_argument("--jobs", type=_number_of_jobs, default=1, help="processes (default: 1)")
        child.set_defaults(verb=verb)
    return parser


if __name__ == "__main__":
    sys.exit(main())
