#!/usr/bin/env bash
# From one's own recordings in the LibriSpeech layout to the report. Run it by ./run.sh own.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

recipe=own
train= test= transfer= lexicon= lm_text=
own_options="train test transfer lexicon lm-text"
needed_options=$own_options
own_usage="  --train DIR       part with transcripts; a share of its sentences becomes the dev set
  --test DIR        part with transcripts, for the final figures
  --transfer DIR    part whose transcripts, if any, are not used: soft targets only
  --lexicon FILE    pronunciations, CMUdict format
  --lm-text FILE    sentences for the language model, one a line, or a model in ARPA form; gzipped or not
"

make_data() {
  asrkd prepare "$train" "$exp/all"
  asrkd split "$exp/all" "$exp/split"
  mkdir -p "$exp/data"
  for part in train dev; do ln -sfn "../split/$part" "$exp/data/$part"; done
  asrkd prepare "$test" "$exp/data/test"
  asrkd prepare --no-transcripts "$transfer" "$exp/data/transfer"
}

. recipes/pipeline.sh
