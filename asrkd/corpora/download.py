"""Parts of LibriSpeech and its language resources into a folder: downloaded, checked, unpacked, each only once.

Parts come to FOLDER/LibriSpeech/PART, as `asrkd prepare` reads them, other files to FOLDER. An archive that lies in
the folder already, carried there by hand, say, is checked and unpacked like one that was downloaded.
"""

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from asrkd.core.errors import AsrkdError, DataError
from asrkd.core.messages import say
from asrkd.corpora.fetch import check_address, damage_of, fetch
from asrkd.corpora.openslr import Resource
from asrkd.corpora.unpack import unpack

_CORPUS = "LibriSpeech"
_UNPACKED_SHARE = 1.05
"""Size of an unpacked part over its archive's: FLAC files hardly shrink, and a disk's blocks take a little."""


def download(wanted: Sequence[Resource], folder: Path, mirror: str, keep_archives: bool = False) -> list[Path]:
    """Make every one of ``wanted`` stand in ``folder``; returns where each is, in order.

    What stands is skipped. Raises AsrkdError, in one line, where the server can't be reached, a file is not what it
    should be, the disk is too full, or another process is at work in the folder.
    """
    check_address(mirror)
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        missing = [resource for resource in wanted if not _stands(resource, folder)]
        _check_room(missing, folder)
        for resource in wanted:
            if resource not in missing:
                say(f"download: {place(resource, folder)} stands, skipped")
                _clean(resource, folder, keep_archives)
                continue
            try:
                _get(resource, folder, f"{mirror.rstrip('/')}/{resource.path}", keep_archives)
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise AsrkdError(f"{folder}: the disk is full; with more room the same command goes on") from None
                raise
    return [place(resource, folder) for resource in wanted]


def place(resource: Resource, folder: Path) -> Path:
    """Where a resource is once it is whole."""
    return folder / _CORPUS / resource.name if resource.is_part else folder / resource.file_name


def _stands(resource: Resource, folder: Path) -> bool:
    path = place(resource, folder)
    if resource.is_part:
        return path.is_dir()
    if not path.is_file():
        return False
    if resource.is_exact and path.stat().st_size != resource.num_bytes:
        raise DataError(f"{path}: {path.stat().st_size} bytes, {resource.num_bytes} expected: remove it and run again")
    return True


def _get(resource: Resource, folder: Path, address: str, keep_archives: bool) -> None:
    file = folder / resource.file_name
    num_bytes = resource.num_bytes if resource.is_exact else None
    if file.is_file():  # an archive that a killed run had downloaded, or that was carried here
        if damage := damage_of(file, file.name, num_bytes, resource.checksum):
            raise DataError(f"{file}: {damage}: remove it and run again")
    else:
        say(f"download: {address}")
        fetch(address, file, num_bytes, resource.checksum)
    if not resource.checksum:
        tests = (["length"] if resource.is_exact else []) + (["gzip"] if file.suffix == ".gz" else [])
        say(f"download: {file.name}: no checksum is known of it; checked: {', '.join(tests) or 'nothing'}")
    if resource.is_part:
        _unpack_part(resource, folder)
        _clean(resource, folder, keep_archives)
    say(f"download: {place(resource, folder)} done")


def _unpack_part(resource: Resource, folder: Path) -> None:
    """One rename, the last step, makes the part stand; the corpus's own README and lists come before it."""
    partial, archive = _partial(resource, folder), folder / resource.file_name
    unpack(archive, partial)
    part = partial / _CORPUS / resource.name
    if not part.is_dir():
        raise DataError(f"{archive}: holds no {_CORPUS}/{resource.name}: is it another archive under this name?")
    (folder / _CORPUS).mkdir(exist_ok=True)
    for path in sorted((partial / _CORPUS).iterdir()):
        if path.is_file() and not (folder / _CORPUS / path.name).exists():
            os.replace(path, folder / _CORPUS / path.name)
    os.replace(part, place(resource, folder))


def _partial(resource: Resource, folder: Path) -> Path:
    return folder / f"{resource.name}.partial"


def _clean(resource: Resource, folder: Path, keep_archives: bool) -> None:
    if resource.is_part:
        if _partial(resource, folder).exists():
            shutil.rmtree(_partial(resource, folder))
        if not keep_archives:
            (folder / resource.file_name).unlink(missing_ok=True)


def _check_room(missing: Sequence[Resource], folder: Path) -> None:
    """AsrkdError where the disk has too little room: for what is to stand, and one archive beside it."""
    stay, most = 0.0, 0
    for resource in missing:
        file = folder / resource.file_name
        partial = file.with_name(file.name + ".partial")
        come = sum(path.stat().st_size for path in (file, partial) if path.is_file())
        to_come = max(0, resource.num_bytes - come)
        stay += _UNPACKED_SHARE * resource.num_bytes if resource.is_part else to_come
        most = max(most, to_come if resource.is_part else 0)
    free = shutil.disk_usage(folder).free
    if stay + most > free:
        names = ", ".join(resource.name for resource in missing)
        needed = (stay + most) / 1e9
        raise AsrkdError(f"{folder}: {free / 1e9:.1f} GB are free, about {needed:.1f} GB are needed for {names}")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder for this process alone; the kernel lets go when the process ends."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AsrkdError(f"{folder}: another process is downloading into it: wait for it to end") from None
        yield
    finally:
        os.close(descriptor)
