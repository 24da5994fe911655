#!/usr/bin/env bash
# Soft targets as regularisers: a net on a small share of the labelled speech. Run it by ./run.sh few_data.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

recipe=few_data

. recipes/study.sh

study
