#!/usr/bin/env bash
# Checks that the release build has every SIMD instruction inside a kernel. A kernel is compiled for its level as a whole;
# what the compiler leaves outside, a closure say, is compiled for any machine, and then calls a function for every
# instruction, which is many times slower. Needs nm, which comes with the linker's package.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --release --quiet
symbols=$(nm --demangle "${CARGO_TARGET_DIR:-target}/release/glassbox")
if ! grep -qE 'glassbox_tensor::simd::[a-z0-9]+::run_' <<<"$symbols"; then
    echo "the program has no kernels to look at" >&2
    exit 1
fi
# The functions of single instructions, and ours that are made of a few of them.
instruction='core::core_arch::.*::(_mm[0-9]*_|v[a-z0-9]+q?_)'
few='glassbox_tensor::simd::(avx2|avx512|neon)::[a-z]'
if outside=$(grep -E " ($instruction|$few)" <<<"$symbols" | grep -vE 'glassbox_tensor::simd::[a-z0-9]+::run_'); then
    echo "instructions outside of kernels:" >&2
    echo "$outside" >&2
    exit 1
fi
echo "every instruction is inside a kernel"
