#!/usr/bin/env python3
"""Writes tokenizer/tests/goldens/folders.json: tokenizer folders, and what AutoTokenizer makes of them.

The folders are generated with a fixed seed: a small tokenizer.json (or vocab.json and merges.txt) of one of several
kinds, and beside it tokenizer_config.json, special_tokens_map.json, added_tokens.json and config.json with settings
that were chosen at random. The expected values are ids and decoded texts of transformers.

    pip install transformers==5.23.0 tokenizers==0.23.3
    python3 scripts/tokenizer_config_goldens.py
    cargo build -p glassbox-tokenizer --example folders
    python3 scripts/tokenizer_config_goldens.py --compare target/debug/examples/folders --seed 1 --count 2000
                                                # compares other folders with this crate, and writes nothing
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
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "critical"
os.environ["RUST_BACKTRACE"] = "0"
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer

OUT = pathlib.Path(__file__).resolve().parent.parent / "tokenizer" / "tests" / "goldens"

TEXTS = [
    "Hello world, hello <s> there</s>",
    "<|endoftext|>a cat <x>  and <|im_end|> \n dog",
    " leading HELLO DOG dog <pad><unk><mask>",
    "x<e1> y<e2>z <img>don't stop. It 's , ok ! <bos>a<eos>",
    "",
]
CORPUS = ["hello world there a cat and dog, don't stop. It's ok! leading", "Hello there, world's cats and dogs"] * 3
MARKERS = ["<s>", "</s>", "<|endoftext|>", "<x>", "<|im_end|>", "<pad>", "<unk>", "<mask>", "<e1>", "<e2>", "<img>",
           "<bos>", "<eos>", "hello", "cat"]


def byte_level(special, **options):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(CORPUS, trainers.BpeTrainer(
        vocab_size=300, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False))
    return tokenizer


def sentence_piece():
    alphabet = sorted(set("".join(CORPUS)) | set("▁<>/|xyz12"))
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(split=False)
    special = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    tokenizer.train_from_iterator(CORPUS, trainers.BpeTrainer(
        vocab_size=340, special_tokens=special, initial_alphabet=alphabet, show_progress=False))
    data = json.loads(tokenizer.to_str())
    data["added_tokens"] = data["added_tokens"][:3]
    data["pre_tokenizer"] = None
    data["normalizer"] = {"type": "Sequence", "normalizers": [
        {"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]}
    data["decoder"] = {"type": "Sequence", "decoders": [
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
        {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}
    data["post_processor"] = template(["<s>", 1])
    return data


def template(bos):
    return {"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": bos[0], "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {bos[0]: {"id": bos[0], "ids": [bos[1]], "tokens": [bos[0]]}}}


def bases():
    plain = json.loads(byte_level(["<|endoftext|>"]).to_str())
    rich = json.loads(byte_level(["<s>", "</s>", "<pad>"]).to_str())
    rich["post_processor"] = template(["<s>", 0])
    size = len(rich["model"]["vocab"])
    rich["added_tokens"] += [
        {"id": size, "content": "DOG", "single_word": False, "lstrip": False, "rstrip": False, "normalized": True,
         "special": False},
        {"id": size + 1, "content": "<x>", "single_word": False, "lstrip": True, "rstrip": True, "normalized": False,
         "special": True}]
    lower = json.loads(json.dumps(rich))
    lower["normalizer"] = {"type": "Lowercase"}
    pieces = sentence_piece()
    return {"plain": plain, "rich": rich, "lower": lower, "pieces": pieces}


class Folders:
    """Random settings."""

    def __init__(self, random, bases):
        self.random = random
        self.bases = bases

    def chance(self, probability):
        return self.random.random() < probability

    def token(self, content=None, typed=True):
        content = content or self.random.choice(MARKERS)
        if self.chance(0.6):
            return content
        token = {"content": content}
        for flag in ["single_word", "lstrip", "rstrip", "normalized", "special"]:
            if self.chance(0.6):
                token[flag] = self.chance(0.4)
        return {"__type": "AddedToken", **token} if typed else token

    def listed(self, content=None):
        token = {"content": content or self.random.choice(MARKERS)}
        for flag in ["single_word", "lstrip", "rstrip", "normalized", "special"]:
            if self.chance(0.9):
                token[flag] = self.chance(0.4)
        return token

    def named(self, config, typed=True):
        for role in ["bos", "eos", "unk", "pad", "sep", "cls", "mask"]:
            if self.chance(0.35):
                config[f"{role}_token"] = None if self.chance(0.1) and typed else self.token(typed=typed)

    def folder(self):
        base = self.random.choice(list(self.bases))
        files = {}
        config = {}
        classes = ["PreTrainedTokenizerFast", "PreTrainedTokenizerFast", "TokenizersBackend", "GPT2Tokenizer",
                   "GPT2TokenizerFast", "Qwen2Tokenizer", "LlamaTokenizer", "LlamaTokenizerFast", "GemmaTokenizer",
                   "GPTNeoXTokenizerFast", None, "FooTokenizer"]
        if base == "pieces":
            classes = ["PreTrainedTokenizerFast", "LlamaTokenizer", "LlamaTokenizerFast", "LlamaTokenizer", None,
                       "GemmaTokenizer"]
        name = self.random.choice(classes)
        if name:
            config["tokenizer_class"] = name
        self.named(config)
        if self.chance(0.4):
            key = self.random.choice(["additional_special_tokens", "extra_special_tokens"])
            config[key] = [self.token() for _ in range(self.random.randint(0, 3))]
        elif self.chance(0.3):
            config["extra_special_tokens"] = {f"image_token{n}": self.random.choice(MARKERS) for n in range(2)}
        if self.chance(0.2):
            config["image_token"] = self.random.choice(MARKERS)
        for key in ["add_prefix_space", "legacy", "add_bos_token", "add_eos_token", "clean_up_tokenization_spaces"]:
            if self.chance(0.35):
                config[key] = self.chance(0.5)
        if self.chance(0.1):
            config["split_special_tokens"] = self.chance(0.8)
        vocab = self.bases[base]["model"]["vocab"]
        if self.chance(0.5):
            ids = {}
            for _ in range(self.random.randint(0, 4)):
                content = self.random.choice(MARKERS)
                ids[str(vocab.get(content, len(vocab) + self.random.randint(0, 6)))] = self.listed(content)
            config["added_tokens_decoder"] = ids
        if self.chance(0.35):
            older = {}
            self.named(older, typed=False)
            if self.chance(0.3):
                older["additional_special_tokens"] = self.random.sample(MARKERS, 2)
            files["special_tokens_map.json"] = older
        if self.chance(0.25):
            names = self.random.sample(MARKERS, 2)
            files["added_tokens.json"] = {name: len(vocab) + n for n, name in enumerate(names)}
        if self.chance(0.95):
            files["tokenizer_config.json"] = config
        model_type = self.random.choice(["llama", "gpt2", "qwen2", "qwen3", "gemma", "mistral", "phi3", "gpt_neox"])
        files["config.json"] = {"model_type": model_type}
        if name is None and self.chance(0.5):
            files["config.json"]["tokenizer_class"] = self.random.choice(["GPT2Tokenizer", "PreTrainedTokenizerFast"])
        return base, files


def write(folder, tokenizer, files):
    folder.mkdir(parents=True)
    for name, value in {"tokenizer.json": tokenizer, **files}.items():
        (folder / name).write_text(json.dumps(value))


def expected(folder):
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        answers = []
        for text in TEXTS:
            bare = tokenizer.encode(text, add_special_tokens=False)
            ids = tokenizer.encode(text)
            answers.append([bare, ids, tokenizer.decode(ids), tokenizer.decode(ids, skip_special_tokens=True)])
        special = {role: getattr(tokenizer, f"{role}_token") for role in ["bos", "eos"]}
        ids = {role: None if token is None else tokenizer._tokenizer.token_to_id(token)
               for role, token in special.items()}
        return {"answers": answers, **ids}
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return f"{type(error).__name__}: {error}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--compare", metavar="BINARY")
    parser.add_argument("--seed", type=int, default=20261127)
    parser.add_argument("--count", type=int, default=240)
    arguments = parser.parse_args()
    kinds = bases()
    maker = Folders(random.Random(arguments.seed), kinds)
    cases = [maker.folder() for _ in range(arguments.count)]
    with tempfile.TemporaryDirectory() as temporary:
        folders = [pathlib.Path(temporary) / str(number) for number in range(len(cases))]
        for folder, (base, files) in zip(folders, cases):
            write(folder, kinds[base], files)
        values = [expected(folder) for folder in folders]
        if arguments.compare:
            sys.exit(compare(arguments.compare, folders, cases, values))
    cases = [{"base": base, "files": files, "expected": value}
             for (base, files), value in zip(cases, values) if not isinstance(value, str)]
    golden = {
        "source": f"transformers {importlib.metadata.version('transformers')}, "
                  f"tokenizers {importlib.metadata.version('tokenizers')}, scripts/tokenizer_config_goldens.py, "
                  f"seed {arguments.seed}",
        "texts": TEXTS,
        "bases": kinds,
        "cases": cases,
    }
    lines = json.dumps(golden, ensure_ascii=False, separators=(",", ":")).replace('{"base"', '\n{"base"')
    (OUT / "folders.json").write_text(lines + "\n")
    print(len(cases), "folders")


def compare(binary, folders, cases, values):
    lines = [json.dumps([str(folder), TEXTS]) for folder in folders]
    output = subprocess.run([binary], input="\n".join(lines), capture_output=True, text=True, check=True)
    counts, shown = collections.Counter(), 0
    for case, value, line in zip(cases, values, output.stdout.split("\n")):
        answer = json.loads(line)
        if isinstance(value, str):
            counts["the reference refuses"] += 1
            counts["  " + value[:100]] += 1
            continue
        if answer == value:
            counts["agree"] += 1
            continue
        counts["differ"] += 1
        shown += 1
        if shown <= 12:
            print("DIFFERS", case[0], json.dumps(case[1]))
            if isinstance(answer, str):
                print("  ", answer)
            else:
                for text, want, got in zip(TEXTS, value["answers"], answer["answers"]):
                    if want != got:
                        print("  ", repr(text), "\n    ", want, "\n    ", got)
                        break
                print("  ", {key: (value[key], answer[key]) for key in ["bos", "eos"] if value[key] != answer[key]})
    for key, count in counts.most_common(12):
        print(f"{count:6} {key}")
    return counts["differ"] > 0


if __name__ == "__main__":
    main()
