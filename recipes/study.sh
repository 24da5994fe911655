# Studies over a prepared experiment, for a recipe's run.sh to source: features, alignments, teachers and graph are there.
# The recipe sets
#   recipe           its name
# and may set, before,
#   prepared         the stage of recipes/mini up to which the experiment is needed (default 6: teachers)
#   make_experiment  a function that makes one of its own where none is named, and sets $from
#   own_options      names of options beside the common ones, own_usage their help
# It has then, beside the options,
#   from, exp        the experiment, and the recipe's own folder
#   kind             folder of the nets' features in $from
#   train_set        options of `asrkd train` for the labelled training part and dev
#   asrkd            with the recipe's configuration, in $jobs processes
#   study            runs the section sweep into $exp/study; takes further options of `asrkd sweep`

config=recipes/$recipe/recipe.yaml
from=
exp=exp/$recipe
jobs=$(nproc 2>/dev/null || echo 2)
own_options=${own_options:-}
own_usage=${own_usage:-}

usage() {
  cat <<END
usage: run.sh $recipe [options]
$own_usage  --from DIR        prepared experiment of any recipe (default exp/mini, which is made where it does not stand)
  --config YAML     recipe (default $config)
  --exp DIR         folder for what is made (default $exp)
  --jobs N          processes (default: the number of cores, $jobs)
END
}

options="from config exp jobs $own_options"
. recipes/common.sh
read_options "$@"
check_counts jobs

asrkd check --config "$config"
asrkd() { command asrkd "$1" --config "$config" --jobs "${threads:-$jobs}" "${@:2}"; }

if [ -z "$from" ] && declare -F make_experiment >/dev/null; then
  make_experiment
elif [ -z "$from" ]; then
  from=exp/mini
  bash recipes/mini/run.sh --exp "$from" --jobs "$jobs" --stop-stage "${prepared:-6}"
fi
kind=fbank
if [ -d "$from/features" ]; then kind=features; fi # as imported from Kaldi
[ -d "$from/$kind" ] || fail "--from '$from' is no prepared experiment: it has no $from/fbank"
train_set="--features $from/$kind/train --alignment $from/ali/train --dev-features $from/$kind/dev --dev-alignment $from/ali/dev"

study() {
  asrkd sweep --set "sweep.features=$kind" "$@" "$from" "$exp/study"
  echo "report: $exp/study/sweep.html"
}
