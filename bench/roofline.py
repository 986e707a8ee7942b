"""Counts of a decoder's weights, KV bytes and operations, from its shape. Pure.

L layers, d model, H query heads, G KV heads, hd head size, F ffn, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

USABLE_MEMORY = 0.92
"""Share of a card's memory that weights and KV cache may take; the rest is context and scratch."""


def matmul_parameters(config: Mapping[str, Any]) -> int:
    """P_mm = L·(d·H·hd + 2·d·G·hd + H·hd·d + 3·d·F) + V·d: weights each token multiplies."""
    d, heads, kv_heads = config["d_model"], config["n_heads"], config["n_kv_heads"]
    head_dim, ffn = config["head_dim"], config["d_ffn"]
    layer = 2 * d * heads * head_dim + 2 * d * kv_heads * head_dim + 3 * d * ffn
    return int(config["n_layers"] * layer + config["vocab_size"] * d)


def stored_parameters(config: Mapping[str, Any]) -> int:
    """P_mm and, unless the head is tied to it, the embedding; norms are left out (< 0.01 %)."""
    embedding = 0 if config.get("tied_head") else config["vocab_size"] * config["d_model"]
    return matmul_parameters(config) + int(embedding)


def kv_bytes_per_token(config: Mapping[str, Any], bytes_per_element: float) -> float:
    """2·L·G·hd·b_kv: keys and values of one token in every layer."""
    per_layer = config["n_kv_heads"] * config["head_dim"]
    return float(2 * config["n_layers"] * per_layer * bytes_per_element)


def decode_bytes(config: Mapping[str, Any], batch: int, tokens: int, element_bytes: float) -> float:
    """Memory that decoding holds: weights and ``batch`` rows of ``tokens`` tokens of KV, bytes."""
    weights = stored_parameters(config) * element_bytes
    return weights + batch * tokens * kv_bytes_per_token(config, element_bytes)


def fits(needed_bytes: float, memory_bytes: int) -> bool:
    """Whether that much may be allocated on a device with that much memory."""
    return needed_bytes <= USABLE_MEMORY * memory_bytes
