"""A data dir in several, such that the same words never stand on both sides.

A prompt that was read twice, or by two speakers, would otherwise be known from training when it is tested.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any

from pydantic.dataclasses import dataclass

from asrkd.core.config import STRICT
from asrkd.core.datadir import DataDir, read_data_dir, write_data_dir
from asrkd.core.errors import ConfigError, DataError
from asrkd.core.random import rng_for


@dataclass(frozen=True, config=STRICT)
class SplitConfig:
    """Splits by name: ``fractions`` of the utterances or ``speaker_fractions`` (both drawn with ``seed``), or lists of
    ``speakers``."""

    fractions: dict[str, float] = field(default_factory=dict)
    """Must add up to 1, e.g. ``{train: 0.9, dev: 0.05, test: 0.05}``."""
    speaker_fractions: dict[str, float] = field(default_factory=dict)
    """Likewise, of the speech: whole speakers go to whichever split lacks most."""
    speakers: dict[str, list[str]] = field(default_factory=dict)
    rest: str | None = None
    """Split that takes the speakers that no list names; without it each must be named."""
    seed: int = 1


def split_stage(source: Path, work: Path, config: SplitConfig) -> dict[str, Any]:
    """Split the data dir ``source`` into folders of ``work``, named as in ``config``.

    Returns the utterances of each, and how many were dropped.
    """
    data = read_data_dir(source)
    if sum(map(bool, (config.fractions, config.speaker_fractions, config.speakers))) != 1:
        raise ConfigError("split: give one of fractions, speaker_fractions and speakers")
    if config.fractions:
        splits = split_by_text(data, config.fractions, config.seed)
    elif config.speaker_fractions:
        splits = split_by_speaker(data, draw_speakers(data, config.speaker_fractions, config.seed))
    else:
        splits = split_by_speaker(data, config.speakers, config.rest)
    for name, split in splits.items():
        if not name.isidentifier():
            raise ConfigError(f"split: {name!r} can't name a folder: letters, digits and _ only")
        write_data_dir(work / name, split)
    counts: dict[str, Any] = {name: len(split.wav) for name, split in splits.items()}
    return {**counts, "dropped": len(data.wav) - sum(counts.values())}


def split_by_text(data: DataDir, fractions: Mapping[str, float], seed: int) -> dict[str, DataDir]:
    """Splits with about those fractions of the utterances; utterances with the same words go together.

    Texts are put in an order drawn from (seed, text), so that it does not change when others are added. Raises
    DataError without transcripts or where a split would be empty, ConfigError for fractions that do not add up to 1.
    """
    _check_fractions(fractions)
    if data.text is None:
        raise DataError("split: the data dir has no transcripts to split by: split by speakers")
    groups: dict[str, list[str]] = defaultdict(list)
    for utt_id, words in data.text.items():
        groups[_same(words)].append(utt_id)
    order = sorted(groups, key=lambda words: (rng_for(seed, "split", words).random(), words))
    chosen: dict[str, list[str]] = {name: [] for name in fractions}
    names, position, bound = list(fractions), 0, 0.0
    bounds = [bound := bound + len(data.wav) * fraction for fraction in fractions.values()]
    for words in order:
        middle = position + len(groups[words]) / 2
        index = next((i for i, end in enumerate(bounds) if middle <= end), len(names) - 1)
        chosen[names[index]].extend(groups[words])
        position += len(groups[words])
    return _subsets(data, chosen)


def _check_fractions(fractions: Mapping[str, float]) -> None:
    if any(fraction <= 0 for fraction in fractions.values()) or abs(sum(fractions.values()) - 1) > 1e-6:
        raise ConfigError(f"split: fractions must be above 0 and add up to 1, not {dict(fractions)}")


def draw_speakers(data: DataDir, fractions: Mapping[str, float], seed: int) -> dict[str, list[str]]:
    """Speakers for splits with about those fractions of the speech, in an order drawn from (seed, speaker).

    Raises ConfigError for fractions that do not add up to 1, DataError for fewer speakers than splits.
    """
    _check_fractions(fractions)
    seconds: dict[str, float] = defaultdict(float)
    for utt_id, speaker in data.utt2spk.items():
        seconds[speaker] += data.durations.get(utt_id, 1.0)
    if len(seconds) < len(fractions):
        raise DataError(f"split: {len(seconds)} speakers are too few for {len(fractions)} splits: split by text")
    total = sum(seconds.values())
    lacking = {name: fraction * total for name, fraction in fractions.items()}
    chosen: dict[str, list[str]] = {name: [] for name in fractions}
    order = sorted(seconds, key=lambda speaker: (rng_for(seed, "split", speaker).random(), speaker))
    for left, speaker in zip(range(len(order), 0, -1), order, strict=True):
        empty = [name for name, speakers in chosen.items() if not speakers]
        name = max(empty if len(empty) == left else lacking, key=lambda name: lacking[name])
        chosen[name].append(speaker)
        lacking[name] -= seconds[speaker]
    return chosen


def split_by_speaker(
    data: DataDir, speakers: Mapping[str, Sequence[str]], rest: str | None = None
) -> dict[str, DataDir]:
    """Splits with the utterances of the speakers listed, the others' in ``rest``.

    Where two splits have the same words, the larger one loses those utterances. Raises ConfigError for a speaker that
    is unknown or on two lists, and, without ``rest``, for one that is on none.
    """
    known = set(data.utt2spk.values())
    split_of: dict[str, str] = {}
    for name, listed in speakers.items():
        for speaker in listed:
            if speaker not in known:
                raise ConfigError(f"split: {name}: no speaker {speaker!r} in the data dir, which has {_some(known)}")
            if speaker in split_of:
                raise ConfigError(f"split: speaker {speaker!r} is listed in {split_of[speaker]} and in {name}")
            split_of[speaker] = name
    if rest is None and (others := known - split_of.keys()):
        raise ConfigError(f"split: {_some(others)} in no list: name a split for the others (rest)")
    chosen: dict[str, list[str]] = {name: [] for name in [*speakers, *([rest] if rest else [])]}
    for utt_id, speaker in data.utt2spk.items():
        chosen[split_of.get(speaker, rest or "")].append(utt_id)
    return _subsets(data, chosen if data.text is None else _without_shared(data.text, chosen))


def _without_shared(text: Mapping[str, str], chosen: Mapping[str, list[str]]) -> dict[str, list[str]]:
    kept: dict[str, list[str]] = {name: [] for name in chosen}
    seen: set[str] = set()
    for name in sorted(chosen, key=lambda name: (len(chosen[name]), name)):
        kept[name] = [utt_id for utt_id in chosen[name] if _same(text[utt_id]) not in seen]
        seen.update(_same(text[utt_id]) for utt_id in chosen[name])
    return kept


def _subsets(data: DataDir, chosen: Mapping[str, list[str]]) -> dict[str, DataDir]:
    if empty := [name for name, utt_ids in chosen.items() if not utt_ids]:
        raise DataError(f"split: {empty[0]} would be empty: too few utterances ({len(data.wav)}), or too small a share")
    return {name: data.subset(utt_ids) for name, utt_ids in chosen.items()}


def _same(words: str) -> str:
    """What makes two transcripts the same: their words, whatever the case."""
    return " ".join(words.upper().split())


def _some(speakers: set[str]) -> str:
    first = ", ".join(sorted(speakers)[:5])
    return f"{first} and {len(speakers) - 5} more" if len(speakers) > 5 else first
