"""Repeats a run of `glassbox train` with PyTorch and transformers' GPT-2, and compares the loss curves.

Initial weights, examples, schedule and settings are the same, computed here independently from the recipe's seed as
described in train/src/{random,initial,schedule}.rs and train/src/data/batches.rs. So both curves should coincide until
rounding makes them diverge.

    glassbox train --data tales.txt --config train/compare/recipe.toml --out RUN
    python scripts/compare_training.py RUN train/compare [--threads 2]

Writes OUT/pytorch.csv (during the training), OUT/glassbox.csv and OUT/loss.svg, and prints both validation losses.
"""

import argparse
import csv
import math
import shutil
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
import torch
from transformers import GPT2Config, GPT2LMHeadModel

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15


def mix(z):
    """SplitMix64's finaliser."""
    z = (z + GOLDEN) & MASK
    z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ z >> 27) * 0x94D049BB133111EB) & MASK
    return z ^ z >> 31


def normal(seed, part, count):
    """The stream `Random::part(seed, part)`: each number is the sum of twelve uniform ones, minus 6."""
    state = mix(seed ^ part * 0xD1342543DE82EF95 & MASK)
    numbers = np.empty(count)
    for first in range(0, count, 1 << 18):
        some = min(count - first, 1 << 18)
        z = np.uint64(state) + np.uint64(GOLDEN) * np.arange(12 * first + 1, 12 * (first + some) + 1, dtype=np.uint64)
        z = (z ^ z >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ z >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
        uniform = ((z ^ z >> np.uint64(31)) >> np.uint64(11)).astype(np.float64) / 2.0**53
        total = np.zeros(some)
        for column in uniform.reshape(some, 12).T:
            total += column
        numbers[first : first + some] = total - 6.0
    return numbers


def names(layers):
    """GPT-2's tensors in the order of train/src/plan.rs: a tensor's index selects its stream of random numbers."""
    parts = ["ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj"]
    blocks = [f"transformer.h.{layer}.{part}" for layer in range(layers) for part in parts]
    both = [f"{name}.{kind}" for name in [*blocks, "transformer.ln_f"] for kind in ("weight", "bias")]
    return ["transformer.wte.weight", "transformer.wpe.weight", *both]


def initial_weights(model, layers, seed):
    tensors = dict(model.named_parameters())
    for index, name in enumerate(names(layers)):
        tensor = tensors.pop(name)
        if name.endswith(".bias"):
            torch.nn.init.zeros_(tensor)
        elif ".ln_" in name:
            torch.nn.init.ones_(tensor)
        else:
            spread = 0.02 / math.sqrt(2.0 * layers) if name.endswith("c_proj.weight") else 0.02
            values = (normal(seed, index, tensor.numel()) * spread).astype(np.float32)
            tensor.data.copy_(torch.from_numpy(values).view(tensor.shape))
    assert not tensors, f"tensors without an initial value: {list(tensors)}"


def permute(index, length, key):
    half = max((((length - 1).bit_length()) + 1) // 2, 1)
    mask = (1 << half) - 1
    while True:
        left, right = index >> half, index & mask
        for turn in range(4):
            left, right = right, left ^ (mix(key ^ (right << 8 | turn)) & mask)
        index = left << half | right
        if index < length:
            return index


def start_of(n, seed, ids, context):
    """The start of training example `n`."""
    windows = max((ids - 1) // context - 1, 1)
    key = mix(seed ^ mix(n // windows))
    spare = ids - 1 - windows * context
    return permute(n % windows, windows, key) * context + mix(key) % (spare + 1)


def read_tokens(path):
    data = path.read_bytes()
    assert data[:8] == b"GLASSTOK", f"{path} is not a file of token ids"
    width, _ = np.frombuffer(data[8:16], "<u4")
    training, _ = np.frombuffer(data[16:32], "<u8")
    ids = np.frombuffer(data[32:], f"<u{width}").astype(np.int64)
    return ids[: int(training)], ids[int(training) :]


def rate(step, training):
    peak, end = training["learning_rate"], training["final_learning_rate"]
    warm_up, steps = training["warm_up"], training["steps"]
    if step < warm_up:
        return peak * (step + 1) / warm_up
    if step + 1 >= steps:
        return end
    done = (step - warm_up) / (steps - 1 - warm_up)
    return end + (peak - end) * 0.5 * (1.0 + math.cos(math.pi * done))


def loss_of(model, ids, starts, context):
    windows = torch.from_numpy(np.stack([ids[start : start + context + 1] for start in starts]))
    logits = model(input_ids=windows[:, :-1]).logits
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())


def validate(model, ids, context, examples, batch):
    windows = (len(ids) - 1) // context
    count = min(examples, windows) if examples else windows
    starts = [i * windows // count * context for i in range(count)]
    with torch.no_grad():
        parts = [starts[i : i + batch] for i in range(0, count, batch)]
        return sum(loss_of(model, ids, part, context).item() * len(part) for part in parts) / count


def train(run, out):
    recipe = tomllib.loads((run / "recipe.toml").read_text())
    shape, training, report = recipe["model"], recipe["training"], recipe["report"]
    assert shape["family"] == "gpt2" and training["micro_batch"] in (0, training["batch"])
    seed, batch, context = training["seed"], training["batch"], shape["context_length"]
    training_ids, validation_ids = read_tokens(run / "tokens.bin")
    vocabulary = int(np.frombuffer((run / "tokens.bin").read_bytes()[12:16], "<u4")[0])
    config = GPT2Config(
        vocab_size=vocabulary, n_positions=context, n_embd=shape["d_model"], n_layer=shape["n_layers"],
        n_head=shape["n_heads"], n_inner=shape.get("d_ff"), activation_function="gelu_pytorch_tanh",
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
    )  # fmt: skip
    config._attn_implementation = "sdpa"
    config.use_cache = False
    model = GPT2LMHeadModel(config).train()
    initial_weights(model, shape["n_layers"], seed)
    decays = lambda name: name.endswith(".weight") and ".ln_" not in name and "wte" not in name and "wpe" not in name
    groups = [
        {"params": [p for n, p in model.named_parameters() if decays(n)], "weight_decay": training["weight_decay"]},
        {"params": [p for n, p in model.named_parameters() if not decays(n)], "weight_decay": 0.0},
    ]
    betas, epsilon = (training["beta1"], training["beta2"]), training["epsilon"]
    optimizer = torch.optim.AdamW(groups, lr=0.0, betas=betas, eps=epsilon, fused=True)
    with open(out / "pytorch.csv", "w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["step", "tokens", "train_loss", "val_loss"])
        begun = time.perf_counter()
        for step in range(training["steps"]):
            for group in optimizer.param_groups:
                group["lr"] = rate(step, training)
            starts = [start_of(step * batch + i, seed, len(training_ids), context) for i in range(batch)]
            optimizer.zero_grad()
            loss = loss_of(model, training_ids, starts, context)
            loss.backward()
            if training["clip"] > 0:
                torch.nn.utils.clip_grad_norm_(model.parameters(), training["clip"])
            optimizer.step()
            done, value = step + 1, ""
            if done == training["steps"] or (report["validate_every"] and done % report["validate_every"] == 0):
                value = f"{validate(model, validation_ids, context, report['validation_examples'], batch):.6f}"
                speed = done * batch * context / (time.perf_counter() - begun)
                print(f"step {done}: {loss.item():.4f}, validation {value}, {speed:.0f} tokens/s", file=sys.stderr)
            rows.writerow([done, done * batch * context, f"{loss.item():.6f}", value])
            file.flush()


def read(path):
    return [row for row in csv.DictReader(path.open())]


def draw(curves, path):
    """Draws both curves: training loss as a thin line, validation loss as dots."""
    width, height, left, bottom = 720, 420, 60, 50
    most = max(int(row["tokens"]) for _, _, rows in curves for row in rows)
    losses = [float(row["train_loss"]) for _, _, rows in curves for row in rows]
    low, high = math.floor(min(losses)), math.ceil(max(losses))
    x = lambda tokens: left + (width - left - 20) * int(tokens) / most
    y = lambda loss: 20 + (height - 20 - bottom) * (high - float(loss)) / (high - low)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">']
    out.append(f'<rect width="{width}" height="{height}" fill="white"/>')
    for loss in range(low, high + 1):
        out.append(f'<path d="M{left} {y(loss):.1f}H{width - 20}" stroke="#ddd"/>')
        out.append(f'<text x="{left - 8}" y="{y(loss) + 4:.1f}" text-anchor="end">{loss}</text>')
    for part in range(5):
        tokens = most * part / 4
        out.append(f'<text x="{x(tokens):.1f}" y="{height - bottom + 18}" text-anchor="middle">{tokens / 1e6:.1f}</text>')
    out.append(f'<text x="{width / 2}" y="{height - 12}" text-anchor="middle">million tokens</text>')
    out.append(f'<text x="14" y="{height / 2}" transform="rotate(-90 14 {height / 2})" text-anchor="middle">nats per token</text>')
    for i, (name, colour, rows) in enumerate(curves):
        line = " ".join(f'{x(row["tokens"]):.1f},{y(row["train_loss"]):.1f}' for row in rows)
        dash = ' stroke-dasharray="4 3"' if i else ""
        out.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1" opacity="0.7"{dash}/>')
        for row in rows:
            if row["val_loss"]:
                out.append(f'<circle cx="{x(row["tokens"]):.1f}" cy="{y(row["val_loss"]):.1f}" r="{4 - 2 * i}" fill="{colour}"/>')
        out.append(f'<text x="{width - 300}" y="{40 + 18 * i}" fill="{colour}">{name}: training (line), validation (dots)</text>')
    path.write_text("\n".join([*out, "</svg>\n"]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("out", type=Path, help="folder for the curves")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--draw", action="store_true", help="only draw, without training")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    arguments.out.mkdir(parents=True, exist_ok=True)
    if not arguments.draw:
        train(arguments.run, arguments.out)
    ours = read(arguments.run / "loss.csv")
    with open(arguments.out / "glassbox.csv", "w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["step", "tokens", "train_loss", "val_loss"])
        rows.writerows([row[key] for key in ("step", "tokens", "train_loss", "val_loss")] for row in ours)
    theirs = read(arguments.out / "pytorch.csv")
    draw([("PyTorch", "#c0392b", theirs), ("Glassbox", "#2060a0", ours)], arguments.out / "loss.svg")
    shutil.copy(arguments.run / "recipe.toml", arguments.out / "recipe.toml")
    first = max(abs(float(a["train_loss"]) / float(b["train_loss"]) - 1) for a, b in zip(ours[:20], theirs[:20]))
    print(f"largest relative difference of the first 20 training losses: {first:.1e}")
    ends = [[float(row["val_loss"]) for row in rows if row["val_loss"]][-1] for rows in (ours, theirs)]
    print(f"final validation loss: Glassbox {ends[0]:.4f}, PyTorch {ends[1]:.4f}, ratio {ends[0] / ends[1]:.4f}")


if __name__ == "__main__":
    main()
