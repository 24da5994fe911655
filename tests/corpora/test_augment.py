"""Augmented copies: noise at the ratio asked for, timing kept, the same bytes from any number of jobs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asrkd.core.config import parse
from asrkd.core.datadir import DataDir, read_data_dir, write_data_dir
from asrkd.core.errors import ConfigError, DataError
from asrkd.corpora.acoustics import rms, trim
from asrkd.corpora.augment import AugmentConfig, augment
from asrkd.corpora.copies import named_copies, union
from asrkd.corpora.perturb import SpeedConfig, perturb_speed
from tests.conftest import RATE, Samples, WavMaker, tone


def made(config: AugmentConfig, data: Path, output: Path, noise: Path | None = None, jobs: int = 1) -> DataDir:
    output.mkdir()
    augment(config, data, output, output, noise, jobs)
    return read_data_dir(output)


def spectrum_share(samples: Samples, low: float, high: float) -> float:
    """Share of the power that lies from ``low`` to ``high`` Hz."""
    power = np.abs(np.fft.rfft(samples)) ** 2
    hertz = np.arange(len(power)) * RATE / len(samples)
    return float(power[(hertz >= low) & (hertz < high)].sum() / power.sum())


@pytest.mark.parametrize("kind", ["white", "pink", "babble"])
@pytest.mark.parametrize("snr", [6.0, 10.0, 25.0])
def test_the_mixture_has_the_ratio_asked_for(tiny_data: Path, tmp_path: Path, kind: str, snr: float) -> None:
    config = parse(AugmentConfig, {"kinds": ["noise"], "noises": [kind], "snr_db": [snr, snr]}, "augment")
    data = made(config, tiny_data, tmp_path / "out")
    for utt in read_data_dir(tiny_data).utt_ids:
        clean = data.audio(utt)
        added = data.audio(f"noise1-{utt}") - clean
        assert 20 * np.log10(rms(trim(clean)) / rms(added)) == pytest.approx(snr, abs=0.05)


def test_ratios_are_drawn_from_the_whole_range(make_wav: WavMaker, tmp_path: Path) -> None:
    wav = {f"s-{number:03d}": str(make_wav("a.flac", seconds=0.2, noise=0.0)) for number in range(60)}
    write_data_dir(tmp_path / "data", DataDir(wav, dict.fromkeys(wav, "s"), {}))
    data = made(AugmentConfig(kinds=("noise",), snr_db=(10.0, 20.0)), tmp_path / "data", tmp_path / "out")
    ratios = [20 * np.log10(rms(data.audio(utt)) / rms(data.audio(f"noise1-{utt}") - data.audio(utt))) for utt in wav]
    assert 9.9 < min(ratios) < 11
    assert 19 < max(ratios) < 20.1
    assert np.mean(ratios) == pytest.approx(15, abs=1.5)  # a mean of 60 even draws: four standard deviations


def test_copies_keep_length_words_and_timing(tiny_data: Path, tmp_path: Path) -> None:
    before = read_data_dir(tiny_data)
    after = made(AugmentConfig(copies=2), tiny_data, tmp_path / "out")
    assert len(after.wav) == (1 + 3 * 2) * len(before.wav)
    for utt in before.utt_ids:
        assert after.wav[utt] == before.wav[utt]
        assert (after.warps[utt], after.aligned_as[utt]) == (1, utt)
        for name in ("noise1", "noise2", "room1", "room2", "vtlp1", "vtlp2"):
            copy = f"{name}-{utt}"
            assert after.utt2spk[copy] == f"{name}-{before.utt2spk[utt]}"
            assert after.text is not None
            assert after.text[copy] == "A TONE"
            assert after.aligned_as[copy] == utt
            assert after.durations[copy] == before.durations[utt]
            assert len(after.audio(copy)) == len(before.audio(utt))
        assert not np.array_equal(after.audio(f"noise1-{utt}"), after.audio(f"noise2-{utt}"))


def test_warps_need_no_audio(tiny_data: Path, tmp_path: Path) -> None:
    before = read_data_dir(tiny_data)
    config = AugmentConfig(kinds=("vtlp",), warp=(0.8, 1.25), keep_originals=False)
    after = made(config, tiny_data, tmp_path / "out")
    assert not (tmp_path / "out/audio").exists()
    assert {copy: after.wav[copy] for copy in after.utt_ids} == {f"vtlp1-{u}": before.wav[u] for u in before.utt_ids}
    assert all(0.8 <= warp <= 1.25 for warp in after.warps.values())
    assert len(set(after.warps.values())) == len(before.wav)


@pytest.mark.parametrize("with_folder", [False, True])
def test_bytes_depend_on_seed_and_utterance_alone(
    tiny_data: Path, tmp_path: Path, make_wav: WavMaker, with_folder: bool
) -> None:
    noise = None
    if with_folder:
        (tmp_path / "noise").mkdir()
        noise = make_wav("noise/hiss.wav", seconds=0.2, hertz=3000.0).parent
    config = AugmentConfig(noises=("white", "pink"))
    whole = made(config, tiny_data, tmp_path / "one", noise, jobs=1)
    two = made(config, tiny_data, tmp_path / "two", noise, jobs=3)
    other = made(replace(config, seed=2), tiny_data, tmp_path / "other", noise)
    write_data_dir(tmp_path / "part", read_data_dir(tiny_data).subset(["spk1-2"]))
    part = made(config, tmp_path / "part", tmp_path / "alone", noise)
    written = sorted(path.name for path in (tmp_path / "one/audio").iterdir())
    assert len(written) == 2 * 4
    for name in written:
        content = (tmp_path / "one/audio" / name).read_bytes()
        assert (tmp_path / "two/audio" / name).read_bytes() == content
        assert (tmp_path / "other/audio" / name).read_bytes() != content
    for name in ("noise1-spk1-2.flac", "room1-spk1-2.flac"):
        assert (tmp_path / "alone/audio" / name).read_bytes() == (tmp_path / "one/audio" / name).read_bytes()
    assert whole.warps == two.warps
    assert part.warps["vtlp1-spk1-2"] == whole.warps["vtlp1-spk1-2"] != other.warps["vtlp1-spk1-2"]


def test_goes_on_where_it_was_cut_off(tiny_data: Path, tmp_path: Path) -> None:
    config = AugmentConfig(kinds=("noise",))
    made(config, tiny_data, tmp_path / "out")
    kept, lost = (tmp_path / "out/audio" / f"noise1-{utt}.flac" for utt in ("spk0-0", "spk0-1"))
    content, time = lost.read_bytes(), kept.stat().st_mtime_ns
    lost.unlink()
    lost.with_name(lost.name + ".tmp").write_bytes(content[:50])
    augment(config, tiny_data, tmp_path / "out", tmp_path / "out")
    assert lost.read_bytes() == content
    assert kept.stat().st_mtime_ns == time
    assert not list((tmp_path / "out/audio").glob("*.tmp"))


def test_recorded_noise_takes_the_place_of_synthetic(tiny_data: Path, tmp_path: Path) -> None:
    (tmp_path / "noise/more").mkdir(parents=True)
    soundfile.write(tmp_path / "noise/more/hum.WAV", tone(0.1, 6000.0, noise=0.0), RATE)
    (tmp_path / "noise/LICENCE").write_text("none")
    config = AugmentConfig(kinds=("noise",), snr_db=(0.0, 0.0))
    data = made(config, tiny_data, tmp_path / "out", tmp_path / "noise")
    for utt in read_data_dir(tiny_data).utt_ids:
        added = data.audio(f"noise1-{utt}") - data.audio(utt)
        assert spectrum_share(added, 5900, 6100) > 0.99  # shorter than the speech: it is repeated
        assert rms(added) == pytest.approx(rms(trim(data.audio(utt))), rel=0.01)


def test_loud_speech_is_turned_down_not_clipped(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "loud.flac", tone(1.0, 400.0, noise=0.0) / 0.3 * 0.99, RATE)
    write_data_dir(tmp_path / "data", DataDir({"u": str(tmp_path / "loud.flac")}, {"u": "s"}, {}))
    data = made(
        AugmentConfig(kinds=("noise",), noises=("white",), snr_db=(0.0, 0.0)), tmp_path / "data", tmp_path / "o"
    )
    samples = data.audio("noise1-u")
    assert np.sum(np.abs(samples) > 0.999) <= 2
    # Half of the power is the tone, as asked for: clipping would have taken some of it and spread it out.
    assert spectrum_share(samples, 395, 405) == pytest.approx(0.5, abs=0.02)


def test_silence_stays_silence(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", np.zeros(4000), RATE)
    write_data_dir(tmp_path / "data", DataDir({"u": str(tmp_path / "a.flac")}, {"u": "s"}, {}))
    data = made(AugmentConfig(), tmp_path / "data", tmp_path / "out")
    assert not data.audio("noise1-u").any()
    assert not data.audio("room1-u").any()


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"warp": [0.9, 2.5]}, "warp"),
        ({"warp": [1.1, 0.9]}, "from the lower to the higher"),
        ({"snr_db": [20, 5]}, "from the lower to the higher"),
        ({"kinds": ["speed"]}, "kinds"),
        ({"kinds": []}, "kinds"),
        ({"copies": 0}, "copies"),
        ({"snr": [5, 20]}, r"unknown key 'snr'; did you mean 'snr_db'\?"),
    ],
)
def test_impossible_settings(section: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(AugmentConfig, section, "augment")


def test_bad_folders_of_noise(tiny_data: Path, tmp_path: Path, make_wav: WavMaker) -> None:
    noise, config = tmp_path / "noise", AugmentConfig(kinds=("noise",))
    noise.mkdir()
    (noise / "readme.txt").write_text("no audio")
    with pytest.raises(DataError, match=r"noise: holds no recordings of noise \(\.flac, \.wav\)"):
        made(config, tiny_data, tmp_path / "1", noise)
    make_wav("noise/a.wav", rate=8000)
    with pytest.raises(DataError, match=r"a\.wav: sampled at 8000 Hz, 16000 Hz expected"):
        made(config, tiny_data, tmp_path / "2", noise)
    soundfile.write(noise / "a.wav", np.zeros(4000), RATE)
    with pytest.raises(DataError, match=r"a\.wav: holds nothing but silence"):
        made(config, tiny_data, tmp_path / "3", noise)
    with pytest.raises(ConfigError, match="no noisy copies are asked for"):
        made(AugmentConfig(kinds=("room",)), tiny_data, tmp_path / "4", noise)


def test_bad_data_dirs(tiny_data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="noise, noise: one is given twice"):
        made(AugmentConfig(kinds=("noise", "noise")), tiny_data, tmp_path / "1")
    with pytest.raises(DataError, match=r"sampled at 16000 Hz, 8000 Hz expected"):
        made(AugmentConfig(kinds=("room",), sample_rate=8000), tiny_data, tmp_path / "2")
    made(AugmentConfig(kinds=("vtlp",)), tiny_data, tmp_path / "3")
    with pytest.raises(DataError, match="vtlp1-spk0-0 is there already"):
        made(AugmentConfig(kinds=("vtlp",)), tmp_path / "3", tmp_path / "4")


def test_copies_of_copies(tiny_data: Path, tmp_path: Path) -> None:
    """Speed before or after: a copy has the alignment of what has its timing, and its warps multiply."""
    (tmp_path / "sp").mkdir()
    perturb_speed(SpeedConfig((1.0, 0.9)), tiny_data, tmp_path / "sp", tmp_path / "sp")
    assert read_data_dir(tmp_path / "sp").aligned_as == {}
    after = made(AugmentConfig(kinds=("vtlp",)), tmp_path / "sp", tmp_path / "after")
    assert after.aligned_as["vtlp1-sp0.9-spk0-0"] == "sp0.9-spk0-0"
    assert after.aligned_as["vtlp1-spk0-0"] == "spk0-0"
    made(AugmentConfig(kinds=("vtlp",)), tiny_data, tmp_path / "vtlp")
    (tmp_path / "before").mkdir()
    perturb_speed(SpeedConfig((1.0, 0.9)), tmp_path / "vtlp", tmp_path / "before", tmp_path / "before")
    before = read_data_dir(tmp_path / "before")
    assert before.aligned_as["sp0.9-vtlp1-spk0-0"] == "sp0.9-spk0-0"
    assert before.aligned_as["sp0.9-spk0-0"] == "sp0.9-spk0-0"
    assert before.warps["sp0.9-vtlp1-spk0-0"] == after.warps["vtlp1-spk0-0"]
    twice = made(AugmentConfig(kinds=("room",)), tmp_path / "after", tmp_path / "twice")
    assert twice.aligned_as["room1-vtlp1-spk0-0"] == "spk0-0"
    assert twice.warps["room1-vtlp1-spk0-0"] == after.warps["vtlp1-spk0-0"]


def test_a_union_fills_in_what_one_part_lacks(tiny_data: Path) -> None:
    data = read_data_dir(tiny_data)
    copies = replace(named_copies(data, "x", same_timing=True), warps={f"x-{utt}": 1.2 for utt in data.wav})
    both = union([data, copies])
    assert both.warps == {**dict.fromkeys(data.wav, 1.0), **copies.warps}
    assert both.aligned_as == {**{utt: utt for utt in data.wav}, **copies.aligned_as}
    assert union([data]) == data
