"""The verb that checks a recipe without running it."""

from argparse import Namespace
from collections.abc import Sequence
from typing import Any

from asrkd.core.config import parse
from asrkd.core.errors import ConfigError
from asrkd.verbs.verb import Section, Verb


def plan_check(arguments: Namespace, config: Section) -> None:
    """Parse every section of a recipe, so that a slip shows before an hour of work, not after."""
    import importlib

    for name, section in config.items():
        if not isinstance(section, dict):
            continue
        kind = next((known for known in SECTIONS if name == known or name.startswith(known + "_")), None)
        if kind is None:
            from asrkd.core.config import nearest

            raise ConfigError(f"{arguments.config[-1]}: unknown section {name!r}{nearest(name, list(SECTIONS))}")
        module, _, attribute = SECTIONS[kind].partition(":")
        where = f"{arguments.config[-1]}: {name}"
        value = parse(getattr(importlib.import_module(module), attribute), section, where)
        if kind in ("teacher", "student"):
            _check_plugins(value, where)
    print(f"{', '.join(arguments.config)}: every section is sound")


def _check_plugins(config: Any, where: str) -> None:
    from asrkd.losses import build_loss
    from asrkd.models import build_model

    build_loss(config.loss, f"{where}: loss")
    build_model({**config.model}, 1, 1, f"{where}: model")


SECTIONS = {
    "corpus": "asrkd.corpora.mini:CorpusConfig",
    "prepare": "asrkd.corpora.librispeech:PrepareConfig",
    "split": "asrkd.corpora.split:SplitConfig",
    "subset": "asrkd.corpora.subset:SubsetConfig",
    "perturb": "asrkd.features.perturb:SpeedConfig",
    "fbank": "asrkd.features.frontend:FeatureConfig",
    "mfcc": "asrkd.features.frontend:FeatureConfig",
    "g2p": "asrkd.lang.g2p:G2pConfig",
    "lang": "asrkd.lang.prepare:LangConfig",
    "mono": "asrkd.hmm.mono:MonoConfig",
    "triphone": "asrkd.hmm.triphone:TriphoneConfig",
    "align": "asrkd.hmm.align:AlignConfig",
    "import_features": "asrkd.features.kaldi:ImportFeaturesConfig",
    "import_alignment": "asrkd.hmm.kaldi_exchange:ImportAlignmentConfig",
    "graph": "asrkd.graph.hclg:GraphConfig",
    "teacher": "asrkd.training.train:TrainConfig",
    "student": "asrkd.training.train:TrainConfig",
    "posteriors": "asrkd.targets.dump:PosteriorsConfig",
    "decode": "asrkd.decoding.config:DecodeConfig",
    "report": "asrkd.scoring.summary:ReportConfig",
}
"""Which dataclass a section of a recipe is; a section ``NAME_x`` is a further one of the kind NAME."""


VERBS: Sequence[Verb] = (
    Verb(
        "check",
        "Check every section of a recipe without running anything",
        "asrkd check --config recipes/mini/recipe.yaml",
        None,
        [],
        plan_check,
    ),
)
