#!/usr/bin/env bash
# Adds to a target's corpus what of fuzz/found/TARGET reaches code that the corpus does not, and as little of it as does.
#
#     fuzz/keep.sh [--anew] TARGET...
#
# Needs what build.sh needs. Only edges count here, not how often each was passed: that would keep thousands of inputs, and a corpus is
# replayed by every `cargo test`. They are chosen by set cover, which keeps a third of what one after the other does. --anew forgets first
# what was kept before; seeds, whose names say what they are, stay.
set -euo pipefail
cd "$(dirname "$0")"

anew=false
if [ "${1:-}" = --anew ]; then
    anew=true
    shift
fi
[ $# -gt 0 ] || { echo "usage: keep.sh [--anew] TARGET..." >&2; exit 2; }

built=$(./build.sh "$@")
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for target in "$@"; do
    corpus=corpus/$target
    if [ ! -d "found/$target" ]; then
        echo "keep: found/$target is not there; run-all.sh makes it" >&2
        exit 1
    fi
    if $anew; then
        find "$corpus" -type f -regextype posix-extended -regex '.*/[0-9a-f]{40}' -delete
    fi
    before=$(find "$corpus" -type f | wc -l)
    # Longer than any input, so that none is cut.
    if ! "$built/$target" "$corpus" "found/$target" -set_cover_merge=1 -use_counters=0 -max_len=1000000 >"$log" 2>&1; then
        tail -20 "$log" >&2
        exit 1
    fi
    after=$(find "$corpus" -type f | wc -l)
    printf '%-15s %4d files, %d of them new\n' "$target" "$after" "$((after - before))"
done
