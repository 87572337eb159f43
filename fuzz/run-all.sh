#!/usr/bin/env bash
# Runs every fuzz target for a while, one after the other on one core, and prints what came of it. Exit status 1 on a crash.
#
#     fuzz/run-all.sh SECONDS [TARGET...]
#
# Needs what build.sh needs. What is found goes to fuzz/found/TARGET (kept between runs, not committed), inputs that crash to
# fuzz/artifacts/TARGET. The committed corpus is run first.
#
# FUZZ_SEED=n throws the same dice, and as often, everywhere: what was found before is left aside, and a count of executions ends each
# target instead of the clock: those of SECONDS on the machine of `slow_rate`. Without it each run throws others.
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

# Executions a second of one busy core, rounded down.
slow_rate() {
    case $1 in
    wire_decode) echo 200000 ;;
    wire_rival | frame_decoder | codec_stream) echo 50000 ;;
    crypto) echo 700 ;;
    enr_and_config | machine_bytes) echo 2000 ;;
    *) echo 300 ;;
    esac
}

built=$(./build.sh "${targets[@]}")

# The value of one of libFuzzer's final numbers.
stat() {
    sed -n "s/^stat::$1: *//p" "$log" | tail -1
}

log=$(mktemp)
table=$(mktemp)
scratch=$(mktemp -d)
trap 'rm -rf "$log" "$table" "$scratch"' EXIT
crashed=0
printf '%-15s %12s %9s %7s %9s %7s %8s\n' target executions exec/s edges features new crashes >"$table"
for target in "${targets[@]}"; do
    found=found/$target
    inputs=("corpus/$target" -max_total_time="$seconds")
    if [ -n "${FUZZ_SEED:-}" ]; then
        found=$scratch/$target
        # By name, since a folder lists its files in another order in each clone.
        find "corpus/$target" -type f | LC_ALL=C sort | paste -sd, >"$scratch/inputs"
        inputs=(-seed_inputs="@$scratch/inputs" -runs=$((seconds * $(slow_rate "$target"))) -seed="$FUZZ_SEED")
    fi
    mkdir -p "$found" "artifacts/$target"
    before=$(find "artifacts/$target" -type f | wc -l)
    status=0
    "$built/$target" "$found" "${inputs[@]}" -artifact_prefix="artifacts/$target/" \
        -entropic=0 -max_len="$(longest "$target")" -timeout=20 -dict=wire.dict -print_final_stats=1 >"$log" 2>&1 || status=$?
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
