"""Audio that is not what it should be is refused with the file's name and the likely cause."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asrkd.core.audio import announced_seconds, audio_seconds, read_audio
from asrkd.core.errors import DataError


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_samples_are_read_to_16_bits(make_wav: Callable[..., Path], suffix: str) -> None:
    path = make_wav(f"a.{suffix}", seconds=0.25, hertz=500.0, noise=0.0)
    samples = read_audio(path)
    assert samples.dtype == np.float32
    assert samples.shape == (4000,)
    expected = 0.3 * np.sin(2 * np.pi * 500 * np.arange(4000) / 16000)
    np.testing.assert_allclose(samples, expected, atol=1 / 32768)
    assert audio_seconds(path) == 0.25


@pytest.mark.parametrize("read", [read_audio, audio_seconds])
@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.wav", None, "audio file is missing"),
        ("empty.wav", b"", r"audio file is empty \(0 bytes\)"),
        ("text.wav", b"UTT-1 HELLO WORLD\n" * 20, "not readable as audio"),
        ("text.flac", b"fLaC" + b"x" * 200, "not readable as audio"),
        ("headerless.raw", b"\0" * 100, "not readable as audio"),
        ("folder", "folder", "not readable as audio"),
    ],
)
def test_no_audio(
    tmp_path: Path, read: Callable[[Path], object], name: str, content: bytes | str | None, message: str
) -> None:
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content:
        path.mkdir()
    with pytest.raises(DataError, match=message) as error:
        read(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("suffix", ["wav", "flac"])
@pytest.mark.parametrize("kept", [0.001, 0.01, 0.1, 0.3, 0.5, 0.75, 0.9, 0.99, 0.999])
def test_cut_short(make_wav: Callable[..., Path], suffix: str, kept: float) -> None:
    path = make_wav(f"a.{suffix}", seconds=2.0)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(DataError, match=f"a.{suffix}: .*cut short"):
        read_audio(path)


def test_a_wav_file_of_unknown_length_is_read(make_wav: Callable[..., Path]) -> None:
    path = make_wav("a.wav", seconds=0.25)
    content = bytearray(path.read_bytes())
    place = content.index(b"data") + 4
    for unknown in (b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f"):
        content[place : place + 4] = unknown
        path.write_bytes(content)
        assert len(read_audio(path)) == 4000


def test_every_cut_of_a_short_flac_is_noticed(make_wav: Callable[..., Path]) -> None:
    path = make_wav("a.flac", seconds=0.03)
    content = path.read_bytes()
    for size in range(1, len(content)):
        path.write_bytes(content[:size])
        with pytest.raises(DataError, match=r"a\.flac"):
            read_audio(path)


@pytest.mark.parametrize("read", [read_audio, audio_seconds])
def test_wrong_rate_channels_or_length(make_wav: Callable[..., Path], read: Callable[[Path], object]) -> None:
    with pytest.raises(DataError, match="sampled at 8000 Hz, 16000 Hz expected: resample it first"):
        read(make_wav("a.wav", rate=8000))
    with pytest.raises(DataError, match="has 2 channels, one expected"):
        read(make_wav("b.flac", channels=2))
    with pytest.raises(DataError, match="holds no samples"):
        read(make_wav("c.wav", seconds=0.0))


def test_samples_that_are_not_finite(tmp_path: Path) -> None:
    samples = np.zeros(1000, np.float32)
    samples[5] = np.nan
    soundfile.write(tmp_path / "a.wav", samples, 16000, subtype="FLOAT")
    with pytest.raises(DataError, match="not finite"):
        read_audio(tmp_path / "a.wav")


def test_a_dash_is_a_file_not_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="missing"):
        read_audio(Path("-"))


def announce(path: Path, num_samples: int) -> None:
    """Change the number of samples in the header of a FLAC file: its last 36 bits before the checksum."""
    content = bytearray(path.read_bytes())
    field = int.from_bytes(content[18:26], "big")
    content[18:26] = (field >> 36 << 36 | num_samples).to_bytes(8, "big")
    path.write_bytes(content)


@pytest.mark.parametrize("read", [read_audio, audio_seconds])
def test_a_flac_file_written_to_a_pipe(make_wav: Callable[..., Path], read: Callable[[Path], object]) -> None:
    path = make_wav("a.flac")
    announce(path, 0)  # unknown
    with pytest.raises(DataError, match=r"a\.flac: does not say how long it is: was it written to a pipe\?"):
        read(path)
    assert announced_seconds(path) is None


def test_a_header_that_promises_more_than_memory_holds(
    make_wav: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_wav("a.flac")
    announce(path, 2**36 - 2)

    def full(*arguments: object, **options: object) -> None:
        raise MemoryError

    monkeypatch.setattr(np, "empty", full)
    with pytest.raises(DataError, match=r"a\.flac: does not fit into memory, 4294967 s by its header"):
        read_audio(path)


def test_announced_length_of_any_audio(make_wav: Callable[..., Path], tmp_path: Path) -> None:
    assert announced_seconds(make_wav("a.wav", rate=8000, channels=2, seconds=0.25)) == 0.25
    for name in ("a.raw", "a.flac"):
        (tmp_path / name).write_bytes(bytes(100))
        assert announced_seconds(tmp_path / name) is None
    assert announced_seconds(tmp_path / "nowhere") is None
