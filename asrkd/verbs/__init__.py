"""The verbs: for each its arguments, the section of the recipe that it reads, and the stage that it makes."""

from asrkd.verbs import check, data, kaldi_export, kaldi_import, nets, results, specialists, states, sweep
from asrkd.verbs.verb import Verb

VERBS: tuple[Verb, ...] = (
    *(*data.VERBS, *states.VERBS, *nets.VERBS, *results.VERBS, *specialists.VERBS),
    *(*kaldi_import.VERBS, *kaldi_export.VERBS, *check.VERBS, *sweep.VERBS),
)

__all__ = ["VERBS", "Verb"]
