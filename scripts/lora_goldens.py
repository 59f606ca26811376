"""Writes adapters made by PEFT and what PEFT computes with them: model/tests/fixtures/lora.

    python scripts/lora_goldens.py model/tests/fixtures

Every folder is an adapter of one of the checkpoints in model/tests/fixtures/tiny, as PEFT saves it, with random values
in all its tensors. golden.safetensors has the logits of the loaded adapter, beside the model and not merged, in float32
with eager attention: `logits`, [tokens, vocab_size]. manifest.json has the base, the token ids, and the smallest change
of a logit that leaving out the adapter causes, so that a test cannot pass without it.
"""

import argparse
import json
import shutil
import warnings
from pathlib import Path

import peft
import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

IDS = [5, 17, 3, 88, 41, 9, 60]
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

# name: (base, options of LoraConfig)
CASES = {
    "patterns": ("llama-gqa", dict(
        target_modules=ALL, use_rslora=True,
        rank_pattern={r"layers\.1\.mlp\..*": 3, "q_proj": 1, "proj": 4},
        alpha_pattern={"v_proj": 7, r".*\.0\..*": 3},
    )),
    "regex-targets": ("llama-gqa", dict(target_modules=r".*\.1\.self_attn\.(q|v)_proj|.*down_proj")),
    "layers-int": ("llama-gqa", dict(target_modules=["q_proj", "up_proj"], layers_to_transform=1)),
    "layers-pattern": ("gpt2-plain", dict(target_modules=["c_attn"], layers_to_transform=[0], layers_pattern="h")),
    "exclude-list": ("llama-gqa", dict(target_modules="all-linear", exclude_modules=["q_proj", "layers.0.mlp.up_proj"])),
    "exclude-regex": ("llama-gqa", dict(target_modules=ALL, exclude_modules=r".*\.0\..*")),
    "dora": ("llama-gqa", dict(target_modules="all-linear", use_dora=True, use_rslora=True)),
    "vocabulary": ("llama-gqa", dict(target_modules=["embed_tokens", "lm_head", "q_proj"])),
    "dora-vocabulary": ("llama-gqa", dict(target_modules=["embed_tokens", "lm_head"], use_dora=True)),
    "saved-vocabulary": ("llama-gqa", dict(
        target_modules=["v_proj"], modules_to_save=["lm_head", "embed_tokens", "norm"])),
    "saved-modules": ("llama-gqa", dict(target_modules=["q_proj"], modules_to_save=["mlp", "input_layernorm"])),
    "lora-bias": ("qwen2-plain", dict(target_modules=["q_proj", "v_proj"], lora_bias=True, bias="lora_only")),
    "lora-bias-alone": ("qwen2-plain", dict(target_modules=["o_proj"], lora_bias=True)),
    "gpt2-dora": ("gpt2-plain", dict(target_modules=["c_attn", "c_proj", "c_fc"], use_dora=True)),
    "gpt2-bias-all": ("gpt2-plain", dict(target_modules=["c_attn"], bias="all")),
    "gpt2-lora-bias": ("gpt2-plain", dict(target_modules=["c_attn", "c_fc"], lora_bias=True, bias="lora_only")),
    "gpt2-embeddings": ("gpt2-plain", dict(target_modules=["wte", "wpe"])),
    "gpt2-tied-head": ("gpt2-plain", dict(target_modules=["lm_head", "c_fc"])),
    "gpt2-tied-saved": ("gpt2-plain", dict(target_modules=["c_attn"], modules_to_save=["wte", "ln_f"])),
    "gemma3-embedding": ("gemma3_text-plain", dict(
        target_modules=["embed_tokens", "o_proj"], modules_to_save=["q_norm", "post_feedforward_layernorm"])),
    "gemma3-dora-embedding": ("gemma3_text-plain", dict(target_modules=["embed_tokens"], use_dora=True)),
    "gpt-neox-dora": ("gpt_neox-plain", dict(target_modules=["query_key_value", "dense"], use_dora=True, bias="all")),
    "mixtral-router": ("mixtral-plain", dict(target_modules=["gate", "q_proj"])),
    "parameters": ("llama-gqa", dict(
        target_modules=["q_proj"], target_parameters=["v_proj.weight"], rank_pattern={"v_proj": 5, "v_proj.weight": 3})),
    "qwen3-saved-norms": ("qwen3-plain", dict(target_modules=["down_proj"], modules_to_save=["k_norm", "o_proj"])),
    "orthogonal": ("llama-gqa", dict(target_modules=["q_proj"], init_lora_weights="orthogonal")),
    "mica": ("llama-gqa", dict(target_modules=["q_proj"], init_lora_weights="mica")),
}


def load(base):
    options = {"dtype": torch.float32, "attn_implementation": "eager"}
    if "mixtral" in str(base):
        options["experts_implementation"] = "eager"  # the others need dimensions that are multiples of four
    return AutoModelForCausalLM.from_pretrained(base, **options).eval()


def make(name, base, options, out):
    torch.manual_seed(sum(map(ord, name)))
    model = get_peft_model(load(base), LoraConfig(**({"r": 2, "lora_alpha": 5, "task_type": "CAUSAL_LM"} | options)))
    for parameter in model.parameters():
        if parameter.requires_grad:
            spread = parameter.data.abs().mean().item() or 0.2
            parameter.data += 0.5 * spread * torch.randn_like(parameter)
    shutil.rmtree(out, ignore_errors=True)
    model.save_pretrained(out)
    (out / "README.md").unlink(missing_ok=True)
    config = json.loads((out / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = Path(base).name
    for key in ["target_modules", "exclude_modules", "modules_to_save"]:  # sets, in a random order
        if isinstance(config.get(key), list):
            config[key].sort()
    (out / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")

    ids = torch.tensor([IDS])
    with torch.no_grad():
        plain = load(base)(ids).logits[0]
        loaded = PeftModel.from_pretrained(load(base), out).eval()
        logits = loaded(ids).logits[0]
    change = (logits - plain).abs().max().item()
    assert change > 0.02, (name, change)
    save_file({"logits": logits.contiguous()}, out / "golden.safetensors")
    return {"name": name, "base": Path(base).name, "ids": IDS, "change": round(change, 4)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("fixtures", type=Path)
    parser.add_argument("--only", action="append")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    out = arguments.fixtures / "lora"
    cases = []
    for name, (base, options) in CASES.items():
        if not arguments.only or name in arguments.only:
            cases.append(make(name, arguments.fixtures / "tiny" / base, options, out / name))
            print(cases[-1])
    if not arguments.only:
        source = {
            "script": "scripts/lora_goldens.py",
            "peft": peft.__version__,
            "transformers": transformers.__version__,
            "torch": torch.__version__,
        }
        (out / "manifest.json").write_text(json.dumps({**source, "adapters": cases}, indent=2) + "\n")


main()
