#!/usr/bin/env bash
# How many lines of the core does the committed corpus reach? Prints them by file, and fails under 85 %.
#
#     fuzz/coverage.sh [DIR]      (what is built goes to DIR, default fuzz/target/coverage)
#
# Stable; needs llvm-cov and llvm-profdata of the compiler's own LLVM: `rustup component add llvm-tools`, or a package like Debian's llvm-22,
# whose programs end in the number. Only our own crates are instrumented, so the rest is built as always.
set -euo pipefail
cd "$(dirname "$0")"

least=85
dir=${1:-target/coverage}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
tools=$(rustc --print sysroot)/lib/rustlib/$(rustc -vV | sed -n 's/^host: //p')/bin
llvm=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
tool() {
    command -v "$tools/$1" || command -v "$1-$llvm" || {
        echo "coverage: no $1 of LLVM $llvm; rustup component add llvm-tools, or install a package llvm-$llvm" >&2
        return 2
    }
}
cov=$(tool llvm-cov)
profdata=$(tool llvm-profdata)

cat >"$dir/wrapper" <<'END'
#!/bin/sh
case " $* " in
*" --crate-name preconf_core "* | *" --crate-name replay_corpus "*) exec "$@" -C instrument-coverage ;;
*) exec "$@" ;;
esac
END
chmod +x "$dir/wrapper"
rm -f "$dir"/*.profraw

run() {
    RUSTC_WRAPPER="$dir/wrapper" LLVM_PROFILE_FILE="$dir/%p.profraw" cargo test --locked --target-dir "$dir" --test replay_corpus "$@"
}
run
binary=$(run --no-run --message-format=json 2>/dev/null | sed -n 's/.*"executable":"\([^"]*replay_corpus-[^"]*\)".*/\1/p' | tail -1)
"$profdata" merge -sparse "$dir"/*.profraw -o "$dir/merged"
core=$(cd ../core/src && pwd)
"$cov" report "$binary" -instr-profile="$dir/merged" -show-region-summary=false -show-branch-summary=false "$core"
reached=$("$cov" export "$binary" -instr-profile="$dir/merged" -summary-only "$core" |
    sed 's/.*"totals".*"lines":{[^}]*"percent":\([0-9.]*\).*/\1/')
awk -v reached="$reached" -v least="$least" 'BEGIN {
    printf "lines of the core under the corpus: %.2f %%, at least %d %% are wanted\n", reached, least
    exit reached < least
}'
