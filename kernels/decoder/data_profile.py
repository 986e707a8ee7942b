"""What the device computes on: distinct prompts, and figures that betray degenerate data.

Power follows the bits that toggle, so a token of constant data is not a token's joules.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from .config import ModelConfig
from .loops import Session

PROBE_STEPS = 16
WORDS = 1 << 16  # bf16 words looked at in each matrix
LOGIT_STD = (0.3, 10.0)  # outside of it no trained model lives


def prompts(
    config: ModelConfig, batch: int, context: int, seed: int, text: bytes | None
) -> list[list[int]]:
    """``batch`` prompts of ``context`` tokens: slices of ``text`` at distinct places, or random."""
    generator = torch.Generator().manual_seed(seed)
    if text is None or len(text) < context + batch:
        return torch.randint(config.vocab_size, (batch, context), generator=generator).tolist()
    starts = torch.randperm(len(text) - context, generator=generator)[:batch].tolist()
    return [list(text[start : start + context]) for start in starts]


def profile(session: Session, named: Mapping[str, Tensor]) -> dict[str, Any]:
    """Figures of a prefilled session, which is left rewound.

    ``toggles``: mean bits that change between neighbouring bf16 words of the weights.
    ``logit_std``: over the vocabulary, mean of the rows. ``distinct_tokens``: different first
    tokens. ``distinct_rows``: different continuations of ``PROBE_STEPS`` tokens. ``degenerate``:
    reasons not to trust joules measured on such data, empty when there are none.
    """
    rows = len(session.lengths)
    logit_std = float(session.logits.std(dim=-1).mean())
    for _ in range(min(PROBE_STEPS, session.steps_left)):
        session.step()
    texts = [tuple(session.produced(row)) for row in range(rows)]
    session.clear()
    figures: dict[str, Any] = {
        "toggles": round(mean_toggles(named), 3),
        "logit_std": round(logit_std, 4) if math.isfinite(logit_std) else None,
        "rows": rows,
        "distinct_tokens": len({text[0] for text in texts}),
        "distinct_rows": len(set(texts)),
    }
    return figures | {"degenerate": _degenerate(figures)}


def mean_toggles(named: Mapping[str, Tensor]) -> float:
    """Mean Hamming distance of neighbouring bf16 words, over the start of every matrix."""
    flips = words = 0
    for tensor in named.values():
        if tensor.dim() == 2:
            part = tensor.flatten()[:WORDS].to(torch.bfloat16).view(torch.int16).int()
            flips += int(_ones((part[1:] ^ part[:-1]) & 0xFFFF).sum())
            words += len(part) - 1
    return flips / words


def _ones(word: Tensor) -> Tensor:
    """Population count of 16-bit values held in int32."""
    word = word - ((word >> 1) & 0x5555)
    word = (word & 0x3333) + ((word >> 2) & 0x3333)
    word = (word + (word >> 4)) & 0x0F0F
    return (word + (word >> 8)) & 0x1F


def _degenerate(figures: Mapping[str, Any]) -> list[str]:
    reasons = []
    std = figures["logit_std"]
    if std is None:
        reasons.append("logits are not finite")
    elif not LOGIT_STD[0] <= std <= LOGIT_STD[1]:
        reasons.append(f"logit std {std} is outside {LOGIT_STD[0]}–{LOGIT_STD[1]}")
    if figures["distinct_rows"] < 0.5 * figures["rows"]:
        reasons.append(f"only {figures['distinct_rows']} of {figures['rows']} rows differ")
    return reasons
