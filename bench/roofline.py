"""Bytes and operations of a decoder and of sha256d, and the limits a card sets to them. Pure.

L layers, d model, H query heads, G KV heads, hd head size, F ffn, V vocabulary; a mixture has E
experts of ffn F in each layer, of which a token uses k.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

USABLE_MEMORY = 0.92
"""Share of a card's memory that weights and KV cache may take; the rest is context and scratch."""


def _parameters(config: Mapping[str, Any], experts: float) -> float:
    """Weights of all layers with so many experts in each (a dense MLP is one), and of the head."""
    d, heads, kv_heads = config["d_model"], config["n_heads"], config["n_kv_heads"]
    attention = 2 * d * config["head_dim"] * (heads + kv_heads)
    router = d * (config.get("n_experts") or 0)
    layer = attention + router + experts * 3 * d * config["d_ffn"]
    return float(config["n_layers"] * layer + config["vocab_size"] * d)


def matmul_parameters(config: Mapping[str, Any]) -> int:
    """P_mm = L·(d·H·hd + 2·d·G·hd + H·hd·d + 3·d·F) + V·d: weights each token multiplies.

    In a mixture a token multiplies its k experts and the router, d·E.
    """
    return int(_parameters(config, config.get("experts_per_token") or 1))


def stored_parameters(config: Mapping[str, Any]) -> int:
    """Every matrix and, unless the head is tied to it, the embedding; norms are < 0.01 %."""
    embedding = 0 if config.get("tied_head") else config["vocab_size"] * config["d_model"]
    return int(_parameters(config, config.get("n_experts") or 1)) + int(embedding)


def read_parameters(config: Mapping[str, Any], tokens: int) -> float:
    """Weights that a step of so many tokens reads: P_mm, of a mixture with E·(1−(1−k/E)^B) experts.

    The expectation when each token picks its k of E experts independently and evenly.
    """
    experts = config.get("n_experts")
    if not experts:
        return float(matmul_parameters(config))
    missed = (1 - config["experts_per_token"] / experts) ** tokens
    return _parameters(config, experts * (1 - missed))


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

    @property
    def flops(self) -> float:
        """FLOPs of both classes."""
        return self.weights_flops + self.attention_flops

    @property
    def bytes(self) -> float:
        """Bytes of both classes."""
        return self.weights_bytes + self.attention_bytes

    def seconds(
        self,
        bandwidth_bytes_per_s: float,
        flops_per_s: float,
        *,
        attention_flops_per_s: float | None = None,
        launches_s: float = 0.0,
    ) -> float:
        """The least time it takes: max(bytes/BW, FLOPs/F) of each class and its launches, added.

        Attention runs at ``attention_flops_per_s`` where that differs; ``launches_s`` is the
        number of kernels times what starting one costs.
        """
        attention_f = attention_flops_per_s or flops_per_s
        weights_s = max(
            self.weights_bytes / bandwidth_bytes_per_s, self.weights_flops / flops_per_s
        )
        cache_s = max(
            self.attention_bytes / bandwidth_bytes_per_s, self.attention_flops / attention_f
        )
        return weights_s + cache_s + launches_s


def weight_bytes(precision: str, group: int = INT4_GROUP) -> float:
    """Bytes one weight takes in memory: bf16 2, fp8 and int8 1, int4 0.5 + 4/g, nvfp4 0.5625."""
    return WEIGHT_BYTES[precision] + (4 / group if precision == "int4" else 0.0)


def decode_work(
    config: Mapping[str, Any],
    batch: int,
    context: float | Sequence[float],
    *,
    bytes_per_weight: float = 2.0,
    bytes_per_kv: float = 2.0,
) -> Work:
    """One decode step of ``batch`` rows, each reading ``context`` cached tokens and its own.

    A sequence holds the context of every row. FLOPs = 2·B·P_mm and 4·L·H·hd·(c+1) a row. Bytes =
    b_w·(weights read), B·d·2 of embeddings and B·V·4 of logits beside the weights; (c+2) tokens of
    KV a row, one of them written. A layer with a sliding window W attends to min(c+1, W).
    """
    d, vocabulary = config["d_model"], config["vocab_size"]
    layers, width = config["n_layers"], config["n_heads"] * config["head_dim"]
    contexts = (context,) * batch if isinstance(context, int | float) else context
    if len(contexts) != batch:
        raise ValueError(f"{len(contexts)} contexts for a batch of {batch}")
    seen = math.fsum(_layer_tokens(config, each + 1) for each in contexts)
    per_layer = kv_bytes_per_token(config, bytes_per_kv) / layers
    return Work(
        weights_flops=2.0 * batch * matmul_parameters(config),
        weights_bytes=bytes_per_weight * read_parameters(config, batch)
        + batch * (ACTIVATION_BYTES * d + LOGIT_BYTES * vocabulary),
        attention_flops=4.0 * width * seen,
        attention_bytes=(seen + batch * layers) * per_layer,
    )


def _layer_tokens(config: Mapping[str, Any], tokens: float) -> float:
    """Tokens that a row attends to, added over the layers; windowed ones see the window alone."""
    windowed = _windowed_layers(config)
    shown = min(tokens, config["sliding_window"]) if windowed else tokens
    return float((config["n_layers"] - windowed) * tokens + windowed * shown)


def _windowed_layers(config: Mapping[str, Any]) -> int:
    """Layers with the sliding window: each ``window_every``-th, from the first on."""
    if not config.get("sliding_window"):
        return 0
    return -(-int(config["n_layers"]) // int(config.get("window_every", 1)))


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
    once, the cache once and what is new is written. A sliding window bounds what a token sees.
    """
    head = config["vocab_size"] * config["d_model"]
    layers, width = config["n_layers"], config["n_heads"] * config["head_dim"]
    windowed = _windowed_layers(config)
    pairs = (layers - windowed) * _pairs(tokens, cached)
    if windowed:
        pairs += windowed * _pairs(tokens, cached, config["sliding_window"])
    read = _layer_tokens(config, cached) + layers * tokens
    return Work(
        weights_flops=2.0 * tokens * (matmul_parameters(config) - head) + 2.0 * head * logits,
        weights_bytes=bytes_per_weight * read_parameters(config, tokens),
        attention_flops=4.0 * width * pairs,
        attention_bytes=read * kv_bytes_per_token(config, bytes_per_kv) / layers,
    )


def _pairs(tokens: int, cached: int, window: float = math.inf) -> float:
    """Pairs of query and key of one layer: Σ min(c0 + i, W) over i = 1 … s."""
    below = int(min(tokens, max(0.0, window - cached)))
    beyond = 0.0 if below == tokens else (tokens - below) * window
    return below * cached + below * (below + 1) / 2 + beyond


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


def floor_joules(
    watts: float, bytes_read: float, bandwidth_bytes_per_s: float, batch: int = 1
) -> float:
    """P·bytes/(BW·B): J/token at that power when every byte is read once at full bandwidth."""
    return watts * bytes_read / (bandwidth_bytes_per_s * batch)


def tokens_per_s_per_mw(joules_per_token: float) -> float:
    """1e6/(J/token): what a megawatt generates."""
    return 1e6 / joules_per_token


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
