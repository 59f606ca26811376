"""Writes the goldens of training: tiny GPT-2 and Llama models, trained for ten steps by PyTorch in float64.

    python scripts/train_goldens.py train/tests/data

Each OUT/NAME.safetensors has

| tensor | shape | content |
|---|---|---|
| `ids` | [10, rows, tokens + 1] f32 | the batches; each token predicts its successor |
| `before.NAME` | as in the checkpoint | the initial weights, float32 |
| `gradient.NAME` | the same | the gradient of the first batch's loss at these weights |
| `losses` | [10] | the loss of each batch, before its step |
| `norms` | [10] | the global gradient norm before clipping |

and the metadata `source` (this script, versions, seed), `config` (config.json) and `adamw`. Gradients and losses are
computed in float64 and rounded once to float32.
"""

import json
import sys
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

SEED = 20
ROWS, TOKENS, STEPS, VOCABULARY = 3, 12, 10, 41
ADAMW = {"beta1": 0.9, "beta2": 0.95, "epsilon": 1e-8, "weight_decay": 0.1, "clip": 1.0}
RATES = [2e-3, 4e-3, 6e-3, 8e-3, 1e-2, 9e-3, 7e-3, 5e-3, 3e-3, 1e-3]
SPECIAL = dict(bos_token_id=0, eos_token_id=0)

MODELS = {
    "gpt2": GPT2LMHeadModel(
        GPT2Config(vocab_size=VOCABULARY, n_positions=16, n_embd=16, n_layer=2, n_head=2, resid_pdrop=0.0,
                   embd_pdrop=0.0, attn_pdrop=0.0, activation_function="gelu_new", **SPECIAL)
    ),
    "llama": LlamaForCausalLM(
        LlamaConfig(vocab_size=VOCABULARY, max_position_embeddings=16, hidden_size=16, intermediate_size=24,
                    num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, rms_norm_eps=1e-5,
                    tie_word_embeddings=False, **SPECIAL)
    ),
    "llama-tied": LlamaForCausalLM(
        LlamaConfig(vocab_size=VOCABULARY, max_position_embeddings=16, hidden_size=16, intermediate_size=24,
                    num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2, rms_norm_eps=1e-5,
                    attention_bias=True, mlp_bias=True, tie_word_embeddings=True, **SPECIAL)
    ),
}  # fmt: skip


def perturb(model, generator):
    """Moves all weights away from their initial values: norms not 1, biases not 0."""
    for name, tensor in model.named_parameters():
        noise = torch.randn(tensor.shape, generator=generator) * (0.3 if "wte" in name or "embed" in name else 0.15)
        base = 1.0 if "norm.weight" in name or "layernorm.weight" in name or ".ln_" in name and name.endswith("weight") else 0.0
        tensor.data = (noise + base).to(torch.float32).to(torch.float64)


def decays(name):
    """Whether weight decay applies, as in train/src/adamw.rs: only to matrices of linear layers."""
    linear = ("c_attn.", "c_proj.", "c_fc.", "_proj.")
    return name.endswith(".weight") and any(part in name for part in linear)


def loss_of(model, ids):
    logits = model(input_ids=ids[:, :-1]).logits
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())


def golden(name, model, generator):
    model = model.double().train()
    model.set_attn_implementation("eager")
    perturb(model, generator)
    ids = torch.randint(0, VOCABULARY, (STEPS, ROWS, TOKENS + 1), generator=generator)
    tensors = {"ids": ids.float()}
    tensors |= {f"before.{name}": tensor.detach().float().clone() for name, tensor in model.named_parameters()}
    groups = [
        {"params": [p for n, p in model.named_parameters() if decays(n)], "weight_decay": ADAMW["weight_decay"]},
        {"params": [p for n, p in model.named_parameters() if not decays(n)], "weight_decay": 0.0},
    ]
    betas = (ADAMW["beta1"], ADAMW["beta2"])
    optimizer = torch.optim.AdamW(groups, lr=0.0, betas=betas, eps=ADAMW["epsilon"])
    losses, norms = [], []
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = RATES[step]
        optimizer.zero_grad()
        loss = loss_of(model, ids[step])
        loss.backward()
        if step == 0:
            tensors |= {f"gradient.{n}": tensor.grad.float().clone() for n, tensor in model.named_parameters()}
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), ADAMW["clip"]))
        losses.append(loss.detach())
        optimizer.step()
    tensors["losses"] = torch.stack(losses).float()
    tensors["norms"] = torch.stack(norms).detach().float()
    source = f"scripts/train_goldens.py, transformers {transformers.__version__}, torch {torch.__version__}, seed {SEED}"
    metadata = {
        "source": source,
        "config": json.dumps(model.config.to_dict(), sort_keys=True),
        "adamw": json.dumps(ADAMW | {"rates": RATES}),
    }
    print(name, [round(loss.item(), 4) for loss in losses], "norm", round(norms[0].item(), 3))
    return {key: tensor.contiguous() for key, tensor in tensors.items()}, metadata


def main():
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    for index, (name, model) in enumerate(MODELS.items()):
        generator = torch.Generator().manual_seed(SEED + index)
        tensors, metadata = golden(name, model, generator)
        save_file(tensors, out / f"{name}.safetensors", metadata=metadata)


if __name__ == "__main__":
    main()
