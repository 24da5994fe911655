"""words.json: a decoded set's word errors, with counts by utterance. Needs no torch."""

from pathlib import Path
from typing import Any

from asrkd.core.datadir import read_transcripts
from asrkd.core.files import read_json, write_json
from asrkd.scoring.words import read_text, score_words


def word_scores(data_dir: Path, decoded: Path, work: Path) -> dict[str, Any]:
    """Score a decode folder's hyp.txt against a data dir's text; writes words.json."""
    scores = score_words(read_transcripts(data_dir), read_text(decoded / "hyp.txt"))
    total = scores.total
    summary = {
        "wer": scores.wer,
        "errors": total.errors,
        "words": total.words,
        "substitutions": total.substitutions,
        "deletions": total.deletions,
        "insertions": total.insertions,
        "sentence_error_rate": scores.sentence_error_rate,
        "missing": list(scores.missing),
    }
    by_utterance = {utt: [counts.errors, counts.words] for utt, counts in scores.utterances.items()}
    decoding = read_json(decoded / "decode.json")
    kept = {name: decoding[name] for name in ("acoustic_scale", "rtf", "num_partial", "num_failed") if name in decoding}
    write_json(work / "words.json", {**summary, "decoding": kept, "utterances": by_utterance})
    if scores.missing:
        print(f"score: {len(scores.missing)} utterances have no hypothesis, {scores.missing[0]} first: deletions")
    print(f"score: WER {100 * scores.wer:.2f} % ({total.errors} of {total.words} words)", flush=True)
    return summary
