#!/usr/bin/env bash
# From synthesis to the report, on the embedded default. Run it by ./run.sh.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

recipe=mini
config=recipes/mini/recipe.yaml
exp=exp/mini
stage=1
stop_stage=10
jobs=$(nproc 2>/dev/null || echo 2)
num_teachers=5
temperatures="1 2 4"
alphas="0.5 1.0" # tried at the best temperature, beside 0.9
own_options=
lexicon=data/mini/lexicon.txt lm_text=
own_usage=

make_data() {
  asrkd corpus data/mini "$exp/corpus"
  for part in $labelled; do together asrkd prepare "$exp/corpus/$part" "$exp/data/$part"; done
  together asrkd prepare --no-transcripts "$exp/corpus/transfer" "$exp/data/transfer"
  finish
}

. recipes/pipeline.sh
