#!/usr/bin/env python3
"""Writes tokenizer/tests/goldens/regex.json: what the regular expressions of a tokenizer.json match in the reference.

A pattern has one digest for each text: FNV-1a of what the pattern does to it. The reference is Oniguruma as Hugging Face's tokenizers configures it, seen through a Split pre-tokenizer (the pieces)
and a Replace normalizer (the empty matches). Patterns are written by hand, one for each construct of the dialect, and
generated from a grammar with a fixed seed. A pattern that the reference refuses has the value null.

    pip install tokenizers==0.23.3
    python3 scripts/regex_goldens.py                    # writes the golden
    cargo build -p glassbox-tokenizer --example matches
    python3 scripts/regex_goldens.py --compare target/debug/examples/matches --seed 1 --count 20000
                                                        # compares other patterns with this crate, and writes nothing
"""

import argparse
import collections
import importlib.metadata
import json
import os
import pathlib
import random
import subprocess
import sys

os.environ["RUST_BACKTRACE"] = "0"
from tokenizers import Regex, normalizers, pre_tokenizers

OUT = pathlib.Path(__file__).resolve().parent.parent / "tokenizer" / "tests" / "goldens"
MARK = "\uf8ff"
# Every 13th character, and all of the first pages.
CODES = [code for code in range(0x20000) if (code < 0x600 or code % 13 == 0) and not 0xD800 <= code < 0xE000]

TEXTS = [
    " 2024-11-27 10000000",
    "It's we'LL don't  I'VE\n\n new\r\nline \t x  ",
    "a½b²c¹ d\u200de\u200cf _g 5½",
    "ß ss SS sS ẞ ﬀ FF ff ﬃ FFI ŉ ʼN İ i̇ ſt ﬆ Kk Kſs ΐ",
    "e\u0301x\u0323\u0301 🇩🇪🇫🇷 👩‍👩‍👧 각 \r\n\x0b\x85\u2028",
    "aaaabbbabab xxabxx abcabc cab",
    "中文，日本語 カナ ΑΒαβς абв ١٢٣ Ⅷ①",
    "{a,b} [x]-^$ $+<=>^`|~ a.b|c \\ a-z",
    "line1\nline2\n\nend\n",
    "\x00\x01\x7f\x1b\x07\xa0\u3000\u200b\ue000\u0378",
    "foo(bar)((x))a1b22c333",
    "",
    "a",
]

HAND = r"""
\p{N}{1,3}+
\p{N}{1,3}
\d{2}{3}
a{2}?
a{2,3}?
a{3,2}
a{2}+
a{,2}
a{,}
a{2
x{0}
a{1}b{1}+
a**
a+*
a??
a*?b
(?:a+)??b
(?:a*){2,3}
(?:a?)*?b
(?:a??)+b
(?:a|b)++c
a++b
a?+a
a*+a
(?>a+)b
(?>a|ab)c
[[:alpha:]]+
[[:^space:]]+
[[:space:]]+
[[:alnum:]]+
[[:blank:]]+
[[:cntrl:]]+
[[:digit:]]+
[[:graph:]]+
[[:lower:]]+
[[:print:]]+
[[:punct:]]+
[[:upper:]]+
[[:xdigit:]]+
[[:ascii:]]+
[[:word:]]+
[[:^word:]]+
[[:foo:]]
[[:alpha]
[[:alpha:][:digit:]]+
\w+
\W+
[\w]+
[^\w]+
\bx|\b
\B
\s+
\S+
[\s]
\d+
\D+
\h+
\H+
\R
\X
\y
\Y
\N+
\O+
.
.+
(?m:.)
(?m).+
(?m:.+)x
(?-m:.)+
(?s).
^
$
^.
.$
\A.
.\Z
.\z
\G.
\Ga
\K
a\Kb
ab\K
(?i:ss)
(?i)ﬀ
(?i)ffi
(?i)[ß]
(?i)[^ß]
(?i)ß
(?i)ẞ+
(?i)ss+
(?i)s
(?i)k
(?i)[k-l]
(?i)st
(?i)ŉ
(?i)i̇
(?i)ΐ
(?i)σ
(?i)'(?:s|t|re|ve|m|ll|d)
(?i:'s|'ll)
(?i)a(?-i)b
a|(?i)b|c
a(?i)b|c
(?i:a)b
(?i)\x{DF}
(?i)(?:s)s
(?i)(s)s
(?i:s)s
(?i)s(?:s)+
(?i)(?<=ſ)t
(?i)(?<=ß)x
(?<=ss)\s
\cA
\C-a
\101
\o{101}
\x41
\x{41}
\x{61 62}
\xC3\x9F
\xC3
\u0061
\u006
\e
\a
\0
\x00
\07
[\101-\103]
[\x61-\x63]+
[\x{61}-\x{63}]+
[\u0061-\u0063]+
[\xC3\x9F]
[a-c]+
[^a-c]+
[a-c-e]+
[-a]+
[a-]+
[--a]+
[a\-c]+
[]a]+
[^]a]+
[]
[a-z&&[^aeiou]]+
[a-z&&aeiou]+
[a&&]
[&&a]
[a-z&&[aeiou]&&[a-c]]+
[^a-z&&[^x]]+
[a[b[c]]]+
[^[^a]]+
[a-[b]]+
[z-a]
[a-\d]
[\d-a]
[\d\-a]+
[a-c&&b-d-]+
[\b]
[\n\t]
[.*+?^$|(){}]+
[\\\]]
[\p{L}&&[^\p{Lu}]]+
[\p{^L}]+
[\P{L}]+
[^\p{L}\p{N}]+
\p{L}+
\p{^L}+
\P{L}+
\P{^L}+
\p{Alpha}+
\p{Letter}+
\p{ LET-ter_}+
\p{Lu}
\p{Greek}+
\p{Han}+
\p{Hira}
\p{Katakana}+
\p{Cyrillic}+
\p{Any}
\p{Assigned}+
\p{Cn}
\p{Emoji}+
\p{Extended_Pictographic}
\p{White_Space}+
\p{In_Basic_Latin}+
\p{InLatin1Supplement}+
\p{Word}+
\P{Word}+
[\p{Word}]+
\p{Punct}+
\p{PosixPunct}+
\p{XPosixPunct}
\p{Script=Greek}
\p{Age=6.0}
\p{Foo}
\pL
\p{L
(a)\1
(a)(b)\2\1
(?<n>a)b\k<n>
(?'n'a)b\k'n'
(?<n>a)(b)\1
(?<n>a|b)\k<n>
(?<n>a)|(?<n>b)\k<n>
(a)\k<1>
(a)\k<-1>
(a)\k<-2>
\k<x>
(?P<n>a)
\1(a)
(a)\2
\8
(?i)(a)\1
(?i)(s)\1
(\w)\1
(?<=a)b
(?<!a)b
(?<=a|bc)a
(?<=a+)b
(?<=a*b)a
(?<!a+)b
(?<!ab|c)a
(?<=\bx)x
(?<=^)a
(?<=(a))b
(?<!(a))b
(?<=(?=a))a
(?<=(?<=a)b)c
(?<!(?<!a)b)a
(?<=a{2,3})b
(?<=.)$
(?<=\n)
(?<=a++)b
(?<=(?>a|b))c
(?<=(\w))\1
(?=ab)a
(?!ab)a
(?=a)*b
(?:^|a)*
^*a
\b+
\K*
(?=(\w))\1
a(?=b(?=a))
a(?!b(?!a))
\s+(?!\S)|\s+
\s(?=\s*$)
(?(?=a)ab|c)
(a)?(?(1)b|c)
(?<x>a)?(?(<x>)b|c)
(?(a)b|c)
(?(ab|b)a|x)
(a)(?(1))b
(?(1)b)
(?(<x>)b)
(a)?(?(1)|c)
(?~ab)
(?~)
(?~a|b)
(?~|ab|\w+)
(?~|ab|\w{1,2})
(?~|ab)
(?~|)
(?~\s)\s
x(?~x)x
(?#comment)a
a(?#c)+
(?x) a b # c
(?x)[ a]
(?x: a + ) b
(?x-i: a )
(?W:\w+)
(?W)[\w]+
(?W)\b
(?D:\d+)
(?S:\s+)
(?P:[[:alpha:]]+)
(?P)\w+\s
(?C)(a)b
(?I)k
(?L)a|ab
(?y{g})\X
(?y{w})\X
(?)
(?-)a
(?
(
)
*a
+
a|*
{1}a
a{1
]
}
[a
\
(?:
(?<n
(?=a
(a){0}b
(?:){3}a
(?:a{0,2}){0,2}b
((a)|b)*\2
(?:(a)|b)*\1
(?:|a)+
(?:a|)+
(?:a|()){2}b
(|a)*
(a*)*
(a*)+
(a|b*)*c
(?:a*?)+?b
\g<0>
\g<n>
(?<n>a\g<n>?b)
(*FAIL)
(?{x})
\M-a
\<a
\`
\'
\Qa.b\E
\N{x}
\E
\_
\-
\ 
\é
'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s*[\r\n]|\s+(?!\S)|\s
(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+$
[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}+
 ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s
(?=(\d{3})+(?!\d))
\d{1,3}(?=(?:\d{3})*\b)
(?<=\d)(?=(?:\d{3})+$)
""".strip("\n").split("\n")


class Grammar:
    """Random patterns of the dialect."""

    CHARS = ["a", "b", "c", "x", " ", "s", "ss", "é", "ß", "中", "1", "'", "-", "\\n", "\\t", "k", "A", "S", "ab", "ff"]
    SHORT = ["\\w", "\\W", "\\s", "\\S", "\\d", "\\D", "\\h", "\\H", "\\p{L}", "\\p{N}", "\\p{^L}", "\\P{Lu}",
             "\\p{Ll}", "\\p{Alpha}", "\\p{Han}", "\\p{Punct}", "\\p{M}", "\\p{Zs}"]
    POSIX = ["[:alpha:]", "[:^space:]", "[:digit:]", "[:punct:]", "[:word:]", "[:upper:]", "[:^alnum:]", "[:ascii:]"]
    ANCHORS = ["^", "$", "\\b", "\\B", "\\A", "\\z", "\\Z", "\\G", "\\K", "\\y", "\\Y"]
    QUANTIFIERS = ["?", "*", "+", "??", "*?", "+?", "?+", "*+", "++", "{2}", "{1,2}", "{,2}", "{2,}", "{1,3}?", "{1,3}+",
                   "{0,1}", "{3,1}", "{2}?", "{0}"]

    def __init__(self, random):
        self.random = random
        self.groups = 0
        self.names = []

    def pick(self, choices):
        return self.random.choice(choices)

    def pattern(self):
        self.groups, self.names = 0, []
        # Most patterns have no named groups, beside which plain parentheses do not capture.
        self.named = self.random.random() < 0.1
        start = self.pick(["", "", "", "(?i)", "(?m)", "(?x)", "(?W)", "(?i-m)"])
        return start + self.alternatives(3)

    def alternatives(self, depth):
        return "|".join(self.branch(depth) for _ in range(self.pick([1, 1, 1, 2, 2, 3])))

    def branch(self, depth):
        return "".join(self.term(depth) for _ in range(self.pick([0, 1, 1, 2, 2, 3])))

    def term(self, depth):
        if self.random.random() < 0.08:
            return self.pick(self.ANCHORS)
        atom = self.atom(depth)
        while self.random.random() < 0.35:
            atom += self.pick(self.QUANTIFIERS)
        return atom

    def atom(self, depth):
        kind = self.random.random()
        if depth == 0 or kind < 0.35:
            return self.pick(self.CHARS)
        if kind < 0.47:
            return self.pick(self.SHORT)
        if kind < 0.62:
            return self.cclass(2)
        if kind < 0.66:
            return self.pick([".", "\\R", "\\X", "\\N", "\\O"])
        inner = lambda: self.alternatives(depth - 1)
        if kind < 0.74:
            return f"(?:{inner()})"
        if kind < 0.80:
            self.groups += 1
            if self.named:
                name = f"n{self.pick([1, 2])}"
                text = f"(?<{name}>{inner()})"
                self.names.append(name)
                return text
            return f"({inner()})"
        if kind < 0.84:
            return f"(?>{inner()})"
        if kind < 0.88:
            return f"(?{self.pick(['=', '!'])}{inner()})"
        if kind < 0.92:
            return f"(?{self.pick(['<=', '<!'])}{inner()})"
        if kind < 0.94:
            return f"(?{self.pick(['i', 'm', '-i', 'i-m', 'W', 'x'])}:{inner()})"
        if kind < 0.95:
            return f"(?{self.pick(['i', '-i', 'm'])})"
        if kind < 0.96:
            return f"(?~{inner()})"
        if self.named and self.names:
            name = self.pick(self.names)
            return self.pick([f"\\k<{name}>", f"(?(<{name}>){inner()}|{inner()})"])
        if self.groups and not self.named:
            group = self.random.randint(1, self.groups)
            return self.pick([f"\\{group}", f"\\k<{group}>", f"(?({group}){inner()}|{inner()})"])
        return f"(?({inner()}){inner()}|{inner()})"

    def cclass(self, depth):
        parts = []
        for _ in range(self.pick([1, 2, 2, 3])):
            kind = self.random.random()
            if kind < 0.45:
                parts.append(self.pick(["a", "b", "x", "é", "ß", "s", "1", "-", " ", "中", "k", "\\]", "\\n"]))
            elif kind < 0.65:
                parts.append(self.pick(["a-z", "0-9", "A-Z", "a-c", "à-ÿ", "一-龥", "ʼ-ﬆ"]))
            elif kind < 0.75:
                parts.append(self.pick(self.SHORT))
            elif kind < 0.85:
                parts.append(self.pick(self.POSIX))
            elif kind < 0.93 and depth:
                parts.append(self.cclass(depth - 1))
            else:
                parts.append("&&")
        return f"[{self.pick(['', '', '^'])}{''.join(parts)}]"


def expected(pattern, texts):
    """For each text the pieces of an isolating Split, and the text with a mark for each match; None if refused."""
    try:
        regex = Regex(pattern)
        split = pre_tokenizers.Split(regex, "isolated")
        replace = normalizers.Replace(Regex(pattern), MARK)
    except Exception:
        return None
    results = []
    for text in texts:
        try:
            pieces = [piece for piece, _ in split.pre_tokenize_str(text)]
            results.append([pieces, replace.normalize_str(text)])
        except BaseException as error:  # The reference panics at its limits.
            if isinstance(error, KeyboardInterrupt):
                raise
            results.append(None)
    return results


def applied(text, matches):
    """The same as expected(), from byte ranges."""
    data = text.encode()
    pieces, marked, done = [], "", 0
    for start, end in matches:
        between = data[done:start].decode()
        pieces += [between, data[start:end].decode()]
        marked += between + MARK
        done = end
    rest = data[done:].decode()
    return [[piece for piece in pieces + [rest] if piece], marked + rest]


def fnv(text):
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = ((value ^ byte) * 0x100000001B3) & (2**64 - 1)
    return value


def digest(pieces, marked):
    text = "\x1f".join(pieces) + "\x1e" + marked
    return f"{fnv(text) & 0xFFFFFFFF:08x}"


def properties():
    """For each name in Oniguruma's table of properties, how many of CODES have it, and a digest of which."""
    path = OUT / "regex.json"
    names = json.loads(path.read_text())["properties"] if path.exists() else {}
    text = "".join(map(chr, CODES))
    values = {}
    for name in names:
        split = pre_tokenizers.Split(Regex(f"\\p{{{name}}}"), "removed", invert=True)
        members = [f"{CODES[start]:x}" for _, (start, end) in split.pre_tokenize_str(text)]
        values[name] = [len(members), f"{fnv(','.join(members)) & 0xFFFFFFFF:08x}"]
    return values


def compare(binary, patterns, texts):
    lines = [json.dumps([pattern, text]) for pattern in patterns for text in texts]
    output = subprocess.run([binary], input="\n".join(lines), capture_output=True, text=True, check=True)
    answers = [json.loads(line) for line in output.stdout.split("\n") if line]
    counts, refused, shown = collections.Counter(), collections.Counter(), 0
    for number, pattern in enumerate(patterns):
        want = expected(pattern, texts)
        got = answers[number * len(texts) : (number + 1) * len(texts)]
        errors = [answer for answer in got if isinstance(answer, str)]
        if want is None or errors:
            kind = ("both refuse" if want is None and errors else
                    "only the reference refuses" if want is None else "only this crate refuses")
            counts[kind] += 1
            if kind == "only this crate refuses":
                refused[errors[0].split(": ")[-1]] += 1
            if kind == "only the reference refuses" and shown < 20:
                shown += 1
                print("ACCEPTED", pattern)
            continue
        differs = False
        for text, answer, value in zip(texts, got, want):
            if value is not None and value != applied(text, answer) and not differs:
                differs = True
                if shown < 40:
                    shown += 1
                    print(f"DIFFERS {pattern}\n  on {text!r}\n  {value}\n  {applied(text, answer)}")
        counts["differ" if differs else "agree"] += 1
    print(dict(counts))
    for reason, count in refused.most_common(30):
        print(f"  {count:5} {reason}")
    return counts["differ"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--compare", metavar="BINARY")
    parser.add_argument("--seed", type=int, default=20261127)
    parser.add_argument("--count", type=int, default=400)
    arguments = parser.parse_args()
    grammar = Grammar(random.Random(arguments.seed))
    patterns = list(dict.fromkeys(HAND + [grammar.pattern() for _ in range(arguments.count)]))
    if arguments.compare:
        sys.exit(compare(arguments.compare, patterns, TEXTS) > 0)
    cases = {}
    for pattern in patterns:
        values = expected(pattern, TEXTS)
        cases[pattern] = values and [digest(*value) if value else "" for value in values]
    golden = {
        "source": f"tokenizers {importlib.metadata.version('tokenizers')}, scripts/regex_goldens.py, "
                  f"seed {arguments.seed}",
        "texts": TEXTS,
        "properties": properties(),
        "cases": cases,
    }
    lines = json.dumps(golden, ensure_ascii=False, separators=(",", ":"))
    lines = lines.replace('],"', '],\n"').replace(':null,"', ':null,\n"')
    (OUT / "regex.json").write_text(lines + "\n")
    print(len(cases), "patterns")


if __name__ == "__main__":
    main()
