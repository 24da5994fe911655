"""Verbs that take over a Kaldi experiment."""

from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from asrkd.core.config import parse
from asrkd.core.stage import Stage
from asrkd.verbs.verb import DATA, OUTPUT, TIED_STATES, Section, Verb, flag, path, stage, where


def _files(folder: Path, *patterns: str) -> list[Path]:
    """What a verb reads of a Kaldi folder: its identity, which logs and decodings beside it must not change."""
    found = sorted(file for pattern in patterns for file in folder.glob(pattern) if file.is_file())
    return found or [folder]


def plan_import_tied_states(arguments: Namespace, section: Section) -> Stage:
    def run(work: Path) -> Mapping[str, Any]:
        from asrkd.hmm.kaldi_exchange import import_tied_states

        return import_tied_states(arguments.kaldi, work)

    return stage(arguments, {}, _files(arguments.kaldi, "final.mdl", "tree", "phones.txt"), run)


def plan_import_alignment(arguments: Namespace, section: Section) -> Stage:
    kaldi, tied_states, data = arguments.kaldi, arguments.tied_states, arguments.data

    def run(work: Path) -> Mapping[str, Any]:
        from asrkd.hmm.kaldi_exchange import ImportAlignmentConfig, import_alignment

        config = parse(ImportAlignmentConfig, section, where(arguments))
        return import_alignment(config, kaldi, tied_states, data, work)

    files = _files(kaldi, "ali.*.gz", "num_jobs", "tree")
    return stage(arguments, section, [*files, tied_states, *_files(data, "utt2spk", "utt2num_frames")], run)


def plan_import_graph(arguments: Namespace, section: Section) -> Stage:
    def run(work: Path) -> Mapping[str, Any]:
        from asrkd.graph.hclg import import_graph

        return import_graph(arguments.kaldi, arguments.tied_states, work)

    files = _files(arguments.kaldi, "HCLG.fst", "words.txt", "phones.txt")
    return stage(arguments, {}, [*files, arguments.tied_states], run)


def plan_import_features(arguments: Namespace, section: Section) -> Stage:
    def run(work: Path) -> Mapping[str, Any]:
        from asrkd.features.kaldi import ImportFeaturesConfig, import_features

        config = parse(ImportFeaturesConfig, section, where(arguments))
        return import_features(config, arguments.data, work, arguments.jobs, arguments.allow_pipes)

    names = ("feats.scp", "cmvn.scp", "utt2spk", "utt2num_frames", "utt2dur", "wav.scp", "segments", "frame_shift")
    return stage(arguments, section, _files(arguments.data, *names), run, allow_pipes=arguments.allow_pipes)


VERBS: Sequence[Verb] = (
    Verb(
        "import-features",
        "Use the features of a Kaldi data dir (feats.scp, cmvn.scp) where they lie",
        "asrkd import-features --jobs 2 --set import_features.front_end=fbank40 s5/data/train exp/wsj/fbank/train",
        "import_features",
        [DATA, OUTPUT, flag("--allow-pipes", "let feats.scp hold commands (`cmd |`), run them and keep their output")],
        plan_import_features,
    ),
    Verb(
        "import-tied-states",
        "Take over tree and final.mdl of a Kaldi GMM",
        "asrkd import-tied-states s5/exp/tri3b_ali exp/wsj/tri",
        None,
        [path("kaldi", "Kaldi's folder with final.mdl, tree and phones.txt"), OUTPUT],
        plan_import_tied_states,
    ),
    Verb(
        "import-alignment",
        "Take over the alignments (ali.*.gz) that Kaldi made with those tied states",
        "asrkd import-alignment s5/exp/tri3b_ali exp/wsj/tri exp/wsj/fbank/train exp/wsj/ali/train",
        "import_alignment",
        [
            path("kaldi", "Kaldi's folder with ali.*.gz"),
            TIED_STATES,
            path("data", "feature folder or data dir: its utt2spk says which utterances to take"),
            OUTPUT,
        ],
        plan_import_alignment,
    ),
    Verb(
        "import-graph",
        "Take over a decoding graph that Kaldi's mkgraph.sh made of those tied states",
        "asrkd import-graph s5/exp/tri3b/graph_tgpr exp/wsj/tri exp/wsj/graph",
        None,
        [path("kaldi", "Kaldi's folder with HCLG.fst, words.txt and phones.txt"), TIED_STATES, OUTPUT],
        plan_import_graph,
    ),
)
