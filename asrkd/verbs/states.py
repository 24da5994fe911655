"""Verbs from a lexicon to tied states, alignments and the graph."""

from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from asrkd.core.config import parse
from asrkd.core.stage import Stage
from asrkd.verbs.verb import DATA, FEATURES, LANG, OUTPUT, TIED_STATES, Section, Verb, path, stage, where


def plan_g2p(arguments: Namespace, section: Section) -> Stage:
    def run(work: Path) -> Mapping[str, Any]:
        from asrkd.lang.g2p import G2pConfig, g2p_stage

        config = parse(G2pConfig, section, where(arguments))
        return g2p_stage(config, arguments.words, arguments.lexicon, work, arguments.jobs)

    return stage(arguments, section, [*arguments.words, arguments.lexicon], run)


def plan_lang(arguments: Namespace, section: Section) -> Stage:
    # A text that is not read must not be what the lang dir, and all that is trained with it, depends on.
    text = None if section.get("vocabulary") == "lexicon" else arguments.text

    def run(work: Path) -> Mapping[str, Any]:
        from asrkd.lang.prepare import LangConfig, make_lang

        return make_lang(parse(LangConfig, section, where(arguments)), arguments.lexicon, text, work)

    return stage(arguments, section, [arguments.lexicon, text], run, version=2)


def plan_lm(arguments: Namespace, section: Section) -> Stage:
    def run(work: Path) -> Mapping[str, Any]:
        from asrkd.lang.lm import LmConfig, make_lm

        return make_lm(parse(LmConfig, section, where(arguments)), arguments.lang, arguments.text, work)

    return stage(arguments, section, [arguments.lang, arguments.text], run)


def plan_mono(arguments: Namespace, section: Section) -> Stage:
    def run(work: Path) -> Mapping[str, Any]:
        from asrkd.hmm.mono import MonoConfig, mono_stage

        config = parse(MonoConfig, section, where(arguments))
        return mono_stage(config, arguments.features, arguments.data, arguments.lang, work, arguments.jobs)

    return stage(arguments, section, [arguments.features, arguments.data, arguments.lang], run)


def plan_triphone(arguments: Namespace, section: Section) -> Stage:
    features, data, lang, previous = (arguments.features, arguments.data, arguments.lang, arguments.previous)

    def run(work: Path) -> Mapping[str, Any]:
        from asrkd.hmm.triphone import TriphoneConfig, triphone_stage

        config = parse(TriphoneConfig, section, where(arguments))
        return triphone_stage(config, features, data, lang, previous, work, arguments.jobs)

    return stage(arguments, section, [features, data, lang, previous], run)


def plan_align(arguments: Namespace, section: Section) -> Stage:
    features, data, lang, tied_states = (arguments.features, arguments.data, arguments.lang, arguments.tied_states)

    def run(work: Path) -> Mapping[str, Any]:
        from asrkd.hmm.align import AlignConfig, align_stage

        config = parse(AlignConfig, section, where(arguments))
        if not arguments.models:
            return align_stage(config, features, data, lang, tied_states, work, arguments.jobs)
        from asrkd.decoding.realign import realign_stage

        return realign_stage(config, features, data, lang, tied_states, arguments.models, work, arguments.jobs)

    return stage(arguments, section, [features, data, lang, tied_states, *arguments.models], run)


def plan_align_copies(arguments: Namespace, section: Section) -> Stage:
    alignment, data, tied_states = arguments.alignment, arguments.data, arguments.tied_states

    def run(work: Path) -> Mapping[str, Any]:
        from asrkd.hmm.copies import align_copies

        return align_copies(alignment, data, tied_states, work)

    return stage(arguments, {}, [alignment, data, tied_states], run)


def plan_graph(arguments: Namespace, section: Section) -> Stage:
    def run(work: Path) -> Mapping[str, Any]:
        from asrkd.graph.hclg import GraphConfig, make_graph

        config = parse(GraphConfig, section, where(arguments))
        return make_graph(config, arguments.lang, arguments.lm, arguments.tied_states, work)

    return stage(arguments, section, [arguments.lang, arguments.lm, arguments.tied_states], run, version=2)


TEXT = "sentences, one a line, or an ARPA model; either may be gzipped"

VERBS: Sequence[Verb] = (
    Verb(
        "g2p",
        "Pronounce words that a lexicon lacks, by a model of the lexicon",
        "asrkd g2p --config recipe.yaml --jobs 2 exp/own/all sentences.txt cmudict.txt exp/own/g2p",
        "g2p",
        [
            path("words", "texts, lists of words or data dirs", nargs="+"),
            path("lexicon", "CMUdict-format lexicon"),
            OUTPUT,
        ],
        plan_g2p,
    ),
    Verb(
        "lang",
        "Lexicon, symbol tables, topology and L.fst from a CMUdict-format lexicon",
        "asrkd lang --config recipes/mini/recipe.yaml data/mini/lexicon.txt exp/mini/corpus/lm_text.txt exp/mini/lang",
        "lang",
        [
            path("lexicon", "CMUdict-format lexicon"),
            path("text", f"whose words to take, unless `vocabulary: lexicon`: {TEXT}", nargs="?"),
            OUTPUT,
        ],
        plan_lang,
    ),
    Verb(
        "lm",
        "An n-gram model over the words of a lang dir: estimated from sentences or taken over, and pruned",
        "asrkd lm --config recipes/mini/recipe.yaml exp/mini/lang exp/mini/corpus/lm_text.txt exp/mini/lm",
        "lm",
        [
            path("lang", "lang folder, or a graph folder for its words.txt"),
            path("text", TEXT),
            OUTPUT,
        ],
        plan_lm,
    ),
    Verb(
        "mono",
        "Train a monophone GMM from a flat start",
        "asrkd mono --config recipes/mini/recipe.yaml --jobs 2 exp/mini/mfcc/train exp/mini/data/train exp/mini/lang "
        "exp/mini/mono",
        "mono",
        [FEATURES, DATA, LANG, OUTPUT],
        plan_mono,
    ),
    Verb(
        "triphone",
        "Grow a decision tree of tied states and train a triphone GMM on them",
        "asrkd triphone --config recipes/mini/recipe.yaml --jobs 2 exp/mini/mfcc/train exp/mini/data/train "
        "exp/mini/lang exp/mini/mono exp/mini/tri",
        "triphone",
        [
            FEATURES,
            DATA,
            LANG,
            path("previous", "model to start from, which aligns unless it has (ali)"),
            OUTPUT,
        ],
        plan_triphone,
    ),
    Verb(
        "align",
        "Align utterances to their words, by the tied states' GMM or by nets: transition-ids, pdf-ids, their counts",
        "asrkd align --config recipes/mini/recipe.yaml --jobs 2 exp/mini/mfcc/dev exp/mini/data/dev exp/mini/lang "
        "exp/mini/tri exp/mini/ali/dev",
        "align",
        [
            FEATURES,
            DATA,
            LANG,
            TIED_STATES,
            path("models", "nets to align with, on their own features; several are averaged", nargs="*"),
            OUTPUT,
        ],
        plan_align,
    ),
    Verb(
        "align-copies",
        "Give augmented copies the alignment of their originals, whose timing they have",
        "asrkd align-copies exp/own/ali/train exp/own/data/train_aug exp/own/tri exp/own/ali/train_aug",
        None,
        [path("alignment", "alignment of the originals"), DATA, TIED_STATES, OUTPUT],
        plan_align_copies,
    ),
    Verb(
        "graph",
        "Compose HCLG from lexicon, n-gram and tree",
        "asrkd graph --config recipes/mini/recipe.yaml exp/mini/lang exp/mini/lm exp/mini/tri exp/mini/graph",
        "graph",
        [LANG, path("lm", "language model folder"), TIED_STATES, OUTPUT],
        plan_graph,
    ),
)
