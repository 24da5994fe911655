"""Phones without their marks, and their classes of articulation.

The classes are CMUdict's (cmudict-0.7b.phones), with HH, its only aspirate, among the fricatives and its liquids and
semivowels as one class, and TIMIT's allophones beside them (TIMIT's phoncode.doc). Other sets of phones take a file of
lines ``class phone phone ...``.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from asrkd.core.config import nearest
from asrkd.core.errors import DataError
from asrkd.core.files import read_lines

SILENCE_CLASS = "silence"
OTHER_CLASS = "other"
"""Of phones that no class names."""

_CLASSES = {
    "vowels": "AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW AX AXR IX UX AX-H",
    "stops": "B D G K P T DX Q",
    "affricates": "CH JH",
    "fricatives": "DH F HH S SH TH V Z ZH HV",
    "nasals": "M N NG EM EN ENG NX",
    "liquids, glides": "L R W Y EL",
    SILENCE_CLASS: "SIL SPN NSN LAU PAU EPI H#",
}
CLASSES: Mapping[str, tuple[str, ...]] = {name: tuple(phones.split()) for name, phones in _CLASSES.items()}
"""Class -> phones, in the order of tables and pictures; the last is what is no speech, by Kaldi's usual names."""

_POSITIONS = ("_B", "_E", "_I", "_S")
_STRESSES = "012"


def base_phone(symbol: str) -> str:
    """A phone without Kaldi's mark of its position in the word, and, if it is an ARPAbet vowel, without its stress.

    ``AA1_B`` -> ``AA``; the digits of other sets of phones, such as tones, stay.
    """
    name = symbol[:-2] if symbol.endswith(_POSITIONS) and len(symbol) > 2 else symbol
    return name[:-1] if name[-1:] in tuple(_STRESSES) and name[:-1].upper() in CLASSES["vowels"] else name


def classify(phones: Iterable[str], classes: Mapping[str, Sequence[str]] = CLASSES) -> dict[str, str]:
    """The class of each base phone, in the order of the classes; case does not count."""
    class_of = {phone.upper(): name for name, members in classes.items() for phone in members}
    order = [*classes, OTHER_CLASS]
    found = {phone: class_of.get(phone.upper(), OTHER_CLASS) for phone in phones}
    return dict(sorted(found.items(), key=lambda item: (order.index(item[1]), item[0])))


def read_phone_classes(path: Path, phones: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Classes of a file of lines ``class phone phone ...``; the silences are the usual ones unless it has ``silence``.

    Raises DataError, naming the line, for one without phones, a repeated class or phone, and one not among ``phones``.
    """
    known = {base_phone(phone) for phone in phones}
    classes: dict[str, tuple[str, ...]] = {}
    seen: set[str] = set()
    for number, line in enumerate(read_lines(path), 1):
        name, *members = line.split() or [""]
        if not members:
            raise DataError(f"{path}:{number}: expected `class phone phone ...`, found {line!r}")
        if name in classes:
            raise DataError(f"{path}:{number}: class {name} is there twice")
        bases = tuple(dict.fromkeys(map(base_phone, members)))
        for phone in bases:
            if phone not in known:
                raise DataError(f"{path}:{number}: the model has no phone {phone!r}{nearest(phone, sorted(known))}")
            if phone in seen:
                raise DataError(f"{path}:{number}: phone {phone} is in two classes")
        seen.update(bases)
        classes[name] = bases
    if not classes:
        raise DataError(f"{path} is empty: expected lines `class phone phone ...`")
    silences = classes.pop(SILENCE_CLASS, tuple(phone for phone in CLASSES[SILENCE_CLASS] if phone not in seen))
    return {**classes, SILENCE_CLASS: silences}
