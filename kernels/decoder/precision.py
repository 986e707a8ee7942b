"""The precision ladder: weights quantised from honest 16-bit ones, and their products.

fp8 is e4m3 with a scale per output row, activations scaled per row as they come; int4 is
weight-only, a scale and a centre for every 128 weights of a row. Embedding, norms and head stay
16-bit, as engines keep them. The products are torch's own operators, which torchao wraps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from . import reference
from .config import ModelConfig
from .products import dense

QUANTISED = ("fp8", "int4")
GROUPS = (128, 64, 32)  # weights that share a scale: the largest of these that divides a row
CENTRE = 8  # the int4 code that stands for a group's centre
MOST_CODE = 15
E4M3_MOST = 448.0  # the largest finite e4m3 (arXiv 2209.05433, table 1)
LEAST_SCALE = 1e-12  # so that a row of zeros divides by something
LEAST_CAPABILITY = {"fp8": (8, 9), "int4": (8, 0)}
PROBES = 16  # rows of noise by which a packed weight is compared with a plain one


class Fp8Weight(NamedTuple):
    """A matrix [N, K] = values · scales.T: e4m3 ``values`` [N, K], fp32 ``scales`` [1, N]."""

    values: Tensor
    scales: Tensor


class Int4Weight(NamedTuple):
    """A matrix [N, K] = (code − 8) · scale + centre.

    ``packed`` holds the codes as the device's kernel reads them: bytes [N, K/2] on a CPU, words
    [N/8, K/(16·I), 32, I/2] of I tiles on CUDA; ``scales`` [K/g, N, 2] bf16 are scale and centre.
    """

    packed: Tensor
    scales: Tensor


Quantised = Fp8Weight | Int4Weight


def require(precision: str, config: ModelConfig, device: torch.device) -> None:
    """ValueError when the device lacks the arithmetic of a rung, or the model its shapes.

    Row-wise ``torch._scaled_mm`` needs multiples of 16 and compute capability 8.9,
    ``torch._weight_int4pack_mm`` groups that divide a row and capability 8.0 (both from the
    checks in PyTorch's aten/src/ATen/native/cuda).
    """
    if precision not in QUANTISED:
        return
    if device.type == "cuda":
        have, least = torch.cuda.get_device_capability(device), LEAST_CAPABILITY[precision]
        if have < least:
            raise ValueError(
                f"precision {precision} needs compute capability {least[0]}.{least[1]}, "
                f"{torch.cuda.get_device_name(device)} has {have[0]}.{have[1]}: use bf16"
            )
    if config.n_experts is not None:
        text = f"precision {precision} of a mixture of experts is not built"
        raise ValueError(f"{text}: run {config.name} in bf16")
    step = 16 if precision == "fp8" else GROUPS[-1]
    for name, shape in config.shapes().items():
        if in_block(name, shape) and (shape[1] % step or shape[0] % 16):
            raise ValueError(
                f"precision {precision} needs rows of a multiple of {step} and 16 of them: "
                f"{config.name} has {name} of {list(shape)}; use bf16"
            )


def in_block(name: str, shape: Sequence[int]) -> bool:
    """Whether a tensor is a matrix of a block: what a quantised rung quantises."""
    return len(shape) == 2 and name.startswith("model.layers.")


def stored_bytes(config: ModelConfig, precision: str) -> float:
    """Bytes of all weights in memory, scales included."""
    word = 4 if precision == "fp32" else 2
    return sum(
        math.prod(shape) * word
        if precision not in QUANTISED or not in_block(name, shape)
        else _quantised_bytes(shape, precision)
        for name, shape in config.shapes().items()
    )


def bytes_per_weight(config: ModelConfig, precision: str) -> float:
    """Mean bytes of a weight that a token is multiplied with: the blocks' matrices and the head."""
    matrices = {name: shape for name, shape in config.shapes().items() if len(shape) == 2}
    embedding = math.prod(matrices["model.embed_tokens.weight"])
    vectors = config.n_params() - sum(map(math.prod, matrices.values()))
    spare = 0 if config.tied_head else embedding
    word = 4 if precision == "fp32" else 2
    read = stored_bytes(config, precision) - word * (vectors + spare)
    return read / (config.n_params() - vectors - spare)


def _quantised_bytes(shape: Sequence[int], precision: str) -> float:
    rows, columns = shape
    if precision == "fp8":
        return rows * columns + 4 * rows
    return rows * columns / 2 + 4 * rows * columns / group_of(columns)


def group_of(columns: int) -> int:
    """Weights that share a scale in rows of so many."""
    return next(group for group in GROUPS if columns % group == 0)


def quantise(weight: Tensor, precision: str) -> tuple[Quantised, float]:
    """A 16- or 32-bit matrix [N, K] quantised, and how far its products are from plain ones.

    The latter is the largest error of a few rows of noise times the quantised matrix as the
    device multiplies it, over the largest product of its dequantised values: packing is checked
    by something that knows nothing of it.
    """
    made, plain = _to_fp8(weight) if precision == "fp8" else _to_int4(weight)
    generator = torch.Generator(weight.device).manual_seed(0)
    x = torch.empty(PROBES, weight.shape[1], device=weight.device, dtype=torch.bfloat16)
    x.normal_(generator=generator)
    expected = rounding(precision)(x.float()) @ plain.T
    largest = float(expected.abs().max())
    worst = float((product(x, made).float() - expected).abs().max())
    return made, worst / largest if largest else worst


def _to_fp8(weight: Tensor) -> tuple[Fp8Weight, Tensor]:
    values, scales = _scaled(weight)
    return Fp8Weight(values, scales.T.contiguous()), values.float() * scales


def _scaled(rows: Tensor) -> tuple[Tensor, Tensor]:
    """e4m3 values [M, K] and fp32 scales [M, 1], each row's largest at the type's largest."""
    wide = rows.float()
    scales = wide.abs().amax(-1, keepdim=True).clamp(min=LEAST_SCALE) / E4M3_MOST
    return (wide / scales).to(torch.float8_e4m3fn), scales


def _to_int4(weight: Tensor) -> tuple[Int4Weight, Tensor]:
    """Asymmetric round-to-nearest: a group's least weight is code 0, its greatest 15."""
    rows, columns = weight.shape
    group = group_of(columns)
    parts = weight.float().view(rows, columns // group, group)
    least, greatest = parts.amin(-1, keepdim=True), parts.amax(-1, keepdim=True)
    scale = ((greatest - least) / MOST_CODE).clamp(min=LEAST_SCALE).bfloat16()
    centre = (least + CENTRE * scale.float()).bfloat16()
    codes = ((parts - centre.float()) / scale.float() + CENTRE).round().clamp(0, MOST_CODE)
    plain = ((codes - CENTRE) * scale.float() + centre.float()).view(rows, columns)
    scales = torch.cat([scale, centre], dim=-1).transpose(0, 1).contiguous()
    return Int4Weight(pack(codes.view(rows, columns).to(torch.int32)), scales), plain


def pack(codes: Tensor) -> Tensor:
    """int32 codes [N, K] of 0 … 15 as the device's kernel wants them."""
    packed: Tensor
    if codes.device.type == "cpu":
        packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(codes, 1)
    else:
        pairs = (codes[:, ::2] << 4 | codes[:, 1::2]).to(torch.uint8)
        packed = torch.ops.aten._convert_weight_to_int4pack(pairs, _inner_tiles(codes.shape[1]))
    return packed


def _inner_tiles(columns: int) -> int:
    """Tiles of 16 weights that lie together on CUDA: the most that divides a row."""
    return next(tiles for tiles in (8, 4, 2) if columns % (16 * tiles) == 0)


def product(x: Tensor, weight: Tensor | Quantised) -> Tensor:
    """x [..., K] times a matrix [N, K], transposed: [..., N] in x's type."""
    if isinstance(weight, Tensor):
        return dense(x, weight)
    rows = x.reshape(-1, x.shape[-1])
    if isinstance(weight, Fp8Weight):
        values, scales = _scaled(rows)
        found: Tensor = torch._scaled_mm(
            values,
            weight.values.t(),
            scale_a=scales,
            scale_b=weight.scales,
            out_dtype=torch.bfloat16,
            use_fast_accum=x.device.type == "cuda",
        )
    else:
        group = x.shape[-1] // weight.scales.shape[0]
        multiply = (
            torch.ops.aten._weight_int4pack_mm_for_cpu
            if x.device.type == "cpu"
            else torch.ops.aten._weight_int4pack_mm
        )
        found = multiply(rows.contiguous(), weight.packed, group, weight.scales)
    return found.view(*x.shape[:-1], found.shape[-1]).to(x.dtype)


def rounding(precision: str) -> reference.Rounded:
    """What a rung's product does to its activations first: to fp8 and back, or nothing."""
    return fp8_rounded if precision == "fp8" else reference.unrounded


def fp8_rounded(x: Tensor) -> Tensor:
    """Activations [..., K] as the fp8 product sees them, in their own type."""
    values, scales = _scaled(x)
    return (values.float() * scales).to(x.dtype)


def dequantised(weight: Quantised, first: int, rows: int) -> Tensor:
    """``rows`` rows from ``first`` on, in fp32, of what lies in memory; on CUDA eighths of rows."""
    part = slice(first, first + rows)
    if isinstance(weight, Fp8Weight):
        scaled: Tensor = weight.values[part].float() * weight.scales.T[part]
        return scaled
    if weight.packed.dim() == 2:
        codes = _read_back(weight)[part]
    else:
        codes = unpacked(weight.packed[first // 8 : (first + rows) // 8]) - CENTRE
    scales = weight.scales[:, part].float().permute(2, 1, 0)
    scale, centre = scales.repeat_interleave(codes.shape[1] // scales.shape[2], dim=2)
    plain: Tensor = codes * scale + centre
    return plain


def _read_back(weight: Int4Weight) -> Tensor:
    """Codes − 8 of a CPU's bytes, whose order depends on its vectors: the product of ones with
    them, every scale 1 and every centre 0, which bf16 holds exactly.
    """
    units = torch.zeros_like(weight.scales)
    units[..., 0] = 1.0
    ones = torch.eye(2 * weight.packed.shape[1], dtype=torch.bfloat16)
    return product(ones, Int4Weight(weight.packed, units)).T.float()


def unpacked(packed: Tensor) -> Tensor:
    """Codes [N, K] from CUDA's words [N/8, K/(16·I), 32, I/2].

    Lane 4n + q of a word group holds, of its row n and of two tiles of 16, the weights
    8i + 2q (bits 4i) and 8i + 2q + 1 (bits 16 + 4i), i = 0 … 3 (matrix_to_m16n8k16_Bint4_layout
    in PyTorch's int4mm.cu).
    """
    blocks, outer, _, pairs = packed.shape
    shifts = torch.arange(0, 32, 4, device=packed.device, dtype=torch.int32)
    nibbles = (packed[..., None] >> shifts) & MOST_CODE
    split = nibbles.view(blocks, outer, 8, 4, pairs, 2, 4)  # n, q, tile pair, odd, i
    return split.permute(0, 2, 1, 4, 6, 3, 5).reshape(blocks * 8, outer * pairs * 32)
