#!/usr/bin/env bash
# Lets loom run the pool's hand-over of jobs in every order of memory accesses, within bounds that the tests name. Loom's
# atomics take the place of the standard library's, so the crate is built anew, in a folder of its own.
set -euo pipefail
cd "$(dirname "$0")/.."

export RUSTFLAGS="--cfg loom"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/loom"
cargo test --package glassbox-tensor --no-default-features --lib -- pool::board
