"""What `asrkd download` knows of OpenSLR: LibriSpeech, Mini LibriSpeech, and LibriSpeech's language resources.

MD5 sums are those that OpenSLR publishes beside the parts (resources/12/md5sum.txt, resources/31/md5sum.txt).
Resource 11 has none: SHA-256 sums are those that RWTH's i6_experiments fetches by, and lengths those of Kaldi's
egs/librispeech/s5/local/download_and_untar.sh and download_lm.sh. Where neither is known, only length and gzip's own
checksum stand guard, and the output says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from asrkd.core.config import nearest
from asrkd.core.errors import ConfigError

MIRROR = "https://www.openslr.org/resources"
"""Others are listed on each resource's page, such as https://us.openslr.org/resources."""


@dataclass(frozen=True)
class Resource:
    """A file below the mirror's address. A ``.tar.gz`` holds one part, LibriSpeech/NAME."""

    path: str
    num_bytes: int
    """Length of the file; without ``is_exact`` an estimate, for the room that it needs on the disk."""
    checksum: str = ""
    """``md5:HEX`` or ``sha256:HEX``; empty where none is known."""
    is_exact: bool = True

    @property
    def file_name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def name(self) -> str:
        return self.file_name.removesuffix(".tar.gz")

    @property
    def is_part(self) -> bool:
        return self.file_name.endswith(".tar.gz")


_ALL = (
    Resource("12/dev-clean.tar.gz", 337_926_286, "md5:42e2234ba48799c1f50f24a7926300a1"),
    Resource("12/dev-other.tar.gz", 314_305_928, "md5:c8d0bcc9cca99d4f8b62fcc847357931"),
    Resource("12/test-clean.tar.gz", 346_663_984, "md5:32fa31d27d2e1cad72775fee3f4849a9"),
    Resource("12/test-other.tar.gz", 328_757_843, "md5:fb5a50374b501bb3bac4815ee91d3135"),
    Resource("12/train-clean-100.tar.gz", 6_387_309_499, "md5:2a93770f6d5c6c964bc36631d331a522"),
    Resource("12/train-clean-360.tar.gz", 23_049_477_885, "md5:c0e676e450a7ff2f54aeade5171606fa"),
    Resource("12/train-other-500.tar.gz", 30_593_501_606, "md5:d1a0fd59409feb2c614ce4d30c387708"),
    Resource("31/dev-clean-2.tar.gz", 126_046_265, "md5:6d7ab67ac6a1d2c993d050e16d61080d"),
    Resource("31/train-clean-5.tar.gz", 332_954_390, "md5:5df7d4e78065366204ca6845bb08f490"),
    Resource(
        "11/librispeech-lexicon.txt",
        5_627_653,  # in one version of Kaldi's list, and 7 fewer in another
        "sha256:d722bc29908cd338ae738edd70f61826a6fca29aaa704a9493f0006773f79d71",
        is_exact=False,
    ),
    Resource(
        "11/3-gram.pruned.1e-7.arpa.gz",
        34_094_057,
        "sha256:71dd880667cb6ea3942bb1982988c91fb1208839a21911eeec7e31c857c4bdfb",
    ),
    Resource("11/3-gram.pruned.3e-7.arpa.gz", 13_654_242),
    Resource(
        "11/3-gram.arpa.gz", 759_636_181, "sha256:263649573475c2991d3e755eb4e690c9d2656f2b3283a1eb589e1e4e174bf874"
    ),
    Resource(
        "11/4-gram.arpa.gz", 1_355_172_078, "sha256:f2b2d1507637ddf459d3579159f7e8099ed7d77452ff1059aeeeaea33d274613"
    ),
    Resource("11/librispeech-lm-norm.txt.gz", 1_510_000_000, is_exact=False),  # OpenSLR's page: 1.4G
)

RESOURCES = {resource.name: resource for resource in _ALL}


def resources(names: Sequence[str]) -> list[Resource]:
    """The resources of those names, each once; ConfigError names the nearest for an unknown one."""
    for name in names:
        if name not in RESOURCES:
            raise ConfigError(f"nothing to download is called {name!r}{nearest(name, list(RESOURCES))}")
    return [RESOURCES[name] for name in dict.fromkeys(names)]
