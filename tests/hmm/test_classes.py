"""Classes by name: pdfs by number, phones with and without their marks."""

from pathlib import Path

import pytest

from asrkd.core.errors import ConfigError, MismatchError
from asrkd.hmm.classes import pdf_mask
from asrkd.hmm.tied_states import TiedStates


def test_phones_and_pdfs(mono: TiedStates, mono_dir: Path) -> None:
    states, number = mono.transitions.states, mono.phones["AA"]
    wanted = set(states[states[:, 0] == number][:, 2].tolist())
    mask = pdf_mask(["AA"], mono.num_pdfs, mono.hash, mono_dir, "omit")
    assert set(mask.nonzero()[0].tolist()) == wanted
    other = next(pdf for pdf in range(mono.num_pdfs) if pdf not in wanted)
    mask = pdf_mask(["AA", other], mono.num_pdfs, mono.hash, mono_dir, "omit")
    assert set(mask.nonzero()[0].tolist()) == {*wanted, other}


def test_mistakes(mono: TiedStates, mono_dir: Path) -> None:
    with pytest.raises(ConfigError, match=r"omit: the model has no phone 'AX'; did you mean 'AA'\?"):
        pdf_mask(["AX"], mono.num_pdfs, mono.hash, mono_dir, "omit")
    with pytest.raises(MismatchError, match="is of other tied states"):
        pdf_mask(["AA"], mono.num_pdfs, "0" * 64, mono_dir, "omit")
    with pytest.raises(ConfigError, match="omit: pdf -1"):
        pdf_mask([-1], mono.num_pdfs, mono.hash, None, "omit")
