"""Extraction: bad audio is named by its utterance; the same data dir gives the same bytes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asrkd.core.archive import Archive
from asrkd.core.datadir import read_data_dir, write_data_dir
from asrkd.core.errors import ConfigError, DataError
from asrkd.features.extract import extract, front_end_identity
from asrkd.features.frontend import FeatureConfig, compute_torchaudio
from asrkd.features.store import FeatureDir

NATIVE = FeatureConfig(backend="native")


def test_folder(tiny_data: Path, tmp_path: Path) -> None:
    (tmp_path / "feats").mkdir()
    summary = extract(NATIVE, tiny_data, tmp_path / "feats")
    features = FeatureDir.open(tmp_path / "feats")
    expected = {f"spk{n // 2}-{n}": NATIVE.num_frames(round(16000 * (0.3 + 0.05 * n))) for n in range(4)}
    assert features.num_frames == expected
    assert summary == {"utterances": 4, "frames": sum(expected.values()), "dim": 40, "backend": "native"}
    assert features.load("spk1-2").shape == (expected["spk1-2"], 40)
    assert features.identity == front_end_identity(NATIVE)


def test_bytes_do_not_depend_on_jobs(tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asrkd.core.archive.SHARD_SIZE", 1)
    for jobs in (1, 2):
        (tmp_path / str(jobs)).mkdir()
        extract(NATIVE, tiny_data, tmp_path / str(jobs), jobs)
    names = {path.name for path in (tmp_path / "1").iterdir()}
    assert {"feats.4.ark", "feats.scp", "cmvn.ark", "features.json"} <= names
    for name in names:
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def test_implementations_may_stand_for_each_other(tiny_data: Path, tmp_path: Path) -> None:
    folders = []
    for backend in ("native", "torchaudio"):
        (tmp_path / backend).mkdir()
        extract(FeatureConfig(backend=backend, device="cpu"), tiny_data, tmp_path / backend)
        folders.append(FeatureDir.open(tmp_path / backend))
    folders[0].check_same_front_end(folders[1])
    np.testing.assert_allclose(folders[0].load("spk0-1"), folders[1].load("spk0-1"), atol=1e-3)


def test_identity_changes_with_what_changes_the_features() -> None:
    identities = {
        front_end_identity(config)
        for config in [
            *(FeatureConfig(), FeatureConfig(snip_edges=False), FeatureConfig(num_mel_bins=23)),
            *(FeatureConfig(kind="mfcc"), FeatureConfig(norm_vars=False), FeatureConfig(low_freq=0.0)),
        ]
    }
    assert len(identities) == 6
    assert front_end_identity(FeatureConfig(backend="native", device="cpu")) == front_end_identity(FeatureConfig())


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("missing", "audio file is missing"),
        ("empty", "empty"),
        ("cut", "cut short"),
        ("rate", "sampled at 8000 Hz"),
        ("short", "19 ms of audio are less than one frame of 25 ms"),
    ],
)
def test_bad_audio_names_the_utterance(tiny_data: Path, tmp_path: Path, damage: str, message: str) -> None:
    audio = tmp_path / "spk1-2.flac"
    content = audio.read_bytes()
    if damage == "missing":
        audio.unlink()
    elif damage in ("rate", "short"):
        soundfile.write(audio, np.full(300, 0.1), 8000 if damage == "rate" else 16000)
    else:
        audio.write_bytes(content[: 0 if damage == "empty" else len(content) // 2])
    (tmp_path / "feats").mkdir()
    with pytest.raises(DataError, match=f"data: spk1-2: .*{message}") as error:
        extract(NATIVE, tiny_data, tmp_path / "feats")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "feats" / "feats.scp").exists()


def test_silence_has_features(tiny_data: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "spk1-2.flac", np.zeros(4000), 16000)
    (tmp_path / "feats").mkdir()
    extract(NATIVE, tiny_data, tmp_path / "feats")
    assert np.isfinite(FeatureDir.open(tmp_path / "feats").load("spk1-2")).all()


def test_features_are_warped_as_utt2warp_says(tiny_data: Path, tmp_path: Path) -> None:
    data = read_data_dir(tiny_data)
    warps = dict.fromkeys(data.wav, 1.0) | {"spk1-2": 1.1}
    write_data_dir(tmp_path / "warped", replace(data, warps=warps))
    config = FeatureConfig(device="cpu")
    archives = []
    for source in (tiny_data, tmp_path / "warped"):
        (tmp_path / f"feats_{source.name}").mkdir()
        extract(config, source, tmp_path / f"feats_{source.name}")
        archives.append(Archive.open(tmp_path / f"feats_{source.name}" / "feats.scp"))
    for utt in data.utt_ids:
        assert np.array_equal(archives[0][utt], archives[1][utt]) == (utt != "spk1-2")
    expected = compute_torchaudio(data.audio("spk1-2"), config, warp=1.1)
    np.testing.assert_array_equal(archives[1]["spk1-2"], expected)
    with pytest.raises(ConfigError, match="utt2warp: backend native can't warp"):
        extract(NATIVE, tmp_path / "warped", tmp_path)
