"""The mini recipe in a minute-sized form, run once for all tests of recipes."""

import importlib.util

import pytest
import yaml

from tests.recipes.tiny import SYNTHESISERS, TINY, Recipe, run_mini


@pytest.fixture(scope="session")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    """A finished run, its corpus in LibriSpeech's layout at ``exp/corpus``."""
    if missing := [name for name in SYNTHESISERS if importlib.util.find_spec(name) is None]:
        pytest.skip(f"needs the speech synthesisers (pip install asrkd[synth]); not installed: {', '.join(missing)}")
    root = tmp_path_factory.mktemp("recipe")
    config = root / "tiny.yaml"
    config.write_text(yaml.safe_dump(TINY))
    done = run_mini(root / "exp", config)
    assert done.returncode == 0, done.stdout[-3000:]
    return Recipe(root / "exp", config, done.stdout)
