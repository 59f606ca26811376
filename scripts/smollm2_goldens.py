"""Writes model/tests/fixtures/smollm2/goldens.json: the results of transformers on the SmolLM2 GGUF in float32.

    python scripts/smollm2_goldens.py "$(scripts/fetch-smollm2.sh)" model/tests/fixtures/smollm2

For each prompt: its ids, the 50 largest logits and the logsumexp after its last token, and 40 greedy tokens (ignoring
end-of-text) with the margin between the largest and the second logit of each. Also the nearest neighbours of token
embeddings, and the perplexity of alice.txt (the opening of Lewis Carroll's book) by llama.cpp's method.

If llama_cpp can be imported, the results are compared with llama.cpp. It must give the same ids and, with all weights
dequantised, the same greedy tokens and nearly the same logits. For the quantised file, where it also rounds
activations, the number of equal greedy tokens is recorded.

transformers' conversion of this file's tokenizer ignores that SmolLM2 separates every digit (visible after several
spaces and with digits outside ASCII), so the tokenizer is corrected here.
"""

import argparse
import hashlib
import json
import math
import tempfile
from pathlib import Path

import gguf
import numpy as np
import torch
import transformers
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer

try:
    import llama_cpp
except ImportError:  # skips the comparisons with llama.cpp
    llama_cpp = None

TOP = 50
GREEDY = 40
NEIGHBOURS = 10
WINDOW = 512
MARGIN = 1e-2  # minimum gap between the largest and the second logit of a greedy step
LONG_PROMPT_CHARACTERS = 1290  # of alice.txt: about 300 tokens
CHAT = [
    {"role": "system", "content": "You answer in one short sentence."},
    {"role": "user", "content": "How do birds fly?"},
]
PROMPTS = {
    "english": "The most effective way to learn computer science is",
    "chinese": "计算机科学是研究",
    "code": "def fibonacci(n):\n    if n < 2:\n        return n\n    return",
    "emoji": "Happy birthday 🎂🎉 from the whole family 👩‍👩‍👧‍👦! We",
    "digits": "A table of squares:\n    1²  =   1\n    2²  =   4\n    3²  =  ",
}


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("model", type=Path, help="SmolLM2-135M-Instruct.Q4_1.gguf")
    arguments.add_argument("out", type=Path, help="folder for goldens.json, which contains alice.txt")
    options = arguments.parse_args()
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()

    where = {"pretrained_model_name_or_path": options.model.parent, "gguf_file": options.model.name}
    model = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32, attn_implementation="eager").eval()
    check_weights(model, options.model)
    plain, tokenizer = AutoTokenizer.from_pretrained(**where), AutoTokenizer.from_pretrained(**where)
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    peer = llama_cpp and llama_cpp_model(options.model)
    exact_peer = llama_cpp and llama_cpp_model_in_float32(options.model)

    alice = (options.out / "alice.txt").read_text()
    chat = tokenizer.apply_chat_template(CHAT, tokenize=False, add_generation_prompt=True)
    prompts = PROMPTS | {"chat": chat, "long": alice[:LONG_PROMPT_CHARACTERS]}
    digest = hashlib.sha256(options.model.read_bytes()).hexdigest()
    goldens = {
        "source": {
            "script": "scripts/smollm2_goldens.py",
            "transformers": transformers.__version__,
            "torch": torch.__version__,
            "reference": "float32, eager attention, CPU, all weights dequantised",
            "model": options.model.name,
            "model_sha256": digest,
            "llama_cpp_python": llama_cpp and llama_cpp.__version__,
        },
        "chat_messages": CHAT,
        "prompts": [
            prompt_golden(name, text, model, tokenizer, plain, peer, exact_peer) for name, text in prompts.items()
        ],
        "neighbours": [neighbours_golden(word, model, tokenizer) for word in (" jump", " leap")],
        "perplexity": perplexity_golden(alice, model, tokenizer, peer),
    }
    (options.out / "goldens.json").write_text(json.dumps(goldens, ensure_ascii=False, indent=1) + "\n")


def check_weights(model, path):
    """Asserts that transformers read the settings and weights correctly and restored the row order of q and k."""
    config = model.config
    found = (config.rope_parameters, config.rms_norm_eps, config.head_dim, config.tie_word_embeddings)
    expected = ({"rope_theta": 100000.0, "rope_type": "default"}, float(np.float32(1e-5)), 64, True)
    assert found == expected, f"{found} instead of {expected}"
    stored = {tensor.name: gguf.dequantize(tensor.data, tensor.tensor_type) for tensor in gguf.GGUFReader(path).tensors}
    for n, layer in enumerate(model.model.layers):
        for name, weight in [("q", layer.self_attn.q_proj.weight), ("k", layer.self_attn.k_proj.weight)]:
            rows = stored[f"blk.{n}.attn_{name}.weight"]
            halves = rows.reshape(-1, config.head_dim // 2, 2, config.hidden_size).swapaxes(1, 2).reshape(rows.shape)
            assert np.array_equal(weight.detach().numpy(), halves), f"rows of {name} in block {n}"
        assert np.array_equal(layer.mlp.down_proj.weight.detach().numpy(), stored[f"blk.{n}.ffn_down.weight"])
    assert np.array_equal(model.lm_head.weight.detach().numpy(), stored["token_embd.weight"])


def llama_cpp_model(path):
    settings = dict(n_ctx=WINDOW, n_batch=WINDOW, n_threads=1, n_threads_batch=1, logits_all=True, verbose=False)
    return llama_cpp.Llama(str(path), type_k=0, type_v=0, **settings)


def llama_cpp_model_in_float32(path):
    """The same file with all weights dequantised, so that llama.cpp rounds nothing either."""
    reader = gguf.GGUFReader(path)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "float32.gguf"
        writer = gguf.GGUFWriter(file, reader.fields["general.architecture"].contents())
        for name, entry in reader.fields.items():
            if not name.startswith("GGUF.") and name not in ("general.architecture", "general.file_type"):
                element = entry.types[-1] if len(entry.types) > 1 else None
                writer.add_key_value(name, entry.contents(), entry.types[0], element)
        writer.add_file_type(gguf.LlamaFileType.ALL_F32)
        for tensor in reader.tensors:
            writer.add_tensor(tensor.name, gguf.dequantize(tensor.data, tensor.tensor_type))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return llama_cpp_model(file)  # mapped: outlives its name


@torch.no_grad()
def prompt_golden(name, text, model, tokenizer, plain, peer, exact_peer):
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    logits, greedy, margins = continue_greedily(ids, model_step(model))
    assert min(margins) >= MARGIN, f"{name}: a greedy step is decided by {min(margins)} only"
    top = logits.topk(TOP)
    golden = {
        "name": name,
        "text": text,
        "special": name == "chat",  # whether special tokens in the text are parsed
        "ids": ids,
        "top": [[int(token), round(float(logit), 5)] for token, logit in zip(top.indices, top.values)],
        "logsumexp": round(float(logits.double().logsumexp(0)), 6),
        "greedy_ids": greedy,
        "greedy_margins": [round(margin, 4) for margin in margins],
        "greedy_text": tokenizer.decode(greedy, skip_special_tokens=False, clean_up_tokenization_spaces=False),
        "plain_transformers_ids_agree": plain(text, add_special_tokens=False)["input_ids"] == ids,
    }
    if peer:
        assert peer.tokenize(text.encode(), add_bos=False, special=True) == ids, f"llama.cpp tokenizes {name} otherwise"
        golden["llama_cpp"] = compare(ids, peer, greedy, top)
        golden["llama_cpp_float32"] = exact = compare(ids, exact_peer, greedy, top)
        assert exact["greedy_tokens_agreeing"] == GREEDY and exact["top_logits_distance"] < 1e-3, f"{name}: {exact}"
    keys = ("name", "llama_cpp", "llama_cpp_float32", "plain_transformers_ids_agree", "greedy_text")
    print(len(ids), "ids, least margin", round(min(margins), 4), {key: golden.get(key) for key in keys})
    return golden


def compare(ids, peer, greedy, top):
    logits, theirs, _ = continue_greedily(ids, peer_step(peer))
    agreeing = next((n for n in range(GREEDY) if theirs[n] != greedy[n]), GREEDY)
    distance = float((logits[top.indices] - top.values).abs().max())
    return {"greedy_tokens_agreeing": agreeing, "top_logits_distance": float(f"{distance:.2g}")}


def continue_greedily(ids, step):
    """The logits after `ids`, GREEDY greedy tokens after it, and their margins."""
    logits = first = step(ids)
    greedy, margins = [], []
    for _ in range(GREEDY):
        best = logits.topk(2)
        greedy.append(int(best.indices[0]))
        margins.append(float(best.values[0] - best.values[1]))
        logits = step(greedy[-1:])
    return first, greedy, margins


def model_step(model):
    """A function that takes the next ids and returns the logits after them."""
    cache = transformers.DynamicCache()
    return lambda ids: model(torch.tensor([ids]), past_key_values=cache, use_cache=True).logits[0, -1]


def peer_step(peer):
    peer.reset()

    def step(ids):
        peer.eval(ids)
        return torch.from_numpy(np.array(peer.scores[peer.n_tokens - 1]))

    return step


def peer_logits(peer, ids):
    peer.reset()
    peer.eval(ids)
    return np.array(peer.scores[: len(ids)])


@torch.no_grad()
def neighbours_golden(word, model, tokenizer):
    (token,) = tokenizer(word, add_special_tokens=False)["input_ids"]
    embedding = model.get_input_embeddings().weight.double()
    cosine = torch.nn.functional.cosine_similarity(embedding, embedding[token][None], dim=1)
    cosine[token] = -2  # excludes the token itself
    nearest = cosine.topk(NEIGHBOURS)
    rows = [[int(n), tokenizer.decode([int(n)]), round(float(c), 6)] for n, c in zip(nearest.indices, nearest.values)]
    return {"text": word, "id": token, "nearest": rows}


@torch.no_grad()
def perplexity_golden(text, model, tokenizer, peer):
    """Non-overlapping windows of WINDOW tokens; the tokens after the first half of each are predicted and scored."""
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    digest = hashlib.sha256(text.encode()).hexdigest()
    golden = {"file": "alice.txt", "sha256": digest, "tokens": len(ids), "window": WINDOW}
    golden |= scores(ids, lambda window: model(torch.tensor([window]), use_cache=False).logits[0])
    if peer:
        golden["llama_cpp"] = scores(ids, lambda window: torch.from_numpy(peer_logits(peer, window)))
    print(golden)
    return golden


def scores(ids, logits_of):
    losses = []
    for start in range(0, len(ids) - WINDOW + 1, WINDOW):
        window = torch.tensor(ids[start : start + WINDOW])
        first = WINDOW // 2
        predictions = logits_of(window.tolist()).double().log_softmax(-1)[first : WINDOW - 1]
        losses.append(-predictions.gather(1, window[first + 1 :, None])[:, 0])
    every = torch.cat(losses)
    mean, count = float(every.mean()), len(every)
    deviation = math.sqrt((float((every**2).mean()) - mean**2) / (count - 1))
    return {
        "scored": count,
        "window_losses": [round(float(window.mean()), 6) for window in losses],
        "loss": round(mean, 6),
        "perplexity": round(math.exp(mean), 5),
        "standard_error": round(deviation * math.exp(mean), 5),
    }


if __name__ == "__main__":
    main()
