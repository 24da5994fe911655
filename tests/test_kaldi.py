"""From a Kaldi experiment to words and back, through the command line: everything after the alignment runs on it."""

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asrkd.cli import main
from asrkd.core.archive import Archive, read_scp
from asrkd.core.files import read_json
from asrkd.decoding.config import DecodeConfig
from asrkd.decoding.decode import decode
from asrkd.features.store import FeatureDir
from asrkd.graph.graph import Graph
from asrkd.hmm.alignment import Alignment
from asrkd.hmm.tied_states import TiedStates
from asrkd.models.saved import load_model

SMALL_NET = [
    *("--set=teacher.model={hidden_layers: 1, hidden_units: 32}", "--set=teacher.epochs=3"),
    *("--set=teacher.window={left: 2, right: 2}", "--set=teacher.threads=1", "--set=teacher.device=cpu"),
]
FBANK = ["--set=fbank.snip_edges=true", "--set=fbank.num_mel_bins=20"]  # snip_edges as Kaldi's alignments have it

BEAM = 9.0


@pytest.fixture(scope="module")
def kaldi(shared_dir: Path) -> Path:
    return shared_dir / "kaldi-exp"


@pytest.fixture(scope="module")
def root(kaldi: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Kaldi's tied states, graph, transcripts and alignments, imported. Not to be written to."""
    root = tmp_path_factory.mktemp("imported")
    sets = [f"--data={name}={kaldi}/data/{name}" for name in ("train", "test")]
    assert main(["import-kaldi", f"--graph={kaldi}/graph", *sets, str(kaldi / "tri1_ali"), str(root)]) == 0
    return root


def test_counts_and_pdf_ids_are_what_kaldis_tools_print(kaldi: Path, root: Path) -> None:
    description = read_json(root / "tri" / "tied_states.json")
    counts = {"num_pdfs": 480, "num_gauss": 5017, "num_transition_ids": 4038, "dim": 39, "context_width": 3}
    assert {name: description[name] for name in counts} == counts
    model, alignment = TiedStates.load(root / "tri"), Alignment.open(root / "ali" / "train")
    assert (len(model.transitions.states), len(model.transitions.topology.phones)) == (1979, 166)
    assert (len(alignment.utt_ids), alignment.failed) == (700, ())
    printed = gzip.decompress((kaldi / "tri1_ali" / "pdf-first20.txt.gz").read_bytes()).decode().splitlines()
    assert len(printed) == 20
    for line in printed:
        utt_id, *pdfs = line.split()
        np.testing.assert_array_equal(alignment.pdf_ids(utt_id), np.array(pdfs, int))


def words_of(path: Path) -> dict[str, str]:
    return {utt: " ".join(words) for utt, *words in (line.split() for line in path.read_text().splitlines())}


def kaldi_matrices(ark: Path) -> dict[str, Any]:
    import kaldiio

    return dict(kaldiio.load_ark(str(ark)))


def test_kaldis_log_likelihoods_on_kaldis_graph_give_kaldis_words(kaldi: Path, root: Path, tmp_path: Path) -> None:
    matrices = kaldi_matrices(kaldi / "data" / "test" / "loglikes-first5.ark")
    config = DecodeConfig(beam=13.0, lattice_beam=8.0, max_active=7000, acoustic_scale=1 / 13)
    decode(config, Graph.open(root / "graph"), lambda utt: np.array(matrices[utt]), list(matrices), tmp_path)
    expected = words_of(kaldi / "data" / "test" / "hyp_kaldi_tri1.txt")
    assert words_of(tmp_path / "hyp.txt") == {utt: expected[utt] for utt in matrices}
    assert len(matrices) == 5


def recorded(shared_dir: Path, part: Path, utt_ids: list[str]) -> Path:
    """A part in LibriSpeech's layout of some of the speaker's utterances."""
    for utt_id in utt_ids:
        speaker, chapter, _ = utt_id.split("-")
        source, folder = shared_dir / "speech" / "train-read" / speaker / chapter, part / speaker / chapter
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / f"{utt_id}.flac", folder / f"{utt_id}.flac")
        lines = (source / f"{speaker}-{chapter}.trans.txt").read_text().splitlines(keepends=True)
        with open(folder / f"{speaker}-{chapter}.trans.txt", "a") as file:
            file.writelines(line for line in lines if line.split()[0] == utt_id)
    return part


def part_of(data: Path, folder: Path, utt_ids: list[str]) -> Path:
    """Some utterances of a Kaldi data dir whose audio is elsewhere."""
    folder.mkdir()
    for name in ("text", "utt2spk"):
        lines = (data / name).read_text().splitlines(keepends=True)
        (folder / name).write_text("".join(line for line in lines if line.split()[0] in utt_ids))
    return folder


@pytest.fixture(scope="module")
def run(shared_dir: Path, kaldi: Path, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data, features, alignment, net, soft targets, words and scores on Kaldi's tied states. Not to be written to."""
    exp = tmp_path_factory.mktemp("exp")
    utts = sorted(read_scp(kaldi / "data" / "train" / "utt2spk"))[:12]
    test = sorted(read_scp(kaldi / "data" / "test" / "utt2spk"))[:2]
    for name, utt_ids in (("train", utts[:9]), ("dev", utts[9:]), ("test", test)):
        recorded(shared_dir, exp / "parts" / name, utt_ids)
        assert main(["prepare", str(exp / "parts" / name), str(exp / "data" / name)]) == 0
        assert main(["fbank", *FBANK, str(exp / "data" / name), str(exp / "fbank" / name)]) == 0
    graph, fbank, ali = root / "graph", exp / "fbank", exp / "imported" / "ali"
    given = [f"--data={name}={fbank}/{name}" for name in ("train", "dev")]
    given += [f"--ali={name}={kaldi}/tri1_ali" for name in ("train", "dev")]
    assert main(["import-kaldi", *given, str(kaldi / "tri1_ali"), str(exp / "imported")]) == 0
    sets = ["--features", str(fbank / "train"), "--alignment", str(ali / "train")]
    sets += ["--dev-features", str(fbank / "dev"), "--dev-alignment", str(ali / "dev")]
    net, soft = str(exp / "net"), str(exp / "soft")
    for command in (
        ["train", *SMALL_NET, *sets, net],
        ["posteriors", "--features", str(fbank / "train"), net, soft],
        ["decode", f"--set=decode.beam={BEAM}", str(graph), str(fbank / "test"), net, str(exp / "decode")],
        [
            "score",
            str(part_of(kaldi / "data" / "test", exp / "kaldi-test", test)),
            str(exp / "decode"),
            str(exp / "words"),
        ],
        ["frames", str(fbank / "dev"), str(ali / "dev"), net, str(exp / "frames")],
    ):
        assert main(command) == 0, command
    return exp


def test_everything_after_the_alignment_runs_on_it(run: Path, root: Path) -> None:
    assert list(words_of(run / "decode" / "hyp.txt")) == sorted(read_scp(run / "data" / "test" / "utt2spk"))
    info = load_model(run / "net").info
    assert (info.num_pdfs, info.tied_states) == (480, read_json(root / "tri" / "tied_states.json")["hash"])
    assert info.tied_states == read_json(run / "soft" / "header.json")["tied_states"]
    assert read_json(run / "words" / "words.json")["missing"] == []
    assert read_json(run / "frames" / "stage.json")["summary"]


def test_log_likelihoods_for_kaldis_decoder_give_the_same_words(run: Path, root: Path, tmp_path: Path) -> None:
    output = tmp_path / "loglikes"
    assert main(["export-loglikes", str(run / "fbank" / "test"), str(run / "net"), str(output)]) == 0
    assert sorted(path.name for path in output.iterdir()) == ["loglikes.1.ark", "loglikes.scp", "stage.json"]
    matrices = Archive.open(output / "loglikes.scp")
    features = FeatureDir.open(run / "fbank" / "test")
    for utt_id, matrix in matrices.items():
        assert matrix.shape == (features.num_frames[utt_id], 480)
        assert matrix.dtype == np.float32
    assert all(Path(entry).is_absolute() for entry in read_scp(output / "loglikes.scp").values())
    (tmp_path / "decode").mkdir()
    decode(
        DecodeConfig(beam=BEAM), Graph.open(root / "graph"), matrices.__getitem__, list(matrices), tmp_path / "decode"
    )
    assert words_of(tmp_path / "decode" / "hyp.txt") == words_of(run / "decode" / "hyp.txt")


def test_the_alignment_goes_back_to_kaldi(run: Path, root: Path, kaldi: Path, tmp_path: Path) -> None:
    command = ["export-alignment", "--num-jobs=2", "--text", str(run / "imported" / "ali" / "train"), str(root / "tri")]
    assert main([*command, str(tmp_path / "ali")]) == 0
    assert (tmp_path / "ali" / "final.mdl").read_bytes() == (kaldi / "tri1_ali" / "final.mdl").read_bytes()
    again = ["import-kaldi", f"--data=train={run / 'data' / 'train'}", str(tmp_path / "ali"), str(tmp_path / "again")]
    assert main(again) == 0
    for name in ("utt2num_frames", "pdf_counts", "alignment.json"):
        assert (tmp_path / "again" / "ali" / "train" / name).read_bytes() == (
            run / "imported" / "ali" / "train" / name
        ).read_bytes()


Spoil = Callable[[Path], object]


def _fewer_words(graph: Path) -> None:
    lines = (graph / "words.txt").read_text().splitlines(keepends=True)
    (graph / "words.txt").write_text("".join(lines[:50]))


def _other_phones(graph: Path) -> None:
    text = (graph / "phones.txt").read_text()
    (graph / "phones.txt").write_text(text.replace("AA_B 11\nAA_E 12", "AA_E 11\nAA_B 12"))


def _other_tree(graph: Path) -> None:
    """Labels of some other model: numbers of the same range."""
    from asrkd.lang.fst import read_fst, write_fst

    hclg = read_fst(graph / "HCLG.fst")
    labels = hclg.arcs["ilabel"]
    write_fst(graph / "HCLG.fst", hclg.relabelled(np.where(labels > 0, 1 + (labels + 700) % 4038, 0)))


def _cut(graph: Path) -> None:
    (graph / "HCLG.fst").write_bytes((graph / "HCLG.fst").read_bytes()[:100_000])


@pytest.mark.parametrize(
    "case",
    [
        (_fewer_words, "words.txt: has no word 50, which HCLG.fst holds: is it another graph's?"),
        (_other_phones, "number phone AA_B differently"),
        (_other_tree, "was the graph built with another tree?"),
        (_cut, "HCLG.fst: "),
        (lambda graph: (graph / "words.txt").unlink(), "words.txt is missing"),
        (lambda graph: (graph / "HCLG.fst").write_text("0 1 2 3\n"), "HCLG.fst: "),
    ],
)
def test_graphs_that_do_not_fit(
    kaldi: Path, root: Path, tmp_path: Path, case: tuple[Spoil, str], capsys: pytest.CaptureFixture[str]
) -> None:
    spoil, message = case
    graph = tmp_path / "kaldi-graph"
    shutil.copytree(kaldi / "graph", graph, copy_function=shutil.copyfile)
    graph.chmod(0o755)
    spoil(graph)
    assert main(["import-kaldi", f"--graph={graph}", str(kaldi / "tri1_ali"), str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("asrkd import-kaldi: error: ")
    assert message in error
    assert not (tmp_path / "out" / "graph").exists()
