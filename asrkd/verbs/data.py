"""Verbs from a corpus to features."""

from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from asrkd.core.config import parse
from asrkd.core.stage import Stage
from asrkd.verbs.verb import DATA, OUTPUT, Section, Verb, flag, path, stage, where


def plan_corpus(arguments: Namespace, section: Section) -> Stage:
    def run(work: Path) -> Mapping[str, Any]:
        from asrkd.corpora.mini import CorpusConfig, make_corpus

        return make_corpus(parse(CorpusConfig, section, where(arguments)), arguments.source, work, arguments.jobs)

    return stage(arguments, section, [arguments.source], run)


def plan_digits(arguments: Namespace, section: Section) -> Stage:
    def run(work: Path) -> Mapping[str, Any]:
        from asrkd.corpora.digits import DigitsConfig, read_digits
        from asrkd.hmm.images import write_parts

        parts = read_digits(parse(DigitsConfig, section, where(arguments)), arguments.data)
        return write_parts(work, parts, arguments.jobs)

    return stage(arguments, section, [arguments.data], run)


def plan_download(arguments: Namespace, section: Section) -> None:
    """Each part is looked at by itself, so that one more part is no reason to fetch the others again: no stage."""
    from asrkd.corpora.download import download
    from asrkd.corpora.openslr import MIRROR, resources

    del section
    download(resources(arguments.names), arguments.output, arguments.mirror or MIRROR, arguments.keep_archives)


def plan_prepare(arguments: Namespace, section: Section) -> Stage:
    for part in arguments.parts:
        if not part.is_dir():
            from asrkd.corpora.librispeech import no_part

            raise no_part(part)

    def run(work: Path) -> Mapping[str, Any]:
        from asrkd.corpora.librispeech import PrepareConfig, prepare_stage

        config = parse(PrepareConfig, section, where(arguments))
        return prepare_stage(arguments.parts, work, config, transcripts=not arguments.no_transcripts)

    return stage(arguments, section, arguments.parts, run, no_transcripts=arguments.no_transcripts)


def plan_split(arguments: Namespace, section: Section) -> Stage:
    def run(work: Path) -> Mapping[str, Any]:
        from asrkd.corpora.split import SplitConfig, split_stage

        return split_stage(arguments.data, work, parse(SplitConfig, section, where(arguments)))

    return stage(arguments, section, [arguments.data], run)


def plan_subset(arguments: Namespace, section: Section) -> Stage:
    def run(work: Path) -> Mapping[str, Any]:
        from asrkd.corpora.subset import SubsetConfig, subset

        return subset(parse(SubsetConfig, section, where(arguments)), arguments.data, work)

    return stage(arguments, section, [arguments.data], run)


def plan_perturb(arguments: Namespace, section: Section) -> Stage:
    def run(work: Path) -> Mapping[str, Any]:
        from asrkd.corpora.perturb import SpeedConfig, perturb_speed

        config = parse(SpeedConfig, section, where(arguments))
        return perturb_speed(config, arguments.data, arguments.output, work, arguments.jobs)

    return stage(arguments, section, [arguments.data], run)


def plan_augment(arguments: Namespace, section: Section) -> Stage:
    def run(work: Path) -> Mapping[str, Any]:
        from asrkd.corpora.augment import AugmentConfig, augment

        config = parse(AugmentConfig, section, where(arguments))
        return augment(config, arguments.data, arguments.output, work, arguments.noise, arguments.jobs)

    return stage(arguments, section, [arguments.data, arguments.noise], run, noise=bool(arguments.noise))


def plan_features(arguments: Namespace, section: Section) -> Stage:
    def run(work: Path) -> Mapping[str, Any]:
        from asrkd.features.extract import extract
        from asrkd.features.frontend import FeatureConfig

        config = parse(FeatureConfig, {"kind": arguments.verb.name, **section}, where(arguments))
        return extract(config, arguments.data, work, arguments.jobs, arguments.allow_pipes)

    return stage(arguments, section, [arguments.data], run)


VERBS: Sequence[Verb] = (
    Verb(
        "corpus",
        "Make the embedded corpus of synthetic read speech, in the LibriSpeech layout",
        "asrkd corpus --config recipes/mini/recipe.yaml --jobs 2 data/mini exp/mini/corpus",
        "corpus",
        [path("source", "folder with grammar and lexicon"), OUTPUT],
        plan_corpus,
    ),
    Verb(
        "digits",
        "Images of digits as features and alignment of parts train, dev and test: one frame each, ten pdfs",
        "asrkd digits --data mnist exp/digits/data",
        "digits",
        [
            path("--data", "folder with MNIST's four IDX files, gzipped or not (default: scikit-learn's digits)"),
            OUTPUT,
        ],
        plan_digits,
    ),
    Verb(
        "download",
        "Download parts of LibriSpeech or its language resources, check and unpack them",
        "asrkd download train-clean-5 dev-clean-2 librispeech-lexicon.txt 3-gram.pruned.1e-7.arpa.gz corpora",
        None,
        [
            (("names",), {"nargs": "+", "metavar": "NAME", "help": "such as dev-clean or librispeech-lexicon.txt"}),
            path("output", "folder that takes them; parts go to its LibriSpeech/"),
            (("--mirror",), {"metavar": "URL", "help": "of OpenSLR's resources (default: www.openslr.org)"}),
            flag("--keep-archives", "keep the parts' archives beside what was unpacked"),
        ],
        plan_download,
    ),
    Verb(
        "prepare",
        "Turn parts of a corpus in the LibriSpeech layout into a validated data dir",
        "asrkd prepare --config recipes/mini/recipe.yaml exp/mini/corpus/train exp/mini/data/train",
        "prepare",
        [
            path("parts", "folders such as LibriSpeech/train-clean-100", nargs="+"),
            OUTPUT,
            flag("--no-transcripts", "the parts have no transcripts, or they are to be ignored"),
        ],
        plan_prepare,
    ),
    Verb(
        "split",
        "Split a data dir by text or by speaker: the same words never stand on both sides",
        "asrkd split --config recipe.yaml exp/real/data/all exp/real/data/split",
        "split",
        [DATA, OUTPUT],
        plan_split,
    ),
    Verb(
        "subset",
        "Take a random part of a data dir",
        "asrkd subset --config recipes/mini/recipe.yaml exp/mini/data/transfer exp/mini/data/transfer_tune",
        "subset",
        [DATA, OUTPUT],
        plan_subset,
    ),
    Verb(
        "perturb",
        "Add faster and slower copies of every utterance to a data dir",
        "asrkd perturb --config recipe.yaml --jobs 2 exp/mini/data/train exp/mini/data/train_sp",
        "perturb",
        [DATA, OUTPUT],
        plan_perturb,
    ),
    Verb(
        "augment",
        "Add copies with noise, in simulated rooms and of other vocal tracts, whose timing is that of the originals",
        "asrkd augment --config recipe.yaml --jobs 2 exp/own/data/train exp/own/data/train_aug",
        "augment",
        [
            DATA,
            OUTPUT,
            path("--noise", "folder of recorded noise (.flac, .wav), in place of synthetic noise"),
        ],
        plan_augment,
    ),
    *(
        Verb(
            kind,
            f"Compute {text} features and normalisation statistics of a data dir",
            f"asrkd {kind} --config recipes/mini/recipe.yaml --jobs 2 exp/mini/data/train exp/mini/{kind}/train",
            kind,
            [DATA, OUTPUT, flag("--allow-pipes", "let wav.scp hold commands (`cmd |`), and run them")],
            plan_features,
        )
        for kind, text in (("fbank", "log-mel filterbank"), ("mfcc", "MFCC"))
    ),
)
