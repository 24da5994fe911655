"""Hours of speech that one core gets through in an hour, by the parts of the GMM stages, and peak memory.

python -m bench.gmm [EXPERIMENT]        (default exp/mini, after its stage 4)

The experiment's triphones, and ones of the size of Kaldi's for the 960 hours of LibriSpeech (7,000 tied states, 150,000
Gaussians, LDA and MLLT), grown on the same speech whatever they are worth: what they cost does not depend on it.
"""

import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from asrkd.core.archive import Archive, write_sharded
from asrkd.features.store import FeatureDir
from asrkd.hmm import em
from asrkd.hmm.align import TrainingGraphs, WeightedGraph, gmm_aligner, transcripts
from asrkd.hmm.alignment import Alignment, convert_alignment
from asrkd.hmm.em import TrainingSet
from asrkd.hmm.gmm_features import GmmFeatures
from asrkd.hmm.sizes import FRAMES_PER_HOUR
from asrkd.hmm.tied_states import TiedStates
from asrkd.hmm.triphone import LdaConfig, TriphoneConfig, grow_tree, lda_transform, start_model
from asrkd.lang.prepare import Lang
from bench.table import print_table

EVERY = 8  # utterance is aligned, part by part
PASSES = 3  # that split Gaussians before one is timed
SMALL = TriphoneConfig(num_leaves=800, num_gauss=2800)
LARGE = TriphoneConfig(
    num_leaves=7000, min_leaf_count=5.0, num_gauss=150_000, min_count=0.5, min_occupancy=0.5, lda=LdaConfig()
)


class Clock:
    """Rates by name: hours of speech over the CPU time of ``function()``."""

    def __init__(self) -> None:
        self.rates: dict[str, str] = {}

    def __call__(self, name: str, hours: float, function: Callable[[], Any]) -> Any:
        start = time.process_time()
        result = function()
        self.rates[name] = f"{hours * 3600 / (time.process_time() - start):,.0f}"
        return result


def measure(experiment: Path, config: TriphoneConfig, work: Path) -> dict[str, str]:
    """Rates of every part; the table's first rows say of what size."""
    lang, store = Lang.open(experiment / "lang"), FeatureDir.open(experiment / "mfcc/train")
    old, alignment = TiedStates.load(experiment / "tri"), Alignment.open(experiment / "tri/ali")
    texts = transcripts(experiment / "data/train", store, lang)
    data, clock = TrainingSet(store, lang, {utt: texts[utt] for utt in alignment.utt_ids}, 1), Clock()
    hours = data.num_frames / FRAMES_PER_HOUR
    lda = config.lda
    transform = clock("LDA", hours, lambda: lda_transform(lda, old, alignment, data)) if lda else None
    built, _ = clock("tree", hours, lambda: grow_tree(config, old, alignment, data, transform))
    model = start_model(old, built, transform)
    convert = convert_alignment(old, model)
    write_sharded(work, "ali", data.utt_ids, lambda utt: convert(alignment.transition_ids(utt)))
    vectors, schedule = Archive.open(work / "ali.scp"), replace(config, num_passes=PASSES, settle_passes=0)
    for number in range(1, PASSES + 1):
        model, _ = em._update(schedule, number, model, data, vectors)
    model, _ = clock("statistics and update", hours, lambda: em._update(schedule, PASSES + 1, model, data, vectors))
    if lda:
        model, _ = clock("MLLT", hours, lambda: em._with_mllt(model, data, vectors))
    align(config, model, replace(data, texts={utt: texts[utt] for utt in data.utt_ids[::EVERY]}), clock)
    sizes = {"tied states": f"{model.num_pdfs:,}", "Gaussians": f"{model.gmms.num_gauss:,}"}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return sizes | clock.rates | {"peak memory so far, MB": f"{peak:,.0f}"}


def align(config: TriphoneConfig, model: TiedStates, data: TrainingSet, clock: Clock) -> None:
    """Alignment as a whole, and its parts; against them, likelihoods of all pdfs."""
    hours, utt_ids, gmms = data.num_frames / FRAMES_PER_HOUR, data.utt_ids, model.gmms
    graphs, features = TrainingGraphs(model, data.lang, data.texts), GmmFeatures(data.store, model.transform)
    whole = gmm_aligner(config.align, graphs, data.store)
    clock("alignment", hours, lambda: [whole(utt) for utt in utt_ids])
    plain = clock("of it: graphs", hours, lambda: [graphs.compile(utt) for utt in utt_ids])
    weighted = clock("of it: weights", hours, lambda: [WeightedGraph.of(config.align, model, g) for g in plain])
    feats = clock("of it: features", hours, lambda: [features.load(utt) for utt in utt_ids])
    pairs = list(zip(feats, weighted, strict=True))
    scores = clock("of it: likelihoods", hours, lambda: [gmms.log_likelihoods(x, g.pdfs) for x, g in pairs])
    clock(
        "of it: search",
        hours,
        lambda: [g.best_path(config.align, "", s) for g, s in zip(weighted, scores, strict=True)],
    )
    few, some = feats[:: len(feats) // 5], sum(map(len, feats[:: len(feats) // 5])) / FRAMES_PER_HOUR
    clock("likelihoods of all pdfs", some, lambda: [gmms.log_likelihoods(x) for x in few])


def main(experiment: Path) -> None:
    """Print the table."""
    torch.set_num_threads(1)
    columns = []
    for config in (SMALL, LARGE):
        with tempfile.TemporaryDirectory() as work:
            columns.append(measure(experiment, config, Path(work)))
    rows = [[name, *(column.get(name, "") for column in columns)] for name in columns[1]]
    print_table("hours of speech a core-hour", ["", "small", "as for 960 hours"], rows)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "exp/mini"))
