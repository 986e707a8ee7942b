"""Bytes and operations of a decoder and of sha256d, and the limits a card sets to them. Pure.

L layers, d model, H query heads, G KV heads, hd head size, F ffn, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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


WEIGHT_BYTES = {"fp32": 4.0, "bf16": 2.0, "fp8": 1.0, "int8": 1.0, "int4": 0.5, "nvfp4": 0.5625}
"""Bytes per weight; int4 adds 4 a group: a 16-bit scale and zero point. nvfp4 counts its 8-bit
scale per 16 weights."""
INT4_GROUP = 128
LOGIT_BYTES = 4
ACTIVATION_BYTES = 2


@dataclass(frozen=True, slots=True)
class Work:
    """FLOPs and bytes of one stretch of a decoder's work, the two classes that do not overlap.

    ``weights`` are the products with weight matrices, ``attention`` what reads the KV cache.
    """

    weights_flops: float
    weights_bytes: float
    attention_flops: float
    attention_bytes: float

    def seconds(self, bandwidth_bytes_per_s: float, flops_per_s: float) -> float:
        """The least time it takes: max(bytes/BW, FLOPs/F) of each class, added."""
        return max(
            self.weights_bytes / bandwidth_bytes_per_s, self.weights_flops / flops_per_s
        ) + max(self.attention_bytes / bandwidth_bytes_per_s, self.attention_flops / flops_per_s)


def weight_bytes(precision: str, group: int = INT4_GROUP) -> float:
    """Bytes one weight takes in memory: bf16 2, fp8 and int8 1, int4 0.5 + 4/g, nvfp4 0.5625."""
    return WEIGHT_BYTES[precision] + (4 / group if precision == "int4" else 0.0)


def decode_work(
    config: Mapping[str, Any],
    batch: int,
    context: float,
    *,
    bytes_per_weight: float = 2.0,
    bytes_per_kv: float = 2.0,
) -> Work:
    """One decode step of ``batch`` rows, each reading ``context`` cached tokens and its own.

    FLOPs = 2·B·P_mm and 4·L·H·hd·(c+1) a row. Bytes = b_w·P_mm, B·d·2 of embeddings and B·V·4 of
    logits beside the weights; (c+2) tokens of KV a row, one of them written.
    """
    d, vocabulary = config["d_model"], config["vocab_size"]
    layers, width = config["n_layers"], config["n_heads"] * config["head_dim"]
    products = matmul_parameters(config)
    return Work(
        weights_flops=2.0 * batch * products,
        weights_bytes=bytes_per_weight * products
        + batch * (ACTIVATION_BYTES * d + LOGIT_BYTES * vocabulary),
        attention_flops=4.0 * layers * width * (context + 1) * batch,
        attention_bytes=batch * (context + 2) * kv_bytes_per_token(config, bytes_per_kv),
    )


def prefill_work(
    config: Mapping[str, Any],
    tokens: int,
    *,
    cached: int = 0,
    logits: int = 1,
    bytes_per_weight: float = 2.0,
    bytes_per_kv: float = 2.0,
) -> Work:
    """Prefill of ``tokens`` of one row on top of ``cached`` ones, logits for the last ``logits``.

    FLOPs = 2·s·L·P_layer + 2·V·d·n_logits and 4·L·H·hd·(s·c0 + s(s+1)/2); the weights are read
    once, the cache once and what is new is written.
    """
    head = config["vocab_size"] * config["d_model"]
    layers, width = config["n_layers"], config["n_heads"] * config["head_dim"]
    products = matmul_parameters(config)
    pairs = tokens * cached + tokens * (tokens + 1) / 2
    return Work(
        weights_flops=2.0 * tokens * (products - head) + 2.0 * head * logits,
        weights_bytes=bytes_per_weight * products,
        attention_flops=4.0 * layers * width * pairs,
        attention_bytes=(cached + tokens) * kv_bytes_per_token(config, bytes_per_kv),
    )


def balance_batch(
    flops_per_s: float, bandwidth_bytes_per_s: float, bytes_per_weight: float = 2.0
) -> float:
    """B* = F·b_w/(2·BW): the batch at which weights cost as much arithmetic as reading."""
    return flops_per_s * bytes_per_weight / (2 * bandwidth_bytes_per_s)


def kv_capacity(
    config: Mapping[str, Any],
    memory_bytes: float,
    *,
    bytes_per_weight: float = 2.0,
    bytes_per_kv: float = 2.0,
) -> int:
    """Tokens of KV cache that fit beside the weights in the usable memory; 0 if they do not."""
    left = USABLE_MEMORY * memory_bytes - bytes_per_weight * stored_parameters(config)
    return max(0, int(left / kv_bytes_per_token(config, bytes_per_kv)))


@dataclass(frozen=True, slots=True)
class HashCounts:
    """Machine instructions per sha256d on the no-match path, as an audit counted them."""

    instructions: float
    alu: float
    fma_slots: float


ALU_LANES = 64
PLAIN_COUNTS = HashCounts(instructions=2453, alu=2262, fma_slots=183)
"""The yardstick of prediction, not what ships: a plain kernel that reaches the floor of FIPS
180-4's operations, on compute capability 7.0 to 10.x (nvcc and NVRTC 13, counted in the output of
cuobjdump). What is predicted is a share of *this* ceiling, fitted to published rates of other
people's kernels, so it stays where it is when a kernel of ours gets better: the published rates did
not. The kernels that ship take less (``kernels/sha256d/audited.json``: ALU 2218), and their
measured runs carry their own counts."""
PLAIN_COUNTS_12 = HashCounts(instructions=2453, alu=2460, fma_slots=183)
"""The same on compute capability 12.0, where that compiler puts every add on the ALU."""


def hash_counts(compute_capability: str) -> HashCounts | None:
    """The yardstick for a compute capability ("9.0"); None where nothing was counted."""
    major, dot, minor = compute_capability.partition(".")
    if not (dot and major.isdigit() and minor.isdigit()):
        return None
    if 7 <= int(major) <= 10:
        return PLAIN_COUNTS
    return PLAIN_COUNTS_12 if int(major) == 12 else None


def hash_ceiling(
    counts: HashCounts, multiprocessors: float, clock_hz: float, lanes: float = ALU_LANES
) -> float:
    """Hashes a second that no kernel of these counts exceeds: SMs·64·clock/max(ALU, FMA, N/2).

    A multiprocessor with more integer ``lanes`` than 64 needs as many fewer slots for the ALU.
    """
    alu = counts.alu * ALU_LANES / lanes
    return (
        multiprocessors * ALU_LANES * clock_hz / max(alu, counts.fma_slots, counts.instructions / 2)
    )
