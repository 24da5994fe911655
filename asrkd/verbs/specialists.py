"""Verbs of specialists: their clusters, their training, the model of generalist and specialists, and its scores."""

from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from asrkd.core.config import parse
from asrkd.core.stage import Stage
from asrkd.verbs.verb import FEATURES, OUTPUT, REPEATED, Section, Verb, path, stage, where


def plan_cluster(arguments: Namespace, section: Section) -> Stage:
    def run(work: Path) -> Mapping[str, Any]:
        from asrkd.targets.clusters import ClusterConfig, cluster

        config = parse(ClusterConfig, section, where(arguments))
        return cluster(config, arguments.features, arguments.generalist, work)

    return stage(arguments, section, [*arguments.features, arguments.generalist], run)


def plan_train_specialist(arguments: Namespace, section: Section) -> Stage:
    if arguments.seed is not None:
        section = {**section, "seed": arguments.seed}
    folders = {
        name: getattr(arguments, name)
        for name in ("features", "alignment", "dev_features", "dev_alignment", "generalist", "clusters")
    }

    def run(work: Path) -> Mapping[str, Any]:
        from asrkd.training.specialist import SpecialistInputs, train_specialist
        from asrkd.training.train import TrainConfig

        inputs = SpecialistInputs(**folders, number=arguments.cluster)
        return train_specialist(parse(TrainConfig, section, where(arguments)), inputs, work)

    return stage(arguments, section, list(folders.values()), run, cluster=arguments.cluster)


def plan_add_specialists(arguments: Namespace, section: Section) -> Stage:
    def run(work: Path) -> Mapping[str, Any]:
        from asrkd.models.saved import load_model, save_model
        from asrkd.models.specialised import add_specialists
        from asrkd.models.specialist import load_specialist

        module, info = add_specialists(load_model(arguments.model), [*map(load_specialist, arguments.specialists)])
        save_model(work, module, info)
        return {"specialists": len(module.pdfs), "parameters": sum(each.numel() for each in module.parameters())}

    return stage(arguments, {}, [arguments.model, *arguments.specialists], run)


def plan_score_specialists(arguments: Namespace, section: Section) -> Stage:
    def run(work: Path) -> Mapping[str, Any]:
        from asrkd.report.specialists import render_specialists
        from asrkd.scoring.specialists import score_specialists

        figures = score_specialists(arguments.features, arguments.alignment, arguments.models, arguments.evaluated)
        render_specialists(figures, work)
        print((work / "specialists.md").read_text(encoding="utf-8"))
        return {"models": len(arguments.models)}

    evaluated = [
        folder
        for system in arguments.evaluated
        for number in range(1, len(arguments.models) + 1)
        for folder in (system / str(number) / "frames", system / str(number) / "words")
        if folder.name == "frames" or folder.exists()
    ]
    inputs = [arguments.features, arguments.alignment, *arguments.models, *evaluated]
    return stage(arguments, {}, inputs, run, evaluated=[path.name for path in arguments.evaluated])


VERBS: Sequence[Verb] = (
    Verb(
        "cluster",
        "Group the tied states that a generalist confuses, by the covariance of its posteriors",
        "asrkd cluster --config recipes/specialists/recipe.yaml --features exp/mini/fbank/train exp/mini/teachers/1 "
        "exp/specialists/clusters",
        "cluster",
        [
            path("--features", "feature folder, which needs no labels; may be repeated", required=True, **REPEATED),
            path("generalist", "model folder"),
            OUTPUT,
        ],
        plan_cluster,
    ),
    Verb(
        "train-specialist",
        "Train a generalist's specialist for one cluster: half its own frames, half any others, as a dustbin class",
        "asrkd train-specialist --config recipes/specialists/recipe.yaml --cluster 3 --features exp/mini/fbank/train "
        "--alignment exp/mini/ali/train --dev-features exp/mini/fbank/dev --dev-alignment exp/mini/ali/dev "
        "exp/mini/teachers/1 exp/specialists/clusters exp/specialists/1/3",
        "specialist",
        [
            path("--features", "labelled feature folder", required=True),
            path("--alignment", "their alignment", required=True),
            path("--dev-features", "dev feature folder", required=True),
            path("--dev-alignment", "their alignment", required=True),
            (("--cluster",), {"type": int, "required": True, "metavar": "N", "help": "the cluster's number, from 1"}),
            (("--seed",), {"type": int, "help": "in place of the section's"}),
            path("generalist", "model folder that it starts from"),
            path("clusters", "what `asrkd cluster` made"),
            OUTPUT,
        ],
        plan_train_specialist,
    ),
    Verb(
        "add-specialists",
        "Join a generalist, or a model that has specialists, and specialists, as one model; nothing is trained again",
        "asrkd add-specialists exp/mini/teachers/1 exp/specialists/1/1 exp/specialists/1/2 exp/specialists/joined/1",
        None,
        [
            path("model", "model folder"),
            path("specialists", "folders of specialists to add", nargs="+"),
            OUTPUT,
        ],
        plan_add_specialists,
    ),
    Verb(
        "score-specialists",
        "What specialists bring, by how many of them hold a frame's state; several models are several seeds",
        "asrkd score-specialists exp/mini/fbank/test exp/mini/ali/test exp/specialists/joined/1 exp/specialists/scores",
        None,
        [
            FEATURES,
            path("alignment", "alignment folder of the same utterances"),
            path("models", "models with specialists, all of the same clusters", nargs="+"),
            OUTPUT,
            path("--evaluated", "folder of a system with a folder N/frames, and N/words, for each seed", **REPEATED),
        ],
        plan_score_specialists,
    ),
)
