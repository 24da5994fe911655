"""Tied states and alignments from Kaldi's folders and back, and what is refused, through the command line too."""

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asrkd.cli import main
from asrkd.core.errors import ConfigError, DataError, MismatchError
from asrkd.hmm.alignment import Alignment
from asrkd.hmm.kaldi_exchange import (
    ImportAlignmentConfig,
    export_alignment,
    import_alignment,
    import_tied_states,
)
from asrkd.hmm.kaldi_io import write_int, write_token
from asrkd.hmm.tied_states import TiedStates

CONFIG = ImportAlignmentConfig()


def kaldi_folder(model: Path, folder: Path, text: bool = False, jobs: int = 3) -> Path:
    """What steps/align_si.sh would leave."""
    folder.mkdir()
    export_alignment(model / "ali", model, folder, jobs, text)
    return folder


@pytest.fixture
def kaldi(triphone_dir: Path, tmp_path: Path) -> Path:
    return kaldi_folder(triphone_dir, tmp_path / "tri_ali")


@pytest.fixture
def data(toy: Any, tmp_path: Path) -> Path:
    """A copy of the toy's feature folder, that may be changed."""
    shutil.copytree(toy.features, tmp_path / "features")
    return tmp_path / "features"


def imported(kaldi: Path, model: Path, data: Path, work: Path, config: ImportAlignmentConfig = CONFIG) -> Alignment:
    work.mkdir(exist_ok=True)
    import_alignment(config, kaldi, model, data, work)
    return Alignment.open(work)


@pytest.mark.parametrize("text", [False, True])
def test_there_and_back(triphone_dir: Path, toy: Any, tmp_path: Path, text: bool) -> None:
    kaldi = kaldi_folder(triphone_dir, tmp_path / "kaldi", text)
    assert sorted(path.name for path in kaldi.iterdir()) == sorted(
        ["ali.1.gz", "ali.2.gz", "ali.3.gz", "num_jobs", "final.mdl", "tree", "phones.txt"]
    )
    assert (kaldi / "num_jobs").read_bytes() == b"3\n"
    (tmp_path / "tri").mkdir()
    description = import_tied_states(kaldi, tmp_path / "tri")
    for name in ("final.mdl", "tree", "phones.txt", "topo"):
        assert (tmp_path / "tri" / name).read_bytes() == (triphone_dir / name).read_bytes()
    ours, back = Alignment.open(triphone_dir / "ali"), imported(kaldi, tmp_path / "tri", toy.data, tmp_path / "ali")
    assert back.tied_states == ours.tied_states == description["hash"]
    assert back.utt_ids == ours.utt_ids
    for utt_id in ours.utt_ids:
        np.testing.assert_array_equal(back.transition_ids(utt_id), ours.transition_ids(utt_id))
        np.testing.assert_array_equal(back.pdf_ids(utt_id), ours.pdf_ids(utt_id))
    np.testing.assert_array_equal(back.log_priors, ours.log_priors)


def drop_from(path: Path, keep: int) -> None:
    lines = gzip.decompress(path.read_bytes()).split(b"\n")
    path.write_bytes(gzip.compress(b"\n".join([*lines[:keep], b""])))


def test_utterances_without_alignment_are_counted_and_named(
    triphone_dir: Path, toy: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kaldi = kaldi_folder(triphone_dir, tmp_path / "kaldi", text=True)
    drop_from(kaldi / "ali.3.gz", 7)
    last = max(toy.phones)
    with pytest.raises(
        DataError, match=rf"1 of 24 utterances of .* have no alignment in .* \({last}\): were both made"
    ):
        imported(kaldi, triphone_dir, toy.data, tmp_path / "strict", ImportAlignmentConfig(max_failed=0.01))
    alignment = imported(kaldi, triphone_dir, toy.data, tmp_path / "ali")
    assert alignment.failed == (last,)
    assert last not in alignment.num_frames
    assert f"1 of 24 utterances of {toy.data} have no alignment in {kaldi} ({last})" in capsys.readouterr().err


def test_a_subset_takes_its_own(kaldi: Path, triphone_dir: Path, data: Path, tmp_path: Path) -> None:
    lines = (data / "utt2spk").read_text().splitlines(keepends=True)
    (data / "utt2spk").write_text("".join(lines[::4]))
    assert imported(kaldi, triphone_dir, data, tmp_path / "ali").utt_ids == [line.split()[0] for line in lines[::4]]


def test_another_data_dir(kaldi: Path, triphone_dir: Path, data: Path, tmp_path: Path) -> None:
    (data / "utt2spk").write_text("other-1 other\nother-2 other\n")
    with pytest.raises(DataError, match=r"2 of 2 utterances .*\(other-1, other-2\)"):
        imported(kaldi, triphone_dir, data, tmp_path / "ali", ImportAlignmentConfig(max_failed=1.0))


def test_lengths_must_agree(kaldi: Path, triphone_dir: Path, data: Path, tmp_path: Path) -> None:
    lines = (data / "utt2num_frames").read_text().splitlines()
    utt_id, count = lines[5].split()
    (data / "utt2num_frames").write_text("\n".join([*lines[:5], f"{utt_id} {int(count) + 2}", *lines[6:], ""]))
    with pytest.raises(MismatchError, match=rf"{utt_id} has {count} frames, {int(count) + 2} in .*snip_edges"):
        imported(kaldi, triphone_dir, data, tmp_path / "ali")


def test_an_alignment_of_another_tree(triphone_dir: Path, mono_dir: Path, toy: Any, tmp_path: Path) -> None:
    kaldi = kaldi_folder(mono_dir, tmp_path / "mono_ali")
    with pytest.raises(MismatchError, match=r"mono_ali/tree is not the tree of .*: was the tree built again"):
        imported(kaldi, triphone_dir, toy.data, tmp_path / "ali")
    (kaldi / "tree").unlink()
    with pytest.raises(MismatchError, match=r"ali\.1\.gz: spk0-000: .* at frame \d+ .*; was it made with another tree"):
        imported(kaldi, triphone_dir, toy.data, tmp_path / "ali")


def test_an_utterance_twice(kaldi: Path, triphone_dir: Path, toy: Any, tmp_path: Path) -> None:
    shutil.copyfile(kaldi / "ali.1.gz", kaldi / "ali.2.gz")
    with pytest.raises(DataError, match=r"ali\.2\.gz: spk0-000 is there twice"):
        imported(kaldi, triphone_dir, toy.data, tmp_path / "ali")


def test_phones_of_another_lang_dir(kaldi: Path, tmp_path: Path) -> None:
    (kaldi / "phones.txt").write_text("<eps> 0\nSIL 1\n")
    with pytest.raises(MismatchError, match=r"models phone \d+, phones\.txt has none"):
        import_tied_states(kaldi, tmp_path)
    (kaldi / "phones.txt").write_text("".join(f"{'<eps>' if n == 0 else f'W{n}'} {n}\n" for n in range(99)))
    with pytest.raises(MismatchError, match=r"phones\.txt: has a symbol \d+, of which final.mdl has no model: .*words"):
        import_tied_states(kaldi, tmp_path)
    (kaldi / "phones.txt").unlink()
    with pytest.raises(DataError, match=r"phones\.txt is missing: copy it from the lang dir"):
        import_tied_states(kaldi, tmp_path)


def _chain(model: TiedStates) -> bytes:
    """The beginning of a chain model: a size of -1 says that self-loop pdf-classes follow."""
    topology = model.transitions.topology
    whole = topology.to_bytes()
    at = whole.rindex(write_int(len(topology.entries)), 0, whole.index(write_int(topology.entries[0][0].pdf_class), 40))
    return write_token("<TransitionModel>") + whole[:at] + write_int(-1) + whole[at:]


OTHERS: dict[str, tuple[Callable[[TiedStates], bytes], str]] = {
    "chain": (_chain, "a chain model, which is not supported"),
    "raw": (lambda model: write_token("<Nnet3>") + b"input-node", r"a bare neural network \(nnet3\)"),
    "nnet3": (lambda model: model.transitions.to_bytes() + b"<Nnet3> \ninput-node", "a neural network follows"),
    "nnet2": (lambda model: model.transitions.to_bytes() + b"<Nnet> <NumComponents> ", "a neural network follows"),
    "nnet1": (lambda model: model.transitions.to_bytes(), "nothing follows the transition model"),
    "sgmm": (lambda model: model.transitions.to_bytes() + b"<SGMM> <NUMSTATES> ", "a subspace GMM follows"),
    "full": (
        lambda model: (
            model.transitions.to_bytes() + b"<DIMENSION> " + write_int(3) + b"<NUMPDFS> " + write_int(1) + b"<FullGMM> "
        ),
        "full covariances",
    ),
}


@pytest.mark.parametrize("kind", sorted(OTHERS))
def test_other_models_are_refused_in_one_line(
    kind: str, kaldi: Path, triphone: TiedStates, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content, message = OTHERS[kind]
    (kaldi / "final.mdl").write_bytes(b"\0B" + content(triphone))
    with pytest.raises(DataError, match=message):
        import_tied_states(kaldi, tmp_path)
    (kaldi / "phones.txt").unlink()  # to ask for it would mislead
    with pytest.raises(DataError, match=message):
        import_tied_states(kaldi, tmp_path)
    assert main(["import-kaldi", str(kaldi), str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("asrkd import-kaldi: error: ")


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


SPOILT: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "half a model": (lambda kaldi: half(kaldi / "final.mdl"), "tri", "cut short or damaged"),
    "half a tree": (lambda kaldi: half(kaldi / "tree"), "tri", "cut short or damaged"),
    "tree for model": (
        lambda kaldi: shutil.copyfile(kaldi / "tree", kaldi / "final.mdl"),
        "tri",
        "final.mdl: begins with 'ContextDependency', not <TransitionModel>: another file?",
    ),
    "model for tree": (
        lambda kaldi: shutil.copyfile(kaldi / "final.mdl", kaldi / "tree"),
        "tri",
        "tree: begins with '<TransitionModel>', not ContextDependency: another file?",
    ),
    "no model": (lambda kaldi: (kaldi / "final.mdl").unlink(), "tri", "final.mdl is missing: is "),
    "empty archive": (lambda kaldi: (kaldi / "ali.2.gz").write_bytes(b""), "ali/train", "ali.2.gz: ends too early"),
    "no archive 2": (lambda kaldi: (kaldi / "ali.2.gz").unlink(), "ali/train", "ali.2.gz is missing"),
    "half an archive": (lambda kaldi: half(kaldi / "ali.2.gz"), "ali/train", "ends too early or is damaged"),
    "text": (
        lambda kaldi: (kaldi / "ali.1.gz").write_text("Once upon"),
        "ali/train",
        "not compressed with gzip",
    ),
    "prose": (
        lambda kaldi: (kaldi / "ali.1.gz").write_bytes(gzip.compress(b"Once upon a time\n")),
        "ali/train",
        "Once: no integer vector",
    ),
}


@pytest.mark.parametrize("kind", sorted(SPOILT))
def test_damage_is_one_line_and_exit_code_1(
    kind: str, kaldi: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil, part, message = SPOILT[kind]
    spoil(kaldi)
    output = kaldi.with_name("out")
    assert main(["import-kaldi", f"--data=train={data}", str(kaldi), str(output)]) == 1
    error = capsys.readouterr().err
    assert error.count("error:") == 1
    assert message in error.splitlines()[-1]
    assert not (output / part).exists()
    assert (output / "tri").is_dir() is (part != "tri")


def test_jobs_and_models_of_an_export(triphone_dir: Path, mono_dir: Path, tmp_path: Path) -> None:
    for jobs in (0, 25):
        with pytest.raises(ConfigError, match=f"{jobs} jobs for 24 utterances"):
            export_alignment(triphone_dir / "ali", triphone_dir, tmp_path, jobs)
    with pytest.raises(MismatchError, match="belongs to tied states"):
        export_alignment(mono_dir / "ali", triphone_dir, tmp_path)


def test_what_kaldi_wrote_round_trips(shared_dir: Path, kaldi_dir: Path, tmp_path: Path) -> None:
    """Pdf-ids as ali-to-pdf prints them, and Kaldi's own bytes back."""
    for name in ("tri", "ali", "kaldi"):
        (tmp_path / name).mkdir()
    import_tied_states(kaldi_dir, tmp_path / "tri")
    alignment = imported(kaldi_dir, tmp_path / "tri", shared_dir / "kaldi-exp" / "data" / "train", tmp_path / "ali")
    assert (len(alignment.utt_ids), alignment.num_pdfs, alignment.failed) == (700, 480, ())
    printed = gzip.decompress((kaldi_dir / "pdf-first20.txt.gz").read_bytes()).decode().splitlines()
    assert len(printed) == 20
    for line in printed:
        utt_id, *pdfs = line.split()
        np.testing.assert_array_equal(alignment.pdf_ids(utt_id), np.array(pdfs, int))
    export_alignment(tmp_path / "ali", tmp_path / "tri", tmp_path / "kaldi", 2, text=True)
    for name in ("final.mdl", "tree", "phones.txt", "num_jobs"):
        assert (tmp_path / "kaldi" / name).read_bytes() == (kaldi_dir / name).read_bytes()
    ours, theirs = (
        b"".join(gzip.decompress((folder / f"ali.{job}.gz").read_bytes()) for job in (1, 2))
        for folder in (tmp_path / "kaldi", kaldi_dir)
    )
    assert ours == theirs
