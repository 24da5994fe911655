"""The verb that checks a recipe, and the device it is to run on, without running anything."""

import re
from argparse import Namespace
from collections.abc import Sequence
from typing import Any

from asrkd.core.config import parse
from asrkd.core.errors import ConfigError
from asrkd.verbs.verb import Section, Verb, flag


def plan_check(arguments: Namespace, config: Section) -> None:
    """Parse every section of a recipe, so that a slip shows before an hour of work, not after."""
    import importlib

    if arguments.device:
        from asrkd.core.device import choose_device

        choose_device(arguments.device)
    for name, section in config.items():
        if not isinstance(section, dict):
            continue
        kind = next((known for known in SECTIONS if re.fullmatch(rf"{known}(\d*|_.*)", name)), None)
        if kind is None:
            from asrkd.core.config import nearest

            raise ConfigError(f"{arguments.config[-1]}: unknown section {name!r}{nearest(name, list(SECTIONS))}")
        module, _, attribute = SECTIONS[kind].partition(":")
        where = f"{arguments.config[-1]}: {name}"
        value = parse(getattr(importlib.import_module(module), attribute), section, where)
        if kind in ("teacher", "student", "generalist", "specialist"):
            _check_plugins(value, where)
        if kind == "posteriors":
            from asrkd.targets import build_codec

            build_codec(value.codec, 2, f"{where}: codec")
    if arguments.recipe:
        from asrkd.core.recipe import RecipeConfig

        print("\n".join(parse(RecipeConfig, config.get("recipe") or {}, "recipe").lines(config)))
    elif arguments.config:
        print(f"{', '.join(arguments.config)}: every section is sound")


def _check_plugins(config: Any, where: str) -> None:
    from asrkd.losses import build_loss
    from asrkd.models import build_model

    build_loss(config.loss, f"{where}: loss")
    build_model({**config.model}, 1, 1, f"{where}: model")


SECTIONS = {
    "recipe": "asrkd.core.recipe:RecipeConfig",
    "corpus": "asrkd.corpora.mini:CorpusConfig",
    "digits": "asrkd.corpora.digits:DigitsConfig",
    "prepare": "asrkd.corpora.librispeech:PrepareConfig",
    "split": "asrkd.corpora.split:SplitConfig",
    "subset": "asrkd.corpora.subset:SubsetConfig",
    "perturb": "asrkd.corpora.perturb:SpeedConfig",
    "augment": "asrkd.corpora.augment:AugmentConfig",
    "fbank": "asrkd.features.frontend:FeatureConfig",
    "mfcc": "asrkd.features.frontend:FeatureConfig",
    "g2p": "asrkd.lang.g2p:G2pConfig",
    "lang": "asrkd.lang.prepare:LangConfig",
    "lm": "asrkd.lang.lm:LmConfig",
    "mono": "asrkd.hmm.mono:MonoConfig",
    "triphone": "asrkd.hmm.triphone:TriphoneConfig",
    "align": "asrkd.hmm.align:AlignConfig",
    "import_kaldi": "asrkd.hmm.kaldi_exchange:ImportKaldiConfig",
    "graph": "asrkd.graph.hclg:GraphConfig",
    "teacher": "asrkd.training.train:TrainConfig",
    "student": "asrkd.training.train:TrainConfig",
    "cluster": "asrkd.targets.clusters:ClusterConfig",
    "generalist": "asrkd.training.train:TrainConfig",
    "specialist": "asrkd.training.train:TrainConfig",
    "posteriors": "asrkd.targets.dump:PosteriorsConfig",
    "decode": "asrkd.decoding.config:DecodeConfig",
    "sweep": "asrkd.core.sweep:SweepConfig",
    "report": "asrkd.scoring.summary:ReportConfig",
}
"""Which dataclass a section of a recipe is; sections ``NAME_x`` and ``NAME2`` are further ones of the kind NAME."""


VERBS: Sequence[Verb] = (
    Verb(
        "check",
        "Check every section of a recipe, and whether a device is there, without running anything",
        "asrkd check --config recipes/mini/recipe.yaml",
        None,
        [
            flag("--recipe", "print what run.sh needs to know of the configuration"),
            (("--device",), {"metavar": "D", "help": "auto, cpu, cuda or cuda:N: an error if there is none such"}),
        ],
        plan_check,
    ),
)
