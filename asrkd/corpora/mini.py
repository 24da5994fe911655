"""The mini corpus: synthetic speakers in synthetic rooms say sentences of a phrase grammar, in LibriSpeech's layout.

Four parts: ``train``, ``dev`` and ``test`` with transcripts, and ``transfer`` without. No sentence is in two parts, and
dev and test have base voices of their own. Every utterance is drawn from (seed, utterance id) alone, and a chapter
gets its name when it is whole, so the bytes depend neither on the number of jobs nor on where a run was cut off.
"""

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from asrkd.core.audio import SAMPLE_RATE, Seconds, audio_seconds, write_audio
from asrkd.core.config import STRICT, FactorRange, Range, SecondsRange
from asrkd.core.errors import DataError
from asrkd.core.files import UNFINISHED, atomic_write, read_lines
from asrkd.core.parallel import map_shards
from asrkd.core.random import rng_for
from asrkd.corpora import acoustics
from asrkd.corpora.acoustics import Decibels, NoiseKind, Samples
from asrkd.corpora.grammar import Grammar, load_grammar
from asrkd.corpora.voices import DEV_VOICES, TEST_VOICES, TRAIN_VOICES, BaseVoice, Manner, speak

Part = Literal["train", "dev", "test", "transfer"]

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Jitter = Annotated[float, Field(ge=0.0, le=0.3)]
Length = Annotated[float, Field(gt=0.0)]
Count = Annotated[int, Field(ge=1)]

VOICES: Mapping[Part, tuple[BaseVoice, ...]] = {
    "train": TRAIN_VOICES,
    "dev": DEV_VOICES,
    "test": TEST_VOICES,
    "transfer": TRAIN_VOICES,
}


@dataclass(frozen=True, config=STRICT)
class Minutes:
    """Length of each part, in minutes (met within about a tenth)."""

    train: Length = 30.0
    dev: Length = 5.0
    test: Length = 8.0
    transfer: Length = 120.0


@dataclass(frozen=True, config=STRICT)
class Conditions:
    """How hard a part is to hear. Ranges are drawn from evenly, for each utterance."""

    snr_db: Range = (8.0, 30.0)
    """Speech over noise, in dB. Every utterance has some noise."""
    noises: Annotated[tuple[NoiseKind, ...], Field(min_length=1)] = ("white", "pink", "babble")
    reverb_probability: Share = 0.4
    reverb_t60: SecondsRange = (0.15, 0.5)
    """Seconds in which the sound in the room decays by 60 dB."""
    reverb_ratio_db: Range = (0.0, 12.0)
    """Direct sound over reverberation, in dB."""
    level_db: Range = (-32.0, -20.0)
    """RMS below full scale, in dB."""
    rate_jitter: Jitter = 0.08
    """Pace of an utterance, as a fraction of its speaker's; likewise pitch and vocal tract below."""
    pitch_jitter: Jitter = 0.05
    warp_jitter: Jitter = 0.02


@dataclass(frozen=True, config=STRICT)
class Speakers:
    """How many speakers are made of each base voice, and the range of their warps (factors on formants)."""

    natural: Count = 6
    """Speakers of a base voice made from a person's recordings."""
    formant: Count = 1
    """Speakers of a base voice of the formant synthesiser, which has many; twice as many in dev and test."""
    natural_warp: FactorRange = (0.84, 1.1)
    formant_warp: FactorRange = (0.93, 1.07)
    transfer_factor: Count = 2
    """The transfer part has this many times the speakers of the training part: the same base voices, other warps."""


@dataclass(frozen=True, config=STRICT)
class CorpusConfig:
    """The mini corpus. ``conditions`` hold for every part that has none of its own in ``conditions_of``."""

    seed: int = 1
    minutes: Minutes = field(default_factory=Minutes)
    speakers: Speakers = field(default_factory=Speakers)
    conditions: Conditions = field(default_factory=Conditions)
    conditions_of: dict[Part, Conditions] = field(default_factory=dict)
    lm_sentences: Annotated[int, Field(ge=0)] = 4000
    """Sentences of lm_text.txt beyond the training transcripts; none of them is in dev or test."""


class Speaker(NamedTuple):
    """An id (digits) and what it stands for."""

    id: str
    voice: BaseVoice
    manner: Manner


class Chapter(NamedTuple):
    """Utterances of one speaker: what is made, and committed, in one go. ``prompts`` is keyed by utterance id."""

    part: Part
    speaker: Speaker
    id: str
    prompts: dict[str, str]


def make_corpus(config: CorpusConfig, source: Path, work: Path, jobs: int = 1) -> dict[str, Any]:
    """Make the corpus in ``work`` from ``source`` (grammar.yaml, lexicon.txt); goes on from chapters already there.

    Besides the parts, ``lm_text.txt`` holds sentences for the language model, and ``SPEAKERS.TXT`` says who is who.
    Returns minutes, utterances, speakers and words of each part.
    """
    grammar = load_grammar(source / "grammar.yaml")
    prompts = _draw_prompts(config, grammar, _phone_counts(grammar, source / "lexicon.txt"))
    chapters = [chapter for part in VOICES for chapter in _plan(config, part, prompts[part])]
    babble = _babble(config, grammar)
    map_shards(lambda chapter: _make_chapter(config, chapter, babble, work), chapters, jobs, "speaking")
    with atomic_write(work / "lm_text.txt") as file:
        file.writelines(line + "\n" for line in [*prompts["train"], *prompts["lm"]])
    _write_speakers(work / "SPEAKERS.TXT", chapters)
    return {part: _summary(work, [c for c in chapters if c.part == part]) for part in VOICES}


_SECONDS_A_PHONE, _SECONDS_BESIDE = 0.0865, 0.50
"""Mean length of a phone, and of the silence around a sentence, over all voices: for planning alone."""


def _phone_counts(grammar: Grammar, lexicon: Path) -> dict[str, int]:
    """Phones of each word's first pronunciation; DataError when a word of the grammar has none."""
    counts: dict[str, int] = {}
    for line in read_lines(lexicon):
        word, *phones = line.split()
        counts.setdefault(word, len(phones))
    if missing := [word for word in grammar.words if word not in counts]:
        raise DataError(f"{lexicon}: {missing[0]} of {grammar.path} has no pronunciation ({len(missing)} such)")
    return counts


def _draw_prompts(config: CorpusConfig, grammar: Grammar, num_phones: Mapping[str, int]) -> dict[str, list[str]]:
    """Sentences of each part and of the language model; none is in two of them."""
    taken: set[str] = set()
    prompts: dict[str, list[str]] = {}
    # Dev and test first: they stay the same when the amount of training data changes.
    order: tuple[Part, ...] = ("dev", "test", "train", "transfer")
    for part in order:
        rng = rng_for(config.seed, "prompts", part)
        seconds, prompts[part] = 0.0, []
        while seconds < 60 * float(getattr(config.minutes, part)):
            sentence = grammar.draw_new(rng, taken)
            seconds += _SECONDS_BESIDE + _SECONDS_A_PHONE * sum(num_phones[word] for word in sentence.split())
            prompts[part].append(sentence)
    rng = rng_for(config.seed, "prompts", "lm")
    prompts["lm"] = [grammar.draw_new(rng, taken) for _ in range(config.lm_sentences)]
    return prompts


_FIRST_ID: Mapping[Part, int] = {"train": 1000, "dev": 2000, "test": 3000, "transfer": 4000}
_CHAPTER_LENGTH = 20


def _speakers(config: CorpusConfig, part: Part) -> list[Speaker]:
    """Speakers of ``part``: warps spread evenly over their range, pitch with them, pace at random."""
    speakers: list[Speaker] = []
    for voice in VOICES[part]:
        held_out = part in ("dev", "test")
        count = config.speakers.natural if voice.is_natural else config.speakers.formant * (2 if held_out else 1)
        count *= config.speakers.transfer_factor if part == "transfer" else 1
        low, high = config.speakers.natural_warp if voice.is_natural else config.speakers.formant_warp
        for number in range(count):
            name = str(_FIRST_ID[part] + len(speakers) + 1)
            rng = rng_for(config.seed, "speaker", name)
            warp = low + (high - low) * (number + rng.random()) / count
            # Larger speakers have lower voices: between the sexes pitch changes by about the cube of formants.
            pitch = warp**3 * np.exp(rng.uniform(-0.08, 0.08))
            speakers.append(Speaker(name, voice, Manner(warp, float(pitch), rng.uniform(0.9, 1.12))))
    return speakers


def _plan(config: CorpusConfig, part: Part, prompts: list[str]) -> Iterator[Chapter]:
    """Deal ``prompts`` to the speakers of ``part`` in turn, in chapters."""
    speakers = _speakers(config, part)
    for index, speaker in enumerate(speakers):
        own = prompts[index :: len(speakers)]
        for start in range(0, len(own), _CHAPTER_LENGTH):
            chapter = str(101 + start // _CHAPTER_LENGTH)
            texts = own[start : start + _CHAPTER_LENGTH]
            yield Chapter(
                part, speaker, chapter, {f"{speaker.id}-{chapter}-{i:04d}": text for i, text in enumerate(texts)}
            )


def _babble(config: CorpusConfig, grammar: Grammar, seconds: Seconds = 60.0, num_talkers: int = 6) -> Samples:
    """A minute of training voices that talk at once, shape (num_samples,)."""
    length = round(seconds * SAMPLE_RATE)
    mixed = np.zeros(length, np.float32)
    formant = [voice for voice in TRAIN_VOICES if not voice.is_natural]  # they are the fastest by far
    for talker in range(num_talkers):
        rng = rng_for(config.seed, "babble", talker)
        voice, pieces = formant[talker * len(formant) // num_talkers], [np.zeros(0, np.float32)]
        while sum(map(len, pieces)) < length:
            text = " ".join(grammar.draw(rng).lower() for _ in range(8))
            pieces.append(speak(voice, text, Manner(rate=rng.uniform(0.9, 1.1)), talker))
        samples = np.concatenate(pieces)[:length]
        mixed += samples / max(acoustics.rms(samples), 1e-9)
    return mixed


def _make_chapter(config: CorpusConfig, chapter: Chapter, babble: Samples, work: Path) -> None:
    folder = work / chapter.part / chapter.speaker.id / chapter.id
    if folder.is_dir():
        return
    partial = folder.with_name(chapter.id + UNFINISHED)
    if partial.exists():
        shutil.rmtree(partial)
    partial.mkdir(parents=True)
    for utt_id, text in chapter.prompts.items():
        samples = _utterance(config, chapter, utt_id, text, babble)
        write_audio(partial / f"{utt_id}.flac", samples)
    if chapter.part != "transfer":
        with atomic_write(partial / f"{chapter.speaker.id}-{chapter.id}.trans.txt") as file:
            file.writelines(f"{utt_id} {text}\n" for utt_id, text in chapter.prompts.items())
    os.replace(partial, folder)


def _utterance(config: CorpusConfig, chapter: Chapter, utt_id: str, text: str, babble: Samples) -> Samples:
    """``text`` as its speaker says it, in a room, with noise: shape (num_samples,)."""
    rng = rng_for(config.seed, utt_id)
    conditions = config.conditions_of.get(chapter.part, config.conditions)
    manner = Manner(
        warp=chapter.speaker.manner.warp * _jitter(rng, conditions.warp_jitter),
        pitch=chapter.speaker.manner.pitch * _jitter(rng, conditions.pitch_jitter),
        rate=chapter.speaker.manner.rate * _jitter(rng, conditions.rate_jitter),
    )
    # Lower case: of capitals some engines spell out "US" and "IT".
    samples = acoustics.trim(speak(chapter.speaker.voice, text.lower(), manner, int(rng.integers(1, 1 << 30))))
    loudness = acoustics.rms(samples)
    samples = acoustics.pad(samples, *rng.uniform(0.12, 0.35, size=2))
    if rng.random() < conditions.reverb_probability:
        ratio: Decibels = rng.uniform(*conditions.reverb_ratio_db)
        samples = acoustics.reverberate(samples, rng.uniform(*conditions.reverb_t60), ratio, rng)
    kind = conditions.noises[int(rng.integers(len(conditions.noises)))]
    snr: Decibels = rng.uniform(*conditions.snr_db)
    samples = acoustics.mix(samples, acoustics.noise(kind, len(samples), rng, babble), loudness, snr)
    return acoustics.finish(samples, rng.uniform(*conditions.level_db))


def _jitter(rng: np.random.Generator, width: float) -> float:
    return float(1 + rng.uniform(-width, width))


def _write_speakers(path: Path, chapters: list[Chapter]) -> None:
    """LibriSpeech's table of speakers, with what they are made of in place of sex and name."""
    rows = sorted({(chapter.speaker.id, chapter.part, chapter.speaker) for chapter in chapters})
    with atomic_write(path) as file:
        file.write("; id | part | base voice | warp | pitch | rate\n")
        for name, part, (_, voice, manner) in rows:
            factors = f"{manner.warp:.3f} | {manner.pitch:.3f} | {manner.rate:.3f}"
            file.write(f"{name} | {part} | {voice} | {factors}\n")


def _summary(work: Path, chapters: list[Chapter]) -> dict[str, Any]:
    seconds = sum(
        audio_seconds(work / chapter.part / chapter.speaker.id / chapter.id / f"{utt_id}.flac")
        for chapter in chapters
        for utt_id in chapter.prompts
    )
    return {
        "minutes": round(seconds / 60, 2),
        "utterances": sum(len(chapter.prompts) for chapter in chapters),
        "speakers": len({chapter.speaker.id for chapter in chapters}),
        "words": sum(len(text.split()) for chapter in chapters for text in chapter.prompts.values()),
    }
