"""Renders many small templates with jinja2, as transformers configures it.

    python scripts/template_goldens.py

Writes model/tests/fixtures/chat/snippets.json: each snippet with its output, or with the class of its exception. The
rows are [source, output], [source, null, class, message if the template raised it], or [source] for an output that
contains an address or half of a surrogate pair, which nothing can reproduce. The snippets are a grid: every filter,
test, method and operator on operands of every kind, and the rules of white space, loops, macros and scopes.
`strftime_now` uses a fixed time. Needs the packages transformers and jinja2, at the versions of requirements.txt.
"""

import copy
import datetime
import itertools
import json
import pathlib
import random
import re

import jinja2
import transformers
from transformers.utils import chat_template_utils

TARGET = pathlib.Path(__file__).parent.parent / "model/tests/fixtures/chat/snippets.json"
TIMES = [1_735_689_599, 951_782_400, 1_199_145_600, 1_231_027_199, 0]
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}
MESSAGES = [
    {"role": "system", "content": " Be kind. "},
    {"role": "user", "content": "Hi <b>there</b>", "n": 2},
    {"role": "assistant", "content": None, "tool_calls": [{"name": "f", "arguments": {"x": 1, "y": [1.0, None]}}]},
    {"role": "user", "content": "Bye", "n": 1},
]
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"b": 1, "a": {"é": True}}}}]
VARIABLES = {"messages": MESSAGES, "tools": TOOLS, "add_generation_prompt": True}

# Operands of every kind.
STRINGS = ["''", "'a'", "'Hello wOrld'", "' x\\ty \\n'", "'3.7'", "'-12'", "'é½²ßǅ'", "\"it's\"", "'<a&\"b\\'>'"]
NUMBERS = ["0", "1", "-7", "3", "2.5", "-0.5", "1e16", "1e-5", "true", "false"]
OTHERS = [
    "none", "nope", "[]", "[3, 1, 2]", "['b', 'A', 'c']", "(1, 'x')", "{}", "{'b': 1, 'A': 2}", "range(3)", "'x'|safe"
]
VALUES = STRINGS + NUMBERS + OTHERS
FEW = [
    "'Hello wOrld'", "'3.7'", "-7", "2.5", "true", "none", "nope", "[3, 1, 2]", "(1, 'x')", "{'b': 1, 'A': 2}",
    "range(3)", "'<i>'|safe"
]


def slices():
    for value in [
        "'héllo'", "[0, 1, 2, 3, 4]", "(0, 1, 2)", "range(10)", "{'a': 1, 0: 2}", "none", "5", "nope", "'x'|safe"
    ]:
        for index in [
            "0", "-1", "9", "-9", "true", "1.0", "'a'", "none", ":", "1:", ":2", "-2:", "::2", "::-1", "3:0:-1",
            "5:1", "-100:100", "::0", "'a':", "1:2:none", ":-1", "1:none", "true:", "0, 1"
        ]:
            # A variable, because Jinja computes constants early and forgives a wrong slice of one.
            yield f"{{% set v = {value} %}}{{{{ v[{index}] }}}}"


def expressions():
    # Printing, and the forms of literals.
    for value in VALUES:
        yield value
        yield f"[{value}]"
        yield f"({value},)"
        yield f"{{'k': {value}}}"
        yield f"{value} ~ ''"
        yield f"not {value}"
        yield f"'y' if {value} else 'n'"
    for literal in [
        "1_000",
        "0x1F",
        "0b101",
        "0o17",
        "1.5e3",
        "1e3",
        "1E-2",
        "00",
        "1_0.0_1",
        "100000000000000000000",
        "1.0e100",
        "'\\x41\\u00e9\\U0001f600'",
        "'\\101\\0'",
        "'\\q\\a\\b\\f\\v'",
        "'a' 'b' \"c\"",
        "'a\\\nb'",
        "'\\'\\\"'",
        "True",
        "False",
        "None",
        "[1, 2,]",
        "{'a': 1,}",
        "(1,)",
        "()",
        "(1)",
        "1, 2",
        "{1: 'a', 1.0: 'b', true: 'c'}",
        "{(1, 2): 'x'}",
        "{[1]: 2}",
        "{'a': 1, 'a': 2}",
        "0.1 + 0.2",
        "1e22",
        "1e21",
        "123456789012345678.0",
        "5e-324",
        "'\\xff'",
        "'\\ud83d'",
        "1..real",
        "1.5.real",
        "'\\N{DASH}'",
        "'ünï' ~ 'cødé'",
        "07",
        "'\\u12'",
    ]:
        yield literal
    # Operators.
    for operator in ["+", "-", "*", "/", "//", "%", "**"]:
        for left, right in itertools.product(
            ["7", "-7", "2.5", "true", "'ab'", "[1]", "none", "nope"],
            ["2", "-2", "-0.5", "0", "'cd'", "[2]", "(1,)"]
        ):
            yield f"{left} {operator} {right}"
    for left, right in itertools.product(["7", "-7.5", "7.5"], ["2", "-2", "2.5", "-2.5", "1e300"]):
        yield f"{left} // {right}, {left} % {right}"
    for operator in ["==", "!=", "<", "<=", ">", ">=", "in", "not in"]:
        for left, right in itertools.product(FEW, FEW):
            if operator in ("==", "<", "in") or left == right:
                yield f"{left} {operator} {right}"
    for expression in [
        "1 < 2 < 3",
        "1 < 3 < 2",
        "3 > 2 > 1 == 1",
        "1 == 1.0 == true",
        "not 1 == 2",
        "-2 ** 2",
        "(-2) ** 2",
        "2 ** -1",
        "2 ** 3 ** 2",
        "1 + 2 ~ 3 + 4",
        "'a' ~ 1 + 2",
        "1 if 0",
        "1 if 0 else 2 if 0 else 3",
        "1 and 0 or 2",
        "'' or none",
        "nope or 'd'",
        "nope and 'd'",
        "-'1'|int",
        "-1|abs",
        "2 * 'ab'",
        "[0] * 3",
        "(1, 2) * 2",
        "'x' * -1",
        "[1, 2] < [1, 3]",
        "(1, 2) < (1,)",
        "'Z' < 'a'",
        "[1] == (1,)",
        "{'a': 1} == {'a': 1.0}",
        "none == nope",
        "nope == nope2",
        "'b' in {'b': 1}",
        "[1] in {'b': 1}",
        "1 in [true]",
        "'' in 'abc'",
        "none in [none]",
        "1 / 3",
        "2 / 3 * 3",
        "10 ** 20",
        "2 ** 0.5",
        "1e308 * 10",
        "-(1e308 * 10)",
        "7 // 0",
        "7 % 0",
        "1.0 // 0",
        "+true",
        "-true",
        "+'a'",
        "-none",
        "~1",
        "0 ** -1",
        "-8 // 3",
        "-8 % 3",
        "8 % -3",
        "-0.0",
        "0.0 == -0.0",
        "'%s' % 1",
        "1 is 1",
        "1 is not none",
        "not not 1",
        "1 in (1, 2) and 2 not in [1]",
        "a.b",
        "a['b']",
        "none.x",
        "none['x']",
        "1.x",
        "'a'.b.c",
        "{}.x.y",
        "[].x",
        "nope.x",
        "nope[0]",
        "nope()",
        "'a'()",
        "none()",
        "undefined()",
        "range",
        "dict",
        "namespace",
        "'a'.upper",
        "loop",
        "caller",
        "self.x",
        "varargs",
        "messages",
        "tools",
        "messages[1]",
        "messages[-1].role",
        "messages[9]",
        "messages['x']",
        "messages.0.role",
        "messages[1]['n']",
        "messages[2].tool_calls[0].arguments.y",
        "bos_token ~ eos_token ~ unk_token",
        "messages|length",
        "messages[1].items",
        "tools[0].function.parameters.keys()",
    ]:
        yield expression
    # Items and slices.
    for value, name in itertools.product(
        ["'a'", "[1]", "{'items': 5}", "1", "1.5", "none", "(1,)", "range(3)", "{}"],
        ["items", "upper", "real", "__class__", "append", "copy", "start", "count", "_x", "pop", "keys", "x"]
    ):
        yield f"{value}.{name} is defined"
        yield f"{value}['{name}'] is defined"
    for attribute in [
        "append(1)", "pop()", "insert(0, 1)", "clear()", "sort()", "reverse()", "extend([1])", "remove(3)",
        "index(1)", "index(9)", "index(2, 1, 3)", "count(1)", "count(true)", "copy()", "index()"
    ]:
        yield f"[3, 1, 2].{attribute}"
    for attribute in ["index('x')", "count(1)", "index(5)", "append(1)"]:
        yield f"(1, 'x').{attribute}"
    for attribute in [
        "get('a')", "get('z')", "get('z', 5)", "get('a', default=1)", "get()", "get([1])", "items()", "keys()",
        "values()", "copy()", "pop('a')", "update({})", "setdefault('q', 1)", "clear()", "popitem()", "items()|list",
        "keys()|list", "values()|sum", "items()|length", "items()[0]", "keys()|sort|join", "a", "b", "get",
        "fromkeys(['x', 'y'], 1)", "items() is mapping", "keys() is iterable", "items() is sequence"
    ]:
        yield f"{{'a': 1, 'b': none}}.{attribute}"
    for expression in [
        "5 .bit_length()", "(255).bit_length()", "(-8).bit_length()", "2.0.is_integer()", "2.5.is_integer()",
        "true.real", "(7).denominator", "(7).imag", "2.5.imag", "range(5).start", "range(1, 9, 2).step",
        "range(5).index(3)", "range(5).count(9)"
    ]:
        yield expression


METHODS = {
    "upper": [""],
    "lower": [""],
    "title": [""],
    "capitalize": [""],
    "swapcase": [""],
    "casefold": [""],
    "strip": ["", "' '", "'Hd'", "none", "1"],
    "lstrip": ["", "'H '"],
    "rstrip": ["", "'d\\n'"],
    "split":
    ["", "' '", "'l'", "none", "' ', 1", "none, 1", "sep='l', maxsplit=1", "maxsplit=1", "''", "'l', -1", "'l', 0"],
    "rsplit": ["", "' '", "'l', 1", "none, 1", "none, 0"],
    "splitlines": ["", "true", "keepends=true"],
    "partition": ["' '", "'zz'", "''"],
    "rpartition": ["'l'", "'zz'"],
    "removeprefix": ["'Hel'"],
    "removesuffix": ["'rld'"],
    "startswith": ["'H'", "'e', 1", "('x', 'H')", "'H', 0, 1", "''", "'', 99", "['H']", "1", "'o', -1", "()"],
    "endswith": ["'d'", "('x', 'd')", "'l', 0, 4", "''", "'o', 0, -1"],
    "find": ["'o'", "'o', 5", "'z'", "'l', -3", "'', 99", "''"],
    "rfind": ["'o'", "'z'"],
    "index": ["'o'", "'z'"],
    "rindex": ["'o'", "'z'"],
    "count": ["'l'", "''", "'l', 4"],
    "replace": ["'l', 'L'", "'l', 'L', 1", "'', '-'", "'l'", "'l', 'L', -1", "'', '-', 2", "'l', 1"],
    "join": ["['x', 'y']", "'ab'", "[1]", "[]", "{'k': 1}", "('x',)"],
    "zfill": ["15", "2", "-1", "'a'"],
    "ljust": ["14", "14, '*'", "14, '**'", "2"],
    "rjust": ["14", "14, 'é'"],
    "center": ["14", "15", "15, '*'", "-3"],
    "expandtabs": ["", "4", "tabsize=2", "0"],
    "isalnum": [""],
    "isalpha": [""],
    "isascii": [""],
    "isdecimal": [""],
    "isdigit": [""],
    "isidentifier": [""],
    "islower": [""],
    "isnumeric": [""],
    "isprintable": [""],
    "isspace": [""],
    "istitle": [""],
    "isupper": [""],
    "format": ["", "1"],
    "encode": [""],
    "nothing": [""],
    "format_map": ["{}"],
}
UNICODE = [
    "'½'", "'²'", "'٣'", "'四'", "'ⅷ'", "'ß'", "'ŉ'", "'ǆ'", "'ǅ'", "'İ'", "'Σας ΣΑΣ'", "'ﬁn'", "'ª'", "'ʰ'", "'ⓐ'",
    "'\\x1c'", "'\\u2003'", "'\\u200b'", "'\\xa0'", "'_a1'", "'1a'", "'e\\u0301'", "'日本'", "'\\u0130'", "'Ꭰ'", "'ꭰ'",
    "'HELLO'", "'Hello World'", "'they\\'re'", "'\\U0001f600'", "'\\x7f'", "'\\xad'", "'\\ue000'"
]


def methods():
    for method, arguments in METHODS.items():
        for argument in arguments:
            yield f"'Hello wOrld'.{method}({argument})"
            if argument in ("", "' '", "'l', 1", "14") and method not in ("encode", ):
                for text in ["''", "' a\\tb\\n c '", "'é½²ßǅ'", "'-007'"]:
                    yield f"{text}.{method}({argument})"
    for text in UNICODE:
        for method in [
            "isalnum", "isalpha", "isdecimal", "isdigit", "isidentifier", "islower", "isnumeric", "isprintable",
            "isspace", "istitle", "isupper"
        ]:
            yield f"{text}.{method}()"
        yield f"[{text}.upper(), {text}.lower(), {text}.title(), {text}.capitalize(), {text}.swapcase(), {text}.casefold(), {text}.strip()]"
    for ending in [
        "\\n", "\\r", "\\r\\n", "\\v", "\\f", "\\x1c", "\\x1d", "\\x1e", "\\x1f", "\\x85", "\\u2028", "\\u2029",
        "\\n\\n", "\\n\\r"
    ]:
        yield f"'a{ending}b{ending}'.splitlines()"
        yield f"'a{ending}b'.splitlines(true)"
        yield f"'a{ending}b'.split()"
        yield f"'a{ending}b'|indent"
        yield f"'{ending}a{ending}'|trim"
    for method, argument in [
        ("upper", ""), ("replace", "'x', '<'"), ("join", "['<', 'b']"), ("center", "9, '<'"), ("split", ""),
        ("format", "'<'"), ("strip", ""), ("title", ""), ("partition", "'x'"), ("isupper", ""), ("find", "'x'")
    ]:
        yield f"('a x {{}}'|safe).{method}({argument})"
    for expression in [
        "('<'|e) + '<'", "'<' + ('<'|e)", "('<'|e) ~ '<'", "('<%s'|safe) % '<'", "('%d'|safe) % 3",
        "('%s %r'|safe) % ('<', '<')", "('<'|e) * 2", "('<b>'|safe)[0]", "['<'|e]", "('<'|e)|upper", "('<'|e)|string",
        "('<'|e)|length", "'<'|e|e", "'<'|e|forceescape", "'<'|safe|e", "'<' == ('<'|safe)", "('a'|safe)|tojson",
        "'<'|e is escaped", "'<' is escaped", "['<', '<'|e]|join(',')", "('<'|e)|replace('&', '<')",
        "('a b'|safe)|title", "('<'|safe)|indent", "('x'|safe)|default('y')", "('a\\nb'|safe)|indent('<')",
        "('abc'|safe)|reverse", "('aXb'|safe)|truncate(1, true, '')", "('{}'|safe).format('<', x=1)",
        "('{}'|safe).format('<'|safe)", "('{:>3}'|safe).format('<')"
    ]:
        yield expression


def formats():
    values = ["1", "-1", "255", "3.14159", "-2.5", "1e20", "1e-7", "'text'", "true", "none", "[1]"]
    for code in [
        "%s", "%r", "%d", "%i", "%5d", "%-5d|", "%05d", "%+d", "% d", "%x", "%#x", "%X", "%o", "%#o", "%e", "%.2e",
        "%f", "%.1f", "%8.3f", "%08.2f", "%-8.1f|", "%g", "%.3g", "%#.3g", "%G", "%c", "%10s", "%-10s|", "%.2s",
        "%5.1s|", "%%", "%a", "%.3d", "%+.1e", "%z", "%"
    ]:
        for value in values:
            yield f"'{code}' % {value}" if value != "[1]" else f"'{code}' % ([1],)"
    for expression in [
        "'%s %s' % ('a', 'b')", "'%s %s' % 'a'", "'%s' % ('a', 'b')", "'%(x)s-%(y)03d' % {'x': 'a', 'y': 5}",
        "'%(z)s' % {}", "'%*d' % (5, 3)", "'%.*f' % (2, 3.14159)", "'x' % [1]", "'x' % {}", "'x' % 1", "'x' % ()",
        "'%s' % ()", "'%s' % [1, 2]", "'%s' % {'a': 1}", "'%s' % nope", "'%d' % nope", "'%s|%s'|format(1, 2)",
        "'%(a)s'|format(a=1)", "'%s'|format", "'%s'|format(1, a=2)", "'%c%c' % (65, 'B')", "'%-*d|' % (4, 1)",
        "'%s' % none", "'%5%' % ()", "'%ld' % 3"
    ]:
        yield expression
    for spec in [
        "", "5", "<5", ">5", "^5", "*^7", "=5", "05", "+", " ", "d", "x", "#x", "X", "b", "#b", "o", "c", "e", ".2e",
        "f", ".1f", "8.3f", "08.2f", "+.2f", "g", ".3g", "%", ".0%", ",", ",d", "_", "_x", ",.2f", "010,d", "s", "5s",
        ".2", ".2s", "n", "#.3g", "<05", "E", "z", ">>5", "é^5", "1000"
    ]:
        for value in ["42", "-3", "3.14159", "1234567.891", "'text'", "true"]:
            yield f"'{{:{spec}}}'.format({value})"
    for expression in [
        "'{}'.format()", "'{} {}'.format(1, 2)", "'{1} {0}'.format(1, 2)", "'{a} {b}'.format(a=1, b='x')",
        "'{a}'.format()", "'{} {0}'.format(1)", "'{0} {}'.format(1)", "'{{}}'.format()", "'{'.format()",
        "'}'.format()", "'{!r} {!s} {!a}'.format('é', 'é', 'é')", "'{!x}'.format(1)",
        "'{0[1]} {0[0]}'.format([5, 6])", "'{0[k]} {0.k}'.format({'k': 7})", "'{:{}}'.format('x', 5)",
        "'{:{w}.{p}f}'.format(3.14159, w=8, p=2)", "'{x.real}'.format(x=5)", "'{x.__class__}'.format(x=5)",
        "'{:5}|{:<5}|{:^5}'.format(none|string, 1.5, 2)", "'{:5}'.format(none)", "'{}'.format([1, 'a'])",
        "'{:3}'.format([1])", "'{a}'.format_map({'a': 1})", "'{a}'.format_map({})", "'{}'.format(nope)",
        "'{:>4}'.format(nope)", "'{}{}'.format(*[1, 2])", "'{a}'.format(**{'a': 3})"
    ]:
        yield expression


FILTERS = {
    "abs": [""],
    "attr": ["'upper'", "'b'", "'real'"],
    "batch": ["2", "2, 'x'", "0"],
    "capitalize": [""],
    "center": ["", "10"],
    "count": [""],
    "d": ["'z'"],
    "default": ["", "'z'", "'z', true", "'z', boolean=true"],
    "dictsort": ["", "true", "false, 'value'", "by='value'", "reverse=true", "by='x'"],
    "e": [""],
    "escape": [""],
    "filesizeformat": ["", "true"],
    "first": [""],
    "float": ["", "1", "'x'"],
    "forceescape": [""],
    "format": ["1"],
    "groupby": ["0"],
    "indent": ["", "2", "2, true", "2, first=true, blank=true", "'> '", "-1"],
    "int": ["", "5", "0, 16", "none"],
    "items": [""],
    "join": ["", "', '", "1"],
    "last": [""],
    "length": [""],
    "list": [""],
    "lower": [""],
    "map": ["'string'", "'upper'", "attribute='x'", "'nope'", ""],
    "max": ["", "true"],
    "min": ["", "attribute=0"],
    "pprint": [""],
    "reject": ["", "'odd'", "'none'"],
    "rejectattr": ["'x'", ""],
    "replace": ["'l', 'L'", "'l', 'L', 1", "1, 2", "'l'"],
    "reverse": [""],
    "round": ["", "1", "-1", "0, 'floor'", "0, 'ceil'", "1, 'floor'", "0, 'x'"],
    "safe": [""],
    "select": ["", "'odd'", "'string'", "'nope'", "'gt', 1"],
    "selectattr": ["'x'", "'x', 'defined'"],
    "slice": ["2", "2, 'x'", "0"],
    "sort": ["", "true", "case_sensitive=true", "attribute='x'"],
    "string": [""],
    "striptags": [""],
    "sum": ["", "start=1", "attribute='x'"],
    "title": [""],
    "tojson": ["", "indent=2", "true", "ensure_ascii=true, sort_keys=true", "separators=(',', ':')"],
    "trim": ["", "'H'"],
    "truncate": ["", "5", "5, true", "5, false, '!'", "5, true, '…', 0"],
    "unique": ["", "true"],
    "upper": [""],
    "urlencode": [""],
    "wordcount": [""],
    "wordwrap": ["", "5", "5, false", "4, wrapstring='|'"],
    "xmlattr": ["", "false"],
    "nope": [""],
    "random": [""],
}
LAZY = {"batch", "items", "map", "reject", "rejectattr", "reverse", "select", "selectattr", "slice", "unique"}


def filters():
    for name, arguments in FILTERS.items():
        for argument in arguments:
            call = f"|{name}({argument})" if argument else f"|{name}"
            end = "|list" if name in LAZY else ""
            for value in FEW if argument else VALUES:
                yield f"{value}{call}{end}"
    records = "[{'n': 'b', 'v': 2, 'o': {'x': 1}}, {'n': 'A', 'v': 1, 'o': {'x': 3}}, {'n': 'a', 'v': 2, 'o': {}}, {'v': 3}]"
    for call in [
        "sort(attribute='v')",
        "sort(attribute='n')",
        "sort(attribute='v,n')",
        "sort(attribute='o.x')",
        "sort(true, attribute='v')",
        "map(attribute='n')|list",
        "map(attribute='n', default='?')|list",
        "map(attribute='o.x')|list",
        "map(attribute='o.x', default=0)|list",
        "map('length')|list",
        "map('attr', 'n')|list",
        "map(attribute='n', x=1)|list",
        "map('tojson')|list",
        "selectattr('n')|map(attribute='v')|list",
        "selectattr('n', 'defined')|list|length",
        "selectattr('v', 'equalto', 2)|map(attribute='n')|join",
        "selectattr('v', '==', 2)|list|length",
        "selectattr('v', 'gt', 1)|list|length",
        "selectattr('v', 'in', [1, 3])|list|length",
        "rejectattr('n')|list",
        "rejectattr('n', 'undefined')|map(attribute='n')|list",
        "selectattr('o.x')|list|length",
        "groupby('v')",
        "groupby('v')|map(attribute='grouper')|list",
        "groupby('n', default='?')",
        "groupby('n')",
        "groupby('o.x', default=9)",
        "sum(attribute='v')",
        "sum(attribute='v', start=10)",
        "sum('v')",
        "max(attribute='v')",
        "min(attribute='v')",
        "join(',', attribute='n')",
        "join(attribute='v')",
        "unique(attribute='v')|list|length",
        "unique(attribute='n')|list|length",
        "first",
        "last",
        "batch(3)|list|length",
        "map('dictsort')|first",
        "map(attribute='v')|sum",
        "map(attribute='v')|sort(reverse=true)",
        "map(attribute='v')|unique|list",
        "tojson",
        "tojson(indent=1)",
        "tojson(sort_keys=true)",
        "map(attribute='v')|map('string')|join('+')",
        "select('mapping')|list|length",
        "map('items')|map('list')|list",
        "selectattr('v', 'divisibleby', 2)|list|length",
        "rejectattr('v', 'odd')|list|length",
    ]:
        yield f"{records}|{call}"
    for expression in [
        "['a', 'B', 'c', 'A']|sort",
        "['a', 'B', 'A']|sort(case_sensitive=true)",
        "['b', 'B', 'a']|sort(true)",
        "[1, 'a']|sort",
        "[none, none]|sort",
        "[2, 1.5, true]|sort",
        "{'b': 2, 'a': 1}|sort",
        "'hello'|sort",
        "[[2], [1, 5]]|sort",
        "['a', 'A', 'b']|unique|list",
        "['a', 'A']|unique(true)|list",
        "[1, 1.0, true]|unique|list",
        "[[1], [1]]|unique|list",
        "['a', 'B']|max",
        "['a', 'B']|max(true)",
        "[]|max",
        "[3, 'a']|max",
        "[1, 2, 3]|sum",
        "[[1], [2]]|sum(start=[])",
        "['a', 'b']|sum(start='')",
        "[0.1, 0.2]|sum",
        "range(7)|batch(3)|list",
        "range(7)|batch(3, 0)|list",
        "range(7)|slice(3)|list",
        "range(7)|slice(3, 0)|list",
        "range(2)|slice(4)|list",
        "[1, [2, 3]]|string",
        "'a,b'|list",
        "42.55|round",
        "42.55|round(1)",
        "42.55|round(1, 'floor')",
        "2.5|round",
        "3.5|round",
        "-2.5|round",
        "2.675|round(2)",
        "1234|round(-2)",
        "1250|round(-2)",
        "1350|round(-2)",
        "12.5|round(-1)",
        "7|round(1, 'ceil')",
        "1e20|round",
        "'3'|round",
        "'0x1f'|int(base=16)",
        "'1f'|int(0, 16)",
        "'0b11'|int(base=0)",
        "' 42 '|int",
        "'4_2'|int",
        "'1e3'|int",
        "'٣'|int",
        "'inf'|int",
        "'nan'|int(7)",
        "'12abc'|int(-1)",
        "'z'|int(base=36)",
        "'9'|int(0, 8)",
        "'0o17'|int(base=8)",
        "'١٢'|float",
        "' 1.5 '|float",
        "'1_0.5'|float",
        "'inf'|float",
        "'-Infinity'|float",
        "'nan'|float",
        "'1e5'|float",
        "'1e'|float",
        "'.5'|float",
        "'5.'|float",
        "'+5'|int",
        "'- 5'|int",
        "[1]|int(3)",
        "none|int('d')",
        "1e3|int",
        "-1.9|int",
        "'--1'|int",
        "'foo bar baz qux'|truncate(9)",
        "'foo bar baz qux'|truncate(9, true)",
        "'foo bar baz qux'|truncate(11)",
        "'foo bar baz qux'|truncate(11, false, '...', 0)",
        "'foo bar'|truncate(2)",
        "'foobarbaz'|truncate(5, leeway=0)",
        "'aaaa bbbb cccc dddd'|wordwrap(9)",
        "'aaaabbbbcccc'|wordwrap(5)",
        "'aaaabbbbcccc dd'|wordwrap(5, false)",
        "'a  b   c'|wordwrap(3)",
        "'one\\n\\ntwo three'|wordwrap(5)",
        "' lead and trail '|wordwrap(6)",
        "'a-b-c'|wordwrap(2, break_on_hyphens=false)",
        "'x'|wordwrap(0)",
        "1|filesizeformat",
        "999|filesizeformat",
        "1000|filesizeformat",
        "1500000|filesizeformat",
        "1024|filesizeformat(true)",
        "1e9|filesizeformat",
        "1e27|filesizeformat",
        "'123'|filesizeformat",
        "0.5|filesizeformat",
        "'a b&c/d'|urlencode",
        "{'a b': 1, 'c': 'd&e'}|urlencode",
        "[('x', 'y z'), ('k', 2)]|urlencode",
        "'é'|urlencode",
        "5|urlencode",
        "{'class': 'a\"b', 'id': none, 'x': nope, 'n': 5}|xmlattr",
        "{'a b': 1}|xmlattr",
        "{'k': '<'}|xmlattr(false)",
        "'<p>Hi <b>you</b>  there</p> &lt; &amp; &#39;'|striptags",
        "'a <!-- x --> b < c'|striptags",
        "'a\\nb\\n\\nc'|indent",
        "'a\\nb\\n\\nc'|indent(2, true)",
        "'a\\nb\\n\\nc'|indent(2, false, true)",
        "'a\\nb'|indent(width='--')",
        "''|indent(first=true)",
        "'a\\n'|indent",
        "'hello (world) foo-bar [x] {y} <z>'|title",
        "\"they're bill's\"|title",
        "'ΑΣ ΒΣ'|title",
        "'ßa'|capitalize",
        "'a_b c1-d'|wordcount",
        "'é ü'|wordcount",
        "{'b': 1, 'A': 2, 'a': 3}|dictsort",
        "{'b': 1, 'A': 2}|dictsort(true)",
        "{'b': 1, 'a': 'x'}|dictsort(by='value')",
        "{1: 'a', 'b': 2}|dictsort",
        "{'a': [1, {'z': none, 'b': 'é\\u2028'}]}|tojson",
        "{'a': [1, {'z': none, 'b': 'é\\u2028'}]}|tojson(ensure_ascii=true)",
        "'\\U0001f600</script>'|tojson",
        "'\\U0001f600'|tojson(ensure_ascii=true)",
        "{'b': [], 'a': {}}|tojson(indent=2)",
        "[1, [2, {'x': 3}]]|tojson(indent='--')",
        "{1: 2, none: 3, true: 4, 1.5: 5}|tojson",
        "{(1, 2): 3}|tojson",
        "range(3)|tojson",
        "[1.0, 1e100, -0.0]|tojson",
        "nope|tojson",
        "[nope]|tojson",
        "{'a': 1}|tojson(separators=(',', ':'))",
        "{'a': 1}|tojson(none, 2)",
        "{'a': 1}|tojson(foo=1)",
        "'x'|tojson(indent=0)",
        "{'b': 1, 'a': 2}|tojson(sort_keys=true, indent=2)",
        "[1]|tojson(indent=true)",
        "'\\x7f\\x00\\u2028'|tojson",
        "('a', 1)|tojson",
        "{'z': 1, 'a': [1, {'c': 2, 'b': 3}]}|pprint",
        "'a'|pprint",
        "range(40)|list|pprint",
        "none|pprint",
        "[1, 2, 3]|reverse|list",
        "'abc'|reverse",
        "{'a': 1}|reverse|list",
        "5|reverse",
        "[1]|map('nope')|list",
        "nope|map('upper')|list",
        "'abc'|map('upper')|join('-')",
        "[1, 2]|select|list",
        "[0, 1, nope]|select('defined')|list",
        "['a', 1]|select('string')|list",
        "[1, 2, 3]|reject('in', [1])|list",
        "[1, 2]|map('round', 1)|list",
        "['a']|map('replace', 'a', 'b')|list",
        "[3]|map('multiply')|list",
        "'x'|attr('upper') is callable",
        "{'a': 1}|attr('a')",
        "'a'|attr('__class__')",
        "[[1, 2], [3]]|map('first')|list",
        "[[1, 2], [3]]|map('length')|sum",
        "'x'|default",
        "nope|default(1)|default(2)",
        "nope|d('x')|upper",
        "none|default('x')",
        "none|default('x', true)",
        "nope.x|default('y')",
        "[]|first",
        "[]|last",
        "''|first is defined",
        "{'a': 1}|first",
        "{'a': 1}|last",
        "range(5)|last",
        "[1]|map('string')|last",
        "[1]|random",
        "[]|random is defined",
        "nope|length",
        "5|length",
        "none|length",
        "nope|list",
        "nope|join",
        "nope|upper",
        "nope|string",
        "nope|int",
        "nope|float",
        "nope|abs",
        "nope|first",
        "nope|sort",
        "nope|sum",
        "nope|items|list",
        "none|items|list",
        "[]|items|list",
        "nope|trim",
        "nope|indent",
        "nope|replace('a', 'b')",
        "nope|e",
        "nope|tojson",
        "nope|title",
        "nope|reverse|list",
        "nope|batch(2)|list",
        "nope|dictsort",
        "nope|round",
        "nope|truncate",
        "nope|wordcount",
        "nope|unique|list",
        "nope|max",
        "nope|groupby('x')",
        "'abc'|map|list",
        "'abc'|selectattr|list",
        "'a'|replace",
        "'a'|upper(1)",
        "'a'|center(x=1)",
        "'a'|foo.bar",
        "'aaa'|replace('a', 'b', count=2)",
        "'a'|trim(chars='a')",
        "'abc'|batch(linecount=2)|list",
        "[1, 2]|join(d='-')",
        "'a,b;c'.split(',')|map('upper')|join('|')",
        "'x' if 'a'|nope else 'y'",
        "1 if true else 'a'|nope",
        "[1, 2, 3]|map('pprint')|join",
        "'abc'|list|join('-')|upper|replace('-', '+')",
        "messages|selectattr('role', 'equalto', 'user')|map(attribute='content')|list",
        "messages|map(attribute='role')|unique|list",
        "messages|groupby('role')|map('first')|list",
        "messages|rejectattr('content')|list|length",
        "messages|map('tojson')|join('\\n')",
        "tools|tojson(indent=4)",
        "messages[2]|tojson",
        "messages[1].content|e",
        "messages|last|attr('role')",
        "(messages|last).role",
        "messages|length > 3 and messages[0].role == 'system'",
    ]:
        yield expression


TESTS = [
    "boolean", "callable", "defined", "undefined", "escaped", "even", "odd", "false", "true", "float", "integer",
    "iterable", "lower", "upper", "mapping", "none", "number", "sequence", "string", "filter", "test"
]


def tests():
    extra = [
        "'upper'", "'UP'", "'odd'", "messages", "range", "dict", "'a'.upper", "namespace()", "nope", "joiner()",
        "cycler(1)", "[1]|map('abs')", "{}.items()", "none"
    ]
    for test in TESTS:
        for value in VALUES + extra:
            yield f"{value} is {test}"
    for test in [
        "eq", "ne", "lt", "le", "gt", "ge", "equalto", "lessthan", "greaterthan", "sameas", "in", "divisibleby", "==",
        "!="
    ]:
        for left, right in itertools.product(
            ["1", "'a'", "none", "[1]", "2.0", "nope"], ["1", "'a'", "none", "[1]", "[1, 'a', none]"]
        ):
            if test.isalpha():
                yield f"{left} is {test} {right}"
            else:
                yield f"[{left}]|select('{test}', {right})|list"
    for expression in [
        "1 is not odd", "not 1 is odd", "1 is odd and 2 is even", "1 is odd is true", "1 is nope",
        "'x' if 1 is nope else 'y'", "1 is divisibleby(2)", "4 is divisibleby 2", "'a' is in 'abc'", "3 is in [1, 2]",
        "x is defined or true", "1 is eq 1.0", "true is sameas true", "true is sameas 1", "none is sameas none",
        "[] is sameas []", "1 is eq(1) ", "1 is eq", "'a' is string and 'b' is not number", "messages is sequence",
        "1 + 1 is even", "2 is even == true", "-1 is number", "'upper' is filter", "'odd' is test", "1.0 is integer",
        "[1] is filter", "'x' is in {'x': 1}"
    ]:
        yield expression


STATEMENTS = r"""
a {% if true %} b {% endif %} c|x
a
  {% if true %}
    b
  {% endif %}
c
  {%- if true -%}  b  {%- endif -%}  c
  {%+ if true %} b {%+ endif %}
a {# comment #} b
a
  {# comment #}
b
a{#- comment -#} b
  {{ 'x' }}  y
a {{- 'x' -}} b
a {{+ 'x' }} b
{% raw %}{{ x }} {% if %}{% endraw %}
  {% raw %}
 x {% endraw %}
y
a {%- raw -%} {{ x }} {%- endraw -%} b
{% if 1 %}a{% elif 2 %}b{% else %}c{% endif %}
{% if 0 %}a{% elif nope %}b{% else %}c{% endif %}
{% for i in [1, 2, 3] %}{{ i }}{{ ',' if not loop.last }}{% endfor %}
{% for i in [] %}x{% else %}empty{% endfor %}
{% for i in nope %}x{% else %}none{% endfor %}
{% for i in 5 %}x{% endfor %}
{% for k, v in {'a': 1, 'b': 2}.items() %}{{ k }}={{ v }};{% endfor %}
{% for k, v in {'a': 1}|dictsort %}{{ k }}={{ v }};{% endfor %}
{% for k in {'a': 1, 'b': 2} %}{{ k }}{% endfor %}
{% for a, b in [(1, 2), [3, 4], 'xy'] %}{{ a }}{{ b }} {% endfor %}
{% for a, b in [(1, 2, 3)] %}{{ a }}{% endfor %}
{% for a, b in [1] %}{{ a }}{% endfor %}
{% for (a, b), c in [((1, 2), 3)] %}{{ a }}{{ b }}{{ c }}{% endfor %}
{% for i in 'abc' %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }} {% endfor %}
{% for i in 'abc' %}{{ loop.previtem }}<{{ i }}>{{ loop.nextitem }} {% endfor %}
{% for i in 'abc' %}{{ loop.previtem is defined }} {{ loop.nextitem|default('end') }} {% endfor %}
{% for i in 'abcd' %}{{ loop.cycle('x', 'y', 'z') }}{% endfor %}
{% for i in [1, 1, 2, 2, 1] %}{{ loop.changed(i) }} {% endfor %}
{% for i in [1, 1, 2] %}{{ loop.changed(i, 'x') }}{{ loop.depth }}{{ loop.depth0 }} {% endfor %}
{% for i in 'ab' %}{{ loop }}{% endfor %}
{% for i in 'ab' %}{{ loop.nope }}{{ loop.cycle() }}{% endfor %}
{% for i in 'ab' %}{% for j in 'xy' %}{{ loop.index }}{{ i }}{{ j }} {% endfor %}{{ loop.index }}{% endfor %}
{% for i in [1, 2, 3, 4] if i is odd %}{{ loop.index }}/{{ loop.length }}:{{ i }} {% endfor %}
{% for i in [1, 2, 3] if loop.index > 1 %}{{ i }}{% endfor %}
{% for i in [1, 2] if false %}{{ i }}{% else %}none{% endfor %}
{% for i in range(10) %}{% if i == 2 %}{% continue %}{% endif %}{% if i == 5 %}{% break %}{% endif %}{{ i }}{% endfor %}
{% for i in range(3) %}{% break %}{% else %}else{% endfor %}
{% for i in range(3) %}{% continue %}{% else %}else{% endfor %}
{% break %}
{% if true %}{% continue %}{% endif %}
{% for i in [1] %}{% macro f() %}{% break %}{% endmacro %}{% endfor %}
{% for x in [[1, [2]], [3]] recursive %}{{ loop(x) if x is iterable else x }}{{ loop.depth }};{% endfor %}
{% for x in [{'n': 'a', 'c': [{'n': 'b', 'c': []}]}] recursive %}{{ loop.depth0 }}{{ x.n }}({{ loop(x.c) }}){% endfor %}
{% for x in [[1]] %}{{ loop(x) }}{% endfor %}
{% for i in [1, 2]|map('string') %}{{ loop.length }}{{ i }}{% endfor %}
{% for i in [3, 4]|select %}{{ loop.revindex }}{{ loop.last }}{{ i }}{% endfor %}
{% set g = [1, 2]|map('string') %}{{ g|list }}{{ g|list }}
{% set g = [1, 2, 3]|map('string') %}{{ g|first }}{{ g|join }}
{% set g = [1, 2, 3]|select('odd') %}{{ 1 in g }}{{ g|list }}
{% set g = [1, 2, 3]|reverse %}{{ g|list }}{{ g|list }}
{% set g = {'a': 1}|items %}{% for k, v in g %}{{ k }}{% endfor %}{% for k, v in g %}{{ k }}{% endfor %}
{% set x = 1 %}{% for i in [1] %}{% set x = 2 %}{{ x }}{% endfor %}{{ x }}
{% for i in [1, 2] %}{{ x }}{% set x = i %}{{ x }}{% endfor %}{{ x }}
{% if true %}{% set x = 1 %}{% endif %}{{ x }}
{% set x = 1 %}{% if true %}{% set x = x + 1 %}{% endif %}{{ x }}
{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}{{ a }}
{% set a = 5 %}{% with a = 1, b = a %}{{ a }}{{ b }}{% set c = 3 %}{% endwith %}{{ c }}
{% with %}{% set a = 1 %}{{ a }}{% endwith %}{{ a }}
{% set ns = namespace(n=0) %}{% for i in [1, 2, 3] %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}
{% set ns = namespace() %}{{ ns.x is defined }}{% set ns.x = 1 %}{{ ns.x }}{{ ns['x'] }}{{ ns }}
{% set ns = namespace({'a': 1}, b=2) %}{{ ns.a }}{{ ns.b }}
{% set ns = namespace(a=1) %}{{ ns.b }}{{ ns.items }}
{% set ns = namespace(_a=1) %}
{% set ns = namespace() %}{% set ns._a = 1 %}
{% set d = {'a': 1} %}{% set d.a = 2 %}{{ d }}
{% set nope.x = 1 %}
{% set ns = namespace(found=false) %}{% for i in [1, 2, 3] if not ns.found %}{{ i }}{% if i == 2 %}{% set ns.found = true %}{% endif %}{% endfor %}
{% set a, b = 1, 2 %}{{ a }}{{ b }}
{% set a, b = [1, 2, 3] %}
{% set a = 1, 2 %}{{ a }}
{% set (a, b) = 'xy' %}{{ a }}{{ b }}
{% set x %}a{{ 1 + 1 }}b{% endset %}[{{ x }}]
{% set x | upper | replace('A', 'z') %}a{{ 1 }}b{% endset %}{{ x }}
{% set x %}{% set y = 1 %}{{ y }}{% endset %}{{ x }}{{ y }}
{% set true = 1 %}
{% set loop = 1 %}{{ loop }}
{% for loop in [1] %}{{ loop }}{% endfor %}
{% for i in [1] %}{% set loop = 1 %}{% endfor %}
{% macro f(a, b=2) %}{{ a }}{{ b }}{% endmacro %}{{ f(1) }} {{ f(1, 3) }} {{ f(b=1, a=0) }} {{ f() }}
{% macro f(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ f(1) }}{{ f() }}
{% macro f(a) %}{{ a is defined }}{% endmacro %}{{ f() }}{{ f(none) }}{{ f(nope) }}
{% macro f(a) %}{{ a }}{% endmacro %}{{ f(1, 2) }}
{% macro f(a) %}{{ a }}{% endmacro %}{{ f(x=2) }}
{% macro f(a) %}{{ a }}{% endmacro %}{{ f(1, a=2) }}
{% macro f(a) %}{{ a }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ f(1, 2, 3, x=4) }}
{% macro f() %}{{ caller() }}|{% endmacro %}{% call f() %}body{% endcall %}
{% macro f() %}{{ caller('x') }}{% endmacro %}{% call(a) f() %}<{{ a }}>{% endcall %}
{% macro f() %}{{ caller is defined }}{% endmacro %}{{ f() }}
{% macro f() %}{{ caller() }}{% endmacro %}{{ f() }}
{% macro f() %}x{% endmacro %}{% call f() %}body{% endcall %}
{% macro f(x) %}{{ x }}{{ caller(x + 1, y=2) }}{% endmacro %}{% call(a, y=0) f(1) %}<{{ a }}{{ y }}>{% endcall %}
{% call 1 %}x{% endcall %}
{% macro f(x) %}{{ x }}{{ f(x - 1) if x }}{% endmacro %}{{ f(3) }}
{% macro f(x) %}{% if x %}{{ x }}{{ f(x - 1) }}{% endif %}{% endmacro %}{{ f(5)|length }}
{% set x = 1 %}{% macro f() %}{{ x }}{% endmacro %}{% set x = 2 %}{{ f() }}
{% macro f() %}{{ x }}{% endmacro %}{% set x = 2 %}{{ f() }}
{% macro f() %}{% set x = 5 %}{{ x }}{% endmacro %}{{ f() }}{{ x }}
{% for i in [1, 2] %}{% macro f() %}{{ i }}{% endmacro %}{{ f() }}{% endfor %}{{ f is defined }}
{% for i in [1, 2] %}{% macro f() %}{{ loop.index }}{% endmacro %}{{ f() }}{% endfor %}
{% macro f(a, b=1, a) %}{% endmacro %}
{% macro f(a=1, b) %}{% endmacro %}
{% macro f(a) %}{% endmacro %}{{ f }}{{ f.name }}{{ f.arguments }}{{ f.catch_kwargs }}{{ f.caller }}
{% macro f(a) %}<{{ a }}>{% endmacro %}{{ f('<')|length }}{{ f('a') ~ 'b' }}{{ f('x') is string }}
{% macro f() %}{% endmacro %}[{{ f() }}]{{ f() == '' }}
{% macro f() %}a{% macro g() %}b{% endmacro %}{{ g() }}{% endmacro %}{{ f() }}{{ g is defined }}
{% macro f(x=[]) %}{{ x }}{% endmacro %}{{ f() }}{{ f([1]) }}{{ f(x=none) }}
{{ f() }}{% macro f() %}late{% endmacro %}
{% macro f(a, b) %}{{ a }}-{{ b }}{% endmacro %}{{ f(*[1, 2]) }}{{ f(**{'a': 3, 'b': 4}) }}{{ f(1, *[5]) }}{{ f(*[1], **{'b': 2}) }}
{% filter upper %}a{{ 'b' }}{% endfilter %}
{% filter replace('a', 'b')|upper %}aXa{% endfilter %}
{% filter nope %}a{% endfilter %}
{% block a %}x{{ y }}{% endblock %}
{% set y = 1 %}{% block a %}{{ y }}{% set y = 2 %}{% endblock a %}{{ y }}
{% for i in [1] %}{% block b %}{{ i }}{% endblock %}{% endfor %}
{% include 'x' %}
{% import 'x' as y %}
{% from 'x' import y %}
{% extends 'x' %}
{% if false %}{% include 'x' %}{% endif %}ok
{% do 1 %}
{% trans %}x{% endtrans %}
{% print 1 + 1, 'a' %}
{% generation %}a{% set x = 1 %}{{ x }}{% endgeneration %}{{ x }}
{% for m in messages %}{% generation %}{{ m.role }}{{ loop.index }}{% endgeneration %}{% endfor %}
{% for m in [1] %}{% generation %}{% break %}{% endgeneration %}{% endfor %}
{% generation %}
{% endif %}
{% if true %}
{% for i in [1] %}
{{ 1
{% if 1
{{ 'abc }}
{# open
{% raw %} open
{{ }}
{{ 1 2 }}
{{ (1 }}
{{ [1, 2 }}
{{ {'a': } }}
{{ 'a' | }}
{{ 1 is }}
{{ a. }}
{{ ) }}
{{ 1 + }}
{{ f(a=1, 2) }}
{{ f(*a, *b) }}
{{ {'}}': 1} }}
{{ '%}' }}{% if '}}' == '}}' %}x{% endif %}
{{ "{{" }}{{ '{%' }}
{ { } } {x} %} }} #}
{{ raise_exception('stop: ' ~ 1) }}
{{ raise_exception() }}
{{ raise_exception(nope) }}
{% if false %}{{ raise_exception('x') }}{% endif %}fine
{{ range(5)|list }}{{ range(2, 8, 3)|list }}{{ range(3, 0, -1)|list }}{{ range(0) }}
{{ range(100001) }}
{{ range(1, 2, 0) }}
{{ range('a') }}
{{ range() }}
{{ range(1.0) }}
{{ dict(a=1, b='x') }}{{ dict([('k', 2)]) }}{{ dict({'a': 1}, b=2) }}{{ dict() }}
{{ dict([1]) }}
{{ dict.fromkeys('ab') }}{{ dict.fromkeys([1], 2) }}
{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.reset() }}{{ c.current }}
{{ cycler() }}
{% set j = joiner('|') %}{% for i in 'abc' %}{{ j() }}{{ i }}{% endfor %}
{% set j = joiner() %}{{ j() }}{{ j() }}{{ j.sep }}{{ j.used }}
{{ lipsum }}
{{ messages[0].content.strip() }}{{ messages[0]['content'] | trim }}
{% for message in messages %}{{ '<|' + message['role'] + '|>' }}{{ message.content or '' }}{% endfor %}
{% for message in messages %}{% if message.role == 'user' and message.content is not none %}{{ message.content | e }}{% endif %}{% endfor %}
{% set system = messages[0].content if messages[0].role == 'system' else '' %}{{ system }}{% set rest = messages[1:] %}{{ rest|length }}
{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% endif %}{{ loop_messages|length }}{{ system_message }}
{% for m in messages[::-1] %}{{ m.role[0] }}{% endfor %}
{% for m in messages|reverse %}{{ m.role[0] }}{% endfor %}
{% for m in messages if m.role != 'system' %}{{ loop.index0 % 2 == 0 }} {% endfor %}
{% set ns = namespace(last=-1) %}{% for m in messages %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}{{ ns.last }}
{% if tools is defined and tools %}{{ tools[0].function | tojson(indent=4) }}{% endif %}
{% if tools is not none %}{% for tool in tools %}{{ tool.function.parameters | items | list }}{% endfor %}{% endif %}
{{ messages | selectattr('role', 'eq', 'user') | list | length }}{{ messages | map(attribute='role') | join(',') }}
{% for call in messages[2].tool_calls %}{{ call.name }}({% for k, v in call.arguments.items() %}{{ k }}={{ v }}{{ ', ' if not loop.last }}{% endfor %}){% endfor %}
{%- set x = 'a' -%}
   {{- x -}}
   b
{% set x = 'a' %}
line
{% if x %}
  {% for i in [1, 2] %}
    - {{ i }}
  {% endfor %}
{% endif %}
end
{{ 'a' }}
{% set x = 1 %}

{{ x }}
"""


def statements():
    # A new snippet begins at each line, except after a line without a blank line's meaning: blocks are joined by hand.
    joined = [
        "a\n  {% if true %}\n    b\n  {% endif %}\nc\n",
        "a\n  {# comment #}\nb\n",
        "  {% raw %}\n x {% endraw %}\ny\n",
        "{%- set x = 'a' -%}\n   {{- x -}}\n   b\n",
        "{% set x = 'a' %}\nline\n{% if x %}\n  {% for i in [1, 2] %}\n    - {{ i }}\n  {% endfor %}\n{% endif %}\nend\n",
        "{{ 'a' }}\n{% set x = 1 %}\n\n{{ x }}\n",
        "a\n\t {%- if true %} b\n{% endif %}\n\n",
        "{% if true %}\r\nb\r\n{% endif %}\r\n",
        "x  {# a #}  {# b #}  \n y",
        "  {# a #}{% if 1 %}z{% endif %}\n",
        "\n\n{{ 1 }}\n\n",
        "a {%- if 1 +%}\n b{% endif %}",
        "a\n  {%+ if 1 %}\nb\n  {%- endif +%}\nc",
        "{{ 1 -}}\n\n x\n{{- 2 }}\n",
        "{%- raw %}\n a {% endraw -%}\n b",
        "{# a\n b #}\nc",
        "  {{ 'x' }}\n  {% set a = 1 %}\n  {{ a }}\n",
        "\u00a0{% if 1 %}x{% endif %}",
        "a\x0b{% if 1 %}x{% endif %}",
        "{#-#}x",
        "{##}x",
        "{{ 'a\nb' }}",
        "{{ 1 }}{% if 1 %}\n\n\nx{% endif %}",
        "text only\n",
        "\n",
        "",
        "{% for i in [1,\n 2] %}\n  {{ i }}\n  {% if i == 1 %}\n  one\n  {% endif %}\n{% endfor %}\n",
        "{%if true%}a{%endif%}{{1}}{%-if 1-%} b {%-endif-%}",
        "{% if true %}a{% endif -%}   \n  b",
        "a   {%- endraw %}",
        "x {#",
        "x {#-",
        "x {%",
        "x {% raw %}\n",
        "{# a #",
        "{{",
        "{{ 'a' }}{",
        "#}",
        "%}",
    ]
    yield from joined
    yield from [line for line in STATEMENTS.strip("\n").split("\n") if line.strip()]


def times():
    directives = ["%" + c for c in "aAbBcdDeFgGhHIjklmMnpPrRsStTuUVwWxXyYzZC%f"] + [
        "%-d", "%-m", "%-H", "%-I", "%_d", "%_m", "%0e", "%^a", "%^B", "%#p", "%#a", "%10Y", "%-j", "%3d", "%-y",
        "%_H", "%05d", "%^10b", "x%dy"
    ]
    for seconds in TIMES:
        for directive in directives:
            if directive != "%s":
                yield seconds, directive


class Clock(datetime.datetime):
    seconds = TIMES[0]

    @classmethod
    def now(cls, tz=None):
        return datetime.datetime.fromtimestamp(cls.seconds, datetime.timezone.utc).replace(tzinfo=None)


def render(source):
    try:
        text = chat_template_utils._compile_jinja_template.__wrapped__(source
                                                                       ).render(**TOKENS, **copy.deepcopy(VARIABLES))
    except jinja2.exceptions.TemplateError as error:
        kind = type(error).__name__
        return [None, kind, str(error)] if kind == "TemplateError" else [None, kind]
    except Exception as error:
        return [None, type(error).__name__]
    if re.search(r" at 0x[0-9a-f]+|<function|<class |[\ud800-\udfff]", text):
        return []
    return [text]


def main():
    random.seed(0)
    chat_template_utils.datetime = Clock
    sources = [
        f"{{{{ {expression} }}}}" for part in (expressions, methods, formats, filters, tests) for expression in part()
    ]
    sources += slices()
    sources += statements()
    sources = list(dict.fromkeys(sources))
    cases = [[source, *render(source)] for source in sources]
    dates = []
    for seconds, directive in times():
        Clock.seconds = seconds
        dates.append([seconds, directive, *render(f"{{{{ strftime_now('{directive}') }}}}")])
    made_by = f"scripts/template_goldens.py with transformers {transformers.__version__}, jinja2 {jinja2.__version__}"
    head = {
        "made_by": made_by, "seconds": TIMES[0], "tokens": TOKENS, "variables":
        json.dumps(VARIABLES, ensure_ascii=False)
    }
    lines = [
        ",\n".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows)
        for rows in (cases, dates)
    ]
    head = json.dumps(head, ensure_ascii=False)
    TARGET.write_text(f'{head[:-1]}, "cases": [\n{lines[0]}\n], "dates": [\n{lines[1]}\n]}}\n', encoding="utf-8")
    print(TARGET.name, len(cases), "cases,", TARGET.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
