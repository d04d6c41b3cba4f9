#!/usr/bin/env bash
# Fuzzes one target: fuzz.sh PROGRAM SECONDS. What it learns is kept beside the build; an input that
# breaks the target is printed in base64, so that a log is enough to repeat it.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
program=$1 seconds=$2
name=$(basename "$program")
work=$INSIEN_STATE_DIR/fuzz/$name
mkdir -p "$work/corpus"
"$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
    -artifact_prefix="$work/" "$work/corpus" "$ROOT/tests/fuzz/corpus/${name#fuzz_}" 2>&1 |
    grep -vE '^#[0-9]+[[:space:]]+(NEW|REDUCE|pulse)|NEW_FUNC'
