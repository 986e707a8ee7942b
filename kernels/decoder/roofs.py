"""What the device itself can do: bandwidth of a large read, arithmetic of a large product.

Tables of datasheets are for cards that nobody has at hand; these are measured where the model runs,
in about a second each, before its buffers are allocated.
"""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from . import capacity
from .config import ModelConfig

TRIALS = 7
WARM_S = 0.2
PRODUCTS_S = 0.5  # that all trials of one product may take
CACHES = 4  # times the last-level cache that a read must exceed to be one of memory
READ_BYTES = {"cpu": (64 << 20, 2 << 30), "cuda": (2 << 30, 4 << 30)}  # at least, at most
FREE_SHARE = 0.25  # of the free memory that the read may take
SIDES = {"cpu": (256, 4096), "cuda": (2048, 16384)}  # of the square matrices: smallest, largest
FP8_CAPABILITY = (8, 9)
CACHE_ROOT = Path("/sys/devices/system/cpu")
KIB = 1024


def measure(device: torch.device, precision: str) -> dict[str, Any]:
    """Roofs of a device for products at a precision, measured once in a process.

    The threads are those set for torch.

    ``read_bytes_per_s`` and ``gemm_flops`` are medians of ``TRIALS``, with the ``spread`` of each
    (largest over smallest, less 1). ``cache_bytes`` is the last-level cache, null if not known:
    what lies within is not read from memory. ``gemm_precision`` is that of the arithmetic, which is
    bf16 where only weights are quantised. ``datasheet`` is not known here.
    """
    return dict(_measured(device, precision, torch.get_num_threads()))


@functools.cache
def _measured(device: torch.device, precision: str, _threads: int) -> Mapping[str, Any]:
    cache = cache_bytes(device)
    size = _read_size(device, cache)
    rate, read_spread = read_bandwidth(device, size)
    kind = product_precision(device, precision)
    side, flops, gemm_spread = gemm_peak(device, kind)
    if device.type == "cuda":  # what was read and multiplied makes room for the model
        torch.cuda.empty_cache()
    return {
        "read_bytes_per_s": rate,
        "read_bytes": size,
        "read_spread": read_spread,
        "gemm_flops": flops,
        "gemm_precision": kind,
        "gemm_side": side,
        "gemm_spread": gemm_spread,
        "cache_bytes": cache,
        "datasheet": None,
    }


def decode_work(
    config: ModelConfig,
    *,
    precision: str,
    batch: int,
    context: int,
    steps: int,
    bucket: int,
    bytes_per_kv: float,
) -> dict[str, Any]:
    """What a step of an offline decode works on, for whoever counts its FLOPs and bytes.

    A row reads ``mean_context`` cached tokens and its own, and ``padded_context`` slots of its
    cache, its spans being rounded up to multiples of ``bucket`` but for the cache's end, where the
    last step writes; both are means over the steps.
    """
    spans = range(context + 1, context + steps + 1)
    padded = (min(spans[-1], -(-span // bucket) * bucket) for span in spans)
    return {
        "model": asdict(config),
        "precision": precision,
        "bytes_per_kv": bytes_per_kv,
        "batch": batch,
        "mean_context": statistics.fmean(spans) - 1,
        "padded_context": statistics.fmean(padded),
    }


def read_bandwidth(device: torch.device, size: int) -> tuple[float, float]:
    """Bytes/s at which a sum reads ``size`` bytes of fp32, and the spread of the trials.

    Nothing is written but the sum. The memory is written first: untouched pages of a CPU are all
    one page of zeros, which stays in the cache.
    """
    words = torch.ones(size // 4, device=device)
    seconds = _trials(device, words.sum)
    return size / statistics.median(seconds), max(seconds) / min(seconds) - 1


def gemm_peak(device: torch.device, precision: str) -> tuple[int, float, float]:
    """(side, FLOP/s, spread) of square products of N(0, 1) data, as large as time allows.

    Random data, because zeros and constants draw less power and so clock higher.
    """
    side, largest = SIDES[device.type]
    while True:
        work = _product(device, precision, side)
        work()
        seconds = _seconds(device, work)
        if 2 * side > largest or 8 * seconds * TRIALS > PRODUCTS_S:
            break
        side *= 2
    trials = _trials(device, work)
    return side, 2 * side**3 / statistics.median(trials), max(trials) / min(trials) - 1


def product_precision(device: torch.device, precision: str) -> str:
    """The arithmetic that products at a precision use on a device: fp32, bf16 or fp8."""
    if precision == "fp32":
        return "fp32"
    if precision == "fp8" and device.type == "cuda":
        capable = torch.cuda.get_device_capability(device) >= FP8_CAPABILITY
        return "fp8" if capable else "bf16"
    return "bf16"


def cache_bytes(device: torch.device, root: Path = CACHE_ROOT) -> int | None:
    """The last-level cache in bytes; on a CPU all of its instances together. None if not known."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).L2_cache_size)
    found: dict[tuple[int, str], int] = {}
    for index in root.glob("cpu[0-9]*/cache/index*"):
        try:
            level, shared, size = (
                (index / name).read_text(encoding="ascii").strip()
                for name in ("level", "shared_cpu_list", "size")
            )
        except OSError:
            continue
        if level.isdigit() and size.endswith("K") and size[:-1].isdigit():
            found[int(level), shared] = int(size[:-1]) * KIB
    last = max((level for level, _ in found), default=0)
    return sum(size for (level, _), size in found.items() if level == last) or None


def _read_size(device: torch.device, cache: int | None) -> int:
    least, most = READ_BYTES[device.type]
    size = min(most, max(least, CACHES * (cache or 0)))
    free = capacity.free_bytes(device)
    return size if free is None else max(4, min(size, int(FREE_SHARE * free) // 4 * 4))


def _product(device: torch.device, precision: str, side: int) -> Callable[[], Tensor]:
    """One product of two [side, side] matrices, the second transposed as weights are."""
    a, b = (torch.randn(side, side, device=device) for _ in range(2))
    if precision == "fp8":
        a8, b8 = a.to(torch.float8_e4m3fn), b.to(torch.float8_e4m3fn)
        rows = torch.ones(side, 1, device=device)
        columns = torch.ones(1, side, device=device)
        return lambda: torch._scaled_mm(  # as ``precision.product`` multiplies
            a8,
            b8.T,
            scale_a=rows,
            scale_b=columns,
            out_dtype=torch.bfloat16,
            use_fast_accum=device.type == "cuda",
        )
    dtype = torch.float32 if precision == "fp32" else torch.bfloat16
    a, b = a.to(dtype), b.to(dtype)
    return lambda: a @ b.T


def _trials(device: torch.device, work: Callable[[], object]) -> list[float]:
    """After WARM_S of the same work: an idle device first has to raise its clocks."""
    warm_s = 0.0
    while warm_s < WARM_S:
        warm_s += _seconds(device, work)
    return [_seconds(device, work) for _ in range(TRIALS)]


def _seconds(device: torch.device, work: Callable[[], object]) -> float:
    """Seconds of one call: by the device's own events on CUDA, by the host's clock elsewhere."""
    if device.type != "cuda":
        began_s = time.perf_counter()
        work()
        return time.perf_counter() - began_s
    begun, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    begun.record()
    work()
    ended.record()
    ended.synchronize()
    return float(begun.elapsed_time(ended)) / 1e3
