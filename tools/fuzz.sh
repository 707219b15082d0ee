#!/usr/bin/env bash
# fuzz.sh BUILD_DIR SECONDS: runs every fuzz target of a fuzz build for so long, two at a time. New
# inputs go to BUILD_DIR/corpus; a crashing one is left there, its name printed.
set -euo pipefail
build=$1
seconds=$2

run_one() {
    local build=$1 seconds=$2 program=$3 seeds=$4
    local grown=$build/corpus/$program
    mkdir -p "$grown"
    if "$build/$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -verbosity=0 \
        -print_final_stats=1 -artifact_prefix="$grown/" "$grown" "$seeds" >"$grown.log" 2>&1; then
        printf '%-28s %s inputs\n' "$program" "$(sed -n 's/stat::number_of_executed_units: *//p' "$grown.log")"
    else
        tail -n 60 "$grown.log" >&2
        echo "$program failed; input and log in $grown*" >&2
        return 1
    fi
}
export -f run_one
xargs -a "$build/fuzzers.txt" -P 2 -L 1 bash -c 'run_one "$@"' _ "$build" "$seconds"
