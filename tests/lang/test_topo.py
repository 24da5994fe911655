"""The prototype's text against Kaldi's own parser."""

import kaldi_hmm_gmm
import pytest

from asrkd.core.errors import ConfigError
from asrkd.lang.topo import topology_text


@pytest.mark.parametrize(("num_states", "num_silence_states"), [(3, 5), (3, 3), (1, 1), (2, 4)])
def test_kaldi_takes_it_and_probabilities_sum_to_one(num_states: int, num_silence_states: int) -> None:
    topology = kaldi_hmm_gmm.HmmTopology()
    topology.read(topology_text([3, 4], [1, 2], num_states, num_silence_states))
    topology.check()
    assert topology.num_pdf_classes(4) == num_states
    assert topology.num_pdf_classes(1) == num_silence_states
    assert topology.min_length(3) == num_states
    for phone in (1, 3):
        for state in topology.topology_for_phone(phone)[:-1]:
            assert sum(probability for _, probability in state.transitions) == pytest.approx(1.0)


def test_five_state_silence_is_the_one_of_kaldis_gen_topo() -> None:
    text = topology_text([2], [1], 3, 5)
    everywhere = " ".join(f"<Transition> {state} 0.25" for state in (1, 2, 3, 4))
    assert f"<State> 2 <PdfClass> 2 {everywhere} </State>" in text
    assert "<State> 4 <PdfClass> 4 <Transition> 4 0.75 <Transition> 5 0.25 </State>\n<State> 5 </State>" in text


def test_a_phone_needs_a_state() -> None:
    with pytest.raises(ConfigError, match="at least one state"):
        topology_text([2], [1], 0, 3)
