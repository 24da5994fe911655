"""A report as a small run would write it: every part there, with the figures' usual sizes and relations."""

import copy
import math
from typing import Any

import pytest

_SEEDS = [0.581, 0.589, 0.592, 0.587, 0.596]
_WERS = [0.112, 0.108, 0.109, 0.111, 0.105]


def _rate(dev: float, test: float, half: float | None = None) -> dict[str, float]:
    return {"dev": dev, "test": test} | ({} if half is None else {"low": test - half, "high": test + half})


def _system(
    name: str, parameters: int, accuracy: float | None, wer: float, errors: float, **more: Any
) -> dict[str, Any]:
    system = {
        "name": name,
        "parameters": parameters,
        "wer": _rate(wer - 0.004, wer, 0.009),
        "errors": errors,
        "words": 4321,
        "substitutions": round(errors * 0.6),
        "deletions": round(errors * 0.3),
        "insertions": round(errors * 0.1),
        "acoustic_scale": 0.1,
        "real_time_factor": 0.0213,
        **more,
    }
    if accuracy is not None:
        system["frame_accuracy"] = _rate(accuracy + 0.006, accuracy, 0.007)
        system["cross_entropy"] = {"dev": 1.41, "test": 1.9 - accuracy}
    return system


def _baseline() -> dict[str, Any]:
    seeds = [
        {"seed": n, "frame_accuracy": _rate(a + 0.006, a), "wer": _rate(w - 0.004, w), "errors": round(4321 * w)}
        for n, (a, w) in enumerate(zip(_SEEDS, _WERS, strict=True), 1)
    ]
    spread = {"frame_accuracy": _rate(0.0051, 0.0056), "wer": _rate(0.0019, 0.0027)}
    return _system("baseline", 1_523_456, 0.589, 0.109, 471.2, ece=0.062, per_seed=seeds, spread=spread)


def _comparison(a: str, b: str, metric: str, difference: float, *, half: float, p: float) -> dict[str, Any]:
    bounds = {"low": difference - half, "high": difference + half}
    return {"a": a, "b": b, "metric": metric, "difference": difference, "p": p, "p_holm": min(1.0, 3 * p), **bounds}


def _curve(top: float, epochs: int) -> list[dict[str, float]]:
    return [
        {
            "epoch": n,
            "train_loss": 3.2 * math.exp(-n / 4) + 1.0,
            "dev_cross_entropy": 2.6 * math.exp(-n / 3) + 1.95 - top + 0.004 * n,
            "dev_frame_accuracy": top * (1 - math.exp(-n / 2.2)),
            "learning_rate": 0.001 * 0.8**n,
        }
        for n in range(1, epochs + 1)
    ]


def _bins(sureness: float) -> list[dict[str, float]]:
    middles = [(n + 0.5) / 10 for n in range(10)]
    return [{"confidence": m, "accuracy": m ** (1 + sureness), "count": n * 900} for n, m in enumerate(middles)]


def _against_temperature(best: float, least: float) -> list[dict[str, float]]:
    temperatures = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0)
    return [{"temperature": t, "cross_entropy": least + 0.6 * math.log(t / best) ** 2} for t in temperatures]


def _growing() -> list[dict[str, Any]]:
    accuracies, wers = (0.581, 0.598, 0.605, 0.609, 0.6104), (0.112, 0.107, 0.1055, 0.104, 0.1035)
    rows: list[dict[str, Any]] = []
    for count, (accuracy, wer) in enumerate(zip(accuracies, wers, strict=True), 1):
        rates = {"frame_accuracy": _rate(accuracy + 0.006, accuracy, 0.007), "wer": _rate(wer - 0.004, wer, 0.009)}
        rows.append({"teachers": count, **rates})
        if count > 1:
            gain = accuracy - accuracies[count - 2]
            rows[-1]["gain"] = {"difference": gain, "low": gain - 0.003, "high": gain + 0.003}
    return rows


def _combination(name: str, accuracy: float, nats: float, weights: list[float] | None = None) -> dict[str, Any]:
    row = {"combination": name, "frame_accuracy": _rate(accuracy + 0.006, accuracy, 0.007)}
    row["cross_entropy"] = {"dev": nats - 0.05, "test": nats}
    return row | ({} if weights is None else {"weights": weights})


def _measured() -> dict[str, Any]:
    accuracies = {(1, 0.5): 0.601, (2, 0.5): 0.609, (5, 0.5): 0.606, (1, 0.9): 0.604, (2, 0.9): 0.613, (5, 0.9): 0.607}
    return {
        "growing": _growing(),
        "combinations": [
            _combination("arithmetic", 0.6104, 1.29),
            _combination("arithmetic", 0.6107, 1.2893, [0.21, 0.24, 0.18, 0.19, 0.18]),
            {**_combination("geometric", 0.6118, 1.2991), "gain": {"difference": 0.0014, "low": 0.0003, "high": 0.003}},
        ],
        "tuning": [
            {"temperature": float(t), "alpha": a, "dev_frame_accuracy": f, "chosen": (t, a) == (2, 0.9)}
            for (t, a), f in accuracies.items()
        ],
        "curves": {f"teacher.{n}": _curve(a + 0.006, 12) for n, a in enumerate(_SEEDS, 1)}
        | {"distilled": _curve(0.613, 12), "distilled_small": _curve(0.6, 12)},
        "calibration": {
            name: {"ece": ece, "bins": _bins(sureness)}
            for name, ece, sureness in (
                *((f"teacher.{n}", 0.06, 0.3 + n / 30) for n in range(1, 6)),
                ("ensemble", 0.021, -0.1),
                ("distilled", 0.034, 0.15),
            )
        },
        "temperature_curves": {
            **{f"teacher.{n}": _against_temperature(1.3 + n / 40, 1.28 + n / 200) for n in range(1, 6)},
            "ensemble": _against_temperature(0.95, 1.22),
            "distilled": _against_temperature(1.1, 1.24),
        },
        "paper": [
            {"name": "baseline", "frame_accuracy": 0.589, "wer": 0.109},
            {"name": "ensemble", "frame_accuracy": 0.611, "wer": 0.107},
            {"name": "distilled", "frame_accuracy": 0.608, "wer": 0.107},
        ],
    }


_REPORT: dict[str, Any] = {
    "recipe": "mini",
    "num_pdfs": 480,
    "num_teachers": 5,
    "temperature": 2.0,
    "alpha": 0.9,
    "data": {
        "train": {"hours": 0.52, "utterances": 600, "speakers": 20},
        "transfer": {"hours": 2.1, "utterances": 2400, "speakers": 20},
        "dev": {"hours": 0.11, "utterances": 150, "speakers": 5},
        "test": {"hours": 0.14, "utterances": 200, "speakers": 6},
        "note": "Synthetic speech, read by text-to-speech voices from sentences of a small grammar.",
    },
    "systems": [
        _system("gmm", 61_234, None, 0.143, 618),
        _baseline(),
        _system("ensemble", 7_617_280, 0.6104, 0.1035, 447, ece=0.021),
        _system("distilled", 1_523_456, 0.6073, 0.1053, 455, ece=0.034),
        _system("distilled_small", 412_345, 0.595, 0.1088, 470, ece=0.041),
    ],
    "transfer_ratio": {"value": 0.856, "low": 0.71, "high": 1.01, "reliable": True},
    "comparisons": [
        _comparison("ensemble", "baseline", "frame_accuracy", 0.0214, half=0.004, p=0.0001),
        _comparison("distilled", "baseline", "frame_accuracy", 0.0183, half=0.004, p=0.0001),
        _comparison("distilled", "ensemble", "frame_accuracy", -0.0031, half=0.0025, p=0.016),
        _comparison("distilled_small", "baseline", "frame_accuracy", 0.006, half=0.0045, p=0.008),
        _comparison("ensemble", "baseline", "wer", -0.0055, half=0.0043, p=0.012),
        _comparison("distilled", "baseline", "wer", -0.0037, half=0.0052, p=0.172),
    ],
    "soft_targets": {
        "bytes_per_frame": 82.4,
        "dense_bytes_per_frame": 1920,
        "kl_nats": 0.000412,
        "frames_per_second": 48213.7,
        "frames": 756_000,
        "temperature": 2.0,
        "encode_share": 0.137,
    },
    **_measured(),
    "seconds": {
        "corpus": 50.1,
        "features": 8.4,
        "tied states": 95.3,
        "teachers": 402.7,
        "soft targets": 21.9,
        "student": 88.0,
        "decoding": 61.5,
        "scoring": 4.2,
    },
    "environment": {"device": "cpu", "torch": "2.13.0"},
}


@pytest.fixture
def report() -> dict[str, Any]:
    """A copy that a test may change."""
    return copy.deepcopy(_REPORT)
