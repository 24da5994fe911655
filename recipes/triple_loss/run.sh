#!/usr/bin/env bash
# DistilBERT's triple loss on acoustic models. Run it by ./run.sh triple_loss.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

recipe=triple_loss
prepared=5

. recipes/study.sh

teacher=$exp/teachers/1
asrkd train --section teacher --seed 1 $train_set "$teacher"
study --set "sweep.teachers=$(cd "$exp" && pwd)/teachers"

students=("$exp"/study/trials/kept/net=triple-loss/*/net)
if [ ! "$exp/speed.md" -nt "${students[0]}/stage.json" ]; then
  "$(dirname "$(type -P asrkd)")/python" -m bench.forward "$teacher" "${students[0]}" >"$exp/speed.partial"
  mv "$exp/speed.partial" "$exp/speed.md"
fi
cat "$exp/speed.md"
