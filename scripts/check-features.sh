#!/usr/bin/env bash
# Checks that the tensor crate stands alone: without features it depends on nothing and is free of warnings, and every
# feature compiles without the others. Its tests run without features too, on the standard library's threads.
set -euo pipefail
cd "$(dirname "$0")/.."

tree=$(cargo tree --quiet --package glassbox-tensor --no-default-features --edges normal,build --prefix none)
if [ "$(wc -l <<<"$tree")" != 1 ]; then
    echo "the bare tensor crate has dependencies:" >&2
    echo "$tree" >&2
    exit 1
fi
for feature in gguf safetensors mmap train rayon; do
    cargo clippy --quiet --package glassbox-tensor --no-default-features --features "$feature" -- -D warnings
done
cargo clippy --quiet --package glassbox-tensor --no-default-features --all-targets -- -D warnings
cargo test --quiet --package glassbox-tensor --no-default-features --lib --test ops_exact --test tensor_views
cargo run --quiet --release --package glassbox-tensor --no-default-features --example matmul
