"""What copies of the training speech, and its alignment by a net, are worth: nets trained on each, and their errors.

python -m bench.training_data EXPERIMENT CONFIG [WORK]

EXPERIMENT has been run up to its stage 6; WORK is EXPERIMENT/training_data unless given. Each net sees as many frames
as `PASSES` passes over the speech as it is would give; as in recipes, the epoch best on dev is taken, and the acoustic
scale is tuned on dev. A run that was cut off goes on.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from asrkd.core.files import read_json
from asrkd.scoring.significance import PairedBootstrap
from bench.table import print_table

PASSES = 12
SEEDS = (1, 2)
JOBS = 2


@dataclass(frozen=True)
class Bench:
    """Folders, and how to run a verb."""

    experiment: Path
    config: str
    work: Path

    def asrkd(self, verb: str, *arguments: str | Path) -> None:
        command = [sys.executable, "-m", "asrkd.cli", verb, "--config", self.config, *map(str, arguments)]
        subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})

    def copies(self, name: str, kinds: Sequence[str]) -> tuple[Path, Path]:
        """Features and alignment of the speech with copies of it."""
        folder, train = self.work / name, self.experiment / "data/train"
        data, features, alignment = folder / "data", folder / "fbank", folder / "ali"
        if kinds == ["speed"]:
            self.asrkd("perturb", train, data)
            self.asrkd("mfcc", data, folder / "mfcc")
            models = self.experiment / "lang", self.experiment / "tri"
            self.asrkd("align", folder / "mfcc", data, *models, alignment)
        else:
            self.asrkd("augment", "--set", f"augment.kinds=[{','.join(kinds)}]", train, data)
            self.asrkd("align-copies", self.experiment / "ali/train", data, self.experiment / "tri", alignment)
        self.asrkd("fbank", data, features)
        return features, alignment

    def realigned(self) -> tuple[Path, Path]:
        """The speech as it is, aligned by the first of the experiment's teachers."""
        features, alignment = self.experiment / "fbank/train", self.work / "realigned/ali"
        inputs = features, self.experiment / "data/train", self.experiment / "lang", self.experiment / "tri"
        self.asrkd("align", *inputs, self.experiment / "teachers/1", alignment)
        return features, alignment

    def net(self, name: str, seed: int, features: Path, alignment: Path, epochs: int) -> None:
        """Train and score one."""
        model, dev = self.work / name / f"net.{seed}", self.experiment / "fbank/dev"
        training: list[str | Path] = ["--features", features, "--alignment", alignment]
        training += ["--dev-features", dev, "--dev-alignment", self.experiment / "ali/dev"]
        options = ["--section", "teacher", "--seed", str(seed)]
        options += ["--set", f"teacher.epochs={epochs}", "--set", f"teacher.patience={epochs}"]
        self.asrkd("train", *options, *training, model)
        for part in self.parts:
            scored = self.work / name / f"eval.{seed}" / part
            tuned = scored.parent / "dev/decode"
            how: list[str | Path] = ["--tune", self.experiment / "data/dev"] if part == "dev" else ["--scale-of", tuned]
            heard = self.experiment / "fbank" / part
            self.asrkd("decode", *how, self.experiment / "graph", heard, model, scored / "decode")
            self.asrkd("score", self.experiment / "data" / part, scored / "decode", scored / "words")
            self.asrkd("frames", heard, self.experiment / "ali" / part, model, scored / "frames")

    @property
    def parts(self) -> list[str]:
        """Dev, whose scales the rest take, first."""
        scored = sorted(path.name for path in (self.experiment / "eval/gmm").iterdir())
        return ["dev", *(part for part in scored if part != "dev")]


def run(bench: Bench) -> None:
    """Train all, then print a table for each part."""
    plain = bench.experiment / "fbank/train", bench.experiment / "ali/train"
    sets = {"as it is": (*plain, PASSES)}
    sets["realigned by a net"] = (*bench.realigned(), PASSES)
    for name, kinds, size in (
        ("speed 0.9, 1.1", ["speed"], 3),
        ("noise", ["noise"], 2),
        ("vocal tracts", ["vtlp"], 2),
        ("noise, vocal tracts", ["noise", "vtlp"], 3),
    ):
        sets[name] = (*bench.copies("-".join(kinds), kinds), round(PASSES / size))
    with ThreadPoolExecutor(JOBS) as pool:
        jobs = [pool.submit(bench.net, name, seed, *how) for seed in SEEDS for name, how in sets.items()]
        for job in jobs:
            job.result()
    for part in bench.parts:
        table(bench, part, list(sets))


def table(bench: Bench, part: str, names: Sequence[str]) -> None:
    """Means over the seeds; differences to the speech as it is, paired, with 95 % intervals over utterances."""
    cells: dict[str, list[list[str]]] = {name: [] for name in names}
    for kind in ("frames", "words"):
        scores = {
            (name, seed): read_json(bench.work / name / f"eval.{seed}" / part / kind / f"{kind}.json")["utterances"]
            for name in names
            for seed in SEEDS
        }
        counts = {
            f"{name}.{seed}": {utt: pair[0] for utt, pair in rows.items()} for (name, seed), rows in scores.items()
        }
        over = {utt: pair[1] for utt, pair in scores[names[0], SEEDS[0]].items()}
        bootstrap = PairedBootstrap(counts, over)
        first = [f"{names[0]}.{seed}" for seed in SEEDS]
        for name in names:
            nets = [f"{name}.{seed}" for seed in SEEDS]
            rates = [100 * bootstrap.rate(net).estimate for net in nets]
            spread = "" if name == names[0] else difference(bootstrap, nets, first)
            cells[name].append([f"{fmean(rates):.1f} ({', '.join(f'{rate:.1f}' for rate in rates)})", spread])
    to_first = "to the first, points"
    header = ["speech", "frame accuracy, % (by seed)", to_first, "WER, % (by seed)", to_first]
    print_table(part, header, [[name, *cells[name][0], *cells[name][1]] for name in names])


def difference(bootstrap: PairedBootstrap, nets: Sequence[str], first: Sequence[str]) -> str:
    found = bootstrap.difference(nets, first)
    estimate, low, high = (f"{100 * value:+.1f}" for value in (found.estimate, found.low, found.high))
    return f"{estimate} [{low}, {high}]"


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit("usage: python -m bench.training_data EXPERIMENT CONFIG [WORK]")
    given = Path(sys.argv[1])
    run(Bench(given, sys.argv[2], Path(sys.argv[3]) if len(sys.argv) == 4 else given / "training_data"))
