#!/usr/bin/env bash
# Sets up .venv with the pinned packages, then runs a recipe or the tests.
#
#   ./run.sh                     recipes/mini, from synthesis to the report
#   ./run.sh NAME [options]      recipes/NAME; options as `./run.sh NAME -h` lists them (--stage, --stop-stage, ...)
#   ./run.sh test [options]      the tests; options go to pytest
#   ./run.sh setup               .venv alone
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

fail() { echo "run.sh: error: $*" >&2; exit 1; }

python=${PYTHON:-python3}

set_up() {
  command -v "$python" >/dev/null || fail "$python not found: install Python 3.10 or newer, or set PYTHON"
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
    fail "$("$python" --version) is too old: Python 3.10 or newer is needed (PYTHON=/path/to/python3 ./run.sh)"
  local stamp
  stamp=$(cat constraints.txt pyproject.toml <("$python" --version) | cksum)
  [ "$(cat .venv/stamp 2>/dev/null)" = "$stamp" ] && return
  echo "run.sh: setting up .venv (once; a few minutes on a slow connection)" >&2
  [ -x .venv/bin/python ] || "$python" -m venv .venv ||
    fail "could not make .venv: on Debian and Ubuntu, apt install python3-venv"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
    --editable ".[synth,g2p,digits,dev]" || fail "could not install the packages: is a package index within reach?"
  echo "$stamp" > .venv/stamp
}

case "${1:-}" in
  -h | --help) sed -n '2,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
esac
name=mini
if [ $# -gt 0 ] && [ "${1#-}" = "$1" ]; then name=$1; shift; fi
case "$name" in
  test | setup) ;;
  */* | .*) fail "'$name' is no recipe's name" ;;
  *) [ -f "recipes/$name/run.sh" ] ||
    fail "no recipe '$name'; there are: $(cd recipes && for r in */run.sh; do printf '%s ' "${r%/run.sh}"; done)" ;;
esac

set_up
export PATH="$PWD/.venv/bin:$PATH"
case "$name" in
  setup) ;;
  test) exec python -m pytest "$@" ;;
  *) exec bash "recipes/$name/run.sh" "$@" ;;
esac
