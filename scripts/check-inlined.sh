#!/usr/bin/env bash
# Checks that every SIMD instruction of the release build is inside a kernel. A kernel is compiled for its level as a
# whole. Code that the compiler does not inline into it, such as a closure, is compiled for the baseline instruction set
# and calls a function for every SIMD instruction, which is many times slower. Needs nm, from the linker's package.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --release --quiet
symbols=$(nm --demangle "${CARGO_TARGET_DIR:-target}/release/glassbox")
if ! grep -qE 'glassbox_tensor::simd::[a-z0-9]+::run_' <<<"$symbols"; then
    echo "no kernels found in the program" >&2
    exit 1
fi
# The functions of single instructions, and our own short sequences of instructions.
instruction='core::core_arch::.*::(_mm[0-9]*_|v[a-z0-9]+q?_)'
sequence='glassbox_tensor::simd::(avx2|avx512|neon)::[a-z]'
if outside=$(grep -E " ($instruction|$sequence)" <<<"$symbols" | grep -vE 'glassbox_tensor::simd::[a-z0-9]+::run_'); then
    echo "SIMD instructions outside kernels:" >&2
    echo "$outside" >&2
    exit 1
fi
echo "every SIMD instruction is inside a kernel"
