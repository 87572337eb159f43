#!/usr/bin/env bash
# Runs every fuzz target for a while, one after the other on one core, and prints what came of it. Exit status 1 on a crash.
#
#     fuzz/run-all.sh SECONDS [TARGET...]
#
# Needs what build.sh needs. What is found goes to fuzz/found/TARGET (kept between runs, not committed), inputs that crash to
# fuzz/artifacts/TARGET. FUZZ_SEED=n throws the same dice again; without it each run throws others. The committed corpus is run first.
#
# No entropic schedule: weighing some thirty thousand features anew for every input took more than half of the time of `machine_bytes`.
set -euo pipefail
cd "$(dirname "$0")"

seconds=${1:?"usage: run-all.sh SECONDS [TARGET...]"}
shift
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
    targets=(wire_decode wire_rival frame_decoder codec_stream crypto enr_and_config trace_reader machine_bytes sim_model)
fi

longest() {
    case $1 in
    machine_bytes) echo 192 ;; # forty-eight moves; stories that are longer are replayed whole by `cargo test`
    sim_model) echo 125 ;;     # all forty moves
    trace_reader) echo 12000 ;;
    *) echo 4096 ;;
    esac
}

built=$(./build.sh "${targets[@]}")

# The value of one of libFuzzer's final numbers.
stat() {
    sed -n "s/^stat::$1: *//p" "$log" | tail -1
}

log=$(mktemp)
table=$(mktemp)
trap 'rm -f "$log" "$table"' EXIT
crashed=0
printf '%-15s %12s %9s %7s %9s %7s %8s\n' target executions exec/s edges features new crashes >"$table"
for target in "${targets[@]}"; do
    mkdir -p "found/$target" "artifacts/$target"
    before=$(find "artifacts/$target" -type f | wc -l)
    status=0
    "$built/$target" "found/$target" "corpus/$target" -artifact_prefix="artifacts/$target/" \
        -max_total_time="$seconds" -seed="${FUZZ_SEED:-0}" -entropic=0 -max_len="$(longest "$target")" -timeout=20 -dict=wire.dict -print_final_stats=1 >"$log" 2>&1 || status=$?
    crashes=$(($(find "artifacts/$target" -type f | wc -l) - before))
    [ "$status" -eq 0 ] || crashed=1
    if [ "$status" -ne 0 ]; then
        printf '\n%s failed with status %d:\n' "$target" "$status" >&2
        tail -60 "$log" >&2
    fi
    edges=$(grep -o 'cov: [0-9]*' "$log" | tail -1 | cut -d' ' -f2 || true)
    reached=$(grep -o 'ft: [0-9]*' "$log" | tail -1 | cut -d' ' -f2 || true)
    printf '%-15s %12s %9s %7s %9s %7s %8s\n' "$target" "$(stat number_of_executed_units)" "$(stat average_exec_per_sec)" \
        "${edges:--}" "${reached:--}" "$(stat new_units_added)" "$crashes" >>"$table"
done
cat "$table"
exit "$crashed"
