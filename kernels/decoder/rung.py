"""A rung of the precision ladder as a whole decoder: quantised one matrix at a time, so that no
16-bit copy of it ever exists, read back by name for the reference, and compared with bf16.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from . import reference
from .config import ModelConfig
from .model import Decoder, fused
from .precision import dequantised, quantise, rounding
from .source import Named

CLOSE = 1e-2  # of the largest product: both sides round to bf16, in another order
POSITIONS = 512  # over which a rung is compared with bf16, in rows of half of them or less


def quantised(
    config: ModelConfig, device: torch.device, precision: str, source: Mapping[str, Tensor]
) -> Decoder:
    """A decoder of the ``source``'s weights at a quantised precision, activations in bf16.

    Each tensor of ``source`` is asked for once and let go. Its ``checks`` compare the products of
    every matrix, as packed, with plain ones.
    """
    decoder = Decoder(config, device, torch.bfloat16, hollow=True)
    plain = decoder.plain_weights()
    for name, view in plain.items():
        view.copy_(source[name])
    makers: dict[str, Callable[[], Tensor]] = {
        name: partial(_same, view) for name, view in plain.items()
    }
    worst = 0.0
    for index, layer in enumerate(decoder.blocks()):
        for matrix, parts in fused(config).items():
            prefix = f"model.layers.{index}."
            whole = torch.cat([source[prefix + name].bfloat16() for name in parts])
            weight, error = quantise(whole, precision)
            worst = max(worst, error)
            setattr(layer, matrix, weight)
            first = 0
            for name, rows in parts.items():
                makers[prefix + name] = partial(dequantised, weight, first, rows)
                first += rows
    decoder.meaning, decoder.rounded = Named(makers), rounding(precision)
    detail = f"largest difference {worst:.1e} of the largest product, allowed {CLOSE:.0e}"
    decoder.checks = ((f"{precision} products = plain ones", worst <= CLOSE, detail),)
    return decoder


def _same(tensor: Tensor) -> Tensor:
    return tensor


@torch.inference_mode()
def against_bf16(
    decoder: Decoder, source: Mapping[str, Tensor], tokens: list[list[int]]
) -> dict[str, Any]:
    """How far a quantised decoder is from bf16 at all positions of ``tokens`` [B, S].

    Both are computed by the plain reference, teacher-forced: ``kl_to_bf16`` is the mean
    KL(bf16 ‖ rung) in nats, ``top1_agreement`` the share of positions with the same first choice.
    """
    ids = torch.tensor(tokens, device=decoder.device)
    config, kind = decoder.config, torch.bfloat16
    rung = reference.logits(
        config, decoder.named_weights(), ids, dtype=kind, rounded=decoder.rounded
    )
    bf16 = reference.logits(config, source, ids, dtype=kind)
    p, q = bf16.log_softmax(-1), rung.log_softmax(-1)
    same = (bf16.argmax(-1) == rung.argmax(-1)).float()
    return {
        "kl_to_bf16": float((p.exp() * (p - q)).sum(-1).mean()),
        "top1_agreement": float(same.mean()),
        "positions": ids.numel(),
    }
