#!/usr/bin/env bash
# Specialists beside a generalist, and both distilled into one net. Run it by ./run.sh specialists.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

recipe=specialists
own_options=seeds
own_usage="  --seeds N         nets of each kind, which means and intervals are over (default 3)
"
seeds=3

. recipes/study.sh

check_counts seeds
numbers=$(seq "$seeds")
[ -d "$from/teachers/$seeds" ] || fail "--from '$from' has fewer than $seeds teachers: take a smaller --seeds"
unlabelled=$from/$kind/transfer_tune # what the students have beside the labelled speech
[ -d "$unlabelled" ] || unlabelled=

specialise() { # folder of generalists, one a seed; folder to work in
  local seed number
  asrkd cluster --features "$from/$kind/train" "$1/1" "$2/clusters"
  for seed in $numbers; do
    for number in $(cat "$2/clusters/numbers"); do
      together asrkd train-specialist --section "specialist_$(basename "$2")" --cluster "$number" --seed "$seed" \
        $train_set "$1/$seed" "$2/clusters" "$2/specialists/$seed/$number"
    done
  done
  finish
  for seed in $numbers; do
    asrkd add-specialists "$1/$seed" $(printf "$2/specialists/$seed/%s " $(cat "$2/clusters/numbers")) "$2/joined/$seed"
  done
}
distil() { # folder of teachers, one a seed; folder to work in; seed
  asrkd posteriors --features "$from/$kind/train" ${unlabelled:+--features "$unlabelled"} "$1/$3" "$2/soft_targets/$3"
  asrkd train --section student --seed "$3" $train_set ${unlabelled:+--unlabelled "$unlabelled"} \
    --soft-targets "$2/soft_targets/$3" "$2/students/$3"
}
evaluate() { # system, folder of its nets, seed
  local eval=$exp/eval/$1/$3 net=$2/$3
  asrkd decode --scale-of "$exp/scale" "$from/graph" "$from/$kind/test" "$net" "$eval/decode"
  asrkd score "$from/data/test" "$eval/decode" "$eval/words"
  asrkd frames "$from/$kind/test" "$from/ali/test" "$net" "$eval/frames"
}
each_seed() { # a function and its first two arguments
  local seed
  for seed in $numbers; do together "$@" "$seed"; done
  finish
}
score() { # folder that specialise worked in; further options
  asrkd score-specialists "$from/$kind/test" "$from/ali/test" $(printf "$1/joined/%s " $numbers) "$1/scores" "${@:2}"
}

# Of generalists that do not yet know their training speech by heart, as the paper's did not.
brief=$exp/brief
for name in generalist generalist_longer; do
  for seed in $numbers; do together asrkd train --section $name --seed "$seed" $train_set "$brief/$name/$seed"; done
done
finish
specialise "$brief/generalist" "$brief"
each_seed distil "$brief/generalist" "$brief/control"
each_seed distil "$brief/joined" "$brief/distilled"

# At one acoustic scale: tuned for each net, it varies more than the nets do.
asrkd decode --tune "$from/data/dev" "$from/graph" "$from/$kind/dev" "$brief/generalist/1" "$exp/scale"
systems=()
measure() { # system, folder of its nets
  each_seed evaluate "$1" "$2"
  systems+=(--evaluated "$exp/eval/$1")
}
measure generalist "$brief/generalist"
measure longer "$brief/generalist_longer"
measure specialists "$brief/joined"
measure control "$brief/control/students"
measure distilled "$brief/distilled/students"
score "$brief" "${systems[@]}"

# Of generalists that do.
specialise "$from/teachers" "$exp/long"
score "$exp/long"
echo "reports: $brief/scores/specialists.html $exp/long/scores/specialists.html"
