"""What part of its limits a card reaches before anybody measured it: dated assumptions. Pure.

Every factor multiplies a roofline or the card's TDP; a measured card of the same architecture
replaces it (``calibrate``). Intervals are 95 %, relative to the middle.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

Kind = Literal["hash rate", "decode rate", "prefill rate", "hash power", "decode power"]
KINDS: tuple[Kind, ...] = ("hash rate", "decode rate", "prefill rate", "hash power", "decode power")


@dataclass(frozen=True, slots=True)
class Prior:
    """The middle and its relative half-width, with where it comes from."""

    mid: float
    half: float
    as_of: str
    source: str


DECODE_FRACTIONS = ((1, 0.70), (8, 0.69), (64, 0.62), (256, 0.58))
"""(batch, share of the decode roofline): batch 1 the middle of gpt-fast, torchao, llama.cpp and
vLLM tables (0.50 to 0.82); at large batch between vLLM serving (0.4) and TensorRT-LLM's static
batches (0.8). Straight in log batch between, level beyond."""
PRECISION_SHARES = {"fp32": 1.0, "bf16": 1.0, "fp8": 0.95, "int8": 0.78, "int4": 0.55}
"""Of the bf16 share: int8 0.50 to 0.62 and int4 0.37 to 0.43 of the roofline at batch 1 in the
tables of gpt-fast and torchao; fp8 after TensorRT-LLM on H100 and L40S."""

PRIORS: dict[Kind, Prior] = {
    "hash rate": Prior(
        0.96,
        0.15,
        "2026-11",
        "hashcat's published SHA-256 rates on V100, A100 and H100 stand at 0.96-0.98 of the ALU"
        " limit; the interval is the clock a card holds: GeForce cards up to 15 % above their"
        " nominal boost",
    ),
    "decode rate": Prior(
        DECODE_FRACTIONS[2][1],
        0.40,
        "2026-11",
        "by batch and precision; wider than 30 % because stacks differ by two at large batch:"
        " TensorRT-LLM's static batches reach 0.8 of the roofline, vLLM serving 0.4",
    ),
    "prefill rate": Prior(
        0.60,
        0.40,
        "2026-11",
        "share of the dense tensor peak; TensorRT-LLM's first tokens after 2048 of LLaMA 7B stand"
        " at 0.67 (A100), 0.52 (L40S, fp8) and 0.39 (H100, fp8)",
    ),
    "hash power": Prior(
        0.80, 0.30, "2026-11", "assumption: share of TDP under integer load, no published table"
    ),
    "decode power": Prior(
        0.85,
        0.30,
        "2026-11",
        "assumption: share of TDP, after ML.ENERGY's Llama 3.1 8B on H100 (vLLM 0.11)",
    ),
}
IDLE_SHARE = Prior(0.14, 0.6, "2026-11", "assumption: idle board watts over TDP")
PREFILL_OVER_DECODE_POWER = 1.12
"""Tensor-bound work draws more than memory-bound work, by assumption; TDP bounds both."""
MOVED_HALF = 0.15
"""What moving a measured decode rate to another batch, context or precision adds to its interval:
the published share of the roofline falls by that much between batch 8 and batch 128."""
COMMON_SHARE = 0.5
"""Of the variance of what was not measured, the part that all cards of one architecture share."""
TPOT_MARGIN = 1.25
"""p99 of the time per output token over its mean, by assumption."""


def decode_share(batch: int, precision: str) -> float:
    """The share of the decode roofline that software is taken to reach."""
    first, last = DECODE_FRACTIONS[0], DECODE_FRACTIONS[-1]
    share = first[1] if batch <= first[0] else last[1]
    for (low, at_low), (high, at_high) in pairwise(DECODE_FRACTIONS):
        if low <= batch <= high:
            part = math.log(batch / low) / math.log(high / low)
            share = at_low + part * (at_high - at_low)
    return share * PRECISION_SHARES[precision]
