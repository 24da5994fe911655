"""Classes that are named in a configuration or on a command line: pdfs by number, phones by symbol."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from asrkd.core.config import nearest
from asrkd.core.errors import ConfigError, MismatchError
from asrkd.hmm.tied_states import TiedStates
from asrkd.lang.phone_classes import base_phone

ClassName: TypeAlias = int | str
"""A pdf-id, or a phone's symbol, with or without marks of stress and position."""


def pdf_mask(
    classes: Sequence[ClassName], num_pdfs: int, tied_states: str, model: Path | None, where: str
) -> NDArray[np.bool_]:
    """Which pdfs are of any of ``classes``, shape (num_pdfs,). A pdf that several phones share is of each of them.

    ``tied_states`` is the hash of the pdfs' tied states, ``model`` their folder, which phones need. Raises ConfigError
    for an unknown class, MismatchError where the folder is of other tied states; ``where`` names the setting.
    """
    mask = np.zeros(num_pdfs, bool)
    phones = [name for name in classes if isinstance(name, str)]
    for pdf in classes:
        if isinstance(pdf, int):
            if not 0 <= pdf < num_pdfs:
                raise ConfigError(f"{where}: pdf {pdf}: there are {num_pdfs}, from 0 on")
            mask[pdf] = True
    if phones and model is None:
        raise ConfigError(f"{where}: phone {phones[0]}: which pdfs it has the tied-state model says: --tied-states DIR")
    if phones and model is not None:
        states = TiedStates.load(model)
        if states.hash != tied_states:
            raise MismatchError(f"{model} is of other tied states than {where} is about: was the tree built again?")
        for phone in phones:
            mask[_pdfs_of(phone, states, where)] = True
    return mask


def _pdfs_of(phone: str, model: TiedStates, where: str) -> list[int]:
    symbol_of = {number: symbol for symbol, number in model.phones.items()}
    names = {number: {symbol, base_phone(symbol)} for number, symbol in symbol_of.items()}
    found = [int(pdf) for number, _, pdf, *_ in model.transitions.states.tolist() if phone in names.get(number, ())]
    if not found:
        known = sorted({base_phone(symbol) for symbol in model.phones})
        raise ConfigError(f"{where}: the model has no phone {phone!r}{nearest(phone, known)}")
    return found
