#!/usr/bin/env bash
# How much of the core do the committed corpus and its seeds reach? Prints lines by file and fails under 85 %. Needs cargo-llvm-cov.
set -euo pipefail
cd "$(dirname "$0")"

# Lines of the core alone: its own crates beside it, and code of tests, are not what an input reaches.
others='(/fuzz/|/conformance/|/core/(bundle|enr|libp2p|node|trace)/|/\.cargo/|/rustc/|/rustlib/)'
cargo llvm-cov --ignore-filename-regex "$others" --fail-under-lines 85 --test replay_corpus "$@"
