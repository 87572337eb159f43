#!/usr/bin/env bash
# Builds the fuzz targets together with libFuzzer, and prints the folder that they are in.
#
#     fuzz/build.sh [TARGET...]       (all of them unless some are named)
#
# Stable Rust and a C++ compiler are enough: these are the flags that cargo-fuzz passes for `--sanitizer none --no-trace-compares`. No
# sanitizer, because our crates forbid unsafe code. Comparisons are not traced, because the generators know what is legal. One codegen unit
# a crate, because functions that are counted are not inlined across units, which would cost two thirds of the speed.
set -euo pipefail
cd "$(dirname "$0")"

export RUSTFLAGS="--cfg fuzzing -Ccodegen-units=1 -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-stack-depth -Cllvm-args=-simplifycfg-branch-fold-threshold=0"
# With its name said, what runs while building (build scripts, macros) is built without these flags.
host=$(rustc -vV | sed -n 's/^host: //p')
target=${CARGO_TARGET_DIR:-target}

bins=(--bins)
if [ $# -gt 0 ]; then
    bins=("${@/#/--bin=}")
fi
cargo build --locked --release --features libfuzzer,codec --target "$host" --target-dir "$target" "${bins[@]}" >&2
echo "$(cd "$target" && pwd)/$host/release"
