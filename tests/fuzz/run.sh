#!/usr/bin/env bash
# Builds every fuzz target and runs each for some seconds (10, or the first argument), starting from
# its corpus, with one target per processor at a time. README.md says how to run a single target.
set -euo pipefail
cd "$(dirname "$0")/../.."

export SECONDS_EACH=${1:-10}

# New inputs go to a temporary folder: the corpus holds only chosen ones.
FOUND=$(mktemp -d)
export FOUND
trap 'rm -rf "$FOUND"' EXIT

# With as many codegen units as a development build, the build is faster and the code slower.
fuzz() {
    cargo fuzz "$1" --fuzz-dir tests/fuzz --sanitizer none --codegen-units 16 "${@:2}"
}

run_target() {
    local name=$1 log=$FOUND/$1.log
    mkdir "$FOUND/$name"
    fuzz run "$name" "$FOUND/$name" "tests/fuzz/corpus/$name" -- \
        -max_len=17000 -max_total_time="$SECONDS_EACH" -timeout=10 -rss_limit_mb=512 \
        -print_final_stats=1 > "$log" 2>&1 || { echo "$name failed:"; tail -n 50 "$log"; return 1; }
    echo "$name: $(grep --max-count=1 stat::number_of_executed_units "$log" | tr -dc 0-9) inputs"
}

export -f fuzz run_target
fuzz build
basename --multiple --suffix=.rs tests/fuzz/fuzz_targets/*.rs |
    xargs --max-procs="$(nproc)" -I NAME bash -euo pipefail -c 'run_target NAME'
