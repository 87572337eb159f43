#!/usr/bin/env bash
# Are planted bugs found? Applies each patch of this folder to a copy of the last commit, searches with the target that should see it, and
# prints after how long it did. Exit status 1 if one is not found within five minutes, or if the search fails without any bug.
#
#     fuzz/mutants/prove.sh [DIR]      (the copy and what is built go to DIR, default fuzz/target/mutants)
#
# On stable: the search is tests/chance.rs, mutated seeds without an engine. `SECONDS_EACH=n` changes the five minutes.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(git -C "$here" rev-parse --show-toplevel)
dir=${1:-$root/fuzz/target/mutants}
most=${SECONDS_EACH:-300}

# Which target should see which bug.
bugs=(
    "index_past_the_end frame_decoder"
    "unchecked_addition machine_bytes"
    "table_without_bound machine_bytes"
    "timer_never_reported machine_bytes"
    "verdict_that_differs machine_bytes"
)

rm -rf "$dir/tree"
mkdir -p "$dir/tree"
git -C "$root" archive HEAD | tar -x -C "$dir/tree"

search() { # target, seconds
    FUZZ_TARGET=$1 FUZZ_SECONDS=$2 RUST_BACKTRACE=0 cargo test --locked --no-default-features --manifest-path "$dir/tree/fuzz/Cargo.toml" \
        --target-dir "$dir/built" --test chance >"$dir/log" 2>&1
}

for target in frame_decoder machine_bytes; do
    search "$target" 5 || { tail -20 "$dir/log" >&2; echo "$target fails without a planted bug" >&2; exit 1; }
done
missed=0
table=$(printf '%-22s %-15s %-28s %s' bug target "found after" "what it met")
for bug in "${bugs[@]}"; do
    read -r name target <<<"$bug"
    patch --quiet --directory "$dir/tree" --strip 1 <"$here/$name.patch" || { echo "$name: the patch does not apply any more" >&2; exit 1; }
    if search "$target" "$most"; then
        found="not in $most s"
        met=-
        missed=1
    else
        found=$(sed -n 's/.* fails after \(.*\): .*/\1/p' "$dir/log" | tail -1)
        met=$(grep -A1 'panicked at' "$dir/log" | sed -n 2p | cut -c1-90)
        # A patch that does not build proves nothing.
        [ -n "$found" ] || { tail -20 "$dir/log" >&2; found="no search"; met=-; missed=1; }
    fi
    patch --quiet --reverse --directory "$dir/tree" --strip 1 <"$here/$name.patch"
    table+=$(printf '\n%-22s %-15s %-28s %s' "$name" "$target" "$found" "$met")
done
printf '%s\n' "$table"
exit "$missed"
