"""The verbs: for each its arguments, the section of the recipe that it reads, and the stage that it makes.

A plan names inputs and output and imports what does the work only inside ``run``.
"""

from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asrkd.core.config import parse
from asrkd.core.errors import ConfigError
from asrkd.core.stage import Stage

Section = Mapping[str, Any]
Argument = tuple[tuple[str, ...], dict[str, Any]]


@dataclass(frozen=True)
class Verb:
    """``plan(arguments, section)`` returns the stage to run, or None when it did its work itself."""

    name: str
    help: str
    example: str
    section: str | None
    arguments: Sequence[Argument]
    plan: Callable[[Namespace, Section], Stage | None]


def _path(name: str, text: str, **options: Any) -> Argument:
    return (name,), {"type": Path, "metavar": name.lstrip("-").upper().replace("-", "_"), "help": text, **options}


def _flag(name: str, text: str) -> Argument:
    return (name,), {"action": "store_true", "help": text}


_REPEATED: dict[str, Any] = {"action": "append", "default": []}

OUTPUT = _path("output", "folder to make")


def _stage(
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


def _where(arguments: Namespace) -> str:
    return f"{arguments.config[-1] if arguments.config else 'configuration'}: {arguments.section}"


def plan_corpus(arguments: Namespace, section: Section) -> Stage:
    def run(work: Path) -> Mapping[str, Any]:
        from asrkd.corpora.mini import CorpusConfig, make_corpus

        return make_corpus(parse(CorpusConfig, section, _where(arguments)), arguments.source, work, arguments.jobs)

    return _stage(arguments, section, [arguments.source], run)


def plan_prepare(arguments: Namespace, section: Section) -> Stage:
    def run(work: Path) -> Mapping[str, Any]:
        from asrkd.corpora.librispeech import PrepareConfig, prepare_stage

        config = parse(PrepareConfig, section, _where(arguments))
        return prepare_stage(arguments.parts, work, config, transcripts=not arguments.no_transcripts)

    return _stage(arguments, section, arguments.parts, run, no_transcripts=arguments.no_transcripts)


def plan_split(arguments: Namespace, section: Section) -> Stage:
    def run(work: Path) -> Mapping[str, Any]:
        from asrkd.corpora.split import SplitConfig, split_stage

        return split_stage(arguments.data, work, parse(SplitConfig, section, _where(arguments)))

    return _stage(arguments, section, [arguments.data], run)


def plan_perturb(arguments: Namespace, section: Section) -> Stage:
    def run(work: Path) -> Mapping[str, Any]:
        from asrkd.features.perturb import SpeedConfig, perturb_speed

        config = parse(SpeedConfig, section, _where(arguments))
        return perturb_speed(config, arguments.data, arguments.output, work, arguments.jobs)

    return _stage(arguments, section, [arguments.data], run)


def plan_features(arguments: Namespace, section: Section) -> Stage:
    def run(work: Path) -> Mapping[str, Any]:
        from asrkd.features.extract import extract
        from asrkd.features.frontend import FeatureConfig

        config = parse(FeatureConfig, {"kind": arguments.verb.name, **section}, _where(arguments))
        return extract(config, arguments.data, work, arguments.jobs, arguments.allow_pipes)

    return _stage(arguments, section, [arguments.data], run)


def plan_lang(arguments: Namespace, section: Section) -> Stage:
    def run(work: Path) -> Mapping[str, Any]:
        from asrkd.lang.prepare import LangConfig, make_lang

        return make_lang(parse(LangConfig, section, _where(arguments)), arguments.lexicon, arguments.text, work)

    return _stage(arguments, section, [arguments.lexicon, arguments.text], run)


def plan_mono(arguments: Namespace, section: Section) -> Stage:
    def run(work: Path) -> Mapping[str, Any]:
        from asrkd.hmm.mono import MonoConfig, mono_stage

        config = parse(MonoConfig, section, _where(arguments))
        return mono_stage(config, arguments.features, arguments.data, arguments.lang, work, arguments.jobs)

    return _stage(arguments, section, [arguments.features, arguments.data, arguments.lang], run)


def plan_triphone(arguments: Namespace, section: Section) -> Stage:
    inputs = [arguments.features, arguments.data, arguments.lang, arguments.previous]

    def run(work: Path) -> Mapping[str, Any]:
        from asrkd.hmm.triphone import TriphoneConfig, triphone_stage

        return triphone_stage(parse(TriphoneConfig, section, _where(arguments)), *inputs, work, arguments.jobs)

    return _stage(arguments, section, inputs, run)


def plan_align(arguments: Namespace, section: Section) -> Stage:
    inputs = [arguments.features, arguments.data, arguments.lang, arguments.tied_states]

    def run(work: Path) -> Mapping[str, Any]:
        from asrkd.hmm.align import AlignConfig, align_stage

        return align_stage(parse(AlignConfig, section, _where(arguments)), *inputs, work, arguments.jobs)

    return _stage(arguments, section, inputs, run)


def plan_graph(arguments: Namespace, section: Section) -> Stage:
    def run(work: Path) -> Mapping[str, Any]:
        from asrkd.graph.hclg import GraphConfig, make_graph

        return make_graph(parse(GraphConfig, section, _where(arguments)), arguments.lang, arguments.tied_states, work)

    return _stage(arguments, section, [arguments.lang, arguments.tied_states], run)


def plan_train(arguments: Namespace, section: Section) -> Stage:
    if arguments.seed is not None:
        section = {**section, "seed": arguments.seed}

    def run(work: Path) -> Mapping[str, Any]:
        from asrkd.training.train import TrainConfig, TrainInputs, train

        inputs = TrainInputs(
            features=arguments.features,
            alignment=arguments.alignment,
            dev_features=arguments.dev_features,
            dev_alignment=arguments.dev_alignment,
            unlabelled=arguments.unlabelled,
            soft_targets=arguments.soft_targets,
        )
        return train(parse(TrainConfig, section, _where(arguments)), inputs, work)

    inputs = [
        *(arguments.features, arguments.alignment, arguments.dev_features, arguments.dev_alignment),
        *(*arguments.unlabelled, arguments.soft_targets),
    ]
    return _stage(arguments, section, inputs, run, unlabelled=len(arguments.unlabelled))


def plan_posteriors(arguments: Namespace, section: Section) -> Stage:
    def run(work: Path) -> Mapping[str, Any]:
        from asrkd.targets.dump import PosteriorsConfig, dump_posteriors

        config = parse(PosteriorsConfig, section, _where(arguments))
        return dump_posteriors(config, arguments.features, arguments.teachers, work)

    return _stage(arguments, section, [*arguments.features, *arguments.teachers], run, teachers=len(arguments.teachers))


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
    "perturb": "asrkd.features.perturb:SpeedConfig",
    "fbank": "asrkd.features.frontend:FeatureConfig",
    "mfcc": "asrkd.features.frontend:FeatureConfig",
    "lang": "asrkd.lang.prepare:LangConfig",
    "mono": "asrkd.hmm.mono:MonoConfig",
    "triphone": "asrkd.hmm.triphone:TriphoneConfig",
    "align": "asrkd.hmm.align:AlignConfig",
    "graph": "asrkd.graph.hclg:GraphConfig",
    "teacher": "asrkd.training.train:TrainConfig",
    "student": "asrkd.training.train:TrainConfig",
    "posteriors": "asrkd.targets.dump:PosteriorsConfig",
}
"""Which dataclass a section of a recipe is; a section ``NAME_x`` is a further one of the kind NAME."""

_DATA = _path("data", "data dir")
_FEATURES = _path("features", "feature folder")
_LANG = _path("lang", "lang folder")
_TIED_STATES = _path("tied_states", "tied-state model, e.g. exp/mini/tri")

VERBS: Sequence[Verb] = (
    Verb(
        "corpus",
        "Make the embedded corpus of synthetic read speech, in the LibriSpeech layout",
        "asrkd corpus --config recipes/mini/recipe.yaml --jobs 2 data/mini exp/mini/corpus",
        "corpus",
        [_path("source", "folder with grammar and lexicon"), OUTPUT],
        plan_corpus,
    ),
    Verb(
        "prepare",
        "Turn parts of a corpus in the LibriSpeech layout into a validated data dir",
        "asrkd prepare --config recipes/mini/recipe.yaml exp/mini/corpus/train exp/mini/data/train",
        "prepare",
        [
            _path("parts", "folders such as LibriSpeech/train-clean-100", nargs="+"),
            OUTPUT,
            _flag("--no-transcripts", "the parts have no transcripts, or they are to be ignored"),
        ],
        plan_prepare,
    ),
    Verb(
        "split",
        "Split a data dir by text or by speaker: the same words never stand on both sides",
        "asrkd split --config recipe.yaml exp/real/data/all exp/real/data/split",
        "split",
        [_DATA, OUTPUT],
        plan_split,
    ),
    Verb(
        "perturb",
        "Add faster and slower copies of every utterance to a data dir",
        "asrkd perturb --config recipe.yaml --jobs 2 exp/mini/data/train exp/mini/data/train_sp",
        "perturb",
        [_DATA, OUTPUT],
        plan_perturb,
    ),
    *(
        Verb(
            kind,
            f"Compute {text} features and normalisation statistics of a data dir",
            f"asrkd {kind} --config recipes/mini/recipe.yaml --jobs 2 exp/mini/data/train exp/mini/{kind}/train",
            kind,
            [_DATA, OUTPUT, _flag("--allow-pipes", "let wav.scp hold commands (`cmd |`), and run them")],
            plan_features,
        )
        for kind, text in (("fbank", "log-mel filterbank"), ("mfcc", "MFCC"))
    ),
    Verb(
        "lang",
        "Lexicon, phones, n-gram and L.fst from a CMUdict-format lexicon and training text",
        "asrkd lang --config recipes/mini/recipe.yaml data/mini/lexicon.txt exp/mini/corpus/lm_text.txt exp/mini/lang",
        "lang",
        [_path("lexicon", "CMUdict-format lexicon"), _path("text", "sentences, one a line"), OUTPUT],
        plan_lang,
    ),
    Verb(
        "mono",
        "Train a monophone GMM from a flat start",
        "asrkd mono --config recipes/mini/recipe.yaml --jobs 2 exp/mini/mfcc/train exp/mini/data/train exp/mini/lang "
        "exp/mini/mono",
        "mono",
        [_FEATURES, _DATA, _LANG, OUTPUT],
        plan_mono,
    ),
    Verb(
        "triphone",
        "Grow a decision tree of tied states and train a triphone GMM on them",
        "asrkd triphone --config recipes/mini/recipe.yaml --jobs 2 exp/mini/mfcc/train exp/mini/data/train "
        "exp/mini/lang exp/mini/mono exp/mini/tri",
        "triphone",
        [_FEATURES, _DATA, _LANG, _path("previous", "model whose alignments to start from"), OUTPUT],
        plan_triphone,
    ),
    Verb(
        "align",
        "Align utterances to their words: transition-ids, pdf-ids and their counts",
        "asrkd align --config recipes/mini/recipe.yaml --jobs 2 exp/mini/mfcc/dev exp/mini/data/dev exp/mini/lang "
        "exp/mini/tri exp/mini/ali/dev",
        "align",
        [_FEATURES, _DATA, _LANG, _TIED_STATES, OUTPUT],
        plan_align,
    ),
    Verb(
        "graph",
        "Compose HCLG from lexicon, n-gram and tree",
        "asrkd graph --config recipes/mini/recipe.yaml exp/mini/lang exp/mini/tri exp/mini/graph",
        "graph",
        [_LANG, _TIED_STATES, OUTPUT],
        plan_graph,
    ),
    Verb(
        "train",
        "Train one net on hard labels, or on soft targets: teacher, baseline or student",
        "asrkd train --config recipes/mini/recipe.yaml --section teacher --seed 1 --features exp/mini/fbank/train "
        "--alignment exp/mini/ali/train --dev-features exp/mini/fbank/dev --dev-alignment exp/mini/ali/dev "
        "exp/mini/teachers/1",
        "teacher",
        [
            _path("--features", "labelled feature folder", required=True),
            _path("--alignment", "their alignment", required=True),
            _path("--dev-features", "dev feature folder", required=True),
            _path("--dev-alignment", "their alignment", required=True),
            _path("--unlabelled", "feature folder that has soft targets only; may be repeated", **_REPEATED),
            _path("--soft-targets", "soft-target archive of all of them"),
            (("--seed",), {"type": int, "help": "in place of the section's"}),
            OUTPUT,
        ],
        plan_train,
    ),
    Verb(
        "posteriors",
        "Average the teachers' posteriors at a temperature and dump them as a soft-target archive",
        "asrkd posteriors --config recipes/mini/recipe.yaml --features exp/mini/fbank/train "
        "--features exp/mini/fbank/transfer exp/mini/teachers/1 exp/mini/teachers/2 exp/mini/soft_targets",
        "posteriors",
        [
            _path("--features", "feature folder to dump; may be repeated", required=True, **_REPEATED),
            _path("teachers", "model folders", nargs="+"),
            OUTPUT,
        ],
        plan_posteriors,
    ),
    Verb(
        "check",
        "Check every section of a recipe without running anything",
        "asrkd check --config recipes/mini/recipe.yaml",
        None,
        [],
        plan_check,
    ),
)
