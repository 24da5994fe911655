"""Codecs of soft targets against dense and compressed matrices and Posterior tables, on posteriors made for it.

python -m bench.soft_targets [ENTROPY]        (mean entropy of a frame, nats; default 0.92)

Logits are normal, as spread as gives that entropy. Every format is written from the same posteriors in memory to files
that have reached the disk (kaldiio and kaldi-native-io leave that to the kernel), and read back once, from the page
cache, into what a loss takes, checksums included; frames in batches of 512, at random as in training, are then drawn
from what was read. KL(exact || stored) is a mean over frames, a tail being spread by the mean posterior. The loss's
error is that of the cross-entropy with a student who is off at random: its mean over frames, with its standard error.
Formats that are biased have a mean error, formats that draw at random only a deviation.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kaldi_native_io
import kaldiio
import numpy as np
import torch
from numpy.typing import NDArray

from asrkd.core.device import has_fast_bfloat16
from asrkd.losses import SoftTargets
from asrkd.losses.events import FLOOR
from asrkd.models import build_model
from asrkd.targets import build_codec, dense_posteriors
from asrkd.targets.archive import SoftTargetArchive, write_header, write_shard
from asrkd.targets.header import Header
from asrkd.targets.packed import Table
from bench.table import print_table

UTTERANCES, FRAMES = 8, 400
BATCH = 512
CODECS: Mapping[str, Mapping[str, Any]] = {
    "dense float32": {"type": "dense", "precision": "float32"},
    "dense float16": {"type": "dense"},
    "Kaldi two-byte": {"type": "kaldi_two_byte"},
    "top 24": {"type": "topk", "k": 24},
    "top-p 0.99, cap 40": {"type": "nucleus", "p": 0.99, "cap": 40},
    "Kaldi's pairs, 0.001": {"type": "kaldi_posterior"},
    "50 draws": {"type": "sampled", "draws": 50},
    "350 draws": {"type": "sampled", "draws": 350},
    "draws, variance 0.01": {"type": "sampled", "draws": 255, "max_variance": 0.01},
}
PEERS = {
    "kaldiio, float32": None,
    "kaldiio, compressed, two bytes": 3,
    "kaldiio, compressed, one byte": 5,
}
"""kaldiio's numbers of Kaldi's methods, on log posteriors."""


@dataclass
class Row:
    """What a format costs, and what it gives back: ``read`` (num_frames, num_pdfs), dense."""

    name: str
    num_bytes: int
    write_seconds: float
    read_seconds: float
    read: torch.Tensor
    draw_seconds: float | None = None


def posteriors_of(num_pdfs: int, entropy: float) -> dict[str, torch.Tensor]:
    """Posteriors (FRAMES, num_pdfs) of each utterance."""
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(UTTERANCES * FRAMES, num_pdfs, generator=generator)
    low, high = 0.1, 200.0
    for _ in range(30):
        middle = (low * high) ** 0.5
        p = torch.softmax(middle * logits[:400], -1)
        found = -torch.xlogy(p, p).sum(-1).mean()
        low, high = (middle, high) if found > entropy else (low, middle)
    whole = torch.softmax(low * logits, -1)
    return {f"utt{n}": part for n, part in enumerate(torch.split(whole, FRAMES))}


def codec(name: str, section: Mapping[str, Any], posteriors: Mapping[str, torch.Tensor], folder: Path) -> Row:
    """One of ours."""
    mean = torch.cat(list(posteriors.values())).mean(0)
    start = time.perf_counter()
    built = build_codec(section, len(mean), "codec")
    records = np.concatenate([built.encode(p, utt_id) for utt_id, p in posteriors.items()])
    index = write_shard(folder, 1, records, {utt_id: len(p) for utt_id, p in posteriors.items()})
    header = Header(1.0, section, "arithmetic", ("bench",), len(mean), "bench", "bench", tuple(mean.tolist()))
    write_header(folder, header, index)
    written = time.perf_counter()
    archive = SoftTargetArchive.open(folder)
    everything = torch.arange(UTTERANCES * FRAMES)
    table = Table([archive.packed(utt_id) for utt_id in posteriors])
    soft = [built.soft_targets(table.gather(part)) for part in torch.split(everything, FRAMES)]
    read = time.perf_counter()
    dense = torch.cat([dense_posteriors(part, mean) for part in soft])
    order = torch.randperm(UTTERANCES * FRAMES, generator=torch.Generator().manual_seed(2))
    began = time.perf_counter()
    for frames in torch.split(order, BATCH):
        built.soft_targets(table.gather(frames))
    drawn = time.perf_counter() - began
    size = sum(path.stat().st_size for path in folder.iterdir() if path.name != "header.json")
    return Row(name, size, written - start, read - written, dense, drawn)


def matrices(name: str, method: int | None, posteriors: Mapping[str, torch.Tensor], folder: Path) -> Row:
    """kaldiio: posteriors as they are, or compressed log posteriors."""

    def values(p: torch.Tensor) -> NDArray[np.float32]:
        return (p if method is None else p.log().clamp_min(-60)).numpy()

    start = time.perf_counter()
    compression = {} if method is None else {"compression_method": method}
    with kaldiio.WriteHelper(f"ark,scp:{folder}/a.ark,{folder}/a.scp", **compression) as writer:
        for utt_id, p in posteriors.items():
            writer(utt_id, values(p))
    written = time.perf_counter()
    found = []
    for _, matrix in kaldiio.load_scp_sequential(f"{folder}/a.scp"):
        tensor = torch.from_numpy(np.array(matrix))
        found.append(tensor if method is None else torch.softmax(tensor, -1))
    read = time.perf_counter()
    return Row(name, _size(folder), written - start, read - written, torch.cat(found))


def tables(k: int, posteriors: Mapping[str, torch.Tensor], folder: Path) -> Row:
    """kaldi-native-io's Posterior tables of the k largest; read into arrays, the rest of the mass as a tail."""
    mean = torch.cat(list(posteriors.values())).mean(0)
    start = time.perf_counter()
    with kaldi_native_io.PosteriorWriter(f"ark,scp:{folder}/a.ark,{folder}/a.scp") as writer:
        for utt_id, p in posteriors.items():
            pairs = (tensor.tolist() for tensor in p.topk(k))
            writer.write(utt_id, [list(zip(ids, probs, strict=True)) for probs, ids in zip(*pairs, strict=True)])
    written = time.perf_counter()
    found = []
    with kaldi_native_io.SequentialPosteriorReader(f"scp:{folder}/a.scp") as reader:
        for _, value in reader:
            array = torch.from_numpy(np.array(value, dtype=np.float64))
            probs = array[..., 1].float()
            found.append(SoftTargets(probs, (1 - probs.sum(-1)).clamp_min(0), array[..., 0].long()))
    read = time.perf_counter()
    dense = torch.cat([dense_posteriors(soft, mean) for soft in found])
    return Row(f"kaldi-native-io, top {k}", _size(folder), written - start, read - written, dense)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def cells(row: Row, exact: torch.Tensor, log_q: torch.Tensor) -> list[str]:
    frames = len(exact)
    stored, reference = row.read.double().clamp_min(FLOOR), exact.double()
    divergence = float((torch.xlogy(reference, reference) - reference * stored.log()).sum() / frames)
    error = ((reference - row.read) * log_q).sum(-1)
    of_loss = f"{float(error.mean()):+.5f} ± {float(error.std()) / frames**0.5:.5f}"
    drawn = "" if row.draw_seconds is None else f"{frames / row.draw_seconds:,.0f}"
    rates = [f"{frames / seconds:,.0f}" for seconds in (row.write_seconds, row.read_seconds)]
    return [row.name, f"{row.num_bytes / frames:,.1f}", *rates, drawn, f"{divergence:.5f}", of_loss]


def measured(num_pdfs: int, entropy: float) -> list[list[str]]:
    """The rows of one size. Each format is run twice, and the second run counts."""
    posteriors = posteriors_of(num_pdfs, entropy)
    exact = torch.cat(list(posteriors.values()))
    formats: Sequence[Callable[[Path], Row]] = [
        *(lambda work, n=name, s=section: codec(n, s, posteriors, work) for name, section in CODECS.items()),
        *(lambda work, n=name, m=method: matrices(n, m, posteriors, work) for name, method in PEERS.items()),
        lambda work: tables(24, posteriors, work),
    ]
    noise = torch.randn(exact.shape, generator=torch.Generator().manual_seed(3))
    log_q = torch.log_softmax(0.8 * exact.clamp_min(torch.finfo(torch.float32).tiny).log() + noise, -1)
    rows = []
    for run in formats:
        for _ in range(2):
            with tempfile.TemporaryDirectory() as work:
                row = run(Path(work))
        rows.append(cells(row, exact, log_q))
    return rows


def forward(num_pdfs: int) -> float:
    """Frames/s of one net of the paper's size, logits alone, in the precision of `asrkd posteriors` here."""
    net = build_model({"type": "dnn", "hidden_layers": 8, "hidden_units": 2560}, 26 * 40, num_pdfs, "bench").eval()
    windows = torch.randn(FRAMES, 26 * 40)
    fast = has_fast_bfloat16("cpu")
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=fast):
        net(windows)
        start = time.perf_counter()
        net(windows)
    return FRAMES / (time.perf_counter() - start)


def main(entropy: float) -> None:
    """One table a size."""
    header = ["format", "bytes a frame", "written, frames/s", "read, frames/s", "drawn, frames/s"]
    header += ["KL, nats", "error of the loss, nats"]
    for num_pdfs in (500, 5784, 14_000):
        title = f"{num_pdfs} pdfs, entropy {entropy:g} nats, {UTTERANCES * FRAMES} frames, "
        print_table(title + f"{torch.get_num_threads()} threads", header, measured(num_pdfs, entropy))
        print(f"\nForward passes of one net of 8 x 2560 over these pdfs: {forward(num_pdfs):,.0f} frames/s")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 0.92)
