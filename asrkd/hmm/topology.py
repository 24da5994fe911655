"""Phones' hidden Markov models: which states each has, and how it may move between them. Kaldi's ``HmmTopology``."""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from asrkd.core.errors import DataError
from asrkd.hmm.kaldi_io import (
    BinaryReader,
    kaldi_errors,
    write_float,
    write_int,
    write_int_vector,
    write_token,
)
from asrkd.hmm.kaldi_text import TextReader

NO_PDF = -1

_CHAIN = (
    "its topology has self-loop pdf-classes: a chain model, which is not supported, since it is not trained on one "
    "label a frame; give the triphone GMM that its alignments came from"
)


@dataclass(frozen=True)
class HmmState:
    """A state: its pdf-class (what it emits; -1 for the last, which emits nothing) and its moves (state, probability).

    ``pdf_class`` is that of the forward moves; the self-loop's differs in chain models only, which are refused.
    """

    pdf_class: int
    transitions: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Topology:
    """``entries[k]`` are the states of a model; ``phone_to_entry[phone]`` says which one a phone has, -1 for none."""

    phones: tuple[int, ...]
    phone_to_entry: tuple[int, ...]
    entries: tuple[tuple[HmmState, ...], ...]

    def states(self, phone: int) -> tuple[HmmState, ...]:
        """The states of ``phone``, the last of which emits nothing. Raises DataError for an unknown phone."""
        if not 0 <= phone < len(self.phone_to_entry) or self.phone_to_entry[phone] < 0:
            raise DataError(f"topology: phone {phone} has no model")
        return self.entries[self.phone_to_entry[phone]]

    def num_pdf_classes(self, phone: int) -> int:
        return 1 + max(state.pdf_class for state in self.states(phone))

    def min_frames(self, phone: int) -> int:
        """Frames that the shortest way through the phone's model takes."""
        states = self.states(phone)
        steps = {0: 0}
        for number, state in enumerate(states):  # moves back can't shorten the way
            for target, _ in state.transitions:
                if target != number and number in steps:
                    steps[target] = min(steps.get(target, len(states)), steps[number] + 1)
        return steps[len(states) - 1]

    @cached_property
    def kaldi(self) -> Any:
        """The same as an object of kaldi_hmm_gmm."""
        import kaldi_hmm_gmm

        topology = kaldi_hmm_gmm.HmmTopology()
        with kaldi_errors("topology"):
            topology.read(self.to_text())
        return topology

    def to_text(self) -> str:
        """Kaldi's text format, which loses nothing (nine digits hold a float32)."""
        lines = ["<Topology>"]
        for number, states in enumerate(self.entries):
            phones = [phone for phone in self.phones if self.phone_to_entry[phone] == number]
            lines += ["<TopologyEntry>", "<ForPhones>", " ".join(map(str, phones)), "</ForPhones>"]
            for index, state in enumerate(states):
                emits = "" if state.pdf_class == NO_PDF else f"<PdfClass> {state.pdf_class} "
                moves = "".join(f"<Transition> {to} {probability:.9g} " for to, probability in state.transitions)
                lines.append(f"<State> {index} {emits}{moves}</State>")
            lines.append("</TopologyEntry>")
        return "\n".join([*lines, "</Topology>", ""])

    def to_bytes(self) -> bytes:
        """Kaldi's binary format (without the file's header)."""
        parts = [write_token("<Topology>"), write_int_vector(self.phones), write_int_vector(self.phone_to_entry)]
        parts.append(write_int(len(self.entries)))
        for states in self.entries:
            parts.append(write_int(len(states)))
            for state in states:
                parts += [write_int(state.pdf_class), write_int(len(state.transitions))]
                for target, probability in state.transitions:
                    parts += [write_int(target), write_float(probability)]
        return b"".join([*parts, write_token("</Topology>")])


def read_topology(path: Path) -> Topology:
    """Read a ``topo`` file (Kaldi's text format), through Kaldi's own parser."""
    if not path.is_file():
        raise DataError(f"{path} is missing: is {path.parent} a lang dir?")
    return parse_topology(path.read_text(encoding="utf-8", errors="replace"), str(path))


def parse_topology(text: str, where: str) -> Topology:
    """The topology of Kaldi's text format; ``where`` names it in errors. Raises DataError for chain topologies."""
    import kaldi_hmm_gmm

    if not re.match(r"\s*<Topology>.*</Topology>\s*$", text, re.DOTALL):
        raise DataError(f"{where}: no <Topology> ... </Topology>: cut short, or another file?")
    if "PdfClass>" in text.replace("<PdfClass>", ""):
        raise DataError(f"{where}: {_CHAIN}")
    parsed = kaldi_hmm_gmm.HmmTopology()
    with kaldi_errors(where):
        parsed.read(text)
        phones, phone_to_entry, entries = parsed.__getstate__()
    return Topology(
        tuple(phones),
        tuple(phone_to_entry),
        tuple(
            tuple(HmmState(s.forward_pdf_class, tuple((t, float(p)) for t, p in s.transitions)) for s in states)
            for states in entries
        ),
    )


def read_model_topology(reader: BinaryReader) -> Topology:
    """Read the topology inside a model file. Raises DataError for chain models and damaged bytes."""
    if isinstance(reader, TextReader):
        return parse_topology(reader.until("</Topology>"), reader.name)
    reader.expect("<Topology>")
    phones, phone_to_entry = reader.int_vector(), reader.int_vector()
    size = reader.integer()
    if size == -1:
        raise DataError(f"{reader.name}: {_CHAIN}")
    if not 0 < size <= len(reader.data):
        raise reader.error(f"{size} topology entries can't follow")
    entries = tuple(tuple(_read_state(reader) for _ in range(reader.count("states", 10))) for _ in range(size))
    reader.expect("</Topology>")
    known = {phone for phone, entry in enumerate(phone_to_entry) if entry >= 0}
    if set(phones) != known or any(entry >= size for entry in phone_to_entry):
        raise reader.error("phones and models that do not belong together")
    return Topology(tuple(phones), tuple(phone_to_entry), entries)


def _read_state(reader: BinaryReader) -> HmmState:
    pdf_class = reader.integer()
    moves = tuple((reader.integer(), reader.real()) for _ in range(reader.count("transitions", 10)))
    return HmmState(pdf_class, moves)
