#!/usr/bin/env bash
# From synthesis to the report, on the embedded default. Run it by ./run.sh.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

recipe=mini
own_options=
lexicon=data/mini/lexicon.txt lm_text=
own_usage=

make_data() {
  asrkd corpus data/mini "$exp/corpus"
  for part in train dev test; do together asrkd prepare "$exp/corpus/$part" "$exp/data/$part"; done
  together asrkd prepare --no-transcripts "$exp/corpus/transfer" "$exp/data/transfer"
  finish
}

. recipes/pipeline.sh
