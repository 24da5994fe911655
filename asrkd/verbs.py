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


def plan_subset(arguments: Namespace, section: Section) -> Stage:
    def run(work: Path) -> Mapping[str, Any]:
        from asrkd.corpora.subset import SubsetConfig, subset

        return subset(parse(SubsetConfig, section, _where(arguments)), arguments.data, work)

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
    features, data, lang, previous = (arguments.features, arguments.data, arguments.lang, arguments.previous)

    def run(work: Path) -> Mapping[str, Any]:
        from asrkd.hmm.triphone import TriphoneConfig, triphone_stage

        config = parse(TriphoneConfig, section, _where(arguments))
        return triphone_stage(config, features, data, lang, previous, work, arguments.jobs)

    return _stage(arguments, section, [features, data, lang, previous], run)


def plan_align(arguments: Namespace, section: Section) -> Stage:
    features, data, lang, tied_states = (arguments.features, arguments.data, arguments.lang, arguments.tied_states)

    def run(work: Path) -> Mapping[str, Any]:
        from asrkd.hmm.align import AlignConfig, align_stage

        config = parse(AlignConfig, section, _where(arguments))
        return align_stage(config, features, data, lang, tied_states, work, arguments.jobs)

    return _stage(arguments, section, [features, data, lang, tied_states], run)


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
        return dump_posteriors(config, arguments.features, arguments.teachers, work, arguments.jobs)

    return _stage(arguments, section, [*arguments.features, *arguments.teachers], run, teachers=len(arguments.teachers))


def plan_decode(arguments: Namespace, section: Section) -> Stage:
    _one_source(arguments)

    def run(work: Path) -> Mapping[str, Any]:
        from asrkd.core.files import read_json
        from asrkd.decoding.config import DecodeConfig
        from asrkd.decoding.decode import decode, tune_scale
        from asrkd.decoding.sources import gmm, nets
        from asrkd.features.store import FeatureDir
        from asrkd.graph.graph import Graph

        config = parse(DecodeConfig, section, _where(arguments))
        features, graph = FeatureDir.open(arguments.features), Graph.open(arguments.graph)
        source = gmm(features, arguments.gmm) if arguments.gmm else nets(features, arguments.models)
        graph.check_tied_states(source.tied_states, str(arguments.gmm or arguments.models[0]))
        common = (config, graph, source.log_likelihoods, features.utt_ids, work)
        if arguments.tune:
            return tune_scale(
                *common, count_errors=_error_counter(arguments.tune), jobs=arguments.jobs, in_parent=source.on_gpu
            )
        scale = read_json(arguments.scale_of / "decode.json")["acoustic_scale"] if arguments.scale_of else None
        return decode(*common, acoustic_scale=scale, jobs=arguments.jobs, in_parent=source.on_gpu)

    inputs = [
        *(arguments.graph, arguments.features, *arguments.models),
        *(arguments.gmm, arguments.tune, arguments.scale_of),
    ]
    return _stage(arguments, section, inputs, run, tune=bool(arguments.tune), gmm=bool(arguments.gmm))


def _one_source(arguments: Namespace) -> None:
    if bool(arguments.models) == bool(arguments.gmm):
        raise ConfigError("give the models to use before the output, or one GMM as --gmm DIR, and not both")


def _error_counter(data_dir: Path) -> Callable[[Mapping[str, str]], tuple[int, int]]:
    from asrkd.core.datadir import read_data_dir
    from asrkd.scoring.words import score_words

    references = read_data_dir(data_dir).text
    if references is None:
        raise ConfigError(f"--tune {data_dir}: has no transcripts to count errors against")

    def count(hypotheses: Mapping[str, str]) -> tuple[int, int]:
        total = score_words(references, hypotheses).total
        return total.errors, total.words

    return count


def plan_score(arguments: Namespace, section: Section) -> Stage:
    def run(work: Path) -> Mapping[str, Any]:
        from asrkd.scoring.word_results import word_scores

        return word_scores(arguments.data, arguments.decoded, work)

    return _stage(arguments, {}, [arguments.data, arguments.decoded], run)


def plan_frames(arguments: Namespace, section: Section) -> Stage:
    _one_source(arguments)

    def run(work: Path) -> Mapping[str, Any]:
        from asrkd.scoring.frame_results import gmm_frame_scores, net_frame_scores

        if arguments.gmm:
            return gmm_frame_scores(arguments.features, arguments.alignment, arguments.gmm, work)
        return net_frame_scores(arguments.features, arguments.alignment, arguments.models, work)

    inputs = [arguments.features, arguments.alignment, *arguments.models, arguments.gmm]
    return _stage(arguments, {}, inputs, run, gmm=bool(arguments.gmm))


def plan_choose(arguments: Namespace, section: Section) -> Stage:
    def run(work: Path) -> Mapping[str, Any]:
        from asrkd.training.choose import choose

        return choose(arguments.models, arguments.sections, work)

    return _stage(arguments, {}, arguments.models, run, sections=arguments.sections)


def plan_report(arguments: Namespace, section: Section) -> Stage:
    folders = sorted({path.parent for path in arguments.experiment.rglob("stage.json")} - {arguments.output})

    def run(work: Path) -> Mapping[str, Any]:
        from asrkd.report import render
        from asrkd.scoring.summary import ReportConfig, summarise

        config = parse(ReportConfig, section, _where(arguments))
        report = summarise(config, arguments.experiment)
        render(report, work)
        print((work / "report.md").read_text(encoding="utf-8"))
        return {"systems": len(report["systems"])}

    return _stage(arguments, section, folders, run)


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
    "lang": "asrkd.lang.prepare:LangConfig",
    "mono": "asrkd.hmm.mono:MonoConfig",
    "triphone": "asrkd.hmm.triphone:TriphoneConfig",
    "align": "asrkd.hmm.align:AlignConfig",
    "graph": "asrkd.graph.hclg:GraphConfig",
    "teacher": "asrkd.training.train:TrainConfig",
    "student": "asrkd.training.train:TrainConfig",
    "posteriors": "asrkd.targets.dump:PosteriorsConfig",
    "decode": "asrkd.decoding.config:DecodeConfig",
    "report": "asrkd.scoring.summary:ReportConfig",
}
"""Which dataclass a section of a recipe is; a section ``NAME_x`` is a further one of the kind NAME."""

_DATA = _path("data", "data dir")
_FEATURES = _path("features", "feature folder")
_LANG = _path("lang", "lang folder")
_TIED_STATES = _path("tied_states", "tied-state model, e.g. exp/mini/tri")

_MODELS = _path("models", "model folders; several are averaged", nargs="*")

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
        "subset",
        "Take a random part of a data dir",
        "asrkd subset --config recipes/mini/recipe.yaml exp/mini/data/transfer exp/mini/data/transfer_tune",
        "subset",
        [_DATA, OUTPUT],
        plan_subset,
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
        "decode",
        "Search the graph for the words of every utterance, by one net, an ensemble of several, or a GMM",
        "asrkd decode --config recipes/mini/recipe.yaml --jobs 2 --scale-of exp/mini/eval/distilled/dev/decode "
        "exp/mini/graph exp/mini/fbank/test exp/mini/student exp/mini/eval/distilled/test/decode",
        "decode",
        [
            _path("graph", "graph folder"),
            _FEATURES,
            _MODELS,
            OUTPUT,
            _path("--gmm", "tied-state model whose GMM to decode with, on MFCC"),
            _path("--tune", "data dir of this (dev) set: choose the acoustic scale on its words"),
            _path("--scale-of", "decode folder whose acoustic scale to use: the dev set's"),
        ],
        plan_decode,
    ),
    Verb(
        "score",
        "Word error rate of a decoded set, with counts by utterance",
        "asrkd score exp/mini/data/test exp/mini/eval/distilled/test/decode exp/mini/eval/distilled/test/words",
        None,
        [_DATA, _path("decoded", "decode folder"), OUTPUT],
        plan_score,
    ),
    Verb(
        "frames",
        "Frame accuracy, cross-entropy and calibration against an alignment",
        "asrkd frames exp/mini/fbank/test exp/mini/ali/test exp/mini/student exp/mini/eval/distilled/test/frames",
        None,
        [
            _FEATURES,
            _path("alignment", "alignment folder of the same utterances"),
            _MODELS,
            OUTPUT,
            _path("--gmm", "tied-state model whose GMM to score, on MFCC"),
        ],
        plan_frames,
    ),
    Verb(
        "choose",
        "Take temperature and alpha of the student that does best on dev",
        "asrkd choose --for student --for student_small exp/mini/tune/T2-a0.9 exp/mini/tune/T4-a0.9 exp/mini/chosen",
        None,
        [
            _path("models", "students trained with several temperatures and weights", nargs="+"),
            OUTPUT,
            (("--for",), {"action": "append", "dest": "sections", "default": [], "help": "section to set; repeatable"}),
        ],
        plan_choose,
    ),
    Verb(
        "report",
        "Compare all systems of an experiment folder, and write report.json, report.md and report.html",
        "asrkd report --config recipes/mini/recipe.yaml exp/mini exp/mini/report",
        "report",
        [_path("experiment", "experiment folder with eval/SYSTEM/SET/{words,frames}"), OUTPUT],
        plan_report,
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
