"""Verbs that take over a Kaldi experiment."""

from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from asrkd.core.config import parse
from asrkd.core.stage import Stage
from asrkd.verbs.verb import OUTPUT, TIED_STATES, Section, Verb, path, stage, where


def plan_import_tied_states(arguments: Namespace, section: Section) -> Stage:
    def run(work: Path) -> Mapping[str, Any]:
        from asrkd.hmm.kaldi_exchange import import_tied_states

        return import_tied_states(arguments.kaldi, work)

    return stage(arguments, {}, [arguments.kaldi], run)


def plan_import_alignment(arguments: Namespace, section: Section) -> Stage:
    kaldi, tied_states, data = arguments.kaldi, arguments.tied_states, arguments.data

    def run(work: Path) -> Mapping[str, Any]:
        from asrkd.hmm.kaldi_exchange import ImportAlignmentConfig, import_alignment

        config = parse(ImportAlignmentConfig, section, where(arguments))
        return import_alignment(config, kaldi, tied_states, data, work)

    return stage(arguments, section, [kaldi, tied_states, data], run)


def plan_import_graph(arguments: Namespace, section: Section) -> Stage:
    def run(work: Path) -> Mapping[str, Any]:
        from asrkd.graph.hclg import import_graph

        return import_graph(arguments.kaldi, arguments.tied_states, work)

    return stage(arguments, {}, [arguments.kaldi, arguments.tied_states], run)


VERBS: Sequence[Verb] = (
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
