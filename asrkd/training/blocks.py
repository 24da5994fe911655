"""Training sets that memory does not hold: read in blocks of utterances, drawn anew each epoch.

A block is a random set of utterances as large as half the budget allows (the next one is read while it trains), and
its frames are drawn at random over all of it. So a batch mixes the frames of thousands of utterances, and two epochs
mix them differently; what is lost against a draw over the whole corpus is that a frame's company comes from its block.
"""

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from asrkd.core.errors import ConfigError
from asrkd.core.random import rng_for
from asrkd.features.window import Window
from asrkd.targets.entry import table_bytes
from asrkd.training.frames import Frames, FrameStore, Source, Utterance, utterances_of

_LABEL_BYTES = 16
"""Of a frame's label and position; half as many of its place, where some are left out."""


def open_frames(source: Source, window: Window, device: str, memory_gb: float, seed: int | None = None) -> Frames:
    """All frames of ``source`` in one store where ``memory_gb`` (10^9 bytes) holds them, else in blocks.

    ``seed`` decides which utterances share a block; without it they keep their order. Raises what `utterances_of`
    raises, and ConfigError where an utterance is larger than a block.
    """
    utterances, budget = utterances_of(source), int(memory_gb * 1e9)
    if sum(num_bytes(utterance, source, window) for utterance in utterances) <= budget:
        return FrameStore(source, window, device, utterances)
    return StreamedFrames(source, window, device, budget, seed, utterances)


def num_bytes(utterance: Utterance, source: Source, window: Window) -> int:
    """What an utterance takes of a `FrameStore`."""
    padded = (utterance.num_frames + source.padding(window).size - 1) * source.features.dim * 4
    records = table_bytes(source.soft.entry(utterance.utt_id), source.soft.codec.dtype) if source.soft else 0
    places = utterance.num_kept * _LABEL_BYTES // 2 if source.kept is not None else 0
    return padded + utterance.num_frames * _LABEL_BYTES + places + records


class StreamedFrames:
    """Frames in blocks of at most half of ``budget`` bytes; each frame is in one block an epoch."""

    def __init__(  # noqa: PLR0917
        self,
        source: Source,
        window: Window,
        device: str,
        budget: int,
        seed: int | None,
        utterances: Sequence[Utterance],
    ):
        self._source, self._window, self._device, self._seed = source, window, device, seed
        self._utterances = utterances
        self._sizes = [num_bytes(utterance, source, window) for utterance in utterances]
        self._most = budget // 2
        if max(self._sizes) > self._most:
            largest = utterances[self._sizes.index(max(self._sizes))]
            raise ConfigError(
                f"memory_gb {budget / 1e9:g} holds no two blocks of one utterance: {largest.utt_id} alone needs "
                f"{max(self._sizes) / 1e9:.3g} GB; give at least {2 * max(self._sizes) / 1e9:.3g}"
            )
        total = sum(self._sizes)
        self.num_blocks = math.ceil(total / self._most)
        print(
            f"train: {len(self)} frames are {total / 1e9:.2f} GB, more than memory_gb {budget / 1e9:g}: "
            f"read in about {self.num_blocks} blocks an epoch",
            flush=True,
        )

    def __len__(self) -> int:
        return sum(utterance.num_kept for utterance in self._utterances)

    @property
    def num_labelled(self) -> int:
        return sum(utterance.num_kept for utterance in self._utterances if utterance.labelled)

    def num_batches(self, batch_size: int, epoch: int) -> int:
        return sum(math.ceil(sum(u.num_kept for u in block) / batch_size) for block in self.plan(epoch))

    def plan(self, epoch: int) -> list[list[Utterance]]:
        """The utterances of each block of an epoch."""
        order = list(range(len(self._utterances)))
        if self._seed is not None:
            order = rng_for(self._seed, "blocks", epoch).permutation(len(order)).tolist()
        blocks: list[list[Utterance]] = []
        size = self._most + 1
        for index in order:
            if size + self._sizes[index] > self._most:
                blocks.append([])
                size = 0
            blocks[-1].append(self._utterances[index])
            size += self._sizes[index]
        return blocks

    def blocks(self, epoch: int) -> Iterator[FrameStore]:
        """The epoch's blocks, one after another; the next one is read in the background."""
        plan = self.plan(epoch)
        with ThreadPoolExecutor(1) as reader:
            coming = reader.submit(self._read, plan[0])
            for following in [*plan[1:], None]:
                block = coming.result()
                if following is not None:
                    coming = reader.submit(self._read, following)
                yield block
                del block  # before the one after next is read

    def _read(self, utterances: Sequence[Utterance]) -> FrameStore:
        return FrameStore(self._source, self._window, self._device, utterances)
