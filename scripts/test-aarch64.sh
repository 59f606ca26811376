#!/usr/bin/env bash
# Tests the NEON levels on an x86-64 machine: builds for 64-bit Arm and runs under an emulator.
#
#   scripts/test-aarch64.sh [PACKAGE...]
#
# PACKAGE defaults to glassbox-tensor, glassbox-sampler and glassbox-model. After their tests, the built-in model must give
# the same logits, byte for byte, at every level of both architectures. On two cores this takes half an hour.
#
# Missing tools (a linker, qemu-user, the standard library for the target) are installed by rustup or, as root, from
# Debian's packages. Without rustup's standard library for the target, Debian's rustc is used, with the cargo on PATH.
# If something cannot be installed, the script names it and exits with 77 (skipped). All build output is in target/.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'test-aarch64: %s\n' "$*" >&2; }
skip() {
    say "skipped: $*"
    exit 77
}
fail() {
    say "$*"
    exit 1
}

case "${1-}" in
-h | --help)
    sed -n '2,11s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
esac

target=aarch64-unknown-linux-gnu
tools=$PWD/target/aarch64-tools
folder=$PWD/target/aarch64
packages=("$@")
[ "$#" -gt 0 ] || packages=(glassbox-tensor glassbox-sampler glassbox-model)

install() {
    [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null || return 1
    say "installing $*"
    apt-get update >&2 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" >&2
}

# Whether a toolchain's folder contains the standard library for the target.
has_library() { compgen -G "$1/lib/rustlib/$target/lib/libstd-*.rlib" >/dev/null; }

# Combines Debian's compiler with the standard library unpacked from the Arm package, which cannot be installed here.
debian_toolchain() {
    command -v dpkg >/dev/null || return 1
    [ -x /usr/bin/rustc ] && dpkg -s rustc-web >/dev/null 2>&1 || install rustc-web || return 1
    has_library "$tools/sysroot" && return
    if ! dpkg --print-foreign-architectures | grep -qx arm64; then
        [ "$(id -u)" -eq 0 ] && dpkg --add-architecture arm64 && apt-get update >&2 || return 1
    fi
    local version lib=$tools/sysroot/lib/rustlib
    version=$(dpkg-query -W -f '${Version}' rustc-web)
    mkdir -p "$lib"
    (cd "$tools" && apt-get download "libstd-rust-web-dev:arm64=$version" >&2) || return 1
    dpkg -x "$tools"/libstd-rust-web-dev_*_arm64.deb "$tools/unpacked"
    rm "$tools"/libstd-rust-web-dev_*_arm64.deb
    ln -sfn "$tools/unpacked/usr/lib/rustlib/$target" "$lib/$target"
    ln -sfn /usr/lib/rustlib/x86_64-unknown-linux-gnu "$lib/x86_64-unknown-linux-gnu"
    has_library "$tools/sysroot"
}

command -v cargo >/dev/null || skip "cargo was not found on PATH"
if ! command -v aarch64-linux-gnu-gcc >/dev/null || ! command -v qemu-aarch64 >/dev/null; then
    install gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user ||
        skip "install gcc-aarch64-linux-gnu, libc6-dev-arm64-cross and qemu-user (their names on Debian)"
fi

cross=(env CARGO_TARGET_DIR="$folder"
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -L /usr/aarch64-linux-gnu")
if has_library "$(rustc --print sysroot)"; then
    :
elif command -v rustup >/dev/null && rustup target add "$target" >&2 && has_library "$(rustc --print sysroot)"; then
    :
elif debian_toolchain; then
    cross+=(RUSTC=/usr/bin/rustc CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUSTFLAGS="--sysroot $tools/sysroot")
else
    skip "no standard library for $target: \`rustup target add $target\`, or Debian's rustc-web as root"
fi

for package in "${packages[@]}"; do
    say "tests of $package"
    "${cross[@]}" cargo test --target "$target" --package "$package" --lib --tests
done

say "logits of the built-in model at every level of both architectures"
cargo build --release --package glassbox
"${cross[@]}" cargo build --release --package glassbox --target "$target"
here=${CARGO_TARGET_DIR:-target}/release/glassbox
there=(qemu-aarch64 -L /usr/aarch64-linux-gnu "$folder/$target/release/glassbox")
scratch=$(mktemp -d "$folder/logits-XXXXXX")
trap 'rm -rf "$scratch"' EXIT

# The levels that a build finds, one per line.
levels() { "$@" doctor --json | python3 -c 'import json, sys; print(*json.load(sys.stdin)["levels"], sep="\n")'; }
logits() { "$@" predict "Once upon a time there was a king" --all --json; }

logits "$here" >"$scratch/expected"
for level in $(levels "$here"); do
    logits env GLASSBOX_LEVEL="$level" "$here" | cmp - "$scratch/expected" || fail "the logits differ at level $level"
    say "$level: identical logits"
done
seen=$(levels "${there[@]}" | tr '\n' ' ')
[ "$seen" = "scalar neon neondotprod " ] || fail "expected the levels scalar neon neondotprod, found $seen"
for level in $seen; do
    logits env GLASSBOX_LEVEL="$level" "${there[@]}" | cmp - "$scratch/expected" || fail "the logits differ at level $level"
    say "$level: identical logits"
done
