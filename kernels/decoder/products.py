"""Products with plain weights, in the form that is fastest where they run.

A library's GEMM is slow at a few rows: it is made to multiply, and few rows are all reading. There
a compiled multiply-and-sum, one accumulator per row over one reading of the weight, does better.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

SUMMED_ROWS = {"cpu": 1, "cuda": 1}
"""Up to how many rows compiled code multiplies and sums; docs/decoder.md has what was measured."""


def dense(x: Tensor, weight: Tensor) -> Tensor:
    """x [..., K] times a matrix [N, K], transposed: [..., N]."""
    if not summed(x):
        return F.linear(x, weight)
    rows = once(x.reshape(-1, x.shape[-1]))
    sums = [(row * weight).sum(-1) for row in rows.unbind()]
    return torch.stack(sums).view(*x.shape[:-1], len(weight))


def summed(x: Tensor) -> bool:
    """Whether x [..., K] is multiplied and summed row by row."""
    few = x.numel() <= SUMMED_ROWS[x.device.type] * x.shape[-1]
    return few and torch.compiler.is_compiling()


def once(x: Tensor) -> Tensor:
    """``x`` itself, which compiled code then holds in memory.

    Inductor would else work out a norm or an activation again for every element that reads it;
    a strided view needs memory to be a view of.
    """
    if torch.compiler.is_compiling():
        return x.contiguous().as_strided(x.shape, x.contiguous().stride())
    return x
