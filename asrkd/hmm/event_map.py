"""Decision trees from phones in context to pdfs, as Kaldi keeps them (``ContextDependency``, ``EventMap``).

A question asks for the phone at a position of the context (key 0 .. context_width - 1) or for the pdf-class (key -1,
the state's number within its phone). Position ``central_position`` is the phone itself; 0 is the phone beyond an
utterance's edge.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from asrkd.core.errors import DataError
from asrkd.hmm.kaldi_io import (
    BINARY_HEADER,
    BinaryReader,
    kaldi_errors,
    write_int,
    write_int_vector,
    write_token,
    write_uint,
)
from asrkd.hmm.kaldi_text import open_kaldi

PDF_CLASS = -1
"""The key that asks for the pdf-class."""


@dataclass(frozen=True)
class Leaf:
    """An answer."""

    pdf: int


@dataclass(frozen=True)
class Split:
    """A question: is the value at ``key`` among ``yes_set`` (sorted)?"""

    key: int
    yes_set: tuple[int, ...]
    yes: "Node"
    no: "Node"

    @cached_property
    def members(self) -> frozenset[int]:
        return frozenset(self.yes_set)


@dataclass(frozen=True)
class Table:
    """One child for each value at ``key``; None where that value can't occur."""

    key: int
    children: tuple["Node | None", ...]


Node: TypeAlias = Leaf | Split | Table


@dataclass(frozen=True)
class ContextTree:
    """A tree over windows of ``context_width`` phones, with the phone itself at ``central_position``."""

    context_width: int
    central_position: int
    root: Node

    @cached_property
    def num_pdfs(self) -> int:
        return 1 + max(leaf.pdf for leaf in _leaves(self.root))

    def pdf(self, context: tuple[int, ...], pdf_class: int) -> int:
        """The pdf of a window of phones and a pdf-class. Raises DataError where the tree has no answer."""
        node: Node | None = self.root
        while not isinstance(node, Leaf):
            if node is None or not -1 <= node.key < len(context):
                raise DataError(f"tree: no pdf for phones {context}, pdf-class {pdf_class}: another phone set?")
            value = pdf_class if node.key == PDF_CLASS else context[node.key]
            if isinstance(node, Split):
                node = node.yes if value in node.members else node.no
            else:
                node = node.children[value] if 0 <= value < len(node.children) else None
        return node.pdf

    def to_bytes(self) -> bytes:
        """What a binary ``tree`` file holds."""
        parts = [BINARY_HEADER, write_token("ContextDependency"), write_int(self.context_width)]
        parts += [write_int(self.central_position), write_token("ToPdf"), *_node_bytes(self.root)]
        return b"".join([*parts, write_token("EndContextDependency")])

    @cached_property
    def kaldi(self) -> Any:
        """The same as an object of kaldi_hmm_gmm."""
        import kaldi_hmm_gmm

        dependency = kaldi_hmm_gmm.ContextDependency.__new__(kaldi_hmm_gmm.ContextDependency)
        body = np.frombuffer(self.to_bytes().removeprefix(BINARY_HEADER), np.int8)
        with kaldi_errors("tree"):
            dependency.__setstate__((body.tolist(),))
        return dependency


def monophone_tree(pdf_classes: Mapping[int, int], groups: Mapping[int, int]) -> ContextTree:
    """One pdf for each pdf-class of each phone, without context.

    ``pdf_classes[phone]`` is the phone's number of pdf-classes; a phone with an entry in ``groups`` takes the pdfs of
    the phone named there.
    """
    children: list[Node | None] = [None] * (max(pdf_classes) + 1)
    num_pdfs = 0
    for phone in sorted(set(pdf_classes) - set(groups)):
        leaves = tuple(Leaf(num_pdfs + number) for number in range(pdf_classes[phone]))
        children[phone] = Table(PDF_CLASS, leaves)
        num_pdfs += len(leaves)
    for phone, representative in groups.items():
        children[phone] = children[representative]
    return ContextTree(1, 0, Table(0, tuple(children)))


def read_tree(path: Path) -> ContextTree:
    """Read a ``tree`` file, binary or text. Raises DataError, naming the byte, for anything else or damage."""
    reader = open_kaldi(path)
    reader.expect("ContextDependency")
    width, centre = reader.integer(), reader.integer()
    if not 0 <= centre < width <= 9:
        raise reader.error(f"a context of {width} phones around position {centre}")
    reader.expect("ToPdf")
    try:
        root = _read_node(reader)
    except RecursionError:
        raise reader.error("questions nested too deeply") from None
    reader.expect("EndContextDependency")
    if root is None or not any(True for _ in _leaves(root)):
        raise reader.error("an empty tree")
    if not reader.at_end:
        raise reader.error("something follows the tree")
    return ContextTree(width, centre, root)


def _leaves(node: "Node | None") -> Iterator[Leaf]:
    stack = [node]
    while stack:
        node = stack.pop()
        if isinstance(node, Leaf):
            yield node
        elif isinstance(node, Split):
            stack += [node.yes, node.no]
        elif isinstance(node, Table):
            stack += node.children


def _node_bytes(node: "Node | None") -> Iterator[bytes]:
    if node is None:
        yield write_token("NULL")
    elif isinstance(node, Leaf):
        yield write_token("CE") + write_int(node.pdf)
    elif isinstance(node, Split):
        yield write_token("SE") + write_int(node.key) + write_int_vector(node.yes_set) + write_token("{")
        yield from _node_bytes(node.yes)
        yield from _node_bytes(node.no)
        yield write_token("}")
    else:
        yield write_token("TE") + write_int(node.key) + write_uint(len(node.children)) + write_token("(")
        for child in node.children:
            yield from _node_bytes(child)
        yield write_token(")")


def _read_node(reader: BinaryReader) -> "Node | None":
    kind = reader.expect("CE", "SE", "TE", "NULL")
    if kind == "NULL":
        return None
    if kind == "CE":
        pdf = reader.integer()
        if pdf < 0:
            raise reader.error(f"pdf {pdf}")
        return Leaf(pdf)
    key = reader.integer()
    if kind == "SE":
        yes_set = tuple(reader.int_vector())
        reader.expect("{")
        yes, no = _read_node(reader), _read_node(reader)
        reader.expect("}")
        if yes is None or no is None:
            raise reader.error("a question without an answer")
        return Split(key, yes_set, yes, no)
    size = reader.unsigned()
    if size > len(reader.data):
        raise reader.error(f"a table of {size}")
    reader.expect("(")
    children = tuple(_read_node(reader) for _ in range(size))
    reader.expect(")")
    return Table(key, children)
