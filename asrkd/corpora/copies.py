"""Copies of a data dir's utterances under names of their own: ``PREFIX-UTT`` of speaker ``PREFIX-SPEAKER``, as in
Kaldi's recipes, so that copies sort by speaker as their originals do, and are normalised apart from them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from asrkd.core.audio import Hertz, audio_seconds, write_audio
from asrkd.core.datadir import DataDir
from asrkd.core.errors import DataError
from asrkd.core.parallel import map_shards, split_shards

Samples = NDArray[np.float32]
Value = TypeVar("Value")


def named_copies(data: DataDir, prefix: str, *, same_timing: bool) -> DataDir:
    """``data`` with every utterance and speaker renamed, and the same audio.

    ``same_timing``: the originals' alignments hold for the copies too; else the copies have their own.
    """

    def renamed(table: Mapping[str, Value]) -> dict[str, Value]:
        return {f"{prefix}-{utt}": value for utt, value in table.items()}

    alignments = {utt: data.aligned_as.get(utt, utt) for utt in data.wav}
    if not same_timing:
        alignments = {utt: f"{prefix}-{original}" for utt, original in alignments.items()}
    return DataDir(
        wav=renamed(data.wav),
        utt2spk={utt: f"{prefix}-{speaker}" for utt, speaker in renamed(data.utt2spk).items()},
        durations=renamed(data.durations),
        text=None if data.text is None else renamed(data.text),
        warps=renamed(data.warps),
        aligned_as=renamed(alignments) if same_timing or data.aligned_as else {},
    )


@dataclass(frozen=True)
class CopiesFolder:
    """A data dir in the making: copies' audio is written into ``work``/audio, and will lie in ``output``/audio."""

    work: Path
    output: Path
    sample_rate: Hertz
    jobs: int

    def write(
        self, data: DataDir, prefix: str, change: Callable[[str, Samples], Samples], *, same_timing: bool
    ) -> DataDir:
        """`named_copies` with the audio that ``change`` makes of an utterance's id and samples.

        What stands already, from a run that was cut off, is kept.
        """
        audio = self.work / "audio"
        audio.mkdir(exist_ok=True)

        def make(shard: list[str]) -> list[float]:
            seconds = []
            for utt in shard:
                path = audio / f"{prefix}-{utt}.flac"
                if not path.exists():
                    write_audio(path, change(utt, data.audio(utt, self.sample_rate)), self.sample_rate)
                seconds.append(audio_seconds(path, self.sample_rate))
            return seconds

        shards = split_shards(sorted(data.wav), 50 * self.jobs)
        durations = [seconds for shard in map_shards(make, shards, self.jobs, prefix) for seconds in shard]
        copies = named_copies(data, prefix, same_timing=same_timing)
        place = self.output.absolute() / "audio"
        return replace(
            copies,
            wav={utt: str(place / f"{utt}.flac") for utt in copies.wav},
            durations=dict(zip(sorted(copies.wav), durations, strict=True)) if data.durations else {},
        )


def union(parts: Sequence[DataDir]) -> DataDir:
    """One data dir of several. DataError for an utterance that is in two of them."""
    seen: set[str] = set()
    for part in parts:
        if twice := sorted(seen & part.wav.keys()):
            raise DataError(f"copies: {twice[0]} is there already: was the data dir made with the same copies before?")
        seen |= part.wav.keys()
    warped, shared = any(part.warps for part in parts), any(part.aligned_as for part in parts)
    texts = [part.text for part in parts if part.text is not None]
    return DataDir(
        wav={utt: entry for part in parts for utt, entry in part.wav.items()},
        utt2spk={utt: speaker for part in parts for utt, speaker in part.utt2spk.items()},
        durations={utt: seconds for part in parts for utt, seconds in part.durations.items()},
        text={utt: words for text in texts for utt, words in text.items()} if texts else None,
        warps={utt: part.warps.get(utt, 1.0) for part in parts for utt in part.wav} if warped else {},
        aligned_as={utt: part.aligned_as.get(utt, utt) for part in parts for utt in part.wav} if shared else {},
    )
