"""Archives of one part, unpacked so that nothing outside the folder can be written, whatever the archive holds."""

import shutil
import tarfile
import zlib
from pathlib import Path, PurePosixPath

from asrkd.core.errors import DataError
from asrkd.corpora.fetch import progress

_MOST_GROWTH = 4
"""FLAC files do not shrink in a gzip; an archive that holds far more than its own size is none of ours."""
_ROOM = 1 << 24
"""Bytes that any archive may hold, however small it is itself."""
_MOST_FILES = 1_000_000


def unpack(archive: Path, target: Path) -> None:
    """Unpack a ``.tar.gz`` of plain files and folders into ``target``, which is emptied first.

    Raises DataError for links and devices, names that lead out of the folder or come twice, far more content than
    the archive's size admits, and an archive that is broken or cut short.
    """
    if target.exists():
        shutil.rmtree(target)
    target.mkdir(parents=True)
    size = archive.stat().st_size
    left = _MOST_GROWTH * size + _ROOM
    try:
        with tarfile.open(archive, "r|gz") as tar, progress(f"{archive.name}: unpacking", None) as bar:
            # Since Python 3.10.12; before that the checks below stand alone.
            tar.extraction_filter = getattr(tarfile, "data_filter", lambda member, path: member)
            for number, member in enumerate(tar, 1):
                _check(archive, member, target)
                left -= member.size
                if left < 0 or number > _MOST_FILES:
                    raise DataError(f"{archive}: holds far more than an archive of {size} bytes should: not unpacked")
                tar.extract(member, target, set_attrs=False)
                bar.update(member.size)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise DataError(f"{archive}: not readable as a tar.gz archive ({error}): cut short?") from None


def _check(archive: Path, member: tarfile.TarInfo, target: Path) -> None:
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or "\\" in member.name or not member.name.isprintable():
        raise DataError(f"{archive}: {member.name!r} leads out of the folder: not unpacked")
    if not (member.isreg() or member.isdir()):
        raise DataError(f"{archive}: {member.name!r} is a link or a device, no plain file: not unpacked")
    if member.isreg() and (target / path).exists():
        raise DataError(f"{archive}: {member.name!r} is there twice: not unpacked")
