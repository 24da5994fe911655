"""The verb that takes over a Kaldi experiment."""

import re
from argparse import ArgumentTypeError, Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asrkd.core.config import parse
from asrkd.core.errors import ConfigError, DataError
from asrkd.core.files import absent
from asrkd.core.messages import say
from asrkd.core.stage import Stage
from asrkd.verbs.verb import REPEATED, Section, Verb, flag, path, where

Run = Callable[[Path], Mapping[str, Any]]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


def named(text: str) -> tuple[str, Path]:
    """``NAME=DIR`` of the command line."""
    name, _, folder = text.partition("=")
    if not NAME.fullmatch(name) or not folder:
        raise ArgumentTypeError(f"{text!r}: expected NAME=DIR, such as train=data/train")
    return name, Path(folder)


NAMED: dict[str, Any] = {"type": named, "metavar": "NAME=DIR"}


def plan_import_kaldi(arguments: Namespace, section: Section) -> Sequence[Stage]:
    """A stage for each part, so that a further set leaves the others, and what was trained on them, as they are."""
    sets, alignments = _by_name("--data", arguments.data), _by_name("--ali", arguments.ali)
    if unknown := sorted(alignments.keys() - sets.keys()):
        raise ConfigError(f"--ali {unknown[0]}=..: give its data dir too (--data {unknown[0]}=DIR)")
    given = (arguments.kaldi, *sets.values(), *alignments.values(), *([arguments.graph] if arguments.graph else []))
    if missing := [folder for folder in given if not folder.is_dir()]:
        raise DataError(f"{missing[0]} {absent(missing[0])}: are paths from where Kaldi's scripts ran (s5)?")
    if not alignments and "train" in sets and any(arguments.kaldi.glob("ali.*.gz")):
        alignments["train"] = arguments.kaldi
    parts = Parts(arguments, section)
    graph = _graph(arguments)
    return [
        parts.tied_states(),
        *([parts.graph(graph)] if graph else []),
        *(parts.data(name, folder) for name, folder in sets.items()),
        *(parts.features(name, folder) for name, folder in sets.items() if _has_features(name, folder, arguments)),
        *(parts.alignment(name, sets[name], folder) for name, folder in alignments.items()),
    ]


def _by_name(option: str, pairs: Sequence[tuple[str, Path]]) -> dict[str, Path]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ConfigError(f"{option}: a name is given twice")
    return found


def _graph(arguments: Namespace) -> Path | None:
    """The graph dir that was given, else the only one in Kaldi's folder."""
    if arguments.graph:
        return Path(arguments.graph)
    folders = [arguments.kaldi, *sorted(arguments.kaldi.glob("graph*"))]
    found = [folder for folder in folders if (folder / "HCLG.fst").is_file()]
    if len(found) > 1:
        raise ConfigError(f"{found[0]} and {found[1]} both hold a graph: say which by --graph DIR")
    if not found:
        _say(f"{arguments.kaldi} holds no graph: none is imported (--graph DIR)")
    return found[0] if found else None


def _has_features(name: str, data: Path, arguments: Namespace) -> bool:
    found = (data / "feats.scp").is_file()
    if not found:
        output = arguments.output
        _say(f"{data} has no feats.scp: make {output}/features/{name} of {output}/data/{name} with asrkd fbank")
    return found


def _say(line: str) -> None:
    say(f"import-kaldi: {line}")


@dataclass(frozen=True)
class Parts:
    """The stages of one import."""

    arguments: Namespace
    section: Section

    def _config(self) -> Any:
        from asrkd.hmm.kaldi_exchange import ImportKaldiConfig

        return parse(ImportKaldiConfig, self.section, where(self.arguments))

    def _stage(self, part: str, inputs: Sequence[Path], run: Run, *keys: str, **options: Any) -> Stage:
        """A stage that makes ``part`` of the output; its identity has the section's ``keys`` alone."""
        config = {key: self.section[key] for key in keys if key in self.section}
        options = {name: value for name, value in options.items() if value}
        name = f"{self.arguments.verb.name} {part.partition('/')[0]}"
        return Stage(name, run, inputs, self.arguments.output / part, {**config, **options})

    def tied_states(self) -> Stage:
        kaldi = self.arguments.kaldi

        def run(work: Path) -> Mapping[str, Any]:
            from asrkd.hmm.kaldi_exchange import import_tied_states

            self._config()
            return import_tied_states(kaldi, work)

        names = ("final.mdl", "tree", "phones.txt", "final.mat", "splice_opts", "trans.*", "delta_opts")
        return self._stage("tri", _files(kaldi, *names), run)

    def graph(self, kaldi: Path) -> Stage:
        tied_states = self.arguments.output / "tri"

        def run(work: Path) -> Mapping[str, Any]:
            from asrkd.graph.hclg import import_graph

            return import_graph(kaldi, tied_states, work)

        return self._stage("graph", [*_files(kaldi, "HCLG.fst", "words.txt", "phones.txt"), tied_states], run)

    def data(self, name: str, data: Path) -> Stage:
        def run(work: Path) -> Mapping[str, Any]:
            from asrkd.corpora.kaldi_data import import_data

            return import_data(data, work)

        files = _files(data, "utt2spk", "text", "wav.scp", "segments", "utt2dur")
        return self._stage(f"data/{name}", files, run)

    def features(self, name: str, data: Path) -> Stage:
        jobs, allow_pipes = self.arguments.jobs, self.arguments.allow_pipes

        def run(work: Path) -> Mapping[str, Any]:
            from asrkd.features.kaldi import import_features

            return import_features(self._config().features, data, work, jobs, allow_pipes)

        names = ("feats.scp", "cmvn.scp", "utt2spk", "utt2num_frames", "utt2dur", "wav.scp", "segments", "frame_shift")
        return self._stage(f"features/{name}", _files(data, *names), run, "features", allow_pipes=allow_pipes)

    def alignment(self, name: str, data: Path, kaldi: Path) -> Stage:
        output = self.arguments.output
        kind = "features" if (data / "feats.scp").is_file() else "data"

        def run(work: Path) -> Mapping[str, Any]:
            from asrkd.hmm.kaldi_exchange import import_alignment

            return import_alignment(self._config().alignment, kaldi, output / "tri", output / kind / name, work)

        inputs = [*_files(kaldi, "ali.*.gz", "num_jobs", "tree"), output / "tri", output / kind / name]
        return self._stage(f"ali/{name}", inputs, run, "alignment")


def _files(folder: Path, *patterns: str) -> list[Path]:
    """What a verb reads of a Kaldi folder: its identity, which logs and decodings beside it must not change."""
    found = sorted(file for pattern in patterns for file in folder.glob(pattern) if file.is_file())
    return found or [folder]


VERBS: Sequence[Verb] = (
    Verb(
        "import-kaldi",
        "Take over a Kaldi experiment: tied states, graph, data dirs, features (used where they lie) and alignments",
        "asrkd import-kaldi --graph exp/tri3b/graph_tgpr --data train=data/train --data dev=data/dev "
        "--data test=data/test --ali train=exp/tri3b_ali --ali dev=exp/tri3b_ali_dev exp/tri3b_ali exp/asrkd",
        "import_kaldi",
        [
            path("--graph", "folder with HCLG.fst, words.txt and phones.txt (default: the one in the experiment)"),
            (
                ("--data",),
                {
                    **REPEATED,
                    **NAMED,
                    "help": "data dir of a set, with feats.scp where its features are to be used; may be repeated",
                },
            ),
            (
                ("--ali",),
                {
                    **REPEATED,
                    **NAMED,
                    "help": "folder with ali.*.gz of a set's utterances; may be repeated (default: train=EXPDIR)",
                },
            ),
            flag("--allow-pipes", "let feats.scp hold commands (`cmd |`), run them and keep their output"),
            path("kaldi", "Kaldi's folder with final.mdl, tree and phones.txt: a GMM's", metavar="EXPDIR"),
            path("output", "folder for tri, graph, data/NAME, features/NAME and ali/NAME"),
        ],
        plan_import_kaldi,
    ),
)
