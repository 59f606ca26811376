"""Writes the tiny random checkpoints in model/tests/fixtures/tiny, with the results of transformers on each.

    python scripts/make_tiny_checkpoints.py model/tests/fixtures/tiny [--only NAME]...

Every folder has a checkpoint in Hugging Face's layout (config.json, safetensors, generation_config.json) and
golden.safetensors: two prompts, the logits at all positions and 24 greedy tokens, computed in float32 with eager
attention from the files on disk. OUT/gguf has some of them as GGUF, with llama.cpp's names, checked against llama.cpp
if llama_cpp can be imported. OUT/manifest.json lists everything. scripts/README.md describes the tensors.

Two properties are asserted, so that every fixture is a strong test: every greedy step has a clear margin (the seed is
chosen accordingly), and changing a setting that a fixture is for changes its logits by much more than the tolerance.
"""

import argparse
import json
import math
import shutil
from pathlib import Path

import tokenizers
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from tiny_fixtures import FIXTURES, TEXT_VOCABULARY
from tiny_gguf import check_with_llama_cpp, write_gguf

GREEDY = 24  # greedy tokens after each prompt
LONG = 40  # ids in the long prompt, more than every sliding window here
MARGIN = 1e-2  # minimum gap between the largest and the second logit of a greedy step
ROUTER_MARGIN = 1e-3  # minimum gap between the router logits of the last chosen expert and the next one
TOLERANCE = 1e-4  # the project's tolerance: |delta| <= TOLERANCE * (1 + |reference|)
MATTERS = 10 * TOLERANCE  # minimum effect, on the same scale, of a setting that a fixture is for
END_OF_TEXT = "<|endoftext|>"
PROMPT = "The river ran past the mill, and the reeds sang to the stars: \u4f60\u597d!"
CORPUS = [
    "The river ran past the mill, and the miller's daughter sang to the reeds.",
    "Every evening the stars came out over the water, and the reeds sang back.",
    "There was nothing in the valley that the river had not seen and remembered.",
]
SOURCE = {
    "script": "scripts/make_tiny_checkpoints.py",
    "transformers": transformers.__version__,
    "torch": torch.__version__,
    "reference": "float32, eager attention, CPU",
}


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--only", action="append", help="write only this fixture; may be repeated")
    options = arguments.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    entries = [make(fixture, options.out) for fixture in FIXTURES if not options.only or fixture.name in options.only]
    write_manifest(options.out / "manifest.json", entries)


def write_manifest(path, entries):
    """Writes the list of checkpoints in order; those not written in this run keep their entries."""
    known = {entry["name"]: entry for entry in json.loads(path.read_text())["checkpoints"]} if path.exists() else {}
    known |= {entry["name"]: entry for entry in entries}
    listed = [known[fixture.name] for fixture in FIXTURES if fixture.name in known]
    manifest = SOURCE | {"greedy_tokens": GREEDY, "tolerance": TOLERANCE, "checkpoints": listed}
    path.write_text(json.dumps(manifest, indent=1) + "\n")


def make(fixture, out):
    """Writes a checkpoint with its golden, trying seeds until all greedy margins are clear. Returns its manifest entry."""
    for seed in range(1, 100):
        folder = out / fixture.name
        shutil.rmtree(folder, ignore_errors=True)
        write_checkpoint(fixture, folder, seed)
        model = load(folder)
        prompts = make_prompts(fixture, folder, seed)
        golden = {name: run(model, ids, fixture.dump) for name, ids in prompts.items()}
        margin = min(float(values["greedy_margins"].min()) for values in golden.values())
        distinct = len(set(golden["long"]["greedy_ids"].tolist()))
        routed = min(router_margin(model, values) for values in golden.values())
        if margin >= MARGIN and distinct >= GREEDY // 3 and routed >= ROUTER_MARGIN:
            break
    else:
        raise SystemExit(f"{fixture.name}: no seed gives clear margins")

    check_that_settings_matter(fixture, folder, model, prompts["long"], golden["long"]["logits"])
    tensors = {f"{name}.{key}": value for name, values in golden.items() for key, value in values.items()}
    facts = SOURCE | {"seed": seed, "least_margin": round(margin, 4)}
    facts |= {"long.text": PROMPT} if fixture.text else {}
    tensors = {key: value.contiguous() for key, value in tensors.items()}
    save_file(tensors, folder / "golden.safetensors", metadata={"source": json.dumps(facts)})  # one key: fixed order
    entry = {
        "name": fixture.name,
        "family": fixture.family,
        "exercises": fixture.exercises,
        "dtype": fixture.dtype,
        "shards": len(list(folder.glob("model*.safetensors"))),
        "seed": seed,
        "least_margin": round(margin, 4),
        "largest_logit": round(max(float(values["logits"].abs().max()) for values in golden.values()), 2),
        "tokenizer": fixture.text,
        "intermediate_values": fixture.dump,
        "gguf": None,
    }
    if fixture.gguf:
        path = out / "gguf" / f"{fixture.name}.gguf"
        path.parent.mkdir(exist_ok=True)
        write_gguf(fixture, folder, path)
        entry["gguf"] = f"gguf/{path.name}"
        text = PROMPT if fixture.text else None
        distance = check_with_llama_cpp(path, {name: (prompts[name], golden[name]) for name in prompts}, text)
        entry["llama_cpp_distance"] = distance
    print({key: entry.get(key) for key in ("name", "seed", "least_margin", "largest_logit", "llama_cpp_distance")})
    return entry


def write_checkpoint(fixture, folder, seed):
    """Writes a random model with save_pretrained, then converts it to the fixture's layout."""
    config = AutoConfig.for_model(fixture.family, **fixture.full_config)
    model = AutoModelForCausalLM.from_config(config)
    randomise(model, torch.Generator().manual_seed(seed))
    model.generation_config = GenerationConfig(bos_token_id=config.bos_token_id, eos_token_id=config.eos_token_id)
    model.to(getattr(torch, fixture.dtype)).save_pretrained(
        folder, max_shard_size=fixture.shard or "1GB", save_original_format=not fixture.fused_experts
    )
    if fixture.rewrite:
        file = folder / "model.safetensors"
        save_file(fixture.rewrite(load_file(file)), file, metadata={"format": "pt"})
    if fixture.text:
        write_tokenizer(fixture, folder)

    file = folder / "config.json"
    settings = json.loads(file.read_text())
    if fixture.style == "old":
        settings = in_old_style(settings, fixture.rope_kind_key)
    settings = {key: settings[key] for key in settings if key not in fixture.drop} | fixture.add
    file.write_text(json.dumps(settings, indent=2) + "\n")


def randomise(model, generator):
    """Weights large enough that the logits spread over several units, norms near one, biases nonzero."""
    gemma = model.config.model_type.startswith("gemma")
    embedding = 0.15 if gemma else 0.4  # Gemma multiplies it by sqrt(d_model), and it is also the unembedding

    def noise(shape, scale):
        return torch.randn(shape, generator=generator) * scale

    with torch.no_grad():
        for name, weight in sorted(model.named_parameters()):
            fan_in = weight.shape[0] if ".c_" in name else weight.shape[-1]  # Conv1D keeps [in, out]
            if name.endswith("bias"):
                weight.copy_(noise(weight.shape, 0.3))
            elif gemma and weight.dim() == 1:  # Gemma stores the factor minus one
                weight.copy_((2 if name == "model.norm.weight" else 0) + noise(weight.shape, 0.3))
            elif weight.dim() == 1:
                weight.copy_(1 + noise(weight.shape, 0.3))
            elif any(part in name for part in ("embed_tokens", "embed_in", "wte", "wpe")):
                weight.copy_(noise(weight.shape, embedding))
            elif "lm_head" in name:
                weight.copy_(noise(weight.shape, 2.5 / math.sqrt(fan_in)))
            else:
                weight.copy_(noise(weight.shape, 1.5 / math.sqrt(fan_in)))


def in_old_style(settings, rope_kind_key):
    """The keys of config.json as in transformers 4."""
    settings = dict(settings)
    settings.pop("transformers_version", None)
    settings["torch_dtype"] = settings.pop("dtype")
    rope = settings.pop("rope_parameters", None)
    if rope and "full_attention" in rope:
        settings["rope_local_base_freq"] = rope["sliding_attention"]["rope_theta"]
        rope = rope["full_attention"]
    if rope and "partial_rotary_factor" in rope:
        settings["rotary_pct"] = rope.pop("partial_rotary_factor")
        settings["rotary_emb_base"] = rope.pop("rope_theta")
    elif rope:
        settings["rope_theta"] = rope.pop("rope_theta")
    if rope:
        scaling = rope.pop("rope_type")
        settings["rope_scaling"] = None if scaling == "default" else {rope_kind_key: scaling, **rope}
    return settings


def write_tokenizer(fixture, folder):
    """A byte-level BPE with 31 merges: as vocab.json and merges.txt for GPT-2, as tokenizer.json for the others."""
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=TEXT_VOCABULARY,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    assert tokenizer.get_vocab_size() == TEXT_VOCABULARY
    if fixture.family == "gpt2":
        tokenizer.model.save(str(folder))
    else:
        tokenizer.save(str(folder / "tokenizer.json"))
    kind = "GPT2Tokenizer" if fixture.family == "gpt2" else "PreTrainedTokenizerFast"
    special = {"bos_token": END_OF_TEXT, "eos_token": END_OF_TEXT}
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": kind} | special, indent=2) + "\n")


def load(folder):
    """Loads the model normally. No tensor may be missing; only the known extra tensors of old files may be unexpected."""
    model, report = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, **eager(AutoConfig.from_pretrained(folder)), output_loading_info=True
    )
    ignored = (".attn.masked_bias", ".attn.bias", ".attention.masked_bias", ".attention.bias", ".rotary_emb.inv_freq")
    assert not report["missing_keys"] and not report["mismatched_keys"], report
    assert all(name.endswith(ignored) for name in report["unexpected_keys"]), report
    return model.eval()


def eager(config):
    """The simplest implementations of attention and, if there are any, of experts."""
    experts = {"experts_implementation": "eager"} if hasattr(config, "num_local_experts") else {}
    return {"attn_implementation": "eager"} | experts


def make_prompts(fixture, folder, seed):
    generator = torch.Generator().manual_seed(1000 + seed)
    short = torch.randint(fixture.full_config["vocab_size"], (fixture.short,), generator=generator)
    if fixture.text:
        long = torch.tensor(AutoTokenizer.from_pretrained(folder)(PROMPT)["input_ids"])
    else:
        long = torch.randint(fixture.full_config["vocab_size"], (LONG,), generator=generator)
    return {"long": long, "short": short}


@torch.no_grad()
def run(model, ids, dump):
    """Logits at every position and the greedy continuation, each step a full forward pass over all tokens."""
    values = {"ids": ids.int()}
    if dump:
        values |= intermediate_values(model, ids)
    values["logits"] = model(ids[None], use_cache=False).logits[0]
    tokens, greedy, margins = ids, [], []
    for _ in range(GREEDY):
        best = model(tokens[None], use_cache=False).logits[0, -1].topk(2)
        greedy.append(int(best.indices[0]))
        margins.append(float(best.values[0] - best.values[1]))
        tokens = torch.cat([tokens, best.indices[:1]])
    return values | {"greedy_ids": torch.tensor(greedy).int(), "greedy_margins": torch.tensor(margins)}


@torch.no_grad()
def router_margin(model, values):
    """The smallest margin of the choice of experts over a prompt and its continuation; infinite without experts."""
    if not hasattr(model.config, "num_local_experts"):
        return math.inf
    ids, chosen = torch.cat([values["ids"], values["greedy_ids"]]).long(), model.config.num_experts_per_tok
    ranked = [logits.sort(descending=True).values for logits in model(ids[None], output_router_logits=True).router_logits]
    return min(float((logits[:, chosen - 1] - logits[:, chosen]).min()) for logits in ranked)


def intermediate_values(model, ids):
    """The residual stream around each branch and the attention patterns, under TransformerLens's names."""
    values, hooks = {}, []
    body = model.base_model
    gpt2 = hasattr(body, "h")

    def keep(name):
        return lambda _module, _inputs, output: values.update({name: first(output)[0]})

    def keep_input(name):
        return lambda _module, inputs: values.update({name: inputs[0][0]})

    def first(output):
        return output[0] if isinstance(output, tuple) else output

    hooks.append((body.wte if gpt2 else body.embed_tokens).register_forward_hook(keep("embed")))
    if gpt2:
        hooks.append(body.wpe.register_forward_hook(keep("pos_embed")))
    for n, block in enumerate(body.h if gpt2 else body.layers):
        second_norm = block.ln_2 if gpt2 else block.post_attention_layernorm
        hooks.append(second_norm.register_forward_pre_hook(keep_input(f"blocks.{n}.resid_mid")))
        hooks.append(block.register_forward_hook(keep(f"blocks.{n}.resid_post")))
    patterns = model(ids[None], use_cache=False, output_attentions=True).attentions
    for hook in hooks:
        hook.remove()
    values |= {f"blocks.{n}.attn.pattern": pattern[0] for n, pattern in enumerate(patterns)}
    return {name: value.clone() for name, value in values.items()}


@torch.no_grad()
def check_that_settings_matter(fixture, folder, model, ids, logits):
    """Asserts that a wrong value of any setting in `fixture.matters` changes the logits."""
    settings = json.loads((folder / "config.json").read_text())
    for key, value in fixture.matters:
        changed = {name: entry for name, entry in settings.items() if name != "model_type"} | {key: value}
        config = AutoConfig.for_model(fixture.family, **json.loads(json.dumps(changed)))
        other = AutoModelForCausalLM.from_config(config, dtype=torch.float32, **eager(config))
        other.load_state_dict(model.state_dict(), strict=False)
        effect = float(((other.eval()(ids[None]).logits[0] - logits).abs() / (1 + logits.abs())).max())
        assert effect >= MATTERS, f"{fixture.name}: {key} = {value} changes the logits by {effect:.1e} only"


if __name__ == "__main__":
    main()
