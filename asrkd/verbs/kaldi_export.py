"""Verbs that give results to Kaldi's tools."""

from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from asrkd.core.errors import ConfigError
from asrkd.core.stage import Stage
from asrkd.verbs.verb import (
    COMBINED,
    DATA,
    FEATURES,
    MODELS,
    OUTPUT,
    TIED_STATES,
    Section,
    Verb,
    flag,
    how_combined,
    one_source,
    path,
    stage,
)


def plan_export_posteriors(arguments: Namespace, section: Section) -> Stage:
    soft_targets, output, renormalise = arguments.soft_targets, arguments.output, arguments.renormalise
    if arguments.dense and renormalise:
        raise ConfigError("--renormalise leaves the tail out, --dense spreads it: give one of them")

    def run(work: Path) -> Mapping[str, Any]:
        from asrkd.targets.kaldi_posteriors import export_matrices, export_posteriors

        if arguments.dense:
            return export_matrices(soft_targets, work, output, arguments.dense, arguments.jobs)
        return export_posteriors(soft_targets, work, output, renormalise, arguments.jobs)

    dense = {"dense": arguments.dense} if arguments.dense else {}
    return stage(arguments, {}, [soft_targets], run, renormalise=renormalise, **dense, output=_place(output))


def plan_export_loglikes(arguments: Namespace, section: Section) -> Stage:
    one_source(arguments)

    def run(work: Path) -> Mapping[str, Any]:
        from asrkd.decoding.loglikes import export_log_likelihoods
        from asrkd.decoding.sources import gmm, nets
        from asrkd.features.store import FeatureDir

        features = FeatureDir.open(arguments.features)
        if arguments.gmm:
            source = gmm(features, arguments.gmm)
        else:
            source = nets(features, arguments.models, arguments.combination, arguments.weights)
        return export_log_likelihoods(source, features, work, arguments.output, arguments.jobs)

    inputs = [arguments.features, *arguments.models, arguments.gmm, arguments.weights]
    options = {"gmm": bool(arguments.gmm), **how_combined(arguments)}
    return stage(arguments, {}, inputs, run, **options, output=_place(arguments.output))


def plan_export_alignment(arguments: Namespace, section: Section) -> Stage:
    alignment, tied_states = arguments.alignment, arguments.tied_states
    num_jobs, text = arguments.num_jobs, arguments.text

    def run(work: Path) -> Mapping[str, Any]:
        from asrkd.hmm.kaldi_exchange import export_alignment

        return export_alignment(alignment, tied_states, work, num_jobs, text)

    return stage(arguments, {}, [alignment, tied_states], run, num_jobs=num_jobs, text=text)


def plan_export_data(arguments: Namespace, section: Section) -> Stage:
    def run(work: Path) -> Mapping[str, Any]:
        from asrkd.corpora.kaldi_data import export_data

        return export_data(arguments.data, work, arguments.features)

    return stage(arguments, {}, [arguments.data, arguments.features], run, features=bool(arguments.features))


def _place(output: Path) -> str:
    """Where the output lies belongs to its identity, since its scp files say it."""
    return str(output.absolute())


VERBS: Sequence[Verb] = (
    Verb(
        "export-posteriors",
        "Write a soft-target archive as a Kaldi Posterior archive (post.scp), or as matrices (targets.scp)",
        "asrkd export-posteriors --jobs 2 exp/wsj/soft_targets exp/wsj/kaldi/post",
        None,
        [
            path("soft_targets", "soft-target archive"),
            OUTPUT,
            flag("--renormalise", "scale each frame's weights to sum to 1, where smaller posteriors were put together"),
            (
                ("--dense",),
                {
                    "choices": ["prior", "uniform"],
                    "help": "matrices of all pdfs: what was put together is spread by the pdfs' priors, or evenly",
                },
            ),
        ],
        plan_export_posteriors,
    ),
    Verb(
        "export-loglikes",
        "Write log-likelihoods as a Kaldi matrix archive (loglikes.scp), for latgen-faster-mapped",
        "asrkd export-loglikes --jobs 2 exp/wsj/fbank/test exp/wsj/student exp/wsj/kaldi/loglikes/test",
        None,
        [FEATURES, MODELS, OUTPUT, path("--gmm", "tied-state model whose GMM to use, on MFCC"), *COMBINED],
        plan_export_loglikes,
    ),
    Verb(
        "export-alignment",
        "Write an alignment and its tied states as Kaldi's scripts read them (ali.N.gz, num_jobs, final.mdl, tree)",
        "asrkd export-alignment exp/wsj/ali/train exp/wsj/tri exp/wsj/kaldi/ali",
        None,
        [
            path("alignment", "alignment folder"),
            TIED_STATES,
            OUTPUT,
            (("--num-jobs",), {"type": int, "default": 1, "metavar": "N", "help": "archives to write (default: 1)"}),
            flag("--text", "write text archives, not binary ones"),
        ],
        plan_export_alignment,
    ),
    Verb(
        "export-data",
        "Write a data dir that Kaldi's validate_data_dir.sh accepts and its tools can open",
        "asrkd export-data --features exp/mini/fbank/train exp/mini/data/train exp/mini/kaldi/data/train",
        None,
        [DATA, OUTPUT, path("--features", "feature folder of the data dir, to be named in feats.scp and cmvn.scp")],
        plan_export_data,
    ),
)
