#!/usr/bin/env python3
"""llama.cpp's speed on a GGUF file, measured as by its llama-bench and `glassbox bench`.

ppP is a prompt of P random tokens, and tgN is N single tokens in sequence. Both follow a context of -d tokens, which is
not timed. Every test runs once to warm up, then -r times; the median is reported. Prints one JSON object per line; see
README.md beside this script.
"""
import argparse
import ctypes
import json
import random
import statistics
import time

import llama_cpp

parser = argparse.ArgumentParser(description="llama.cpp's speed on a GGUF file")
parser.add_argument("model", help="GGUF file")
parser.add_argument("-p", type=int, default=512, help="prompt length in tokens; 0 skips the test (default: 512)")
parser.add_argument("-n", type=int, default=128, help="number of tokens to generate; 0 skips the test (default: 128)")
parser.add_argument("-d", type=int, default=0, help="number of tokens already in the context (default: 0)")
parser.add_argument("-t", type=int, default=2, help="number of threads (default: 2)")
parser.add_argument("-r", type=int, default=5, help="number of timed runs of each test (default: 5)")
parser.add_argument("--flash-attn", choices=["on", "off"], default="off")
arguments = parser.parse_args()

# Batch and micro-batch size in tokens: llama-bench's defaults.
BATCH, MICRO_BATCH = 2048, 512


@llama_cpp.llama_log_callback
def quiet(_level, _text, _data):
    """Silences llama.cpp's log."""


def open_context(model):
    parameters = llama_cpp.llama_context_default_params()
    needed = arguments.d + max(arguments.p, arguments.n)
    parameters.n_ctx = -(-needed // 256) * 256
    parameters.n_batch, parameters.n_ubatch = BATCH, MICRO_BATCH
    parameters.n_threads = parameters.n_threads_batch = arguments.t
    parameters.flash_attn_type = {
        "on": llama_cpp.LLAMA_FLASH_ATTN_TYPE_ENABLED,
        "off": llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED,
    }[arguments.flash_attn]
    return llama_cpp.llama_init_from_model(model, parameters)


def feed(ids):
    for start in range(0, len(ids), BATCH):
        piece = ids[start : start + BATCH]
        tokens = (llama_cpp.llama_token * len(piece))(*piece)
        status = llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one(tokens, len(piece)))
        if status != 0:
            raise SystemExit(f"llama_decode returned {status}")
    llama_cpp.llama_synchronize(context)


llama_cpp.llama_log_set(quiet, ctypes.c_void_p(0))
llama_cpp.llama_backend_init()
model = llama_cpp.llama_model_load_from_file(arguments.model.encode(), llama_cpp.llama_model_default_params())
if not model:
    raise SystemExit(f"{arguments.model} cannot be loaded")
context = open_context(model)
memory = llama_cpp.llama_get_memory(context)
vocab_size = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
random_ids = random.Random(0)


def ids(count):
    return [random_ids.randrange(vocab_size) for _ in range(count)]


def seconds(pieces):
    """The time in seconds to feed `pieces` after the first -d tokens of the context."""
    if not llama_cpp.llama_memory_seq_rm(memory, 0, arguments.d, -1):
        raise SystemExit("the context cannot be truncated")
    start = time.perf_counter()
    for piece in pieces:
        feed(piece)
    return time.perf_counter() - start


if arguments.d:
    feed(ids(arguments.d))
for name, tokens, single in (("pp", arguments.p, False), ("tg", arguments.n, True)):
    if tokens == 0:
        continue
    samples = []
    for repetition in range(arguments.r + 1):
        pieces = [[id] for id in ids(tokens)] if single else [ids(tokens)]
        speed = tokens / seconds(pieces)
        if repetition > 0:
            samples.append(speed)
    depth = f"@d{arguments.d}" if arguments.d else ""
    result = {
        "test": f"{name}{tokens}{depth}",
        "threads": arguments.t,
        "flash_attn": arguments.flash_attn,
        "tokens_per_s": round(statistics.median(samples), 2),
        "samples": [round(sample, 2) for sample in samples],
    }
    print(json.dumps(result), flush=True)
