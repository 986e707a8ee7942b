"""Whether a card's figures can stand beside each other, and its simulation below its rooflines."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from bench.catalogue.checks import Shelf
from bench.predict.simulated import scale_of
from bench.records.check import Check
from bench.records.market import GpuProfile, ModelConfig, SimulatedLoad, Value
from bench.roofline import hash_ceiling, hash_counts, kv_bytes_per_token, matmul_parameters

FP32_LANES = {
    "volta": 64,
    "turing": 64,
    "ampere-datacenter": 64,
    "ampere": 128,
    "ada": 128,
    "hopper": 128,
    "blackwell-datacenter": 128,
    "blackwell": 128,
    "cdna3": 128,
    "cdna4": 128,
}
"""FP32 lanes of an SM, from the makers' architecture papers; CDNA counts its packed rate."""
FP32_TOLERANCE = 0.10
HASH_CEILING = 1.02
"""How far above the yardstick of a plain kernel (ALU 2262) a simulated card may hash: what the one
that ships (ALU 2218) could."""
BANDWIDTH_PER_WATT = (1e9, 12e9)
"""Bytes/s per W: from GDDR cards at 2 GB/s to HBM ones at 10; two dies' sum on one's W is above."""
TENSOR_PER_WATT = (0.1e12, 4e12)
"""FLOP/s of 16-bit tensor arithmetic per W: 0.2 T on consumer cards, 2.3 T on a B200."""
BYTES = {"bf16": 2, "fp16": 2, "fp8": 1}


def card_checks(shelf: Shelf) -> Iterator[Check]:
    """Every card against itself; one OK where nothing contradicts anything."""
    for name, gpu in shelf.gpus.items():
        found = [
            *_fp32(gpu),
            *_peaks(gpu),
            *_per_watt(gpu),
            *_hashing(gpu),
            *_decoding(gpu, shelf.models),
        ]
        for text, cure in found:
            yield Check(f"gpus/{name}", "FAIL", text, cure)
        if not found:
            parts = "peaks, bandwidth and power fit each other"
            simulated = "" if gpu.simulation is None else "; its simulation stays below them"
            yield Check(f"gpus/{name}", "OK", parts + simulated)
        if gpu.architecture not in FP32_LANES:
            known = ", ".join(FP32_LANES)
            text = f"architecture {gpu.architecture} is not known: fp32 was not checked"
            yield Check(f"gpus/{name}: architecture", "WARN", text, f"use one of {known}")


Trouble = Iterator[tuple[str, str]]
"""What is wrong and what to do about it."""


def _fp32(gpu: GpuProfile) -> Trouble:
    """fp32 = 2 FLOP × lanes × SMs × boost."""
    lanes = FP32_LANES.get(gpu.architecture)
    if lanes is None:
        return
    expected = 2 * lanes * gpu.sm.value * gpu.boost_hz.value
    off = gpu.fp32_flops.value / expected - 1
    if abs(off) > FP32_TOLERANCE:
        text = f"fp32 is {off:+.0%} off {expected / 1e12:.1f} TFLOP/s, 2 x {lanes} x sm x boost"
        yield text, "correct fp32, sm or boost"


def _peaks(gpu: GpuProfile) -> Trouble:
    """fp32 ≤ 16-bit tensor ≤ 8-bit tensor, all dense."""
    ladder: list[tuple[str, Value | None]] = [
        ("fp32", gpu.fp32_flops),
        ("fp16", gpu.fp16_flops),
        ("bf16", gpu.bf16_flops),
        ("fp8", gpu.fp8_flops),
    ]
    there = [(key, value.value) for key, value in ladder if value is not None]
    for (low, below), (high, above) in pairwise(there):
        if above < below:
            text = f"{high} ({above / 1e12:g}) is below {low} ({below / 1e12:g} TFLOP/s)"
            yield text, "write dense peaks, with fp32 accumulation"


def _per_watt(gpu: GpuProfile) -> Trouble:
    tensor = gpu.bf16_flops or gpu.fp16_flops
    ratios = [("bandwidth", gpu.bandwidth_bytes_per_s, BANDWIDTH_PER_WATT, 1e9, "GB/s")]
    if tensor is not None:
        key = "bf16" if gpu.bf16_flops is not None else "fp16"
        ratios.append((key, tensor, TENSOR_PER_WATT, 1e12, "TFLOP/s"))
    for key, value, (least, most), scale, unit in ratios:
        ratio = value.value / gpu.tdp_w.value
        if not least <= ratio <= most:
            limits = f"{least / scale:g} to {most / scale:g}"
            text = f"{key} over tdp is {ratio / scale:.3g} {unit} per W, outside {limits}"
            yield text, f"correct {key} (of the whole card, not of a die) or tdp"


def _hashing(gpu: GpuProfile) -> Trouble:
    """No more hashes than a plain kernel allows, and no more watts than its limit."""
    if gpu.simulation is None:
        return
    rate = gpu.simulation.loads["sha256d"].units_per_s.value
    counts = hash_counts(gpu.compute_capability)
    if counts is None:
        text = f"simulates hashing on compute capability {gpu.compute_capability}, never counted"
        yield text, "correct compute_capability, or drop [simulation]"
    elif rate > HASH_CEILING * (most := hash_ceiling(counts, gpu.sm.value, gpu.boost_hz.value)):
        text = f"simulated hash rate {rate / 1e9:.3g} GH/s is above its ceiling {most / 1e9:.3g}"
        yield text, "lower simulation.sha256d.units_per_s"
    for name, load in gpu.simulation.loads.items():
        if not gpu.simulation.idle_w.value < load.watts.value <= gpu.tdp_w.value:
            text = f"simulated {name} draws {load.watts.value:g} W, not between idle and tdp"
            yield text, f"correct simulation.{name}.watts"


def _decoding(gpu: GpuProfile, models: dict[str, ModelConfig]) -> Trouble:
    """No more tokens than the bandwidth carries weights and KV cache for, each read once a step."""
    if gpu.simulation is None:
        return
    load = gpu.simulation.loads["decode"]
    model = models.get(load.config["model"])
    if model is None:
        known = ", ".join(models)
        yield f"simulates {load.config['model']}, which is no model", f"name one of {known}"
        return
    limit = _decode_limit(gpu, load, model)
    if limit is None:
        text = f"simulates precision {load.config.get('precision')}, whose size is not known"
        yield text, f"use one of {', '.join(BYTES)}"
    elif load.units_per_s.value > limit:
        rate = load.units_per_s.value
        text = f"simulated decode {rate:.4g} tokens/s is above the bandwidth roofline {limit:.4g}"
        yield text, "lower simulation.decode.units_per_s"
    if "prefill" in gpu.simulation.loads and limit is not None:
        yield from _serving(gpu, model)


def _serving(gpu: GpuProfile, model: ModelConfig) -> Trouble:
    """No more prompt tokens than arithmetic allows; watts that bytes and FLOPs can explain."""
    assert gpu.simulation is not None
    try:
        scale = scale_of(gpu, model)
    except ValueError as error:
        yield str(error), "correct simulation.prefill.watts or simulation.decode.watts"
        return
    if scale.prefill_share > 1:
        rate = gpu.simulation.loads["prefill"].units_per_s.value
        text = f"simulated prefill {rate:.4g} tokens/s is {scale.prefill_share:.2f} of its roofline"
        yield text, "lower simulation.prefill.units_per_s"


def _decode_limit(gpu: GpuProfile, load: SimulatedLoad, model: ModelConfig) -> float | None:
    """Tokens per second at which every byte of bandwidth is used."""
    element = BYTES.get(str(load.config.get("precision")))
    batch, context = load.config.get("batch"), load.config.get("context")
    if element is None or not isinstance(batch, int) or not isinstance(context, int):
        return None
    cache = batch * context * kv_bytes_per_token(model.config, element)
    step = element * matmul_parameters(model.config) + cache
    return float(batch * gpu.bandwidth_bytes_per_s.value / step)
