"""Dumps every named activation of a forward pass of transformers: the reference for `glassbox verify`.

    python scripts/dump_reference.py CHECKPOINT OUT.safetensors --prompt "The capital of France is"
    python scripts/dump_reference.py CHECKPOINT OUT.safetensors --ids 1,2,3
    glassbox verify -m CHECKPOINT --reference OUT.safetensors

CHECKPOINT is a folder in Hugging Face's layout or a GGUF file, of GPT-2, GPT-NeoX, Gemma 3, Mixtral, Llama, or a model
with Llama's module names (Mistral, Qwen 2, Qwen 3). The weights are converted to float32, attention is eager, and hooks
on the modules collect the values. Names and shapes are those of `glassbox trace`: a name is TransformerLens's without
`hook_`. `ln1.normalized` and similar values are the inputs of the next layer, after the norm's weight and bias.

The ids are stored in the file's metadata as JSON, so the comparison does not depend on a tokenizer.
"""

import argparse
import fnmatch
import json
import sys
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("checkpoint", type=Path, help="checkpoint folder or GGUF file")
    arguments.add_argument("out", type=Path, help="safetensors file to write")
    prompt = arguments.add_mutually_exclusive_group(required=True)
    prompt.add_argument("--prompt", help="text, encoded with the checkpoint's special tokens")
    prompt.add_argument("--ids", type=lambda text: [int(word) for word in text.split(",")], help="token ids, such as 1,2,3")
    arguments.add_argument("--names", action="append", metavar="GLOB", help="only values whose name matches; may be repeated")
    options = arguments.parse_args()
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()

    where = location(options.checkpoint)
    ids = options.ids or AutoTokenizer.from_pretrained(**where)(options.prompt)["input_ids"]
    model = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32, attn_implementation="eager").eval()
    values = activations(model, torch.tensor(ids))
    if options.names:
        values = {name: x for name, x in values.items() if any(fnmatch.fnmatchcase(name, glob) for glob in options.names)}
    metadata = {
        "ids": json.dumps(ids),
        "source": json.dumps(
            {
                "script": "scripts/dump_reference.py",
                "model": options.checkpoint.name,
                "prompt": options.prompt,
                "transformers": transformers.__version__,
                "torch": torch.__version__,
                "reference": "float32, eager attention, CPU",
            }
        ),
    }
    save_file(values, options.out, metadata=metadata)
    print(f"{len(values)} values of {len(ids)} tokens", file=sys.stderr)


def location(checkpoint):
    if checkpoint.is_dir():
        return {"pretrained_model_name_or_path": checkpoint}
    return {"pretrained_model_name_or_path": checkpoint.parent, "gguf_file": checkpoint.name}


@torch.no_grad()
def activations(model, ids):
    values = {}
    body, config = model.base_model, model.config
    family = FAMILIES.get(config.model_type)
    if family is None:
        sys.exit(f"{config.model_type}: not among {', '.join(FAMILIES)}")
    if family is Mixtral:
        model.set_experts_implementation("eager")

    def keep(name, value):
        values[name] = value.detach()[0].clone().contiguous()

    family(model, keep).add_hooks()
    hook_scores(body, keep)
    logits = model(ids[None], use_cache=False).logits
    keep("logits", logits)
    return values


def hook_scores(body, keep):
    """Hooks softmax: eager attention calls it once per layer, in order, on scores whose masked entries are very negative."""
    functional, layers = torch.nn.functional, iter(range(body.config.num_hidden_layers))
    softmax = functional.softmax

    def hooked(scores, *arguments, **settings):
        if scores.dim() == 4:
            keep(f"blocks.{next(layers)}.attn.scores", scores.masked_fill(scores < -1e30, float("-inf")))
        return softmax(scores, *arguments, **settings)

    functional.softmax = hooked


def first(output):
    return output[0] if isinstance(output, tuple) else output


class Family:
    """Hooks that pass the values of a model to `keep(name, value)`."""

    def __init__(self, model, keep):
        self.body, self.keep = model.base_model, keep
        config = model.config
        self.heads = config.num_attention_heads
        self.kv_heads = getattr(config, "num_key_value_heads", self.heads)

    def output(self, module, name, heads=None):
        """Keeps a module's output, as `[tokens, heads, head_dim]` if `heads` is given."""
        module.register_forward_hook(lambda _m, _in, out: self.keep(name, self.split(first(out), heads)))

    def input(self, module, name, heads=None):
        """Keeps what a module is given."""
        module.register_forward_pre_hook(lambda _m, given: self.keep(name, self.split(given[0], heads)))

    def split(self, value, heads):
        return value.unflatten(-1, (heads, -1)) if heads and value.dim() == 3 else value

    def hook_rotation(self):
        """Hooks the rotation, a function of the model's Python module that is called once per layer, in order."""
        python_module = sys.modules[type(self.body).__module__]
        rotate, layers = python_module.apply_rotary_pos_emb, iter(range(len(self.body.layers)))

        def hooked(*arguments, **settings):
            rotated, at = rotate(*arguments, **settings), f"blocks.{next(layers)}"
            for name, value in zip(("rot_q", "rot_k"), rotated):
                self.keep(f"{at}.attn.{name}", value.transpose(1, 2))
            return rotated

        python_module.apply_rotary_pos_emb = hooked

    def pattern(self, attention, name):
        """Keeps the attention pattern, the second output of eager attention."""
        attention.register_forward_hook(lambda _m, _in, out: self.keep(name, out[1]))

    def stream(self, block, at, attention_out, second_norm, mlp, parallel=False):
        """Keeps the residual stream around a block's two branches, and the outputs of the branches."""
        self.input(block, f"{at}.resid_pre")
        self.output(attention_out, f"{at}.attn_out")
        if not parallel:
            self.input(second_norm, f"{at}.resid_mid")
        self.output(second_norm, f"{at}.ln2.normalized")
        self.output(mlp, f"{at}.mlp_out")
        self.output(block, f"{at}.resid_post")


class Gpt2(Family):
    def add_hooks(self):
        self.output(self.body.wte, "embed")
        self.output(self.body.wpe, "pos_embed")
        for n, block in enumerate(self.body.h):
            at = f"blocks.{n}"
            self.output(block.ln_1, f"{at}.ln1.normalized")
            block.attn.c_attn.register_forward_hook(lambda _m, _in, out, at=at: self.queries(at, out))
            self.pattern(block.attn, f"{at}.attn.pattern")
            self.input(block.attn.c_proj, f"{at}.attn.z", self.heads)
            self.output(block.mlp.c_fc, f"{at}.mlp.pre")
            self.input(block.mlp.c_proj, f"{at}.mlp.post")
            self.stream(block, at, block.attn.c_proj, block.ln_2, block.mlp)
        self.output(self.body.ln_f, "ln_final.normalized")

    def queries(self, at, joined):
        for name, value in zip("qkv", joined.chunk(3, dim=-1)):
            self.keep(f"{at}.attn.{name}", self.split(value, self.heads))


class GptNeoX(Family):
    def add_hooks(self):
        self.output(self.body.embed_in, "embed")
        for n, block in enumerate(self.body.layers):
            at, attention = f"blocks.{n}", block.attention
            self.output(block.input_layernorm, f"{at}.ln1.normalized")
            attention.query_key_value.register_forward_hook(lambda _m, _in, out, at=at: self.queries(at, out))
            self.pattern(attention, f"{at}.attn.pattern")
            self.input(attention.dense, f"{at}.attn.z", self.heads)
            self.output(block.mlp.dense_h_to_4h, f"{at}.mlp.pre")
            self.input(block.mlp.dense_4h_to_h, f"{at}.mlp.post")
            parallel = block.use_parallel_residual  # both branches then have the same input
            self.stream(block, at, attention.dense, block.post_attention_layernorm, block.mlp, parallel)
        self.output(self.body.final_layer_norm, "ln_final.normalized")
        self.hook_rotation()

    def queries(self, at, joined):
        """The fused output has q, k and v of each head side by side."""
        for name, value in zip("qkv", self.split(joined, self.heads).chunk(3, dim=-1)):
            self.keep(f"{at}.attn.{name}", value)


class Llama(Family):
    def add_hooks(self):
        self.output(self.body.embed_tokens, "embed")
        for n, block in enumerate(self.body.layers):
            at, attention = f"blocks.{n}", block.self_attn
            self.output(block.input_layernorm, f"{at}.ln1.normalized")
            self.queries(attention, at)
            self.output(attention.v_proj, f"{at}.attn.v", self.kv_heads)
            self.pattern(attention, f"{at}.attn.pattern")
            self.input(attention.o_proj, f"{at}.attn.z", self.heads)
            self.mlp(block.mlp, at)
            self.residual(block, at)
        self.output(self.body.norm, "ln_final.normalized")
        self.hook_rotation()

    def queries(self, attention, at):
        """If queries and keys have norms, their output is kept; it is already split into heads."""
        self.output(getattr(attention, "q_norm", attention.q_proj), f"{at}.attn.q", self.heads)
        self.output(getattr(attention, "k_norm", attention.k_proj), f"{at}.attn.k", self.kv_heads)

    def mlp(self, mlp, at):
        self.output(mlp.gate_proj, f"{at}.mlp.pre")
        self.output(mlp.up_proj, f"{at}.mlp.pre_linear")
        self.input(mlp.down_proj, f"{at}.mlp.post")

    def residual(self, block, at):
        self.stream(block, at, block.self_attn.o_proj, block.post_attention_layernorm, block.mlp)


class Gemma3(Llama):
    """Llama, except for norms after attention and MLP: `attn.out` and `mlp.out` are their outputs before the norm."""

    def queries(self, attention, at):
        """The norms of q and k have the shape `[heads, tokens, head_dim]`."""
        for name, norm in (("q", attention.q_norm), ("k", attention.k_norm)):
            at_name = f"{at}.attn.{name}"
            norm.register_forward_hook(lambda _m, _in, out, name=at_name: self.keep(name, out.transpose(1, 2)))

    def residual(self, block, at):
        self.output(block.self_attn.o_proj, f"{at}.attn.out")
        self.output(block.mlp, f"{at}.mlp.out")
        added = (block.post_attention_layernorm, block.pre_feedforward_layernorm, block.post_feedforward_layernorm)
        self.stream(block, at, *added)


class Mixtral(Llama):
    """Llama, except that a router weights experts for each token."""

    def mlp(self, mlp, at):
        mlp.gate.register_forward_hook(lambda _m, _in, out: self.routing(at, *out))

    def routing(self, at, logits, weights, chosen):
        self.keep(f"{at}.mlp.router_logits", logits[None])
        self.keep(f"{at}.mlp.expert_weights", torch.zeros_like(logits).scatter(1, chosen, weights)[None])


FAMILIES = {
    "gpt2": Gpt2,
    "gpt_neox": GptNeoX,
    "llama": Llama,
    "mistral": Llama,
    "qwen2": Llama,
    "qwen3": Llama,
    "gemma3_text": Gemma3,
    "mixtral": Mixtral,
}


if __name__ == "__main__":
    main()
