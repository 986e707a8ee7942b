"""Whether a model, its cache and the gate's reference fit, asked before anything is allocated."""

from __future__ import annotations

from pathlib import Path

import torch

from .config import ModelConfig
from .gate import GATE_STEPS
from .loops import PREFILL_TOKENS
from .moe import DENSE_TOKENS
from .reference import QUERIES

USABLE = 0.92  # of the free memory; the rest is the allocator's and the driver's


def require(
    config: ModelConfig,
    *,
    batch: int,
    context: int,
    steps: int,
    device: torch.device,
    word: int,
    weights: float | None = None,
) -> None:
    """Raise MemoryError when decoding cannot fit; ``word`` is bytes per weight and KV element.

    ``weights`` are the bytes of all weights where they are not all of ``word``.
    """
    free = free_bytes(device)
    plain = word * config.n_params() if weights is None else weights
    weights = plain + word * rope_elements(config)
    kv = word * config.kv_elements_per_token() * batch * (context + steps)
    work = _workspace(config, batch, context, context + steps, word)
    if free is None or weights + kv + work <= USABLE * free:
        return
    parts = f"weights {_gb(weights)}, KV cache {_gb(kv)}, workspace {_gb(work)}"
    room = max(0, int((USABLE * free - work - weights) / (word * config.kv_elements_per_token())))
    cure = "lower the batch or the context"
    if room > 0:
        cure += f" ({room} tokens of KV cache fit)"
    elif weights + _workspace(config, 1, context, context + steps, word) >= USABLE * free:
        cure = "nothing is left for a cache: choose a smaller model or a lower precision"
    raise MemoryError(
        f"{config.name} at batch {batch}, context {context}+{steps} needs "
        f"{_gb(weights + kv + work)} GB ({parts}) and {device.type} has {_gb(free)} GB free, "
        f"{USABLE:.0%} of it usable: {cure}"
    )


def kv_tokens(config: ModelConfig, memory_bytes: float, word: float) -> int:
    """Tokens of KV cache, over all rows, that fit beside the weights in the usable memory.

    (0.92·memory − b_w·P, the embedding included) / KV bytes per token; 0 where none does.
    """
    left = USABLE * memory_bytes - word * (config.n_params() + rope_elements(config))
    return max(0, int(left / (word * config.kv_elements_per_token())))


def rope_elements(config: ModelConfig) -> int:
    """Elements of the tables of cosines and sines that a decoder holds."""
    return 2 * config.max_context * config.head_dim


def free_bytes(device: torch.device) -> int | None:
    """Free bytes of the device, on a CPU what the kernel calls available; None if not known."""
    if device.type == "cuda":
        free: int = torch.cuda.mem_get_info(device)[0]
        return free
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    sizes = (line.split()[1] for line in lines if line.startswith("MemAvailable:"))
    return next((int(size) * 1024 for size in sizes), None)


def _workspace(config: ModelConfig, batch: int, context: int, length: int, word: int) -> int:
    """Activations of one prefill pass, or of the fp32 reference on one row, and logits."""
    tokens = min(batch * context, max(PREFILL_TOKENS, context))
    prefill = (tokens * 8 * config.d_model + _mlp_elements(config, tokens)) * word
    table = config.vocab_size * config.d_model
    layer = (config.n_params() - table) // config.n_layers
    scores = 3 * config.n_heads * min(QUERIES, length) * length
    row = length * (4 * config.d_ffn + 8 * config.d_model)
    logits = config.vocab_size * (2 * batch + 4 * max(GATE_STEPS, length - context))
    return max(prefill, 4 * (max(layer, table) + scores + row)) + 4 * logits


def _mlp_elements(config: ModelConfig, tokens: int) -> int:
    """Elements within one MLP; of a mixture the largest of its three forms, as none is sure."""
    if config.n_experts is None or config.experts_per_token is None:
        return tokens * 4 * config.d_ffn
    pair = 4 * config.d_ffn + 4 * config.d_model
    grouped = tokens * config.experts_per_token * pair
    dense = min(tokens, DENSE_TOKENS) * config.n_experts * pair
    gathered = config.n_experts * 3 * config.d_model * config.d_ffn
    return max(grouped, dense, gathered)


def _gb(size: float) -> str:
    return f"{size / 1e9:.3g}"
