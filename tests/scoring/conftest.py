"""A set of two utterances over six phones of one state each, and systems that say and predict what a test wants."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from asrkd.hmm.alignment import Alignment, write_alignment
from asrkd.hmm.event_map import monophone_tree
from asrkd.hmm.gmm import DiagGmms
from asrkd.hmm.tied_states import TiedStates
from asrkd.hmm.topology import parse_topology
from asrkd.hmm.transitions import TransitionModel
from asrkd.lang.phones import number_symbols
from asrkd.lang.topo import topology_text

PHONES = ("SIL", "SPN", "AA0_B", "AA1_E", "S_B", "T_E")
LABELS = {"u": "SIL SIL AA0_B AA0_B S_B T_E", "v": "SIL AA1_E AA1_E T_E"}
TEXT = {"u": "a b c d e", "v": "a b"}


def tiny_model(phones: Sequence[str] = PHONES) -> TiedStates:
    """Monophones of one state, the pdf of a phone numbered as it is from 0; SPN has silence's."""
    table = number_symbols(phones)
    numbers = [table[phone] for phone in phones]
    topology = parse_topology(topology_text(numbers, [], 1, 1), "topo")
    groups = {table["SPN"]: table["SIL"]} if "SPN" in table else {}
    tree = monophone_tree(dict.fromkeys(numbers, 1), groups)
    size = tree.num_pdfs
    gmms = DiagGmms.from_moments(np.ones(size), np.zeros((size, 1)), np.ones((size, 1)), np.arange(size))
    return TiedStates(tree, TransitionModel.for_tree(topology, tree), gmms, dict(table))


def transition_ids(model: TiedStates, phones: Sequence[str]) -> np.ndarray:
    """Each phone's move out of its state: one frame a phone."""
    forward = {
        int(p): t for t, (p, final) in enumerate(zip(model.tables.phone, model.tables.final, strict=True)) if final
    }
    return np.array([forward[model.phones[phone]] for phone in phones], np.int32)


@dataclass(frozen=True)
class World:
    root: Path
    model: TiedStates

    @property
    def text(self) -> Path:
        return self.root / "text"

    @property
    def alignment(self) -> Path:
        return self.root / "ali"

    @property
    def tied_states(self) -> Path:
        return self.root / "tri"

    def system(
        self,
        name: str,
        said: Mapping[str, str] | None = None,
        predicted: Mapping[str, str] | None = None,
        confidence: float = 0.75,
        alignment: Path | None = None,
    ) -> Path:
        """Write eval/NAME/test with the words and the phones whose pdfs are predicted; returns it."""
        folder = self.root / "eval" / name / "test"
        if said is not None:
            (folder / "decode").mkdir(parents=True)
            (folder / "decode" / "hyp.txt").write_text("".join(f"{utt} {words}\n" for utt, words in said.items()))
        if predicted is not None:
            self._frames(folder / "frames", predicted, confidence, alignment or self.alignment)
        return folder

    def _frames(self, folder: Path, predicted: Mapping[str, str], confidence: float, alignment: Path) -> None:
        from asrkd.scoring.frame_results import frame_scores

        pdf_of = self.model.pdf_of_tid
        pdfs = {utt: pdf_of[transition_ids(self.model, line.split())] for utt, line in predicted.items()}

        def log_posteriors(utt_id: str) -> np.ndarray:
            rest = (1 - confidence) / (self.model.num_pdfs - 1)
            table = np.full((len(pdfs[utt_id]), self.model.num_pdfs), rest, np.float32)
            table[np.arange(len(table)), pdfs[utt_id]] = confidence
            return np.log(table)

        folder.mkdir(parents=True)
        opened = Alignment.open(alignment)
        frame_scores(opened.utt_ids, opened, log_posteriors, folder, extra={"parameters": 1000})


def write_labels(folder: Path, model: TiedStates, labels: Mapping[str, str]) -> Path:
    write_alignment(
        folder, model, sorted(labels), lambda utt: transition_ids(model, labels[utt].split()), max_failed=0.0
    )
    return folder


@pytest.fixture
def world(tmp_path: Path) -> World:
    model = tiny_model()
    model.write(tmp_path / "tri")
    write_labels(tmp_path / "ali", model, LABELS)
    (tmp_path / "text").write_text("".join(f"{utt} {words}\n" for utt, words in TEXT.items()))
    return World(tmp_path, model)
