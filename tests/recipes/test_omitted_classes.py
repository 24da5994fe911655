"""recipes/omitted_classes in a minute-sized form, on the experiment of the mini recipe."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from asrkd.cli import main
from asrkd.core.config import load_yaml
from asrkd.core.files import read_json
from asrkd.hmm.alignment import Alignment
from asrkd.hmm.classes import pdf_mask
from tests.recipes.tiny import ROOT, Recipe, run

OWN = ROOT / "recipes/omitted_classes/recipe.yaml"


@pytest.fixture(scope="module")
def exp(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("omitted_classes")
    own = load_yaml(OWN)
    own["student"] |= {"model": {"hidden_layers": 1, "hidden_units": 32}, "learning_rate": 4e-3, "threads": 1}
    own["decode"] |= {"beam": 8.0, "max_active": 300, "min_active": 20}
    own["sweep"]["seeds"] = [1, 2]
    del own["sweep"]["studies"]["stops"]
    config = root / "small.yaml"
    config.write_text(yaml.safe_dump(own, sort_keys=False))
    options = ["--from", str(recipe.exp), "--config", str(config), "--exp", str(root / "exp"), "--jobs", "2"]
    finished = run("omitted_classes", *options)
    assert finished.returncode == 0, finished.stdout[-3000:]
    return root / "exp"


def test_the_configuration_is_sound() -> None:
    assert main(["check", "--config", str(OWN)]) == 0


def test_the_phone_is_left_out_and_its_bias_brings_it_back(exp: Path, recipe: Recipe) -> None:
    studies = {study["name"]: study["rows"] for study in read_json(exp / "study/sweep.json")["studies"]}
    assert list(studies) == ["iy", "two"]
    for whole, part, moved, *_ in studies.values():
        recalls = [row["rates"]["recall"]["estimate"] for row in (whole, part, moved)]
        assert recalls[1] != recalls[2]
        assert moved["dev"]["estimate"] >= part["dev"]["estimate"]
        for row in (part, moved):
            assert set(row["differences"]) == {"frame_accuracy", "recall", "wer"}
    assert studies["iy"][2]["offset"]["estimate"] > 0 > studies["two"][2]["offset"]["estimate"]
    assert studies["iy"][1]["rates"]["frame_accuracy"] == studies["iy"][3]["rates"]["frame_accuracy"]  # one net,
    assert studies["iy"][1]["rates"]["wer"] != studies["iy"][3]["rates"]["wer"]  # two priors
    alignment = Alignment.open(recipe.exp / "ali/train")
    mask = pdf_mask(["IY"], alignment.num_pdfs, alignment.tied_states, recipe.exp / "tri", "omit")
    net = exp / "study/trials/iy/student=without-IY/1/net/stage.json"
    summary: dict[str, Any] = read_json(net)["summary"]
    assert summary["frames"] == int(alignment.pdf_counts[~mask].sum())


def test_table_plot_and_the_papers_rows(exp: Path) -> None:
    page, text = (exp / "study/sweep.html").read_text(), (exp / "study/sweep.md").read_text()
    assert page.count("<svg") == 2
    assert "Recall, %, test" in text
    assert "bias raised by 3.5" in text
