"""Phones of frames: of the alignment exactly, of a predicted pdf as far as the tree tells phones apart.

A pdf may serve several phones (Kaldi's shared roots, and phones that were too rare for states of their own). A
prediction of it counts as the aligned phone where it serves that one, and else as the first of its phones: a frame
whose pdf is right so has the right phone.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from asrkd.hmm.alignment import Alignment
from asrkd.hmm.tied_states import TiedStates
from asrkd.lang.phone_classes import CLASSES, SILENCE_CLASS, base_phone, classify
from asrkd.scoring.predictions import Predictions

IntArray: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True)
class FramePhones:
    """``classes``: the class of each base phone, in the order of the phones' numbers here.

    ``aligned``: numbers of phones by utterance, shape (num_frames,); ``serves``: shape (num_pdfs, num_phones).
    """

    classes: Mapping[str, str]
    aligned: Mapping[str, IntArray]
    serves: NDArray[np.bool_]

    @classmethod
    def read(
        cls,
        alignment: Alignment,
        model: TiedStates,
        utt_ids: Iterable[str],
        classes: Mapping[str, Sequence[str]] = CLASSES,
    ) -> "FramePhones":
        """Of some utterances of an alignment, by the model whose tied states it is of."""
        symbol_of = {number: base_phone(symbol) for symbol, number in model.phones.items()}
        of_states = [symbol_of[phone] for phone in model.transitions.states[:, 0].tolist()]
        class_of = classify(of_states, classes)
        number_of = {phone: number for number, phone in enumerate(class_of)}
        serves = np.zeros((model.num_pdfs, len(class_of)), bool)
        serves[model.transitions.states[:, 2], [number_of[phone] for phone in of_states]] = True
        base = np.array([number_of.get(symbol_of.get(phone, ""), 0) for phone in range(max(symbol_of) + 1)])
        of_transition = base[model.tables.phone]
        return cls(class_of, {utt: of_transition[alignment.transition_ids(utt)] for utt in utt_ids}, serves)

    @property
    def num_shared(self) -> int:
        """Pdfs of more than one phone."""
        return int((self.serves.sum(axis=1) > 1).sum())

    def predicted(self, utt_id: str, frames: Predictions) -> IntArray:
        """Numbers of the predicted phones, shape (num_frames,)."""
        pdfs, aligned = frames["pdf"], self.aligned[utt_id]
        first = self.serves.argmax(axis=1)
        numbers: IntArray = np.where(self.serves[pdfs, aligned], aligned, first[pdfs])
        return numbers

    def members(self, name: str) -> NDArray[np.bool_]:
        """Which phones are of a class, shape (num_phones,)."""
        return np.array([each == name for each in self.classes.values()])

    @property
    def speech(self) -> NDArray[np.bool_]:
        """Which phones are no silence, shape (num_phones,)."""
        return ~self.members(SILENCE_CLASS)

    def confusions(self, by_utterance: Mapping[str, Predictions]) -> IntArray:
        """Frames by aligned and predicted phone, shape (num_phones, num_phones)."""
        size = len(self.classes)
        counts = np.zeros(size * size, np.int64)
        for utt_id, frames in by_utterance.items():
            counts += np.bincount(self.aligned[utt_id] * size + self.predicted(utt_id, frames), minlength=size * size)
        return counts.reshape(size, size)
