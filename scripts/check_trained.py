"""Checks that other programs load the output of `glassbox train` and give the same results.

    glassbox train --data tales.txt --preset nano --out RUN
    python scripts/check_trained.py target/release/glassbox RUN [--text TEXT …]

transformers: the logits after each text (float32, eager) agree within 1e-4. tokenizers: the ids of each text are the
same, and those of a file given with --corpus. llama.cpp, if llama_cpp is installed here or in the Python given with
--llama: the greedy continuation of an f32 GGUF, written by `glassbox quantize`, is the same.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

TEXTS = ["Once upon a time", "The king had three", "\"Who are you?\" said the", "In the middle of the forest there was"]
ODD = ["  two  spaces\n\n\tand a tab ", "naïve café — “quoted” … 日本 🙂", "a\u0301 é", "1234567 3.14 x2", "<|endoftext|>", ""]
TOKENS = 40


def glassbox(program, *arguments):
    return subprocess.run([program, *arguments], check=True, capture_output=True, text=True).stdout


def logits(program, run, texts):
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(run, dtype=torch.float32, attn_implementation="eager").eval()
    worst = 0.0
    for text in texts:
        report = json.loads(glassbox(program, "predict", "-m", run, text, "--json", "--all"))
        with torch.no_grad():
            expected = model(torch.tensor([report["ids"]])).logits[0, -1]
        found = torch.tensor(report["logits"])
        worst = max(worst, ((found - expected).abs() / (1 + expected.abs())).max().item())
    print(f"transformers: the logits of {len(texts)} texts differ by at most {worst:.1e}, relative to 1 + |logit|")
    return worst <= 1e-4


def ids(program, run, texts, corpus):
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(Path(run) / "tokenizer.json"))
    texts = texts + ODD
    if corpus:
        paragraphs = Path(corpus).read_text(encoding="utf-8").split("\n")
        texts += ["\n".join(paragraphs[first : first + 500]) for first in range(0, len(paragraphs), 500)]
    count = 0
    for text in texts:
        call = [program, "tokenize", "--tokenizer", str(Path(run) / "tokenizer.json"), "--json", "--special"]
        found = subprocess.run(call, input=text.encode(), check=True, capture_output=True).stdout
        found = json.loads(found)["ids"]
        expected = tokenizer.encode(text, add_special_tokens=False).ids
        if found != expected:
            print(f"tokenizers: {text[:60]!r}: expected {expected[:20]}, found {found[:20]}")
            return False
        count += len(found)
    print(f"tokenizers: the same {count} ids for {len(texts)} texts")
    return True


def greedy(program, run, texts, llama):
    script = (
        "import json, sys, llama_cpp\n"
        "path, texts, tokens = json.load(sys.stdin)\n"
        "m = llama_cpp.Llama(path, n_ctx=0, n_threads=1, verbose=False)\n"
        "print(json.dumps([m.create_completion(t, max_tokens=tokens, temperature=0.0)['choices'][0]['text'] for t in texts]))\n"
    )
    if subprocess.run([llama, "-c", "import llama_cpp"], capture_output=True).returncode:
        print(f"llama.cpp: skipped, {llama} has no llama_cpp")
        return True
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "model.gguf")
        glassbox(program, "quantize", run, path, "--type", "f32")
        ask = json.dumps([path, texts, TOKENS])
        expected = json.loads(subprocess.run([llama, "-c", script], input=ask, check=True, capture_output=True, text=True).stdout)
        for text, expected in zip(texts, expected):
            for model in (path, run):
                report = glassbox(program, "generate", "-m", model, text, "-n", str(TOKENS), "--temp", "0", "--json")
                found = json.loads(report)["text"]
                if found != expected:
                    print(f"llama.cpp: expected {expected!r}, found {found!r}")
                    return False
    print(f"llama.cpp: the same {TOKENS} greedy tokens after {len(texts)} texts, from the GGUF and from the folder")
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", help="path of glassbox")
    parser.add_argument("run", help="folder of the finished run")
    parser.add_argument("--text", action="append", help="use this text instead of the default ones; may be repeated")
    parser.add_argument("--corpus", help="text file to encode")
    parser.add_argument("--llama", default=sys.executable, help="Python interpreter with llama_cpp (default: this one)")
    arguments = parser.parse_args()
    program, run, texts = arguments.program, arguments.run, arguments.text or TEXTS
    results = [
        logits(program, run, texts),
        ids(program, run, texts, arguments.corpus),
        greedy(program, run, texts, arguments.llama),
    ]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
