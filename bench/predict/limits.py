"""What a card cannot exceed at a point: decode, prefill, hashing, memory. Rooflines only. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from bench.predict.point import Asked
from bench.records.market import GpuProfile
from bench.roofline import (
    ALU_LANES,
    USABLE_MEMORY,
    HashCounts,
    decode_work,
    hash_ceiling,
    hash_counts,
    kv_bytes_per_token,
    kv_capacity,
    prefill_work,
    stored_parameters,
    weight_bytes,
)

GB = 1e9


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds of one decode step of ``batch`` rows and of the prefill of one request.

    In steady state every ``output`` steps bring ``batch`` prefills, which share the card.
    """

    batch: int
    decode_s: float
    prefill_s: float

    def token_s(self, output: int) -> float:
        """Card time per generated token."""
        return self.decode_s / self.batch + self.prefill_s / output

    def tpot_s(self, output: int) -> float:
        """Mean time between two tokens of one row, prefills of other rows included."""
        return self.batch * self.token_s(output)


def compute_flops(gpu: GpuProfile, precision: str) -> float | None:
    """The card's peak for products at a precision; null if it has no such arithmetic.

    int8 and int4 are weights only: their products are bf16's, or fp16's on a card without bf16.
    """
    if precision == "fp32":
        return gpu.fp32_flops.value
    if precision == "fp8":
        return None if gpu.fp8_flops is None else gpu.fp8_flops.value
    half = gpu.bf16_flops or gpu.fp16_flops
    return None if half is None else half.value


def pace(gpu: GpuProfile, asked: Asked, batch: int) -> Pace:
    """The fastest that bandwidth and arithmetic allow; ValueError without the arithmetic."""
    flops = compute_flops(gpu, asked.precision)
    if flops is None:
        raise ValueError(f"{gpu.name} has no {asked.precision} arithmetic")
    per_weight = weight_bytes(asked.precision)
    config, bandwidth = asked.model.config, gpu.bandwidth_bytes_per_s.value
    step = decode_work(
        config, batch, asked.mean_context, bytes_per_weight=per_weight, bytes_per_kv=asked.kv_bytes
    )
    fill = prefill_work(
        config, asked.prompt, bytes_per_weight=per_weight, bytes_per_kv=asked.kv_bytes
    )
    return Pace(batch, step.seconds(bandwidth, flops), fill.seconds(bandwidth, flops))


def most_rows(gpu: GpuProfile, asked: Asked) -> int:
    """How many rows' KV fits beside the weights, each at its longest."""
    capacity = kv_capacity(
        asked.model.config,
        gpu.memory_bytes.value,
        bytes_per_weight=weight_bytes(asked.precision),
        bytes_per_kv=asked.kv_bytes,
    )
    return int(capacity / asked.held_tokens)


def why_not(gpu: GpuProfile, asked: Asked) -> str | None:
    """Why the card cannot serve the point at all, with the numbers; null if it can."""
    if compute_flops(gpu, asked.precision) is None:
        return f"the card has no {asked.precision} arithmetic"
    rows = 1 if asked.batch is None else asked.batch
    if most_rows(gpu, asked) >= rows:
        return None
    config = asked.model.config
    weights = stored_parameters(config) * weight_bytes(asked.precision)
    cache = rows * asked.held_tokens * kv_bytes_per_token(config, asked.kv_bytes)
    have = USABLE_MEMORY * gpu.memory_bytes.value
    return (
        f"{asked.model.name} {asked.precision} needs {weights / GB:.1f} GB of weights and"
        f" {cache / GB:.1f} GB of KV at batch {rows}, more than {USABLE_MEMORY:g} of the card's"
        f" {gpu.memory_bytes.value / GB:.0f} GB ({have / GB:.1f})"
    )


def hash_limit(
    gpu: GpuProfile,
    clock_hz: float | None = None,
    *,
    counts: HashCounts | None = None,
    nominal_lanes: bool = False,
) -> float | None:
    """Hashes a second at boost by default, by the plain yardstick or a kernel of these ``counts``.

    Null where nothing was counted.

    64 integer lanes are counted unless ``nominal_lanes``: where a datasheet names more, published
    rates do not show them (hashcat's SHA-256 on an RTX 5090 is about 1.29 times an RTX 4090's,
    which is multiprocessors × clock), so only what is refused may count on them.
    """
    counts = counts or hash_counts(gpu.compute_capability)
    if counts is None:
        return None
    lanes = gpu.int32_lanes.high or gpu.int32_lanes.value
    used = max(float(ALU_LANES), lanes) if nominal_lanes else float(ALU_LANES)
    return hash_ceiling(counts, gpu.sm.value, clock_hz or gpu.boost_hz.value, used)
