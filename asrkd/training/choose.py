"""Choosing a loss, its temperature and its weight on dev: those of the best of several trained students."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from asrkd.core.errors import DataError
from asrkd.core.files import atomic_write, write_json
from asrkd.core.stage import describe
from asrkd.losses import build_loss
from asrkd.losses.mixing import SoftLoss


def choose(models: Sequence[Path], sections: Sequence[str], work: Path) -> dict[str, Any]:
    """Write chosen.yaml, which sets temperature and alpha of the best model's loss for the posteriors and ``sections``.

    Its type, too, where several were tried. The best is the one with the highest dev frame accuracy; of equals the
    first. tried.json lists all. The files ``temperature`` and ``alpha`` are for shell scripts, to be set with --set.
    """
    losses, tried = [], []
    for path in models:
        description = describe(path)
        section = description["config"].get("loss", {})
        loss = build_loss(section, f"{path}: loss")
        if not isinstance(loss, SoftLoss):
            what = "was not trained on soft targets" if loss.temperature is None else "has other weights than an alpha"
            raise DataError(f"{path} {what}: there is nothing to choose")
        losses.append({"type": section["type"], "temperature": loss.temperature, "alpha": loss.alpha.section()})
        row = {**losses[-1], "alpha": loss.alpha.label()}
        tried.append({**row, "dev_frame_accuracy": description["summary"]["dev_frame_accuracy"]})
    accuracies = [float(row["dev_frame_accuracy"]) for row in tried]
    best = accuracies.index(max(accuracies))
    write_json(work / "tried.json", [{**row, "chosen": index == best} for index, row in enumerate(tried)])
    chosen = losses[best]
    if len({loss["type"] for loss in losses}) == 1:
        del chosen["type"]
    config: dict[str, Any] = {name: {"loss": chosen} for name in sections}
    config["posteriors"] = {"temperature": chosen["temperature"]}
    for name in ("temperature", "alpha"):
        with atomic_write(work / name) as file:
            file.write(f"{_text(chosen[name])}\n")
    with atomic_write(work / "chosen.yaml") as file:
        yaml.safe_dump(config, file)
    label = ", ".join(f"{name} {_text(tried[best][name])}" for name in ("temperature", "alpha"))
    print(f"choose: {tried[best]['type']}, {label} of {len(tried)} tried on dev")
    return {name: chosen[name] for name in ("temperature", "alpha")}


def _text(value: Any) -> str:
    """A number as it is best read; a schedule as JSON, which is YAML."""
    if isinstance(value, str):
        return value
    return f"{value:g}" if isinstance(value, (int, float)) else json.dumps(value)
