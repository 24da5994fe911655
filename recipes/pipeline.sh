# The pipeline from data dirs to the report, for a recipe's run.sh to source. The recipe sets
#   recipe           its name
#   own_options      names of options beside the common ones, own_usage their help; those in needed_options must be given
#   lexicon lm_text  pronunciations; sentences or an ARPA model
# and defines make_data, which makes $exp/data/{train,dev,transfer} and a data dir for each of `tests`. It may define
#   settle           run once the options are known: checks them, and sets what follows from them
#   make_lexicon     run before stage 3's own work
# and set, there or before,
#   tests            parts to test on, each with a report of its own if it is not `test` alone
#   with_transfer    false: no audio without transcripts; the students have the labelled speech alone
#   ablate_transfer  true: one more student, on the labelled speech alone

config=recipes/$recipe/recipe.yaml
exp=exp/$recipe
stage=1
stop_stage=10
jobs=$(nproc 2>/dev/null || echo 2)
num_teachers= # empty: the configuration's
speed_perturb=false
augment=
tests=${tests:-test}
with_transfer=${with_transfer:-true}
ablate_transfer=${ablate_transfer:-false}

usage() {
  cat <<END
usage: run.sh $recipe [options]
$own_usage  --stage N         first stage to run (default $stage)
  --stop-stage N    last stage to run (default $stop_stage)
  --config YAML     recipe (default $config)
  --exp DIR         experiment folder (default $exp)
  --jobs N          processes (default: the number of cores, $jobs)
  --num-teachers N  size of the ensemble (default: the configuration's, 5 where it is silent)
  --speed-perturb B true: train on copies at 0.9 and 1.1 times the speed too (default $speed_perturb)
  --augment KINDS   train nets on copies too: any of "speed noise room vtlp", speed as by --speed-perturb (default: none)
stages: 1 corpus  2 features  3 language  4 tied states  5 graph, GMM decode  6 teachers  7 choice of T and alpha, soft targets
        8 students  9 decoding and scores  10 report
END
}
fail() { echo "run.sh $recipe: error: $*" >&2; exit 1; }

while [ $# -gt 0 ]; do
  name=${1#--}
  case " stage stop-stage config exp jobs num-teachers speed-perturb augment $own_options " in
    *" $name "*)
      [ $# -ge 2 ] || fail "$1 needs a value (see -h)"
      printf -v "${name//-/_}" '%s' "$2"; shift 2 ;;
    *)
      case "$1" in -h | --help) usage; exit 0 ;; esac
      fail "unknown option '$1' (see -h)" ;;
  esac
done
for name in stage stop_stage jobs ${num_teachers:+num_teachers}; do
  [[ ${!name} =~ ^[1-9][0-9]*$ ]] || fail "--${name//_/-} '${!name}' is not a whole number above 0"
done
[[ $speed_perturb =~ ^(true|false)$ ]] || fail "--speed-perturb '$speed_perturb' is neither true nor false"
kinds= # of copies that keep the originals' timing and so their alignment
for name in $augment; do
  case "$name" in
    speed) speed_perturb=true ;;
    noise | room | vtlp) kinds+=${kinds:+,}$name ;;
    *) fail "--augment '$name' is none of speed, noise, room, vtlp" ;;
  esac
done
for name in ${needed_options:-}; do
  name=${name//-/_}
  [ -n "${!name}" ] || fail "--${name//_/-} is needed (see -h)"
done

if declare -F settle >/dev/null; then settle; fi

asrkd check --config "$config"
settings=$(asrkd check --config "$config" --recipe)
while read -r name values; do # num_teachers, unless given; temperatures; alphas
  [ -n "${!name:-}" ] || printf -v "$name" '%s' "$values"
done <<<"$settings"
lm_text=${lm_text:-$exp/corpus/lm_text.txt}
asrkd() { command asrkd "$1" --config "$config" --jobs "${threads:-$jobs}" "${@:2}"; }
at() { [ "$stage" -le "$1" ] && [ "$stop_stage" -ge "$1" ]; }

# Runs its arguments in the background, at most $jobs at a time, one thread each; `finish` waits for all of them.
together() {
  while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n || exit 1; done
  OMP_NUM_THREADS=1 threads=1 "$@" &
}
finish() {
  local pid
  for pid in $(jobs -p); do wait "$pid" || exit 1; done
}

evaluate() { # system, kind of features, model or models; a GMM comes as --gmm=MODEL
  local eval=$exp/eval/$1 kind=$2 part; shift 2
  asrkd decode --tune "$exp/data/dev" "$exp/graph" "$exp/$kind/dev" "$@" "$eval/dev/decode"
  for part in $tests; do
    asrkd decode --scale-of "$eval/dev/decode" "$exp/graph" "$exp/$kind/$part" "$@" "$eval/$part/decode"
  done
  for part in dev $tests; do
    asrkd score "$exp/data/$part" "$eval/$part/decode" "$eval/$part/words"
    asrkd frames "$exp/$kind/$part" "$exp/ali/$part" "$@" "$eval/$part/frames"
  done
}

train_part=train # what tied states are trained on
if [ "$speed_perturb" = true ]; then train_part=train_sp; fi
net_part=$train_part # what nets are
if [ -n "$kinds" ]; then net_part=train_aug; fi
labelled="$train_part dev $tests"
teachers=$(seq -f "$exp/teachers/%g" "$num_teachers")
dev="--dev-features $exp/fbank/dev --dev-alignment $exp/ali/dev"
train_set="--features $exp/fbank/$net_part --alignment $exp/ali/$net_part $dev"
transfer= transfer_tune= # audio without transcripts: all, and the share on which T and alpha are tried
if [ "$with_transfer" = true ]; then transfer=$exp/fbank/transfer transfer_tune=$exp/fbank/transfer_tune; fi

if at 1; then
  make_data
  if [ "$speed_perturb" = true ]; then asrkd perturb "$exp/data/train" "$exp/data/train_sp"; fi
  if [ -n "$kinds" ]; then
    asrkd augment --set "augment.kinds=[$kinds]" "$exp/data/$train_part" "$exp/data/train_aug"
  fi
  if [ "$with_transfer" = true ]; then asrkd subset "$exp/data/transfer" "$exp/data/transfer_tune"; fi
fi

if at 2; then
  for part in $labelled ${kinds:+train_aug} ${transfer:+transfer transfer_tune}; do
    asrkd fbank "$exp/data/$part" "$exp/fbank/$part"
  done
  for part in $labelled; do asrkd mfcc "$exp/data/$part" "$exp/mfcc/$part"; done
fi

if at 3; then
  if declare -F make_lexicon >/dev/null; then make_lexicon; fi
  asrkd lang "$lexicon" "$lm_text" "$exp/lang"
fi

if at 4; then
  asrkd mono "$exp/mfcc/$train_part" "$exp/data/$train_part" "$exp/lang" "$exp/mono"
  asrkd triphone "$exp/mfcc/$train_part" "$exp/data/$train_part" "$exp/lang" "$exp/mono" "$exp/tri"
  for part in $labelled; do
    asrkd align "$exp/mfcc/$part" "$exp/data/$part" "$exp/lang" "$exp/tri" "$exp/ali/$part"
  done
  if [ -n "$kinds" ]; then
    asrkd align-copies "$exp/ali/$train_part" "$exp/data/train_aug" "$exp/tri" "$exp/ali/train_aug"
  fi
fi

if at 5; then
  asrkd graph "$exp/lang" "$exp/tri" "$exp/graph"
  evaluate gmm mfcc "--gmm=$exp/tri"
fi

if at 6; then
  for seed in $(seq "$num_teachers"); do
    together asrkd train --section teacher --seed "$seed" $train_set "$exp/teachers/$seed"
  done
  finish
fi

if at 7; then
  # Temperature first, at the section's alpha; then alpha, at the best temperature.
  tune=$exp/tune
  try() { # temperature alpha
    asrkd train --section student_tune $train_set ${transfer_tune:+--unlabelled "$transfer_tune"} \
      --soft-targets "$tune/soft_targets.T$1" --set "student_tune.loss.temperature=$1" \
      --set "student_tune.loss.alpha=$2" "$tune/T$1.a$2"
  }
  for t in $temperatures; do
    together asrkd posteriors --set "posteriors.temperature=$t" --features "$exp/fbank/$net_part" \
      ${transfer_tune:+--features "$transfer_tune"} $teachers "$tune/soft_targets.T$t"
  done
  finish
  tried=
  for t in $temperatures; do together try "$t" 0.9; tried+=" $tune/T$t.a0.9"; done
  finish
  asrkd choose $tried "$tune/temperature"
  best=$(cat "$tune/temperature/temperature")
  for a in $alphas; do together try "$best" "$a"; tried+=" $tune/T$best.a$a"; done
  finish
  asrkd choose --for student --for student_small $tried "$exp/chosen"
  asrkd posteriors --config "$exp/chosen/chosen.yaml" --features "$exp/fbank/$net_part" \
    ${transfer:+--features "$transfer"} $teachers "$exp/soft_targets"
fi

if at 8; then
  student() { # section, folder, transfer set
    together asrkd train --config "$exp/chosen/chosen.yaml" --section "$1" $train_set \
      ${3:+--unlabelled "$3"} --soft-targets "$exp/soft_targets" "$2"
  }
  student student "$exp/student" "$transfer"
  student student_small "$exp/student_small" "$transfer"
  if [ "$ablate_transfer" = true ]; then student student "$exp/student_labelled" ""; fi
  finish
fi

if at 9; then
  for seed in $(seq "$num_teachers"); do together evaluate "teacher.$seed" fbank "$exp/teachers/$seed"; done
  together evaluate ensemble fbank $teachers
  together evaluate distilled fbank "$exp/student"
  together evaluate distilled_small fbank "$exp/student_small"
  if [ "$ablate_transfer" = true ]; then together evaluate distilled_labelled fbank "$exp/student_labelled"; fi
  finish
fi

if at 10; then
  for part in $tests; do
    report=$exp/report
    if [ "$tests" != test ]; then report+=/$part; fi
    asrkd report --test "$part" "$exp" "$report"
    echo "report: $report/report.html"
  done
fi
