"""Symbol tables of phones and words, as OpenFst and Kaldi write them: ``symbol id`` a line, ``<eps>`` is 0."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from asrkd.core.errors import DataError
from asrkd.core.files import atomic_write, read_lines

EPSILON = "<eps>"
SILENCE = "SIL"
"""Optional silence between words."""
SPOKEN_NOISE = "SPN"
"""What words outside the vocabulary are made of."""
BACKOFF = "#0"
"""Stands on the grammar's back-off arcs and passes through the lexicon."""

_MAX_DIGITS = 10

SymbolTable = Mapping[str, int]


def number_symbols(symbols: Iterable[str]) -> dict[str, int]:
    """A table of ``symbols`` in their order, after <eps>."""
    return {symbol: number for number, symbol in enumerate([EPSILON, *symbols])}


def phone_table(speech: Iterable[str], num_disambiguation: int) -> dict[str, int]:
    """SIL, SPN, the speech phones in sorted order, and the symbols #0 .. #(``num_disambiguation`` - 1)."""
    marks = [f"#{number}" for number in range(num_disambiguation)]
    return number_symbols([SILENCE, SPOKEN_NOISE, *sorted(set(speech)), *marks])


def word_table(words: Iterable[str]) -> dict[str, int]:
    """Words in sorted order, then #0, <s> and </s>."""
    return number_symbols([*sorted(set(words)), BACKOFF, "<s>", "</s>"])


def real_phones(table: SymbolTable) -> list[int]:
    """Ids of the phones that have models: neither <eps> nor disambiguation symbols."""
    return [number for symbol, number in table.items() if symbol != EPSILON and not symbol.startswith("#")]


def disambiguation_ids(table: SymbolTable) -> list[int]:
    """Ids of #0, #1, .."""
    return [number for symbol, number in table.items() if symbol.startswith("#")]


def write_symbols(path: Path, table: SymbolTable) -> None:
    """Write a symbol table, in the order of the ids."""
    with atomic_write(path) as file:
        file.writelines(f"{symbol} {number}\n" for symbol, number in sorted(table.items(), key=lambda item: item[1]))


def read_symbols(path: Path) -> dict[str, int]:
    """Read a symbol table. DataError for malformed lines, repeated symbols or ids, and a table without <eps>."""
    table: dict[str, int] = {}
    for number, line in enumerate(read_lines(path), 1):
        fields = line.split()
        if len(fields) != 2 or not fields[1].isdecimal() or len(fields[1]) > _MAX_DIGITS:
            raise DataError(f"{path}:{number}: expected `symbol id`, found {line!r}")
        if fields[0] in table:
            raise DataError(f"{path}:{number}: symbol {fields[0]} is there twice")
        table[fields[0]] = int(fields[1])
    if len(set(table.values())) != len(table):
        raise DataError(f"{path}: two symbols have the same id")
    if table.get(EPSILON) != 0:
        raise DataError(f"{path}: {EPSILON} must have id 0: is it a symbol table?")
    return table
