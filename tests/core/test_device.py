"""The device that was asked for, or an error; torch is not imported to say "cpu"."""

import subprocess
import sys

import pytest

from asrkd.core.device import choose_device, has_fast_bfloat16
from asrkd.core.errors import ConfigError


def test_names(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == choose_device("cpu") == "cpu"
    with pytest.raises(ConfigError, match="torch sees 0 GPUs"):
        choose_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("auto") == "cuda"
    assert choose_device("cuda:1") == "cuda:1"
    for name in ("cuda:2", "gpu", "cuda:x", ""):
        with pytest.raises(ConfigError, match="device"):
            choose_device(name)


def test_bfloat16_has_an_answer_here() -> None:
    assert has_fast_bfloat16("cpu") in (True, False)


def test_core_is_imported_without_torch() -> None:
    script = """
import importlib, pkgutil, sys
import asrkd, asrkd.core, asrkd.cli
for module in pkgutil.iter_modules(asrkd.core.__path__):
    importlib.import_module(f"asrkd.core.{module.name}")
from asrkd.core.device import choose_device
assert choose_device("cpu") == "cpu"
assert "torch" not in sys.modules and "scipy" not in sys.modules
"""
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True)
