"""The list of tiny checkpoints: what each one is for, and the settings that its logits must depend on."""

from dataclasses import dataclass, field

import torch

TEXT_VOCABULARY = 288  # of the checkpoints that carry a tokenizer: 1 special token, 256 bytes, 31 merges


@dataclass
class Fixture:
    name: str  # its first word is the family, transformers' model_type
    exercises: str
    config: dict = field(default_factory=dict)  # what differs from BASE
    matters: list = field(default_factory=list)  # (key, other value) of config.json: the logits must visibly change
    style: str = "new"  # "new": rope_parameters and dtype; "old": rope_theta, rope_scaling and torch_dtype
    rope_kind_key: str = "rope_type"  # how the old style names the kind of scaling; the oldest files say "type"
    drop: tuple = ()  # config.json keys that files of this kind lack
    add: dict = field(default_factory=dict)  # config.json entries that files of this kind have and transformers drops
    dtype: str = "float32"
    shard: str | None = None  # size of the largest shard, as save_pretrained takes it
    rewrite: object = None  # tensors -> tensors, for layouts that transformers itself no longer writes
    dump: bool = False  # also record intermediate values
    gguf: bool = False  # also write it as GGUF
    text: bool = False  # carries a tokenizer
    short: int = 2  # ids in the short prompt

    @property
    def family(self):
        return self.name.split("-")[0]

    @property
    def full_config(self):
        vocabulary = {"vocab_size": TEXT_VOCABULARY} if self.text else {}
        return BASE[self.family] | self.config | vocabulary


GPT2 = dict(vocab_size=101, n_positions=64, n_embd=24, n_layer=2, n_head=4, bos_token_id=1, eos_token_id=2)
LLAMA = dict(
    vocab_size=101,
    hidden_size=36,
    intermediate_size=34,
    num_hidden_layers=2,
    num_attention_heads=6,
    num_key_value_heads=2,
    max_position_embeddings=128,
    bos_token_id=1,
    eos_token_id=2,
)
BASE = {"gpt2": GPT2, "llama": LLAMA, "mistral": LLAMA, "qwen2": LLAMA, "qwen3": LLAMA}
# Wide heads for the rope scalings, whose bands need several frequencies to show.
ROPE = dict(hidden_size=32, num_attention_heads=2, num_key_value_heads=1, intermediate_size=48)
SHALLOW = dict(num_hidden_layers=1)
# Sizes that suit the GGUF twins.
EVEN = dict(hidden_size=32, num_attention_heads=4, intermediate_size=48)


def kind(rope_type="default", rope_theta=10000.0, **more):
    return dict(rope_type=rope_type, rope_theta=rope_theta, **more)


def rope(*args, **more):
    return {"rope_parameters": kind(*args, **more)}


def hub_gpt2(tensors):
    """The layout of the first GPT-2 files: bare names, and the causal masks stored as if they were weights."""
    bare = {name.removeprefix("transformer."): tensor for name, tensor in tensors.items()}
    positions = bare["wpe.weight"].shape[0]
    for block in range(GPT2["n_layer"]):
        bare[f"h.{block}.attn.bias"] = torch.ones(positions, positions).tril()[None, None]
        bare[f"h.{block}.attn.masked_bias"] = torch.tensor(-1e4)
    return bare


def old_llama(tensors):
    """Old Llama files store the rotary frequencies of each layer, and some tied ones store both ends of the tie."""
    frequencies = {f"model.layers.{n}.self_attn.rotary_emb.inv_freq": torch.arange(4.0) for n in range(2)}
    return tensors | frequencies | {"lm_head.weight": tensors["model.embed_tokens.weight"].clone()}


LLAMA3 = dict(factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32)
YARN = dict(factor=4.0, original_max_position_embeddings=32)
YARN_EXPLICIT = YARN | dict(attention_factor=1.25, beta_fast=3.0, beta_slow=0.5, truncate=False)
YARN_MSCALE = dict(factor=6.0, original_max_position_embeddings=48)
FULL, SLIDING = "full_attention", "sliding_attention"

FIXTURES = [
    Fixture(
        "gpt2-plain",
        "gelu_new, tied, names with the transformer. prefix; intermediate values",
        {"layer_norm_epsilon": 0.01},
        [("activation_function", "gelu"), ("layer_norm_epsilon", 1e-5)],
        dump=True,
    ),
    Fixture(
        "gpt2-odd",
        "exact gelu, n_inner, untied, scale_attn_by_inverse_layer_idx, 3 heads of 5, reorder_and_upcast_attn",
        dict(n_embd=15, n_head=3, n_layer=3, n_inner=37, activation_function="gelu", tie_word_embeddings=False)
        | dict(scale_attn_by_inverse_layer_idx=True, reorder_and_upcast_attn=True),
        [("activation_function", "gelu_new"), ("scale_attn_by_inverse_layer_idx", False)],
        short=1,
    ),
    Fixture(
        "gpt2-unscaled",
        "scale_attn_weights false, relu",
        dict(n_embd=28, scale_attn_weights=False, activation_function="relu"),
        [("scale_attn_weights", True), ("activation_function", "gelu_new")],
        style="old",
    ),
    Fixture("gpt2-sharded", "several shards with an index", style="old", shard="16KB", short=3),
    Fixture("gpt2-bf16", "bfloat16, gelu_pytorch_tanh", {"activation_function": "gelu_pytorch_tanh"}, dtype="bfloat16"),
    Fixture("gpt2-f16", "float16, untied", {"tie_word_embeddings": False}, dtype="float16", style="old"),
    Fixture(
        "gpt2-hub",
        "bare names and stored attn.bias, attn.masked_bias masks, as in the first GPT-2 files; sparse config.json",
        style="old",
        drop=("torch_dtype", "tie_word_embeddings", "n_inner", "activation_function", "scale_attn_weights")
        + ("add_cross_attention", "reorder_and_upcast_attn", "scale_attn_by_inverse_layer_idx", "pad_token_id"),
        add={"n_ctx": 64},
        rewrite=hub_gpt2,
    ),
    Fixture("gpt2-text", "tokenizer as vocab.json and merges.txt; also as GGUF", gguf=True, text=True),
    Fixture(
        "llama-gqa",
        "grouped queries (6 heads, 2 key-value heads), untied, silu; intermediate values",
        {"rms_norm_eps": 0.02} | rope(rope_theta=50.0),
        [("rms_norm_eps", 1e-6), ("rope_parameters", kind())],
        dump=True,
    ),
    Fixture(
        "llama-mha-tied",
        "as many key-value heads as heads, tied, sparse config.json (num_key_value_heads, head_dim, biases left out)",
        dict(num_key_value_heads=6, tie_word_embeddings=True, rms_norm_eps=0.01) | rope(rope_theta=500.0),
        [("rope_theta", 10000.0), ("rms_norm_eps", 1e-6)],
        style="old",
        drop=("num_key_value_heads", "head_dim", "attention_bias", "mlp_bias", "rope_scaling", "hidden_act")
        + ("pretraining_tp", "pad_token_id"),
        short=1,
    ),
    Fixture(
        "llama-mqa-biased",
        "one key-value head, attention_bias, mlp_bias, exact gelu",
        dict(hidden_size=40, num_attention_heads=5, num_key_value_heads=1)
        | dict(attention_bias=True, mlp_bias=True, hidden_act="gelu"),
        [("hidden_act", "gelu_pytorch_tanh"), ("attention_bias", False), ("mlp_bias", False)],
    ),
    Fixture(
        "llama-head-dim",
        "head_dim 20 with hidden_size 26 and 2 heads, d_ff 37, gelu_pytorch_tanh, two end-of-text ids",
        dict(hidden_size=26, num_attention_heads=2, num_key_value_heads=1, head_dim=20, intermediate_size=37)
        | dict(hidden_act="gelu_pytorch_tanh", eos_token_id=[2, 5]),
        [("hidden_act", "gelu")],
        style="old",
        short=3,
    ),
    Fixture(
        "llama-rope-linear",
        "linear rope scaling, spelled rope_scaling.type",
        ROPE | SHALLOW | rope("linear", factor=4.0),
        [("rope_scaling", None)],
        style="old",
        rope_kind_key="type",
    ),
    Fixture(
        "llama-rope-llama3",
        "llama3 rope scaling under rope_parameters, all three bands; also as GGUF with rope_freqs, without tokenizer",
        ROPE | rope("llama3", **LLAMA3),
        [("rope_parameters", kind())]
        + [("rope_parameters", kind("llama3", **LLAMA3 | {"low_freq_factor": 0.1}))]
        + [("rope_parameters", kind("llama3", **LLAMA3 | {"high_freq_factor": 2.0}))],
        gguf=True,
    ),
    Fixture(
        "llama-rope-llama3-old",
        "llama3 rope scaling as Llama 3.2 files spell it, tied, rope_theta 500000",
        ROPE | SHALLOW | {"tie_word_embeddings": True} | rope("llama3", 500000.0, **LLAMA3 | {"factor": 32.0}),
        [("rope_scaling", None), ("rope_theta", 10000.0)],
        style="old",
    ),
    Fixture(
        "llama-rope-yarn",
        "yarn with all defaults, spelled rope_scaling.type; also as GGUF without tokenizer",
        ROPE | rope("yarn", 100.0, **YARN),
        [("rope_scaling", None)]
        + [("rope_scaling", dict(type="yarn", **YARN | {"original_max_position_embeddings": 128}))]
        + [("rope_scaling", dict(type="yarn", attention_factor=1.0, **YARN))],
        style="old",
        rope_kind_key="type",
        gguf=True,
    ),
    Fixture(
        "llama-rope-yarn-explicit",
        "yarn with attention_factor, beta_fast, beta_slow and truncate false",
        ROPE | SHALLOW | rope("yarn", 100.0, **YARN_EXPLICIT),
        [("rope_parameters", kind("yarn", 100.0, **YARN_EXPLICIT | {"truncate": True}))]
        + [("rope_parameters", kind("yarn", 100.0, **YARN_EXPLICIT | {"beta_fast": None}))]
        + [("rope_parameters", kind("yarn", 100.0, **YARN_EXPLICIT | {"beta_slow": None}))]
        + [("rope_parameters", kind("yarn", 100.0, **YARN_EXPLICIT | {"attention_factor": None}))],
    ),
    Fixture(
        "llama-rope-yarn-mscale",
        "yarn with mscale and mscale_all_dim, factor beyond the stated context",
        ROPE | SHALLOW | rope("yarn", 1000.0, mscale=1.0, mscale_all_dim=0.4, **YARN_MSCALE),
        [("rope_parameters", kind("yarn", 1000.0, **YARN_MSCALE))]
        + [("rope_parameters", kind("yarn", 1000.0, mscale=1.0, mscale_all_dim=1.0, **YARN_MSCALE))],
    ),
    Fixture("llama-bf16-sharded", "bfloat16 in several shards", dtype="bfloat16", shard="8KB", style="old", short=3),
    Fixture(
        "llama-old-save",
        "stored rotary frequencies, to be ignored; tied, with a copy of the embedding stored as lm_head",
        {"tie_word_embeddings": True},
        style="old",
        rewrite=old_llama,
    ),
    Fixture(
        "llama-text",
        "tokenizer.json; also as GGUF, with rows of q and k in llama.cpp's order",
        EVEN | {"tie_word_embeddings": True} | rope(rope_theta=1000.0),
        [("rope_parameters", kind())],
        gguf=True,
        text=True,
    ),
    Fixture(
        "mistral-window",
        "sliding window of 9 in every layer",
        dict(sliding_window=9, num_hidden_layers=3, intermediate_size=30),
        [("sliding_window", None), ("sliding_window", 10), ("sliding_window", 8)],
        short=1,
    ),
    Fixture(
        "mistral-full",
        "sliding_window null, head_dim 12 with hidden_size 32 and 4 heads",
        dict(hidden_size=32, num_attention_heads=4, head_dim=12, sliding_window=None),
        [("sliding_window", 12)],
        style="old",
    ),
    Fixture(
        "qwen2-plain",
        "biases on q, k and v, untied; a sliding window given but switched off",
        dict(use_sliding_window=False, sliding_window=8, max_window_layers=1, rms_norm_eps=0.01),
        [("rms_norm_eps", 1e-6), ("use_sliding_window", True)],
        style="old",
        drop=("layer_types",),
        add={"sliding_window": 8},
    ),
    Fixture(
        "qwen2-window",
        "tied, sliding window from layer 1 of 3 on by max_window_layers, no layer_types",
        dict(use_sliding_window=True, sliding_window=8, max_window_layers=1, num_hidden_layers=3)
        | dict(hidden_size=36, intermediate_size=30, tie_word_embeddings=True),
        [("use_sliding_window", False), ("max_window_layers", 2), ("max_window_layers", 0)],
        style="old",
        drop=("layer_types",),
    ),
    Fixture(
        "qwen2-layer-types",
        "layer_types given, against max_window_layers",
        dict(use_sliding_window=True, sliding_window=8, max_window_layers=2, num_hidden_layers=3)
        | dict(hidden_size=36, intermediate_size=30, layer_types=[SLIDING, FULL, FULL]),
        [("layer_types", [FULL, FULL, SLIDING]), ("layer_types", [FULL, FULL, FULL])],
    ),
    Fixture(
        "qwen2-text",
        "tokenizer.json; also as GGUF",
        EVEN | {"tie_word_embeddings": True} | rope(rope_theta=1000.0),
        [("rope_parameters", kind())],
        gguf=True,
        text=True,
    ),
    Fixture(
        "qwen3-plain",
        "norms on q and k, head_dim 12 with hidden_size 32 and 4 heads, untied",
        dict(hidden_size=32, num_attention_heads=4, head_dim=12, rms_norm_eps=0.02),
        [("rms_norm_eps", 1e-6)],
    ),
    Fixture(
        "qwen3-tied",
        "tied, attention_bias, sliding window from layer 1 on",
        dict(hidden_size=32, num_attention_heads=4, head_dim=8, tie_word_embeddings=True, attention_bias=True)
        | dict(use_sliding_window=True, sliding_window=7, max_window_layers=1),
        [("attention_bias", False), ("use_sliding_window", False)],
        style="old",
        drop=("layer_types",),
    ),
    Fixture(
        "qwen3-text",
        "tokenizer.json, head_dim 16; also as GGUF",
        EVEN | dict(head_dim=16, tie_word_embeddings=True) | rope(rope_theta=1000.0),
        [("rope_parameters", kind())],
        gguf=True,
        text=True,
    ),
]
