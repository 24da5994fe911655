"""Verbs that train nets and dump their posteriors."""

from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from asrkd.core.config import parse
from asrkd.core.stage import Stage
from asrkd.verbs.verb import (
    COMBINATION,
    COMBINED,
    FEATURES,
    OUTPUT,
    REPEATED,
    WEIGHTS,
    Section,
    Verb,
    how_combined,
    path,
    stage,
    where,
)


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
            teachers=arguments.teachers,
            combination=arguments.combination,
            weights=arguments.weights,
            tied_states=arguments.tied_states,
        )
        return train(parse(TrainConfig, section, where(arguments)), inputs, work)

    inputs = [
        *(arguments.features, arguments.alignment, arguments.dev_features, arguments.dev_alignment),
        *(*arguments.unlabelled, arguments.soft_targets, *arguments.teachers, arguments.weights),
        arguments.tied_states,
    ]
    online = {"teachers": len(arguments.teachers)} if arguments.teachers else {}
    options = {"unlabelled": len(arguments.unlabelled), **online, **how_combined(arguments)}
    return stage(arguments, section, inputs, run, **options)


def plan_posteriors(arguments: Namespace, section: Section) -> Stage:
    def run(work: Path) -> Mapping[str, Any]:
        from asrkd.targets.dump import PosteriorsConfig, dump_posteriors

        config = parse(PosteriorsConfig, section, where(arguments))
        return dump_posteriors(
            config, arguments.features, arguments.teachers, work, arguments.jobs, weights=arguments.weights
        )

    inputs = [*arguments.features, *arguments.teachers, arguments.weights]
    options = {"teachers": len(arguments.teachers), **({"weights": True} if arguments.weights else {})}
    return stage(arguments, section, inputs, run, version=4, **options)


def plan_weigh(arguments: Namespace, section: Section) -> Stage:
    combination: Any = arguments.combination or "arithmetic"

    def run(work: Path) -> Mapping[str, Any]:
        from asrkd.targets.weigh import weigh

        return weigh(arguments.features, arguments.alignment, arguments.models, work, combination)

    inputs = [arguments.features, arguments.alignment, *arguments.models]
    return stage(arguments, {}, inputs, run, combination=combination)


def plan_bias(arguments: Namespace, section: Section) -> Stage:
    classes = [int(name) if name.isdecimal() else name for name in arguments.classes]

    def run(work: Path) -> Mapping[str, Any]:
        from asrkd.training.bias import raise_bias

        model, features, alignment = arguments.model, arguments.features, arguments.alignment
        return raise_bias(model, features, alignment, classes, arguments.tied_states, work)

    inputs = [arguments.model, arguments.features, arguments.alignment, arguments.tied_states]
    return stage(arguments, {}, inputs, run, classes=classes)


def plan_choose(arguments: Namespace, section: Section) -> Stage:
    def run(work: Path) -> Mapping[str, Any]:
        from asrkd.training.choose import choose

        return choose(arguments.models, arguments.sections, work)

    return stage(arguments, {}, arguments.models, run, sections=arguments.sections)


TEACHERS = {**REPEATED, "dest": "teachers"}

VERBS: Sequence[Verb] = (
    Verb(
        "train",
        "Train one net on hard labels, or on soft targets: teacher, baseline or student",
        "asrkd train --config recipes/mini/recipe.yaml --section teacher --seed 1 --features exp/mini/fbank/train "
        "--alignment exp/mini/ali/train --dev-features exp/mini/fbank/dev --dev-alignment exp/mini/ali/dev "
        "exp/mini/teachers/1",
        "teacher",
        [
            path("--features", "labelled feature folder", required=True),
            path("--alignment", "their alignment", required=True),
            path("--dev-features", "dev feature folder", required=True),
            path("--dev-alignment", "their alignment", required=True),
            path("--unlabelled", "feature folder that has soft targets only; may be repeated", **REPEATED),
            path("--soft-targets", "soft-target archive of all of them"),
            path("--teacher", "in its place, model to ask for them as it trains; may be repeated", **TEACHERS),
            *COMBINED,
            path("--tied-states", "tied-state model, for phones that the section names"),
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
            path("--features", "feature folder to dump; may be repeated", required=True, **REPEATED),
            path("teachers", "model folders", nargs="+"),
            OUTPUT,
            WEIGHTS,
        ],
        plan_posteriors,
    ),
    Verb(
        "weigh",
        "Learn the weights of an ensemble's models on a dev set",
        "asrkd weigh exp/mini/fbank/dev exp/mini/ali/dev exp/mini/teachers/1 exp/mini/teachers/2 exp/mini/weights",
        None,
        [
            FEATURES,
            path("alignment", "alignment folder of the same utterances"),
            path("models", "model folders, two or more", nargs="+"),
            OUTPUT,
            COMBINATION,
        ],
        plan_weigh,
    ),
    Verb(
        "bias",
        "Raise or lower the output biases of some pdfs or phones by the one number that is best on a dev set",
        "asrkd bias --class AA --tied-states exp/mini/tri exp/mini/student exp/mini/fbank/dev exp/mini/ali/dev "
        "exp/mini/student_biased",
        None,
        [
            path("model", "model folder"),
            path("features", "dev feature folder"),
            path("alignment", "its alignment"),
            OUTPUT,
            (("--class",), {**REPEATED, "dest": "classes", "required": True, "help": "pdf-id or phone; repeatable"}),
            path("--tied-states", "tied-state model, which phones need"),
        ],
        plan_bias,
    ),
    Verb(
        "choose",
        "Take temperature and alpha of the student that does best on dev, and its loss where several were tried",
        "asrkd choose --for student --for student_small exp/mini/tune/T2-a0.9 exp/mini/tune/T4-a0.9 exp/mini/chosen",
        None,
        [
            path("models", "students trained with several temperatures, weights or losses", nargs="+"),
            OUTPUT,
            (("--for",), {"action": "append", "dest": "sections", "default": [], "help": "section to set; repeatable"}),
        ],
        plan_choose,
    ),
)
