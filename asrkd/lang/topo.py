"""The prototype of the phones' hidden Markov models, as the text of Kaldi's ``topo`` file.

Speech phones go from left to right. Silence of five states may, as in Kaldi's ``utils/gen_topo.pl``, move freely
among its middle states: pauses have no order inside.
"""

from collections.abc import Sequence

from asrkd.core.errors import ConfigError

_MIN_FREE_STATES = 4


def topology_text(speech: Sequence[int], silence: Sequence[int], num_states: int, num_silence_states: int) -> str:
    """Kaldi's ``topo`` for the phone ids ``speech`` and ``silence``.

    Raises ConfigError for a number of states below one.
    """
    if min(num_states, num_silence_states) < 1:
        raise ConfigError("a phone's model needs at least one state")
    entries = [*_entry(speech, _chain(num_states)), *_entry(silence, _silence(num_silence_states))]
    return "\n".join(["<Topology>", *entries, "</Topology>", ""])


def _entry(phones: Sequence[int], states: Sequence[str]) -> list[str]:
    if not phones:
        return []
    return ["<TopologyEntry>", "<ForPhones>", " ".join(map(str, phones)), "</ForPhones>", *states, "</TopologyEntry>"]


def _chain(num_states: int) -> list[str]:
    moves = [_state(state, {state: 0.75, state + 1: 0.25}) for state in range(num_states)]
    return [*moves, _final(num_states)]


def _silence(num_states: int) -> list[str]:
    if num_states < _MIN_FREE_STATES:
        return _chain(num_states)
    last = num_states - 1
    probability = 1.0 / last
    first = _state(0, dict.fromkeys(range(last), probability))
    middle = [_state(state, dict.fromkeys(range(1, num_states), probability)) for state in range(1, last)]
    return [first, *middle, _state(last, {last: 0.75, num_states: 0.25}), _final(num_states)]


def _state(state: int, moves: dict[int, float]) -> str:
    transitions = " ".join(f"<Transition> {to} {probability:.9g}" for to, probability in moves.items())
    return f"<State> {state} <PdfClass> {state} {transitions} </State>"


def _final(state: int) -> str:
    return f"<State> {state} </State>"
