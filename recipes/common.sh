# What pipeline.sh and study.sh share: errors, options, work in the background. They set $recipe, its name; $options, the
# names of all options; $jobs; and define usage, which prints the help.

fail() { echo "run.sh $recipe: error: $*" >&2; exit 1; }

command -v asrkd >/dev/null || PATH=$PWD/.venv/bin:$PATH
command -v asrkd >/dev/null || fail "asrkd is not installed here: ./run.sh setup"

# Sets a variable for each option of the arguments, `--stop-stage 3` for one stop_stage=3.
read_options() {
  local option
  while [ $# -gt 0 ]; do
    option=${1#--}
    case " $options " in
      *" $option "*)
        [ $# -ge 2 ] || fail "$1 needs a value (see -h)"
        printf -v "${option//-/_}" '%s' "$2"; shift 2 ;;
      *)
        case "$1" in -h | --help) usage; exit 0 ;; esac
        fail "unknown option '$1' (see -h)" ;;
    esac
  done
}
check_counts() { # names of variables
  local name
  for name in "$@"; do
    [[ ${!name} =~ ^[1-9][0-9]*$ ]] || fail "--${name//_/-} '${!name}' is not a whole number above 0"
  done
}
check_switches() { # names of variables
  local name
  for name in "$@"; do
    [[ ${!name} =~ ^(true|false)$ ]] || fail "--${name//_/-} '${!name}' is neither true nor false"
  done
}

# Runs its arguments in the background, at most $jobs at a time, one thread each; `finish` waits for all of them.
together() {
  while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n || exit 1; done
  OMP_NUM_THREADS=1 threads=1 "$@" &
}
finish() {
  local pid
  for pid in $(jobs -p); do wait "$pid" || exit 1; done
}
