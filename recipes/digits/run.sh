#!/usr/bin/env bash
# Digits: a large net with dropout and jitter teaches small ones. Run it by ./run.sh digits.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

recipe=digits
own_options=data
own_usage="  --data DIR        folder with MNIST's four IDX files (default: scikit-learn's digits)
"
data=
make_experiment() {
  from=$exp/data
  asrkd digits ${data:+--data "$data"} "$from"
}

. recipes/study.sh

# A teacher for each seed of the studies.
section=teacher${data:+_mnist}
for seed in 1 2 3; do together asrkd train --section "$section" --seed "$seed" $train_set "$exp/teachers/$seed"; done
finish
study --set "sweep.teachers=$(cd "$exp" && pwd)/teachers"
