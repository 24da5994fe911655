"""Indexes of archives that were written without checksums."""

from collections.abc import Iterable, Mapping

from asrkd.targets.entry import Entry


def layout(lengths: Mapping[str, int], shards: Iterable[Iterable[str]]) -> dict[str, Entry]:
    """Index, without checksums, of utterances written one after another, shard by shard."""
    index = {}
    for number, utt_ids in enumerate(shards, 1):
        start = 0
        for utt_id in utt_ids:
            index[utt_id] = Entry(number, start, lengths[utt_id])
            start += lengths[utt_id]
    return index
