#!/usr/bin/env bash
# make_tales_model.sh [CORPUS.txt]: trains the built-in model again, cli/models/tales.gguf.
# Without CORPUS.txt, the corpus is built first, from Project Gutenberg. Can be interrupted and started again.
set -euo pipefail
cd "$(dirname "$0")/.."
work=${GLASSBOX_TALES_FOLDER:-target/tales}
mkdir -p "$work"
corpus=${1:-$work/tales.txt}
if [ ! -e "$corpus" ]; then
    python3 scripts/make_tales_corpus.py "$corpus" --cache "$work/gutenberg"
fi
cargo build --release
glassbox=${CARGO_TARGET_DIR:-target}/release/glassbox
if [ -e "$work/tales/recipe.toml" ]; then
    "$glassbox" train --resume --out "$work/tales"
else
    "$glassbox" train --data "$corpus" --config train/recipes/tales.toml --out "$work/tales"
fi
"$glassbox" quantize "$work/tales" cli/models/tales.gguf --type q8_0
cp "$work/tales/loss.svg" cli/models/loss.svg
