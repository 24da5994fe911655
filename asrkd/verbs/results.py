"""Verbs from models to words, scores and the report."""

from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from asrkd.core.config import parse
from asrkd.core.errors import ConfigError, MismatchError
from asrkd.core.stage import Stage
from asrkd.verbs.verb import (
    COMBINED,
    DATA,
    FEATURES,
    MODELS,
    OUTPUT,
    REPEATED,
    Argument,
    Section,
    Verb,
    how_combined,
    one_source,
    path,
    stage,
    where,
)


def plan_decode(arguments: Namespace, section: Section) -> Stage:
    one_source(arguments)
    if bool(arguments.lm) != bool(arguments.rescore):
        raise ConfigError("--rescore LM and --lm LM go together: the model to rescore with, and the graph's own")

    def run(work: Path) -> Mapping[str, Any]:
        from asrkd.decoding.config import DecodeConfig
        from asrkd.decoding.decode import decode, tune_scale
        from asrkd.decoding.sources import gmm, nets
        from asrkd.features.store import FeatureDir
        from asrkd.graph.graph import Graph

        config = parse(DecodeConfig, section, where(arguments))
        features, graph = FeatureDir.open(arguments.features), Graph.open(arguments.graph)
        if arguments.gmm:
            source = gmm(features, arguments.gmm)
        else:
            source = nets(features, arguments.models, arguments.combination, arguments.weights)
        graph.check_tied_states(source.tied_states, str(arguments.gmm or arguments.models[0]))
        rescorer = None
        if arguments.rescore:
            from asrkd.decoding.rescore import open_rescorer

            rescorer = open_rescorer(graph, arguments.lm, arguments.rescore)
        common = (config, graph, source.log_likelihoods, features.utt_ids, work)
        how: dict[str, Any] = {"rescorer": rescorer, "jobs": arguments.jobs, "in_parent": source.on_gpu}
        if arguments.tune:
            count = _error_counter(arguments.tune, features.utt_ids)
            return tune_scale(*common, count_errors=count, **how)
        scale = _scale_of(arguments.scale_of) if arguments.scale_of else None
        return decode(*common, acoustic_scale=scale, **how)

    inputs = [
        *(arguments.graph, arguments.features, *arguments.models),
        *(arguments.gmm, arguments.tune, arguments.scale_of, arguments.lm, arguments.rescore, arguments.weights),
    ]
    options = {name: bool(getattr(arguments, name)) for name in ("tune", "gmm", "rescore")}
    return stage(arguments, section, inputs, run, **options, **how_combined(arguments))


def _scale_of(decoded: Path) -> float:
    from asrkd.core.files import read_fields

    return float(read_fields(decoded / "decode.json", acoustic_scale=(int, float))["acoustic_scale"])


def _error_counter(data_dir: Path, utt_ids: Sequence[str]) -> Callable[[Mapping[str, str]], tuple[int, int]]:
    from asrkd.core.datadir import read_transcripts
    from asrkd.scoring.words import score_words, validate

    references = read_transcripts(data_dir)
    try:  # Before the search, which may take hours.
        validate(references, dict.fromkeys(utt_ids, ""))
    except MismatchError as error:
        raise MismatchError(f"--tune {data_dir}: {error}") from None

    def count(hypotheses: Mapping[str, str]) -> tuple[int, int]:
        total = score_words(references, hypotheses).total
        return total.errors, total.words

    return count


def plan_score(arguments: Namespace, section: Section) -> Stage:
    def run(work: Path) -> Mapping[str, Any]:
        from asrkd.scoring.word_results import word_scores

        return word_scores(arguments.data, arguments.decoded, work)

    return stage(arguments, {}, [arguments.data, arguments.decoded], run)


def plan_frames(arguments: Namespace, section: Section) -> Stage:
    one_source(arguments)

    def run(work: Path) -> Mapping[str, Any]:
        from asrkd.scoring.frame_results import gmm_frame_scores, net_frame_scores

        if arguments.gmm:
            return gmm_frame_scores(arguments.features, arguments.alignment, arguments.gmm, work)
        models, combination, weights = arguments.models, arguments.combination, arguments.weights
        return net_frame_scores(
            arguments.features, arguments.alignment, models, work, combination, weights, arguments.passes
        )

    inputs = [arguments.features, arguments.alignment, *arguments.models, arguments.gmm, arguments.weights]
    if arguments.passes < 0 or (arguments.passes and arguments.gmm):
        raise ConfigError(f"--passes {arguments.passes}: a number of stochastic passes of nets with dropout")
    passes = {"passes": arguments.passes} if arguments.passes else {}
    return stage(arguments, {}, inputs, run, version=2, gmm=bool(arguments.gmm), **how_combined(arguments), **passes)


def plan_compare(arguments: Namespace, section: Section) -> Stage:
    from asrkd.scoring.systems import assign_roles, locate

    systems = locate(arguments.systems)
    names = [system.name for system in systems]
    roles = assign_roles(names, arguments.baseline, arguments.teacher, arguments.student)
    against = (arguments.ref, arguments.alignment, arguments.tied_states, arguments.phone_classes)

    def run(work: Path) -> Mapping[str, Any]:
        from asrkd.report.comparison import render_comparison
        from asrkd.scoring.compare import Against, compare

        render_comparison(compare(systems, roles, Against(*against)), work)
        print((work / "compare.md").read_text(encoding="utf-8"))
        return {"systems": len(systems)}

    inputs = [*against, *(path for system in systems for path in system.inputs)]
    given = {
        name: path is not None for name, path in zip(("ref", "alignment", "states", "classes"), against, strict=True)
    }
    halves = [[system.name, bool(system.hypotheses), bool(system.frames)] for system in systems]
    return stage(arguments, {}, inputs, run, systems=halves, roles=asdict(roles), **given)


def plan_report(arguments: Namespace, section: Section) -> Stage:
    stages = {path.parent for path in arguments.experiment.rglob("stage.json")}
    pages = ("report.json", "compare.json")
    reports = {arguments.output, *(path.parent for name in pages for path in arguments.experiment.rglob(name))}
    study = arguments.experiment / "study"  # of which its results alone are told
    results = [path for path in (study / "sweep.json",) if path.is_file()]
    inputs = sorted(path for path in stages - reports if study not in path.parents)

    def run(work: Path) -> Mapping[str, Any]:
        from asrkd.report import render
        from asrkd.scoring.summary import ReportConfig, summarise

        config = parse(ReportConfig, section, where(arguments))
        report = summarise(config, arguments.experiment, arguments.test)
        render(report, work)
        print((work / "report.md").read_text(encoding="utf-8"))
        return {"systems": len(report["systems"])}

    test = "" if arguments.test == "test" else arguments.test
    return stage(arguments, section, [*inputs, *results], run, test=test)


def _role(name: str, text: str, **options: Any) -> Argument:
    return (name,), {"metavar": "NAME", "help": text, **options}


VERBS: Sequence[Verb] = (
    Verb(
        "decode",
        "Search the graph for the words of every utterance, by one net, an ensemble of several, or a GMM",
        "asrkd decode --config recipes/mini/recipe.yaml --jobs 2 --scale-of exp/mini/eval/distilled/dev/decode "
        "exp/mini/graph exp/mini/fbank/test exp/mini/student exp/mini/eval/distilled/test/decode",
        "decode",
        [
            path("graph", "graph folder"),
            FEATURES,
            MODELS,
            OUTPUT,
            path("--gmm", "tied-state model whose GMM to decode with, on MFCC"),
            path("--tune", "data dir of this (dev) set: choose the acoustic scale on its words"),
            path("--scale-of", "decode folder whose acoustic scale to use: the dev set's"),
            path("--rescore", "language model that takes the place of the graph's own in the lattices"),
            path("--lm", "the graph's own language model, for --rescore"),
            *COMBINED,
        ],
        plan_decode,
    ),
    Verb(
        "score",
        "Word error rate of a decoded set, with counts by utterance",
        "asrkd score exp/mini/data/test exp/mini/eval/distilled/test/decode exp/mini/eval/distilled/test/words",
        None,
        [DATA, path("decoded", "decode folder"), OUTPUT],
        plan_score,
    ),
    Verb(
        "frames",
        "Frame accuracy, cross-entropy and calibration against an alignment",
        "asrkd frames exp/mini/fbank/test exp/mini/ali/test exp/mini/student exp/mini/eval/distilled/test/frames",
        None,
        [
            FEATURES,
            path("alignment", "alignment folder of the same utterances"),
            MODELS,
            OUTPUT,
            path("--gmm", "tied-state model whose GMM to score, on MFCC"),
            *COMBINED,
            (
                ("--passes",),
                {"type": int, "metavar": "N", "default": 0, "help": "average N stochastic passes of nets with dropout"},
            ),
        ],
        plan_frames,
    ),
    Verb(
        "compare",
        "Compare finished systems on one set: frames, words, phones, and whether differences are more than chance",
        "asrkd compare --ref exp/mini/data/test --alignment exp/mini/ali/test --tied-states exp/mini/tri "
        "exp/mini/eval/*/test exp/mini/compare\n"
        "  asrkd compare --ref data/test/text kaldi=exp/tdnn/decode_test/scoring/10.txt other.trn exp/compare",
        None,
        [
            (
                ("systems",),
                {"nargs": "+", "metavar": "[NAME=]SYSTEM", "help": "folder eval/SYSTEM/SET, or file of hypotheses"},
            ),
            OUTPUT,
            path("--ref", "references of the words: a data dir, or a file (text or .trn)"),
            path(
                "--alignment", "alignment folder that the frames were scored against: phones, and speech frames alone"
            ),
            path("--tied-states", "tied-state model of that alignment"),
            path("--phone-classes", "file of lines `class phone phone ...` (default: classes of the ARPAbet)"),
            _role(
                "--baseline",
                "the baseline; of several, their mean (default: baseline, else all of teacher.N)",
                **REPEATED,
            ),
            _role("--teacher", "what was distilled (default: ensemble)"),
            _role("--student", "what it was distilled into (default: distilled...)", **REPEATED),
        ],
        plan_compare,
    ),
    Verb(
        "report",
        "Compare all systems of an experiment folder, and write report.json, report.md and report.html",
        "asrkd report --config recipes/mini/recipe.yaml exp/mini exp/mini/report",
        "report",
        [
            path("experiment", "experiment folder with eval/SYSTEM/SET/{words,frames}"),
            OUTPUT,
            (("--test",), {"metavar": "PART", "default": "test", "help": "part to report on (default: test)"}),
        ],
        plan_report,
    ),
)
