#!/usr/bin/env bash
# Phones left out of the transfer set, learnt from soft targets all the same. Run it by ./run.sh omitted_classes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

recipe=omitted_classes

. recipes/study.sh
study
