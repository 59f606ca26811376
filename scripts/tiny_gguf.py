"""Writes a tiny checkpoint as GGUF, with llama.cpp's names and conventions, and checks it with llama.cpp."""

import json
import math

import gguf
import numpy as np
import torch
from safetensors.torch import load_file
from transformers import AutoConfig

try:
    import llama_cpp
except ImportError:  # skips the comparison with llama.cpp
    llama_cpp = None

ARCHITECTURES = {"gemma3_text": "gemma3", "gpt_neox": "gptneox", "mixtral": "llama"}  # other families have the same name
BLOCK_NAMES = {
    "ln_1": "attn_norm",
    "attn.c_attn": "attn_qkv",
    "attn.c_proj": "attn_output",
    "ln_2": "ffn_norm",
    "mlp.c_fc": "ffn_up",
    "mlp.c_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "attention.query_key_value": "attn_qkv",
    "attention.dense": "attn_output",
    "mlp.dense_h_to_4h": "ffn_up",
    "mlp.dense_4h_to_h": "ffn_down",
    "block_sparse_moe.gate": "ffn_gate_inp",
    "block_sparse_moe.experts.w1": "ffn_gate_exps",
    "block_sparse_moe.experts.w2": "ffn_down_exps",
    "block_sparse_moe.experts.w3": "ffn_up_exps",
}
GEMMA_NAMES = BLOCK_NAMES | {
    "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}
OUTER_NAMES = {
    "wte": "token_embd",
    "wpe": "position_embd",
    "ln_f": "output_norm",
    "embed_tokens": "token_embd",
    "embed_in": "token_embd",
    "final_layer_norm": "output_norm",
    "embed_out": "output",
    "norm": "output_norm",
    "lm_head": "output",
}


def write_gguf(fixture, folder, path):
    config = AutoConfig.from_pretrained(folder)
    writer = gguf.GGUFWriter(path, ARCHITECTURES.get(fixture.family, fixture.family))
    writer.add_name(fixture.name)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    write_settings(writer, config)
    if fixture.text:
        write_vocabulary(writer, folder)
    else:
        writer.add_tokenizer_model("none")
    for name, tensor in stack_experts(load_file(folder / "model.safetensors")).items():
        writer.add_tensor(gguf_name(name, config), gguf_rows(name, tensor, config).float().contiguous().numpy())
    rope = getattr(config, "rope_parameters", None) or {}
    if rope.get("rope_type") == "llama3":
        writer.add_tensor("rope_freqs.weight", llama3_divisors(config.head_dim, rope))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_settings(writer, config):
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    writer.add_vocab_size(config.vocab_size)
    if config.model_type == "gpt2":
        writer.add_feed_forward_length(config.n_inner or 4 * config.n_embd)
        writer.add_layer_norm_eps(config.layer_norm_epsilon)
        return
    if config.model_type == "gpt_neox":
        head_dim = config.hidden_size // config.num_attention_heads
        rope = config.rope_parameters
        writer.add_feed_forward_length(config.intermediate_size)
        writer.add_layer_norm_eps(config.layer_norm_eps)
        writer.add_parallel_residual(config.use_parallel_residual)
        writer.add_rope_dimension_count(int(head_dim * rope["partial_rotary_factor"]))
        writer.add_rope_freq_base(rope["rope_theta"])
        return
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_rope_dimension_count(head_dim)
    rope = config.rope_parameters
    if config.model_type == "gemma3_text":
        assert config.query_pre_attn_scalar == head_dim, "GGUF has no key for another value"
        write_gemma_settings(writer, config)
        rope = rope["full_attention"]
    if config.model_type == "mixtral":
        writer.add_expert_count(config.num_local_experts)
        writer.add_expert_used_count(config.num_experts_per_tok)
    writer.add_rope_freq_base(rope["rope_theta"])
    if rope["rope_type"] == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope["factor"])
    if rope["rope_type"] == "yarn":
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(rope["factor"])
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])


def write_gemma_settings(writer, config):
    """Writes the window, and the pattern and local theta if they differ from those of all published models."""
    writer.add_sliding_window(config.sliding_window)
    windows = [kind == "sliding_attention" for kind in config.layer_types]
    if windows != [(layer + 1) % 6 != 0 for layer in range(len(windows))]:
        writer.add_sliding_window_pattern(windows)
    local_theta = config.rope_parameters["sliding_attention"]["rope_theta"]
    if local_theta != 10000.0:
        writer.add_rope_freq_base_swa(local_theta)


def write_vocabulary(writer, folder):
    if (folder / "tokenizer.json").exists():
        model = json.loads((folder / "tokenizer.json").read_text())["model"]
        vocabulary, merges = model["vocab"], [" ".join(pair) for pair in model["merges"]]
    else:
        vocabulary = json.loads((folder / "vocab.json").read_text())
        merges = [line for line in (folder / "merges.txt").read_text().splitlines() if not line.startswith("#")]
    tokens = sorted(vocabulary, key=vocabulary.get)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    kinds = [gguf.TokenType.CONTROL if token.startswith("<|") else gguf.TokenType.NORMAL for token in tokens]
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    writer.add_add_bos_token(False)


def stack_experts(tensors):
    """Joins `experts.0.w1.weight`, `experts.1.w1.weight` and so on to one tensor, `experts.w1.weight`."""
    stacked = {}
    for name, tensor in tensors.items():
        before, _, after = name.partition(".experts.")
        number, _, rest = after.partition(".")
        stacked.setdefault(f"{before}.experts.{rest}" if after else name, {})[int(number or 0)] = tensor
    return {
        name: torch.stack([parts[number] for number in sorted(parts)]) if ".experts." in name else parts[0]
        for name, parts in stacked.items()
    }


def gguf_name(name, config):
    """llama.cpp's name of a tensor: `model.layers.3.mlp.up_proj.weight` is `blk.3.ffn_up.weight`."""
    names = GEMMA_NAMES if config.model_type == "gemma3_text" else BLOCK_NAMES
    for prefix in ("transformer.", "model.", "gpt_neox."):
        name = name.removeprefix(prefix)
    stem, ending = name.rsplit(".", 1)
    parts = stem.split(".", 2)
    if parts[0] in ("h", "layers"):
        return f"blk.{parts[1]}.{names[parts[2]]}.{ending}"
    return f"{OUTER_NAMES[stem]}.{ending}"


def gguf_rows(name, tensor, config):
    """A tensor as [out, in]. For the `llama` architecture the two halves of each q and k head are interleaved; GPT-NeoX's
    q, k and v are separated; Gemma's norms have one added."""
    if ".c_" in name and tensor.dim() == 2:
        return tensor.T
    if config.model_type == "gemma3_text" and name.endswith("norm.weight"):
        return tensor.float() + 1
    if ".query_key_value." in name:
        heads = tensor.reshape(config.num_attention_heads, 3, -1, *tensor.shape[1:])
        return heads.transpose(0, 1).reshape(tensor.shape)
    if config.model_type in ("llama", "mixtral") and (".q_proj." in name or ".k_proj." in name):
        heads = config.num_attention_heads if ".q_proj." in name else config.num_key_value_heads
        halves = tensor.reshape(heads, 2, tensor.shape[0] // heads // 2, *tensor.shape[1:])
        return halves.transpose(1, 2).reshape(tensor.shape)
    return tensor


def llama3_divisors(head_dim, rope):
    """The divisor of each rotary frequency: 1 for fast ones, `factor` for slow ones, interpolated in between."""
    frequency = 1.0 / rope["rope_theta"] ** (np.arange(0, head_dim, 2) / head_dim)
    turns = rope["original_max_position_embeddings"] * frequency / (2 * math.pi)
    low, high, factor = rope["low_freq_factor"], rope["high_freq_factor"], rope["factor"]
    smooth = np.clip((turns - low) / (high - low), 0, 1)
    return (1 / ((1 - smooth) / factor + smooth)).astype(np.float32)


def check_with_llama_cpp(path, prompts, text):
    """Largest distance between llama.cpp's logits and the golden ones; None when llama_cpp cannot be imported.

    llama.cpp looks GELU up in a table of 16-bit floats, which shows in models with many layers.
    """
    if llama_cpp is None:
        return None
    model = llama_cpp.Llama(
        str(path), n_ctx=64, n_threads=1, n_threads_batch=1, logits_all=True, verbose=False, type_k=0, type_v=0
    )
    distance = 0.0
    for ids, golden in prompts.values():
        model.reset()
        model.eval(ids.tolist())
        logits = torch.from_numpy(np.array(model.scores[: len(ids)]))
        distance = max(distance, float((logits - golden["logits"]).abs().max()))
    assert distance < 2e-2, f"{path}: llama.cpp differs by {distance}"
    if text is not None:
        found = model.tokenize(text.encode(), add_bos=False)
        assert found == prompts["long"][0].tolist(), f"{path}: llama.cpp tokenizes otherwise: {found}"
    model.close()
    return distance
