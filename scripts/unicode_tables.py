"""Writes jinja/src/unicode_tables.rs: the properties of characters by which Python's string methods decide.

    python scripts/unicode_tables.py

Only what Rust's standard library lacks: `isalpha`, `isdecimal`, `isdigit`, `isnumeric`, and the characters whose title
case is not their upper case, or whose case folding is not their lower case. The tables are of the Unicode version of
the Python that runs the script, which they name.
"""

import pathlib
import sys
import unicodedata

TARGET = pathlib.Path(__file__).parent.parent / "jinja/src/unicode_tables.rs"
ALL = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]


def ranges(holds):
    found = []
    for c in ALL:
        if holds(c):
            if found and found[-1][1] == ord(c) - 1:
                found[-1][1] = ord(c)
            else:
                found.append([ord(c), ord(c)])
    return found


def wrapped(items):
    lines, line = [], "   "
    for item in items:
        if len(line) + len(item) + 2 > 119:
            lines.append(line)
            line = "   "
        line += f" {item},"
    return "\n".join([*lines, line])


def range_table(name, about, holds):
    items = [f"({first:#x}, {last:#x})" for first, last in ranges(holds)]
    return f"/// {about}\npub(super) const {name}: [(u32, u32); {len(items)}] = [\n{wrapped(items)}\n];\n"


def escaped(text):
    return "".join(f"\\u{{{ord(c):x}}}" for c in text)


def map_table(name, about, changed, default):
    items = [f'(\'{escaped(c)}\', "{escaped(changed(c))}")' for c in ALL if changed(c) != default(c)]
    return f"/// {about}\npub(super) const {name}: [(char, &str); {len(items)}] = [\n{wrapped(items)}\n];\n"


def main():
    version = f"Unicode {unicodedata.unidata_version}, Python {sys.version.split()[0]}"
    parts = [
        f"//! Written by scripts/unicode_tables.py ({version}). Ranges are inclusive and ascending.\n",
        range_table("ALPHA", "`str.isalpha`.", str.isalpha),
        range_table("DECIMAL", "`str.isdecimal`.", str.isdecimal),
        range_table("DIGIT", "`str.isdigit` but not `str.isdecimal`.", lambda c: c.isdigit() and not c.isdecimal()),
        range_table("NUMERIC", "`str.isnumeric` but not `str.isdigit`.", lambda c: c.isnumeric() and not c.isdigit()),
        range_table("START", "Starts identifiers, but is not `str.isalpha`.", lambda c: c.isidentifier() and not c.isalpha()),
        range_table(
            "PART",
            "Continues identifiers, but is neither `str.isalpha` nor `str.isdecimal` nor in START.",
            lambda c: ("a" + c).isidentifier() and not (c.isalpha() or c.isdecimal() or c.isidentifier()),
        ),
        range_table("NO_PART", "Is `str.isalpha`, but in no identifier.", lambda c: c.isalpha() and not ("a" + c).isidentifier()),
        range_table(
            "NO_START",
            "Is `str.isalpha` and continues identifiers, but starts none.",
            lambda c: c.isalpha() and ("a" + c).isidentifier() and not c.isidentifier(),
        ),
        map_table("TITLE", "Title case, where it is not the upper case.", str.title, str.upper),
        map_table("FOLD", "Case folding, where it is not the lower case.", str.casefold, str.lower),
    ]
    TARGET.write_text("\n".join(parts), encoding="utf-8")
    print(TARGET, TARGET.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
