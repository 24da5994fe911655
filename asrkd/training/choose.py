"""Choosing a temperature and a weight on dev: the best of several trained students."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from asrkd.core.errors import DataError
from asrkd.core.files import atomic_write, write_json
from asrkd.core.stage import describe


def choose(models: Sequence[Path], sections: Sequence[str], work: Path) -> dict[str, Any]:
    """Write chosen.yaml, which sets temperature and alpha of the best model's loss for the posteriors and ``sections``.

    The best is the one with the highest dev frame accuracy; of equals the first. tried.json lists all.
    """
    tried = []
    for path in models:
        description = describe(path)
        loss = description["config"].get("loss", {})
        if loss.get("type") != "distillation":
            raise DataError(f"{path} was not trained by distillation: there is no temperature to choose")
        row = {"temperature": loss["temperature"], "alpha": loss["alpha"]}
        tried.append({**row, "dev_frame_accuracy": description["summary"]["dev_frame_accuracy"]})
    best = max(tried, key=lambda row: float(row["dev_frame_accuracy"]))
    for row in tried:
        row["chosen"] = row is best
    write_json(work / "tried.json", tried)
    loss = {"temperature": best["temperature"], "alpha": best["alpha"]}
    config: dict[str, Any] = {name: {"loss": loss} for name in sections}
    config["posteriors"] = {"temperature": best["temperature"]}
    for name, value in loss.items():  # for shell scripts
        with atomic_write(work / name) as file:
            file.write(f"{value:g}\n")
    with atomic_write(work / "chosen.yaml") as file:
        yaml.safe_dump(config, file)
    print(f"choose: temperature {best['temperature']:g}, alpha {best['alpha']:g} of {len(tried)} tried on dev")
    return loss
