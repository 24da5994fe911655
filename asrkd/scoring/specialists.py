"""What specialists bring: Hinton, Vinyals and Dean (2015), section 5.5, tables 3 and 4, on frames.

By how many specialists hold a frame's aligned pdf: the generalist's frame accuracy and the whole model's, and the gain.
Conditional accuracy is that of the frames whose pdf some specialist holds, predictions restricted to such pdfs. Several
models are one system trained with several seeds, on the same clusters; means and intervals are those of `seeds`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from asrkd.core.device import choose_device
from asrkd.core.errors import ConfigError, MismatchError
from asrkd.core.files import read_fields
from asrkd.features.store import FeatureDir
from asrkd.features.window import splice
from asrkd.hmm.alignment import Alignment
from asrkd.models.saved import SavedModel, check_belongs, load_model, log_softmax
from asrkd.models.specialised import Specialised
from asrkd.scoring.seeds import difference_over_seeds, rate_over_seeds
from asrkd.scoring.significance import PairedBootstrap
from asrkd.scoring.systems import METRICS
from asrkd.targets.averaging import window_of
from asrkd.targets.weigh import labelled

BEFORE, AFTER = "generalist", "specialised"
KINDS = ("top", "conditional")

Counts = dict[str, dict[str, int]]
"""By system, then by utterance."""


@dataclass
class _Row:
    """Frames of some numbers of specialists: how many by utterance, and right ones by kind, system and utterance."""

    frames: dict[str, int] = field(default_factory=dict)
    correct: dict[str, Counts] = field(default_factory=lambda: {kind: {} for kind in KINDS})


def score_specialists(
    features_dir: Path,
    alignment_dir: Path,
    models: Sequence[Path],
    evaluated: Sequence[Path] = (),
) -> dict[str, Any]:
    """The figures of a page (report/specialists.py); ``evaluated``: folders of systems, each with one a seed, 1, 2, ...

    Raises ConfigError for models without specialists, MismatchError for models of different clusters.
    """
    features, alignment = FeatureDir.open(features_dir), Alignment.open(alignment_dir)
    opened = [_open(path, features, alignment) for path in models]
    covering = _covering(opened)
    rows = {str(number): _Row() for number in sorted(set(covering.tolist()))} | {"1 or more": _Row(), "all": _Row()}
    called = [
        _count(model, str(index), features, alignment, covering, rows) for index, (model, _) in enumerate(opened, 1)
    ]
    seeds = [str(index) for index in range(1, len(models) + 1)]
    first, module = opened[0]
    return {
        "seeds": len(models),
        "specialists": len(module.pdfs),
        "num_pdfs": first.info.num_pdfs,
        "covered_pdfs": int((covering > 0).sum()),
        "pdfs_each": fmean(map(len, module.pdfs)),
        "called": fmean(called),
        "parameters": {
            BEFORE: sum(weights.numel() for weights in module.generalist.parameters()),
            AFTER: first.num_parameters,
        },
        "rows": [_figures(name, row, seeds) for name, row in rows.items() if sum(row.frames.values())],
        "systems": _systems(evaluated, seeds),
    }


def _open(path: Path, features: FeatureDir, alignment: Alignment) -> tuple[SavedModel, Specialised]:
    model = load_model(path, choose_device("auto"))
    check_belongs(model, features.identity, alignment.tied_states)
    if not isinstance(model.module, Specialised) or not model.module.pdfs:
        raise ConfigError(f"{path} has no specialists: `asrkd add-specialists` makes a model that has")
    return model, model.module


def _covering(opened: Sequence[tuple[SavedModel, Specialised]]) -> np.ndarray:
    """How many specialists hold a pdf, (num_pdfs,)."""
    counts = [module.own.sum(1).cpu().numpy() for _, module in opened]
    for (model, _), count in zip(opened, counts, strict=True):
        if not np.array_equal(count, counts[0]):
            raise MismatchError(
                f"{model.path} and {opened[0][0].path} have specialists for other pdfs: several models are one system "
                "with several seeds, all of the same clusters"
            )
    return counts[0]


def _count(  # noqa: PLR0917
    model: SavedModel,
    seed: str,
    features: FeatureDir,
    alignment: Alignment,
    covering: np.ndarray,
    rows: Mapping[str, _Row],
) -> float:
    """Add a model's counts to ``rows``. Returns how many specialists a frame is given to on the average."""
    called, frames = 0, 0
    for utt_id in tqdm(labelled(features, alignment), f"score {model.path}", disable=None):
        labels = alignment.pdf_ids(utt_id).astype(np.int64)
        right, asked = _right(model, features.load(utt_id), labels, covering > 0, utt_id)
        called, frames = called + asked, frames + len(labels)
        cover = covering[labels]
        for name, row in rows.items():
            chosen = cover > 0 if name == "1 or more" else cover >= 0 if name == "all" else cover == int(name)
            row.frames[utt_id] = int(chosen.sum())
            for (kind, system), flags in right.items():
                row.correct[kind].setdefault(f"{system}.{seed}", {})[utt_id] = int(flags[chosen].sum())
    return called / frames


@torch.inference_mode()
def _right(
    model: SavedModel, frames: np.ndarray, labels: np.ndarray, covered: np.ndarray, utt_id: str
) -> tuple[dict[tuple[str, str], np.ndarray], int]:
    """Which frames are right, by kind and system; and how many specialists were run on them in all."""
    module = model.module
    assert isinstance(module, Specialised)
    windows = splice(torch.from_numpy(frames).to(module.own.device), window_of(model))
    if len(windows) != len(labels):
        raise MismatchError(
            f"{utt_id} has {len(windows)} frames of features and {len(labels)} of alignment: "
            "were both made from one data dir?"
        )
    log_p = log_softmax(module.generalist(windows))
    found = {}
    for system, log_posteriors in ((BEFORE, log_p), (AFTER, module.agree(windows, log_p))):
        scores = log_posteriors.cpu().numpy()
        found["top", system] = scores.argmax(1) == labels
        found["conditional", system] = np.where(covered, scores, -np.inf).argmax(1) == labels
    return found, int(module.called(log_p).sum())


def _figures(name: str, row: _Row, seeds: Sequence[str]) -> dict[str, Any]:
    kinds = KINDS if name not in ("0", "all") else KINDS[:1]
    return {
        "covering": name,
        "frames": sum(row.frames.values()),
        **{kind: _compared(row.correct[kind], row.frames, seeds) for kind in kinds},
    }


def _compared(
    counts: Mapping[str, Mapping[str, float]], over: Mapping[str, float], seeds: Sequence[str]
) -> dict[str, Any]:
    """Both systems' rates and their difference, over seeds and utterances."""
    bootstrap = PairedBootstrap(counts, over)
    names = {system: [f"{system}.{seed}" for seed in seeds] for system in (BEFORE, AFTER)}
    rates = {system: asdict(rate_over_seeds(bootstrap, members)) for system, members in names.items()}
    return {**rates, "gain": asdict(difference_over_seeds(bootstrap, names[AFTER], names[BEFORE]))}


def _system(folder: Path, seeds: Sequence[str]) -> dict[str, Any]:
    """Counts of a system that was evaluated with every seed: ``folder``/N/frames and, if it was decoded, /words."""
    found: dict[str, Any] = {"name": folder.name}
    for metric, kind in METRICS.items():
        files = [folder / seed / kind / f"{kind}.json" for seed in seeds]
        if kind == "frames" or any(file.is_file() for file in files):
            read = [read_fields(file, utterances=dict) for file in files]
            found[metric] = [each["utterances"] for each in read]
            found.setdefault("parameters", read[0].get("parameters"))
    return found


def _systems(folders: Sequence[Path], seeds: Sequence[str]) -> list[dict[str, Any]]:
    """By system its rates, and their differences from the first system's and from those of the one before it."""
    systems = [_system(folder, seeds) for folder in folders]
    rows = [{"name": each["name"], "parameters": each["parameters"]} for each in systems]
    for metric in METRICS if systems else ():
        if not all(metric in each for each in systems):
            continue
        bootstrap = PairedBootstrap.of_pairs(
            {
                f"{index}.{seed}": utterances
                for index, each in enumerate(systems)
                for seed, utterances in zip(seeds, each[metric], strict=True)
            }
        )
        names = [[f"{index}.{seed}" for seed in seeds] for index in range(len(systems))]
        for index, row in enumerate(rows):
            row[metric] = {"rate": asdict(rate_over_seeds(bootstrap, names[index]))}
            for against, other in (("from_first", 0), ("from_last", index - 1)):
                if index > 0:
                    row[metric][against] = asdict(difference_over_seeds(bootstrap, names[index], names[other]))
    return rows
