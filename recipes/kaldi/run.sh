#!/usr/bin/env bash
# From a Kaldi experiment to the report: its tree, alignments, features and decoding graph are used as they are.
# Run it by ./run.sh kaldi.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

recipe=kaldi
kaldi_exp= graph= train= dev= test= transfer= ali= dev_ali= test_ali= kaldi_root=. allow_pipes=false
own_options="kaldi-exp graph train dev test transfer ali dev-ali test-ali kaldi-root allow-pipes"
needed_options="kaldi-exp train dev test"
own_usage="  --kaldi-exp DIR   final.mdl, tree and phones.txt of a GMM, such as exp/tri3b_ali
  --graph DIR       HCLG.fst and words.txt (default: the one graph in --kaldi-exp)
  --train DIR       data dirs; the features in their feats.scp are used, filterbanks are made where there is none
  --dev DIR         T, alpha, acoustic scale and early stopping are tuned on it
  --test DIR        for the final figures
  --transfer DIR    data dir whose transcripts, if any, are not used: soft targets only (default: none)
  --ali DIR         ali.*.gz of the training set (default: --kaldi-exp)
  --dev-ali DIR     of dev (default: --ali)
  --test-ali DIR    of test (default: --ali)
  --kaldi-root DIR  where Kaldi's scripts ran (s5): paths of the options above, and in scp files, are from there
  --allow-pipes B   true: run commands (cmd |) in feats.scp and wav.scp (default $allow_pipes)
"

# Stages 3 to 5 are Kaldi's: stage 1 takes over what they made. Stage 2 makes what features there are not.
left_out="3 4 5" kind=features tune_part=transfer

settle() {
  [ -z "$augment" ] || fail "--augment '$augment': Kaldi's features and alignments are of the speech as it was"
  [ "$realign" = false ] || fail "--realign true: there is no lexicon to align by, Kaldi's graph alone"
  [[ $allow_pipes =~ ^(true|false)$ ]] || fail "--allow-pipes '$allow_pipes' is neither true nor false"
  [ -d "$kaldi_root" ] || fail "--kaldi-root '$kaldi_root' does not exist"
  case $exp in /*) ;; *) exp=$PWD/$exp ;; esac
  case $config in /*) ;; *) config=$PWD/$config ;; esac
  ali=${ali:-$kaldi_exp}
  with_transfer=false pipes=
  if [ -n "$transfer" ]; then with_transfer=true; fi
  if [ "$allow_pipes" = true ]; then pipes=--allow-pipes; fi
}

make_data() {
  cd "$kaldi_root"
  asrkd import-kaldi $pipes ${graph:+--graph "$graph"} \
    --data "train=$train" --data "dev=$dev" --data "test=$test" ${transfer:+--data "transfer=$transfer"} \
    --ali "train=$ali" --ali "dev=${dev_ali:-$ali}" --ali "test=${test_ali:-$ali}" "$kaldi_exp" "$exp"
  cd "$OLDPWD"
}

make_features() {
  local part
  cd "$kaldi_root"
  for part in train dev test ${transfer:+transfer}; do
    [ -f "${!part}/feats.scp" ] || asrkd fbank $pipes "$exp/data/$part" "$exp/features/$part"
  done
  cd "$OLDPWD"
}

. recipes/pipeline.sh
