"""The tiny checkpoints: what each one tests, and the settings that its logits must depend on."""

from dataclasses import dataclass, field

import torch

TEXT_VOCABULARY = 288  # of checkpoints with a tokenizer: 1 special token, 256 bytes, 31 merges


@dataclass
class Fixture:
    name: str  # the first word is the family, transformers' model_type
    exercises: str
    config: dict = field(default_factory=dict)  # differences from BASE
    matters: list = field(default_factory=list)  # (key, other value) of config.json that must change the logits
    style: str = "new"  # "new": rope_parameters and dtype; "old": rope_theta, rope_scaling and torch_dtype
    rope_kind_key: str = "rope_type"  # key for the type of scaling in the old style; "type" in the oldest files
    drop: tuple = ()  # config.json keys that such files lack
    add: dict = field(default_factory=dict)  # config.json entries that such files have and transformers drops
    dtype: str = "float32"
    shard: str | None = None  # maximum shard size, as for save_pretrained
    rewrite: object = None  # tensors -> tensors, for layouts that transformers no longer writes
    fused_experts: bool = False  # all experts of a layer in one tensor, as in memory in transformers 5
    dump: bool = False  # also record intermediate values
    gguf: bool = False  # also write it as GGUF
    text: bool = False  # has a tokenizer
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
GEMMA = LLAMA | dict(
    hidden_size=24, intermediate_size=29, num_attention_heads=3, num_key_value_heads=1, head_dim=14, sliding_window=9
)
NEOX = dict(
    vocab_size=101,
    hidden_size=32,
    intermediate_size=37,
    num_hidden_layers=2,
    num_attention_heads=2,
    max_position_embeddings=128,
    bos_token_id=1,
    eos_token_id=2,
)
MIXTRAL = LLAMA | dict(
    hidden_size=24, intermediate_size=22, num_attention_heads=4, num_local_experts=4, num_experts_per_tok=2
)
BASE = {
    "gpt2": GPT2,
    "llama": LLAMA,
    "mistral": LLAMA,
    "qwen2": LLAMA,
    "qwen3": LLAMA,
    "gemma3_text": GEMMA,
    "gpt_neox": NEOX,
    "mixtral": MIXTRAL,
}
# Wide heads for rope scaling, whose frequency bands need several frequencies.
ROPE = dict(hidden_size=32, num_attention_heads=2, num_key_value_heads=1, intermediate_size=48)
SHALLOW = dict(num_hidden_layers=1)
FULL, SLIDING = "full_attention", "sliding_attention"
# Sizes that suit the GGUF twins.
EVEN = dict(hidden_size=32, num_attention_heads=4, intermediate_size=48)


def kind(rope_type="default", rope_theta=10000.0, **more):
    return dict(rope_type=rope_type, rope_theta=rope_theta, **more)


def rope(*args, **more):
    return {"rope_parameters": kind(*args, **more)}


def two_ropes(full, sliding):
    """Gemma's rotary settings: one for layers with full attention, one for layers with a sliding window."""
    return {"rope_parameters": {FULL: full, SLIDING: sliding}}


def hub_gpt2(tensors):
    """The layout of the first GPT-2 files: names without prefix, and causal masks stored as weights."""
    bare = {name.removeprefix("transformer."): tensor for name, tensor in tensors.items()}
    positions = bare["wpe.weight"].shape[0]
    for block in range(GPT2["n_layer"]):
        bare[f"h.{block}.attn.bias"] = torch.ones(positions, positions).tril()[None, None]
        bare[f"h.{block}.attn.masked_bias"] = torch.tensor(-1e4)
    return bare


def old_llama(tensors):
    """The layout of old Llama files: stored rotary frequencies per layer, and both copies of a tied embedding."""
    frequencies = {f"model.layers.{n}.self_attn.rotary_emb.inv_freq": torch.arange(4.0) for n in range(2)}
    return tensors | frequencies | {"lm_head.weight": tensors["model.embed_tokens.weight"].clone()}


def hub_gpt_neox(tensors):
    """The layout of the first GPT-NeoX files: stored causal masks and rotary frequencies per layer."""
    extra = {}
    for block in range(NEOX["num_hidden_layers"]):
        at = f"gpt_neox.layers.{block}.attention"
        extra[f"{at}.bias"] = torch.ones(16, 16, dtype=torch.bool).tril()[None, None]
        extra[f"{at}.masked_bias"] = torch.tensor(-1e9)
        extra[f"{at}.rotary_emb.inv_freq"] = torch.arange(2.0)
    return tensors | extra


LLAMA3 = dict(factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32)
YARN = dict(factor=4.0, original_max_position_embeddings=32)
YARN_EXPLICIT = YARN | dict(attention_factor=1.25, beta_fast=3.0, beta_slow=0.5, truncate=False)
YARN_MSCALE = dict(factor=6.0, original_max_position_embeddings=48)
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
        "mistral-layer-types",
        "layer_types: a sliding window of 9 in layers 0 and 2, none in layer 1; transformers reads such files as Ministral",
        dict(sliding_window=9, num_hidden_layers=3, intermediate_size=30, layer_types=[SLIDING, FULL, SLIDING]),
        [("layer_types", [SLIDING] * 3), ("layer_types", [FULL] * 3), ("layer_types", [FULL, SLIDING, SLIDING])],
        short=1,
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
    Fixture(
        "gemma3_text-plain",
        "7 layers, the sixth without a window; norms after the layers and on q and k; linear rope scaling on the layers "
        "without a window, another theta on the others; query_pre_attn_scalar unlike head_dim",
        dict(num_hidden_layers=7, query_pre_attn_scalar=10, rms_norm_eps=0.01)
        | two_ropes(kind("linear", 700.0, factor=4.0), kind(rope_theta=50.0)),
        [("query_pre_attn_scalar", 14), ("sliding_window", 10), ("sliding_window", 8), ("rms_norm_eps", 1e-6)]
        + [("layer_types", [SLIDING] * 7), ("layer_types", [FULL] * 7), ("hidden_activation", "gelu")]
        + [("rope_parameters", {FULL: kind(rope_theta=700.0), SLIDING: kind(rope_theta=50.0)})]
        + [("rope_parameters", {FULL: kind("linear", 700.0, factor=4.0), SLIDING: kind(rope_theta=700.0)})]
        + [("rope_parameters", {FULL: kind("linear", 50.0, factor=4.0), SLIDING: kind(rope_theta=50.0)})],
        short=1,
    ),
    Fixture(
        "gemma3_text-pattern",
        "sliding_window_pattern 3 without layer_types; rope_theta, rope_local_base_freq and rope_scaling, as the first "
        "Gemma 3 files have them; also as GGUF with keys for pattern and local theta, without tokenizer",
        dict(intermediate_size=32, num_attention_heads=4, num_key_value_heads=2, head_dim=12, query_pre_attn_scalar=12)
        | dict(num_hidden_layers=5, layer_types=[SLIDING, SLIDING, FULL, SLIDING, SLIDING])
        | two_ropes(kind("linear", 300.0, factor=8.0), kind(rope_theta=40.0)),
        [("sliding_window_pattern", 2), ("rope_local_base_freq", 10000.0), ("rope_theta", 10000.0)]
        + [("rope_scaling", None), ("sliding_window", 10), ("query_pre_attn_scalar", 256)],
        style="old",
        drop=("layer_types", "_sliding_window_pattern", "use_bidirectional_attention"),
        add={"sliding_window_pattern": 3, "cache_implementation": "hybrid"},
        gguf=True,
    ),
    Fixture(
        "gemma3_text-layer-types",
        "layer_types against the pattern, attention_bias, untied, exact gelu, bfloat16; keys as Gemma 3 270M has them",
        dict(num_hidden_layers=4, layer_types=[FULL, SLIDING, SLIDING, FULL], query_pre_attn_scalar=20)
        | dict(num_attention_heads=2, head_dim=18, attention_bias=True, tie_word_embeddings=False)
        | dict(hidden_activation="gelu", sliding_window=7)
        | two_ropes(kind(rope_theta=900.0), kind(rope_theta=60.0)),
        [("layer_types", [SLIDING, SLIDING, SLIDING, FULL]), ("layer_types", [FULL, SLIDING, FULL, FULL])]
        + [("attention_bias", False), ("hidden_activation", "gelu_pytorch_tanh"), ("rope_theta", 60.0)]
        + [("rope_local_base_freq", 900.0)],
        style="old",
        dtype="bfloat16",
        short=3,
    ),
    Fixture(
        "gemma3_text-gguf",
        "what a GGUF without keys for pattern and local theta means: every sixth of 7 layers without a window, 10000; "
        "also as GGUF, without tokenizer",
        dict(num_hidden_layers=7, intermediate_size=32, num_attention_heads=2, head_dim=16, query_pre_attn_scalar=16)
        | two_ropes(kind(rope_theta=200.0), kind(rope_theta=10000.0)),
        [("layer_types", [FULL] * 7), ("rope_parameters", {FULL: kind(), SLIDING: kind()})]
        + [("rope_parameters", {FULL: kind(rope_theta=200.0), SLIDING: kind(rope_theta=200.0)})],
        gguf=True,
    ),
    Fixture(
        "gpt_neox-plain",
        "parallel residual, a quarter of each head rotated, q, k and v of each head side by side, exact gelu, untied",
        {"layer_norm_eps": 0.01} | rope(rope_theta=30.0, partial_rotary_factor=0.25),
        [("use_parallel_residual", False), ("layer_norm_eps", 1e-5), ("hidden_act", "gelu_new")]
        + [("rope_parameters", kind(rope_theta=30.0, partial_rotary_factor=0.5)), ("attention_bias", False)]
        + [("rope_parameters", kind(rope_theta=10000.0, partial_rotary_factor=0.25))],
        short=1,
    ),
    Fixture(
        "gpt_neox-sequential",
        "use_parallel_residual false, half of each head rotated, rotary_pct and rotary_emb_base; also as GGUF without "
        "tokenizer",
        dict(use_parallel_residual=False, num_attention_heads=4, num_hidden_layers=3, intermediate_size=32)
        | rope(rope_theta=50.0, partial_rotary_factor=0.5),
        [("use_parallel_residual", True), ("rotary_pct", 0.25), ("rotary_pct", 1.0), ("rotary_emb_base", 10000.0)],
        style="old",
        gguf=True,
    ),
    Fixture(
        "gpt_neox-whole",
        "whole heads rotated, linear rope scaling, no biases in attention, tied, gelu_fast, 5 heads of 6",
        dict(hidden_size=30, num_attention_heads=5, attention_bias=False, tie_word_embeddings=True)
        | dict(hidden_act="gelu_fast")
        | rope("linear", rope_theta=40.0, factor=4.0, partial_rotary_factor=1.0),
        [("hidden_act", "gelu"), ("rope_parameters", kind(rope_theta=40.0, partial_rotary_factor=1.0))]
        + [("rope_parameters", kind("linear", 40.0, factor=4.0, partial_rotary_factor=0.4))],
    ),
    Fixture(
        "gpt_neox-hub",
        "stored attention.bias, attention.masked_bias and rotary_emb.inv_freq, to be ignored; sparse config.json, "
        "gelu_new, float16",
        {"hidden_act": "gelu_new"},
        [("hidden_act", "relu"), ("rotary_pct", 0.5)],
        style="old",
        drop=("attention_bias", "attention_dropout", "hidden_dropout", "classifier_dropout", "rope_scaling")
        + ("is_decoder", "pad_token_id"),
        dtype="float16",
        rewrite=hub_gpt_neox,
        short=3,
    ),
    Fixture(
        "gpt_neox-gguf",
        "also as GGUF, with rows of q, k and v apart, without tokenizer",
        dict(intermediate_size=48) | rope(rope_theta=1000.0, partial_rotary_factor=0.25),
        [("rope_parameters", kind(rope_theta=10.0, partial_rotary_factor=0.25)), ("use_parallel_residual", False)],
        gguf=True,
    ),
    Fixture(
        "mixtral-plain",
        "4 experts, 2 for each token, grouped queries, untied, bfloat16 in several shards",
        {"rms_norm_eps": 0.02} | rope(rope_theta=50.0),
        [("num_experts_per_tok", 1), ("num_experts_per_tok", 3), ("rms_norm_eps", 1e-6), ("rope_parameters", kind())],
        dtype="bfloat16",
        shard="12KB",
        short=1,
    ),
    Fixture(
        "mixtral-window",
        "5 experts, 3 for each token, sliding window of 9, head_dim 10 with hidden_size 24 and 4 heads, tied",
        dict(num_local_experts=5, num_experts_per_tok=3, sliding_window=9, head_dim=10, tie_word_embeddings=True)
        | rope(rope_theta=500.0),
        [("num_experts_per_tok", 2), ("num_experts_per_tok", 5), ("sliding_window", None), ("sliding_window", 10)]
        + [("sliding_window", 8), ("rope_theta", 1e6)],
        style="old",
    ),
    Fixture(
        "mixtral-fused",
        "5 experts, 1 for each token, one key-value head, exact gelu; all experts of a layer in one tensor, gate and up "
        "in one, as transformers 5 names them when asked to",
        dict(num_local_experts=5, num_experts_per_tok=1, num_key_value_heads=1, hidden_act="gelu"),
        [("num_experts_per_tok", 2), ("hidden_act", "silu")],
        fused_experts=True,
    ),
    Fixture(
        "mixtral-gguf",
        "5 experts, 2 for each token; also as GGUF, each layer's experts in one tensor, without tokenizer",
        dict(intermediate_size=16, num_local_experts=5) | rope(rope_theta=100.0),
        [("num_experts_per_tok", 3), ("rope_parameters", kind())],
        gguf=True,
    ),
]
