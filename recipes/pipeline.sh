# The pipeline from data dirs to the report, for a recipe's run.sh to source. The recipe sets
#   recipe           its name
#   own_options      names of options beside the common ones, own_usage their help; those in needed_options must be given
#   lexicon lm_text  pronunciations; sentences or an ARPA model
# and defines make_data, which makes $exp/data/{train,dev,transfer} and a data dir for each of `tests`. It may define
#   settle           run once the options are known: checks them, and sets what follows from them
#   make_features    run in place of stage 2's own work
#   make_lexicon     run before stage 3's own work
# and set, there or before,
#   tests            parts to test on, each with a report of its own if it is not `test` alone
#   with_transfer    false: no audio without transcripts; the students have the labelled speech alone
#   ablate_transfer  true: one more student, on the labelled speech alone
#   tune_part        data dir with the share of transfer on which T and alpha are tried; by default a subset, made here
#   kind             folder of the nets' features in $exp
#   left_out         stages that others have done
#   growing          true: the ensembles of the first 2, 3, ... teachers, other combinations and learnt weights, scored too
#   rescore          sentences or an ARPA model: a language model that rescores lattices, of section lm_rescore

config=recipes/$recipe/recipe.yaml
exp=exp/$recipe
stage=1
stop_stage=10
jobs=$(nproc 2>/dev/null || echo 2)
num_teachers= # empty: the configuration's
triphones=    # numbers of the stages that come before the last: the configuration's
realign=false
augment=
tests=${tests:-test}
with_transfer=${with_transfer:-true}
ablate_transfer=${ablate_transfer:-false}
tune_part=${tune_part:-transfer_tune}
kind=${kind:-fbank}
left_out=${left_out:-}
growing=${growing:-false}
rescore=${rescore:-}

usage() {
  cat <<END
usage: run.sh $recipe [options]
$own_usage  --stage N         first stage to run (default $stage)
  --stop-stage N    last stage to run (default $stop_stage)
  --config YAML     recipe (default $config)
  --exp DIR         experiment folder (default $exp)
  --jobs N          processes (default: the number of cores, $jobs)
  --num-teachers N  size of the ensemble (default: the configuration's, 5 where it is silent)
  --realign B       true: a first net aligns the speech anew for teachers and students (default $realign)
  --augment KINDS   train on copies too, any of "speed noise room vtlp": at 0.9 and 1.1 times the speed; nets alone, with
                    the alignment of their originals, in noise, in rooms, and with vocal tracts warped (default: none)
  --growing B       true: score the ensembles of the first 2, 3, ... teachers too, the geometric mean of all, and weights
                    of the teachers that were learnt on dev (default $growing)
stages: 1 corpus  2 features  3 language  4 tied states  5 graph, GMM decode  6 teachers  7 choice of T and alpha, soft targets
        8 students  9 decoding and scores  10 report
END
}

options="stage stop-stage config exp jobs num-teachers realign augment growing $own_options"
. recipes/common.sh
read_options "$@"
check_counts stage stop_stage jobs ${num_teachers:+num_teachers}
check_switches realign growing
train_part=train # what tied states are trained on
kinds=           # of copies that keep their originals' timing, and so their alignment
for name in $augment; do
  case "$name" in
    speed) train_part=train_sp ;;
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
while read -r name values; do # num_teachers, unless given; temperatures; alphas; triphones
  [ -n "${!name:-}" ] || printf -v "$name" '%s' "$values"
done <<<"$settings"
lm_text=${lm_text:-$exp/corpus/lm_text.txt}
asrkd() { command asrkd "$1" --config "$config" --jobs "${threads:-$jobs}" "${@:2}"; }
at() { [ "$stage" -le "$1" ] && [ "$stop_stage" -ge "$1" ] && [[ " $left_out " != *" $1 "* ]]; }

combining=() # how `frames` combines several models
# Each takes system, kind of features, and model or models; a GMM comes as --gmm=MODEL.
decode() {
  local eval=$exp/eval/$1 kind=$2 part lms=(); shift 2
  if [ -n "$rescore" ]; then lms=(--lm "$exp/lm" --rescore "$exp/lm_rescore"); fi
  asrkd decode "${lms[@]}" --tune "$exp/data/dev" "$exp/graph" "$exp/$kind/dev" "$@" "$eval/dev/decode"
  for part in $tests; do
    asrkd decode "${lms[@]}" --scale-of "$eval/dev/decode" "$exp/graph" "$exp/$kind/$part" "$@" "$eval/$part/decode"
  done
  for part in dev $tests; do asrkd score "$exp/data/$part" "$eval/$part/decode" "$eval/$part/words"; done
}
frames() {
  local eval=$exp/eval/$1 kind=$2 part; shift 2
  for part in dev $tests; do
    asrkd frames "${combining[@]}" "$exp/$kind/$part" "$alignments/$part" "$@" "$eval/$part/frames"
  done
}
evaluate() { decode "$@"; frames "$@"; }
combine() { # arithmetic or geometric: all teachers with equal weights, then with those learnt on dev
  local combining=(--combination "$1") weights=$exp/weights/$1
  if [ "$1" != arithmetic ]; then frames "combined.$1" "$kind" $teachers; fi # that one is the ensemble
  asrkd weigh --combination "$1" "$exp/$kind/dev" "$alignments/dev" $teachers "$weights"
  combining=(--weights "$weights")
  frames "combined.$1_learnt" "$kind" $teachers
}

net_part=$train_part # what nets are
if [ -n "$kinds" ]; then net_part=train_aug; fi
labelled="$train_part dev $tests"
teachers=$(seq -f "$exp/teachers/%g" "$num_teachers")
train_set() { # folder of alignments
  local features=$exp/$kind
  echo "--features $features/$net_part --alignment $1/$net_part --dev-features $features/dev --dev-alignment $1/dev"
}
copies_too() { # folder of alignments
  if [ -n "$kinds" ]; then asrkd align-copies "$1/$train_part" "$exp/data/train_aug" "$exp/tri" "$1/train_aug"; fi
}
alignments=$exp/ali
if [ "$realign" = true ]; then alignments=$exp/ali_net; fi
train_set=$(train_set "$alignments")
unlabelled= tune_set= # audio without transcripts: all, and the share on which T and alpha are tried
if [ "$with_transfer" = true ]; then unlabelled=$exp/$kind/transfer tune_set=$exp/$kind/$tune_part; fi

if at 1; then
  make_data
  if [ "$train_part" = train_sp ]; then asrkd perturb "$exp/data/train" "$exp/data/train_sp"; fi
  if [ -n "$kinds" ]; then
    asrkd augment --set "augment.kinds=[$kinds]" "$exp/data/$train_part" "$exp/data/train_aug"
  fi
  if [ "$tune_set" = "$exp/$kind/transfer_tune" ]; then asrkd subset "$exp/data/transfer" "$exp/data/transfer_tune"; fi
fi

if at 2; then
  if declare -F make_features >/dev/null; then make_features; else
    for part in $labelled ${kinds:+train_aug} ${unlabelled:+transfer "$tune_part"}; do
      asrkd fbank "$exp/data/$part" "$exp/$kind/$part"
    done
    for part in $labelled; do asrkd mfcc "$exp/data/$part" "$exp/mfcc/$part"; done
  fi
fi

if at 3; then
  if declare -F make_lexicon >/dev/null; then make_lexicon; fi
  asrkd lang "$lexicon" "$lm_text" "$exp/lang"
  asrkd lm "$exp/lang" "$lm_text" "$exp/lm"
  if [ -n "$rescore" ]; then asrkd lm --section lm_rescore "$exp/lang" "$rescore" "$exp/lm_rescore"; fi
fi

if at 4; then
  asrkd mono "$exp/mfcc/$train_part" "$exp/data/$train_part" "$exp/lang" "$exp/mono"
  previous=$exp/mono
  for number in $triphones; do
    asrkd triphone --section "triphone$number" "$exp/mfcc/$train_part" "$exp/data/$train_part" "$exp/lang" \
      "$previous" "$exp/tri$number"
    previous=$exp/tri$number
  done
  asrkd triphone "$exp/mfcc/$train_part" "$exp/data/$train_part" "$exp/lang" "$previous" "$exp/tri"
  for part in $labelled; do
    asrkd align "$exp/mfcc/$part" "$exp/data/$part" "$exp/lang" "$exp/tri" "$exp/ali/$part"
  done
  copies_too "$exp/ali"
fi

if at 5; then
  asrkd graph "$exp/lang" "$exp/lm" "$exp/tri" "$exp/graph"
  decode gmm mfcc "--gmm=$exp/tri"
fi

if at 6; then
  if [ "$realign" = true ]; then
    asrkd train --section teacher --seed 0 $(train_set "$exp/ali") "$exp/first_net"
    for part in $labelled; do
      asrkd align "$exp/$kind/$part" "$exp/data/$part" "$exp/lang" "$exp/tri" "$exp/first_net" "$alignments/$part"
    done
    copies_too "$alignments"
  fi
  for seed in $(seq "$num_teachers"); do
    together asrkd train --section teacher --seed "$seed" $train_set "$exp/teachers/$seed"
  done
  finish
fi

if at 7; then
  # Temperature first, at the section's alpha; then alpha, at the best temperature.
  tune=$exp/tune
  try() { # temperature alpha
    asrkd train --section student_tune $train_set ${tune_set:+--unlabelled "$tune_set"} \
      --soft-targets "$tune/soft_targets.T$1" --set "student_tune.loss.temperature=$1" \
      --set "student_tune.loss.alpha=$2" "$tune/T$1.a$2"
  }
  for t in $temperatures; do
    together asrkd posteriors --set "posteriors.temperature=$t" --features "$exp/$kind/$net_part" \
      ${tune_set:+--features "$tune_set"} $teachers "$tune/soft_targets.T$t"
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
  asrkd posteriors --config "$exp/chosen/chosen.yaml" --features "$exp/$kind/$net_part" \
    ${unlabelled:+--features "$unlabelled"} $teachers "$exp/soft_targets"
fi

if at 8; then
  student() { # section, folder, transfer set
    together asrkd train --config "$exp/chosen/chosen.yaml" --section "$1" $train_set \
      ${3:+--unlabelled "$3"} --soft-targets "$exp/soft_targets" "$2"
  }
  student student "$exp/student" "$unlabelled"
  student student_small "$exp/student_small" "$unlabelled"
  if [ "$ablate_transfer" = true ]; then student student "$exp/student_labelled" ""; fi
  finish
fi

if at 9; then
  for seed in $(seq "$num_teachers"); do together evaluate "teacher.$seed" "$kind" "$exp/teachers/$seed"; done
  if [[ " $left_out " != *" 5 "* ]]; then together frames gmm mfcc "--gmm=$exp/tri"; fi
  together evaluate ensemble "$kind" $teachers
  if [ "$growing" = true ] && [ "$num_teachers" -gt 1 ]; then
    for count in $(seq 2 $((num_teachers - 1))); do
      together evaluate "ensemble.$count" "$kind" $(seq -f "$exp/teachers/%g" "$count")
    done
    for mean in arithmetic geometric; do together combine "$mean"; done
  fi
  together evaluate distilled "$kind" "$exp/student"
  together evaluate distilled_small "$kind" "$exp/student_small"
  if [ "$ablate_transfer" = true ]; then together evaluate distilled_labelled "$kind" "$exp/student_labelled"; fi
  finish
fi

if at 10; then
  for part in $tests; do
    report=$exp/report compared=$exp/compare
    if [ "$tests" != test ]; then report+=/$part compared+=/$part; fi
    systems=()
    for folder in "$exp/eval"/*/"$part"; do # but not the ensemble as it grows
      case "$folder" in */ensemble.* | */combined.*) ;; *) systems+=("$folder") ;; esac
    done
    asrkd compare --ref "$exp/data/$part" --alignment "$alignments/$part" --tied-states "$exp/tri" \
      "${systems[@]}" "$compared" >/dev/null
    asrkd report --test "$part" "$exp" "$report"
    echo "report: $report/report.html  comparison: $compared/compare.html"
  done
fi
