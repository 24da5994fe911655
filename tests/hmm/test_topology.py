"""Topologies: text and binary forms, and Kaldi's view of them."""

from pathlib import Path

import pytest

from asrkd.core.errors import DataError
from asrkd.hmm.kaldi_io import BINARY_HEADER, BinaryReader, write_int, write_int_vector, write_token
from asrkd.hmm.topology import Topology, read_model_topology, read_topology
from asrkd.lang.topo import topology_text


@pytest.fixture
def topology(tmp_path: Path) -> Topology:
    (tmp_path / "topo").write_text(topology_text([3, 5], [1, 2], 3, 5))
    return read_topology(tmp_path / "topo")


def test_states_and_shortest_ways(topology: Topology) -> None:
    assert topology.phones == (1, 2, 3, 5)
    assert [topology.num_pdf_classes(phone) for phone in (1, 3)] == [5, 3]
    assert [topology.min_frames(phone) for phone in (1, 3)] == [3, 3]  # silence may skip
    assert topology.states(3)[0].transitions == ((0, 0.75), (1, 0.25))
    with pytest.raises(DataError, match="phone 4 has no model"):
        topology.states(4)


def test_both_forms_lose_nothing(topology: Topology, tmp_path: Path) -> None:
    (tmp_path / "again").write_text(topology.to_text())
    assert read_topology(tmp_path / "again") == topology
    assert read_model_topology(BinaryReader(BINARY_HEADER + topology.to_bytes(), "m")) == topology


def test_kaldi_sees_the_same(topology: Topology) -> None:
    assert list(topology.kaldi.phones) == [1, 2, 3, 5]
    assert [topology.kaldi.min_length(phone) for phone in (1, 3)] == [3, 3]


def test_kaldis_own_model_holds_the_topology_of_its_lang_dir(kaldi_dir: Path) -> None:
    reader = BinaryReader.open(kaldi_dir / "final.mdl")
    reader.expect("<TransitionModel>")
    begin = reader.offset
    topology = read_model_topology(reader)
    assert topology == read_topology(kaldi_dir.parent / "lang" / "topo")
    assert topology.to_bytes() == reader.data[begin : reader.offset]


@pytest.mark.parametrize(
    "text", ["", "<Topology>\n<TopologyEntry>", "<Topology> </Topology> more", "<Topology> X </Topology>"]
)
def test_malformed_text_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "topo").write_text(text)
    with pytest.raises(DataError, match="topo"):
        read_topology(tmp_path / "topo")


def test_chain_models_are_refused(tmp_path: Path) -> None:
    chain = write_token("<Topology>") + write_int_vector([1]) + write_int_vector([-1, 0]) + write_int(-1) + write_int(1)
    with pytest.raises(DataError, match="chain model, which is not supported"):
        read_model_topology(BinaryReader(BINARY_HEADER + chain, "final.mdl"))
    (tmp_path / "topo").write_text(
        topology_text([1], [], 1, 1).replace("<PdfClass> 0", "<ForwardPdfClass> 0 <SelfLoopPdfClass> 1")
    )
    with pytest.raises(DataError, match="chain"):
        read_topology(tmp_path / "topo")
