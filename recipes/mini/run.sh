#!/usr/bin/env bash
# From synthesis to the report, on the embedded default. Run it by ./run.sh.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

recipe=mini
own_options=study
lexicon=data/mini/lexicon.txt lm_text=
study=false
own_usage="  --study B         true: then the studies of recipes/mini/study.yaml, which the report holds, too (default $study)
"

make_data() {
  asrkd corpus data/mini "$exp/corpus"
  for part in train dev test; do together asrkd prepare "$exp/corpus/$part" "$exp/data/$part"; done
  together asrkd prepare --no-transcripts "$exp/corpus/transfer" "$exp/data/transfer"
  finish
}

settle() { check_switches study; }

. recipes/pipeline.sh

if [ "$study" = true ]; then
  asrkd sweep --config recipes/mini/study.yaml "$exp" "$exp/study"
  asrkd report "$exp" "$exp/report"
fi
