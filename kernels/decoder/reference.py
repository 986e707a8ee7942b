"""The plain decoder that everything else is checked against: no cache, no fusion, no batching
tricks. It shares the weights with the fast path and nothing else.

Source of the architecture: Llama 3 (arXiv 2407.21783), RoPE (arXiv 2104.09864), GQA
(arXiv 2305.13245), mixtures (Mixtral, arXiv 2401.04088); the frequency scaling is that of
Llama 3.1's released ``rope_scaling``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from .config import ModelConfig

Weights = Mapping[str, Tensor]
Rounded = Callable[[Tensor], Tensor]

QUERIES = 512  # attended from at once: bounds the memory of a long context, changes no value


def unrounded(x: Tensor) -> Tensor:
    """Activations as they are."""
    return x


def logits(
    config: ModelConfig,
    weights: Weights,
    tokens: Tensor,
    *,
    start: int = 0,
    dtype: torch.dtype = torch.float32,
    rounded: Rounded = unrounded,
) -> Tensor:
    """Logits [B, S − start, V] in fp32 of tokens [B, S], every position attending to its past.

    Weights are cast to ``dtype`` layer by layer, so a 16-bit model needs room for one layer only.
    ``rounded`` is what the blocks' activations suffer before they are multiplied.
    """
    embedding = weights["model.embed_tokens.weight"]
    x = embedding[tokens].to(dtype)
    turns = _turns(config, tokens.shape[1], tokens.device)
    for index in range(config.n_layers):
        prefix = f"model.layers.{index}."
        layer = {
            name.removeprefix(prefix): weights[name].to(dtype)
            for name in weights
            if name.startswith(prefix)
        }
        h = rounded(_norm(x, layer["input_layernorm.weight"], config.norm_eps))
        mixed = _attention(config, layer, h, turns, config.window(index))
        x = x + rounded(mixed) @ layer["self_attn.o_proj.weight"].T
        h = rounded(_norm(x, layer["post_attention_layernorm.weight"], config.norm_eps))
        x = x + _mlps(layer, config.mlps(), config.experts_per_token, h, rounded)
    x = _norm(x[:, start:], weights["model.norm.weight"].to(dtype), config.norm_eps)
    head = embedding if config.tied_head else weights["lm_head.weight"]
    return (x @ head.to(dtype).T).float()


@torch.no_grad()
def greedy(
    config: ModelConfig, weights: Weights, prompt: Sequence[int], steps: int
) -> tuple[list[int], Tensor]:
    """Greedy continuation of one prompt and its logits [steps, V], the whole sequence each step."""
    device = weights["model.embed_tokens.weight"].device
    tokens = torch.tensor([list(prompt)], device=device)
    rows = []
    for _ in range(steps):
        row = logits(config, weights, tokens, start=tokens.shape[1] - 1)[0, -1]
        rows.append(row)
        tokens = torch.cat([tokens, row.argmax().view(1, 1)], dim=1)
    return tokens[0, len(prompt) :].tolist(), torch.stack(rows)


def _norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    wide = x.float()
    return (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps)).to(x.dtype) * weight


def _mlps(
    layer: Weights, names: Sequence[str], chosen: int | None, h: Tensor, rounded: Rounded
) -> Tensor:
    """The one gated MLP, or a mixture: expert by expert, what the tokens that chose it get."""
    if chosen is None:
        return _mlp(layer, names[0], h, rounded)
    scores, experts = (h.float() @ layer["mlp.gate.weight"].float().T).topk(chosen)
    shares = scores.softmax(-1)
    mixed = torch.zeros_like(h, dtype=torch.float32)
    for expert, name in enumerate(names):
        share = (shares * (experts == expert)).sum(-1)
        at = share > 0
        mixed[at] += share[at][:, None] * _mlp(layer, name, h[at], rounded).float()
    return mixed.to(h.dtype)


def _mlp(layer: Weights, name: str, h: Tensor, rounded: Rounded) -> Tensor:
    gate, up = (h @ layer[f"{name}.{part}_proj.weight"].T for part in ("gate", "up"))
    return rounded(F.silu(gate) * up) @ layer[f"{name}.down_proj.weight"].T


def _attention(
    config: ModelConfig, layer: Weights, h: Tensor, turns: Tensor, window: int | None
) -> Tensor:
    def split(name: str, norm: str) -> Tensor:
        heads = h @ layer[f"self_attn.{name}.weight"].T
        heads = heads.view(*h.shape[:2], -1, config.head_dim)
        if config.qk_norm and norm:
            heads = _norm(heads, layer[f"self_attn.{norm}.weight"], config.norm_eps)
        return heads.transpose(1, 2)

    group = config.n_heads // config.n_kv_heads
    q = _rotate(split("q_proj", "q_norm"), turns)
    k = _rotate(split("k_proj", "k_norm"), turns).repeat_interleave(group, dim=1)
    v = split("v_proj", "").repeat_interleave(group, dim=1)
    mixed = []
    for first in range(0, h.shape[1], QUERIES):
        scores = (q[:, :, first : first + QUERIES] @ k.transpose(-1, -2)).float()
        unseen = _unseen(window, first, *scores.shape[-2:], device=h.device)
        scores = (scores / math.sqrt(config.head_dim)).masked_fill(unseen, -math.inf)
        mixed.append(scores.softmax(-1).to(v.dtype) @ v)
    return torch.cat(mixed, dim=2).transpose(1, 2).flatten(2)


def _unseen(
    window: int | None, first: int, queries: int, keys: int, *, device: torch.device
) -> Tensor:
    """[queries, keys], true where the query at ``first`` + row must not see the key (column)."""
    query = torch.arange(first, first + queries, device=device)[:, None]
    key = torch.arange(keys, device=device)
    unseen = key > query
    if window is not None:
        unseen |= key <= query - window
    return unseen


def _turns(config: ModelConfig, length: int, device: torch.device) -> Tensor:
    """Complex rotations [S, head_dim / 2] of RoPE, frequencies worked out one by one."""
    frequencies = []
    for pair in range(config.head_dim // 2):
        frequency = config.rope_theta ** (-2.0 * pair / config.head_dim)
        if config.rope_scaling is not None:
            frequency = _scaled(frequency, config.rope_scaling)
        frequencies.append(frequency)
    places = torch.arange(length, dtype=torch.float64, device=device)
    angles = torch.outer(places, torch.tensor(frequencies, dtype=torch.float64, device=device))
    return torch.polar(torch.ones_like(angles), angles).to(torch.complex64)


def _scaled(frequency: float, scaling: Mapping[str, float]) -> float:
    """Llama 3.1: slow down what turns less than low_freq_factor times over the old context."""
    turns = scaling["original_max_position_embeddings"] * frequency / (2 * math.pi)
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    kept = min(1.0, max(0.0, (turns - low) / (high - low)))
    return frequency * (kept + (1.0 - kept) / scaling["factor"])


def _rotate(x: Tensor, turns: Tensor) -> Tensor:
    """Turn the pairs (i, i + head_dim / 2) of x [B, heads, S, head_dim], Hugging Face's order."""
    first, second = x.float().chunk(2, dim=-1)
    turned = torch.complex(first, second) * turns
    return torch.cat([turned.real, turned.imag], dim=-1).to(x.dtype)
