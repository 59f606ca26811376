#!/usr/bin/env bash
# Checks that the release build has every SIMD instruction inside a kernel. A kernel is compiled for its level as a whole;
# what the compiler leaves outside, a closure say, is compiled for any machine, and then calls a function for every
# instruction, which is many times slower. Needs nm, which comes with the linker's package.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --release --quiet
outside=$(nm --demangle target/release/glassbox | grep -E ' core::core_arch::.*::(_mm[0-9]*_|v[a-z0-9]+q?_)' || true)
if [ -n "$outside" ]; then
    echo "instructions outside of kernels:" >&2
    echo "$outside" >&2
    exit 1
fi
echo "every instruction is inside a kernel"
