"""Compares `glassbox quantize` with llama.cpp's quantiser, by bytes and by perplexity.

    cargo build --release
    python scripts/compare_quantizers.py target/release/glassbox model.F32.gguf book.txt q8_0 q4_0 q4_k q6_k

For each type, both quantise the same source. Printed are the number of tensors with identical bytes, llama.cpp's
perplexity with its own file and with ours, and glassbox's perplexity with ours. llama.cpp quantises activations to 8
bits wherever weights are quantised, so the last number is comparable only for F32, or with `--compute int8`.
"""

import argparse
import ctypes
import json
import math
import subprocess
import tempfile
from pathlib import Path

import gguf
import llama_cpp
import numpy as np

# llama.cpp's file types for the types of glassbox; q4_k and q5_k are the mixtures Q4_K_M and Q5_K_M.
FILE_TYPES = dict(f32=0, f16=1, q4_0=2, q4_1=3, q8_0=7, q5_0=8, q5_1=9, q4_k=15, q5_k=17, q6_k=18, bf16=32)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("glassbox", type=Path)
    arguments.add_argument("source", type=Path, help="GGUF file in F32 or F16")
    arguments.add_argument("text", type=Path)
    arguments.add_argument("types", nargs="+", choices=FILE_TYPES)
    arguments.add_argument("--window", type=int, default=512, help="window length in tokens; the second half is scored (default: 512)")
    arguments.add_argument("--windows", type=int, default=4, help="maximum number of windows (default: 4)")
    options = arguments.parse_args()
    silence = llama_cpp.llama_log_callback(lambda *_: None)
    llama_cpp.llama_log_set(silence, None)
    llama_cpp.llama_backend_init()
    print("type   same tensors  llama.cpp's own  ours in llama.cpp  difference  ours in glassbox")
    with tempfile.TemporaryDirectory() as folder:
        for kind in options.types:
            theirs, ours = Path(folder, "theirs.gguf"), Path(folder, "ours.gguf")
            quantize(options.source, theirs, kind)
            command = [options.glassbox, "quantize", options.source, ours, "--type", kind]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            same, all_of_them = same_tensors(theirs, ours)
            (a, _), (b, ids) = (by_llama_cpp(path, options) for path in (theirs, ours))
            c = by_glassbox(ours, ids, options)
            row = f"{kind:<6} {same:>5} of {all_of_them:<4} {a:>15.4f} {b:>18.4f} {b / a - 1:>+11.3%} {c:>17.4f}"
            print(row, flush=True)


def quantize(source, target, kind):
    """Quantises with llama.cpp, with its default mixture."""
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = FILE_TYPES[kind]
    failed = llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(parameters))
    assert failed == 0, f"llama.cpp failed to quantise to {kind}"


def same_tensors(a, b):
    """The number of tensors with the same type and bytes in both files, and the number of tensors."""
    a, b = ({tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors} for path in (a, b))
    assert a.keys() == b.keys()
    pairs = [(a[name], b[name]) for name in a]
    return sum(x.tensor_type == y.tensor_type and np.array_equal(x.data, y.data) for x, y in pairs), len(pairs)


def by_llama_cpp(path, options):
    """The perplexity of the second half of each window, each with an empty context, and the ids of all windows."""
    parameters = llama_cpp.llama_context_default_params()
    parameters.n_ctx = parameters.n_batch = parameters.n_ubatch = options.window
    model = llama_cpp.llama_model_load_from_file(str(path).encode(), llama_cpp.llama_model_default_params())
    assert model, f"llama.cpp cannot load {path}"
    context = llama_cpp.llama_init_from_model(model, parameters)
    vocab = llama_cpp.llama_model_get_vocab(model)
    size = llama_cpp.llama_vocab_n_tokens(vocab)
    text = options.text.read_bytes()
    ids = (llama_cpp.llama_token * len(text))()
    count = llama_cpp.llama_tokenize(vocab, text, len(text), ids, len(text), False, False)
    count = min(count // options.window, options.windows) * options.window
    losses = []
    batch = llama_cpp.llama_batch_init(options.window, 0, 1)
    for start in range(0, count, options.window):
        window = ids[start : start + options.window]
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(context), True)
        batch.n_tokens = options.window
        for i, token in enumerate(window):
            batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.seq_id[i][0] = token, i, 1, 0
            batch.logits[i] = i >= options.window // 2
        assert llama_cpp.llama_decode(context, batch) == 0
        for i in range(options.window // 2, options.window - 1):
            pointer = llama_cpp.llama_get_logits_ith(context, i)
            logits = np.ctypeslib.as_array(pointer, shape=(size,)).astype(np.float64)
            losses.append(logits.max() + np.log(np.exp(logits - logits.max()).sum()) - logits[window[i + 1]])
    llama_cpp.llama_free(context)
    llama_cpp.llama_model_free(model)
    return math.exp(np.mean(losses)), ids[:count]


def by_glassbox(path, ids, options):
    command = [options.glassbox, "perplexity", "-m", path, "--ids", ",".join(map(str, ids)), "-c", str(options.window)]
    command += ["--json", "--compute", "f32"]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["perplexity"]


if __name__ == "__main__":
    main()
