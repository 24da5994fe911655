#!/usr/bin/env bash
# LibriSpeech, Mini LibriSpeech or a corpus in their layout, from (if need be) the download to the report.
# Run it by ./run.sh librispeech, or as it is once that has set up .venv.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

recipe=librispeech
corpus= parts= train_parts= dev_parts= test_parts= transfer_parts= lexicon= lm= lm_text= rescore=
download=corpora mirror= heldout=0 device=auto
own_options="corpus parts train-parts dev-parts test-parts transfer-parts lexicon lm lm-text rescore"
own_options+=" download mirror heldout device"
own_usage="  --corpus DIR            LibriSpeech tree, DIR/PART/SPEAKER/CHAPTER; without it the parts are downloaded
  --parts LIST            parts for all purposes: train-* train, dev-* tune, test-* test; for Mini LibriSpeech
                          dev-clean-2,train-clean-5
  --train-parts LIST      default train-clean-100; all for the 960 hours
  --dev-parts LIST        default dev-clean,dev-other: early stopping, T, alpha and acoustic scale are tuned on them
  --test-parts LIST       default test-clean,test-other, one report each; a part that is a dev part too is halved by
                          speakers: one half tunes, the other tests
  --transfer-parts LIST   audio whose transcripts, if any, are not used: soft targets only (default: none)
  --heldout SHARE         of the training sentences, kept as one more test part, 'heldout' (default $heldout)
  --lexicon FILE          pronunciations, CMUdict format (default: LibriSpeech's, downloaded)
  --lm FILE               ARPA model, gzipped or not (default: LibriSpeech's pruned 3-gram, downloaded)
  --lm-text FILE          in its place: sentences, one a line, gzipped or not
  --rescore FILE          a larger model, ARPA or sentences, to rescore lattices with; or the name of one to download,
                          such as 3-gram.arpa.gz or 4-gram.arpa.gz (default: none)
  --device D              auto, cpu, cuda or cuda:N (default $device)
  --download DIR          folder for what is downloaded (default $download)
  --mirror URL            of OpenSLR's resources
"

# The words of a list, given with commas or spaces.
words() { tr ', ' '\n\n' <<<"$1" | sed '/^$/d' | tr '\n' ' '; }
# Those of a list of parts that begin so.
beginning() { local part; for part in $2; do case $part in "$1"*) printf '%s ' "$part" ;; esac; done; }

settle() {
  local name part
  for name in parts train_parts dev_parts test_parts transfer_parts; do printf -v "$name" '%s' "$(words "${!name}")"; done
  if [ -n "$parts" ]; then
    [ -z "$train_parts$dev_parts$test_parts" ] || fail "--parts says it all: leave out --train-parts and the like"
    train_parts=$(beginning train- "$parts") dev_parts=$(beginning dev- "$parts") test_parts=$(beginning test- "$parts")
    [ -n "$train_parts" ] || fail "--parts '$parts' has none that begins with train-"
    [ -n "$dev_parts" ] || fail "--parts '$parts' has none that begins with dev-"
    test_parts=${test_parts:-$dev_parts}
  fi
  train_parts=${train_parts:-train-clean-100} dev_parts=${dev_parts:-dev-clean dev-other}
  test_parts=${test_parts:-test-clean test-other}
  if [ "$train_parts" = "all " ]; then train_parts="train-clean-100 train-clean-360 train-other-500"; fi
  for part in $train_parts $dev_parts $test_parts $transfer_parts; do
    [[ $part =~ ^[A-Za-z0-9][A-Za-z0-9._-]*$ ]] || fail "'$part' is no part's name"
  done
  for part in $train_parts; do
    case " $dev_parts $test_parts $transfer_parts " in *" $part "*) fail "'$part' is to train and for something else too" ;; esac
  done
  for part in $transfer_parts; do
    case " $dev_parts $test_parts " in *" $part "*) fail "'$part' is to tune or to test, and a transfer set too" ;; esac
  done
  halved=
  for part in $dev_parts; do case " $test_parts " in *" $part "*) halved+="$part " ;; esac; done
  if [ -n "$halved" ] && [ "$(words "$dev_parts")" != "$(words "$test_parts")" ]; then
    fail "$halved both tunes and tests, other parts do one: give the same list twice, or two that share none"
  fi
  if [ -n "$halved" ]; then tests=test; else tests=$(echo $test_parts); fi
  [[ $heldout =~ ^0?\.[0-9]+$|^0$ ]] || fail "--heldout '$heldout' is no share, such as 0.05"
  [[ $heldout =~ ^0?\.?0*$ ]] && heldout= || tests="heldout $tests"
  with_transfer=false ablate_transfer=false
  if [ -n "$transfer_parts" ]; then with_transfer=true ablate_transfer=true; fi
  [ -z "$lm" ] || [ -z "$lm_text" ] || fail "--lm or --lm-text, not both"
  case $device in
    auto) ;;
    cpu) export CUDA_VISIBLE_DEVICES= ;;
    cuda) command asrkd check --device cuda ;;
    cuda:*) command asrkd check --device "$device"; export CUDA_VISIBLE_DEVICES=${device#cuda:} ;;
    *) fail "--device '$device' is none of auto, cpu, cuda, cuda:N" ;;
  esac
  wanted=
  if [ -z "$corpus" ]; then
    wanted="$train_parts $dev_parts $test_parts $transfer_parts"
    corpus=$download/LibriSpeech
  else
    [ -d "$corpus" ] || fail "--corpus '$corpus' does not exist"
    for part in $train_parts $dev_parts $test_parts $transfer_parts; do
      [ -d "$corpus/$part" ] || fail "$corpus has no part '$part'; it has: $(cd "$corpus" 2>/dev/null && printf '%s ' */)"
    done
  fi
  if [ -z "$lexicon" ]; then wanted+=" librispeech-lexicon.txt" lexicon=$download/librispeech-lexicon.txt; fi
  if [ -z "$lm$lm_text" ]; then wanted+=" 3-gram.pruned.1e-7.arpa.gz" lm=$download/3-gram.pruned.1e-7.arpa.gz; fi
  if [ -n "$rescore" ] && [ ! -e "$rescore" ]; then
    case $rescore in */*) fail "--rescore '$rescore' does not exist" ;; esac
    wanted+=" $rescore" rescore=$download/$rescore
  fi
  lm_text=${lm:-$lm_text}
  given_lexicon=$lexicon lexicon=$exp/g2p/lexicon.txt
}

# The folders of parts.
folders() { local part; for part in $1; do printf '%s\n' "$corpus/$part"; done; }

make_data() {
  if [ -n "$wanted" ]; then
    command asrkd download ${mirror:+--mirror "$mirror"} $(printf '%s\n' $wanted | awk '!seen[$0]++') "$download"
  fi
  local list train=$exp/data/train part
  mkdir -p "$exp/data"
  if [ -n "$heldout" ]; then train=$exp/all; fi
  mapfile -t list < <(folders "$train_parts"); asrkd prepare "${list[@]}" "$train"
  if [ -n "$heldout" ]; then
    asrkd split --set "split.fractions={train: $(awk "BEGIN{print 1-$heldout}"), heldout: $heldout}" "$train" "$exp/split"
    for part in train heldout; do ln -sfn "../split/$part" "$exp/data/$part"; done
  fi
  if [ -n "$halved" ]; then
    mapfile -t list < <(folders "$dev_parts"); asrkd prepare "${list[@]}" "$exp/dev_all"
    asrkd split --set "split.speaker_fractions={dev: 0.5, test: 0.5}" "$exp/dev_all" "$exp/dev_split"
    for part in dev test; do ln -sfn "../dev_split/$part" "$exp/data/$part"; done
  else
    mapfile -t list < <(folders "$dev_parts"); asrkd prepare "${list[@]}" "$exp/data/dev"
    for part in $test_parts; do asrkd prepare "$corpus/$part" "$exp/data/$part"; done
  fi
  if [ "$with_transfer" = true ]; then
    mapfile -t list < <(folders "$transfer_parts"); asrkd prepare --no-transcripts "${list[@]}" "$exp/data/transfer"
  fi
}

# Words of the training transcripts, and of a text for the language model, that the lexicon lacks. Those of dev and
# test stay unknown.
make_lexicon() {
  if [ -n "$lm" ]; then asrkd g2p "$exp/data/train" "$given_lexicon" "$exp/g2p"
  else asrkd g2p "$exp/data/train" "$lm_text" "$given_lexicon" "$exp/g2p"; fi
}

. recipes/pipeline.sh
