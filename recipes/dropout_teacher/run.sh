#!/usr/bin/env bash
# A dropout net as the only teacher. Run it by ./run.sh dropout_teacher.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

recipe=dropout_teacher
own_options=tune
tune=false
own_usage="  --tune B          true: first the study tuning, dropout and max-norm of the teacher on dev, one seed (default $tune)
"

. recipes/study.sh

check_switches tune
if [ "$tune" = true ]; then
  asrkd sweep --only tuning --set "sweep.features=$kind" --set "sweep.seeds=[100]" --set "sweep.unlabelled=[]" \
    "$from" "$exp/tuning"
fi
for seed in 1 2 3; do
  together asrkd train --section teacher --seed "$seed" $train_set "$exp/droppers/$seed"
done
finish
heard=()
if ! [ -d "$from/$kind/transfer_tune" ]; then heard=(--set "sweep.unlabelled=[]"); fi # labelled speech alone
study --only teachers --only students "${heard[@]}"
