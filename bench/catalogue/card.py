"""GPU cards: TOML → ``GpuProfile``; what their sensors see and how they are simulated."""

from __future__ import annotations

from bench.catalogue import units
from bench.catalogue.rooms import names, open_profile
from bench.catalogue.tomlfile import Table
from bench.records.journal import Field
from bench.records.market import (
    GpuProfile,
    ReadingProfile,
    SensorProfile,
    SimulatedLoad,
    SimulationProfile,
)

READINGS: dict[str, Field] = {
    "instant": "power_instant_w",
    "average": "power_average_w",
    "usage": "power_w",
}
"""What a profile calls a power reading, and the field it fills."""


def load_gpu(name: str) -> GpuProfile:
    """A card by shipped name or path."""
    table = open_profile("gpus", name)
    gpu = GpuProfile(
        name=table.text("name"),
        title=table.text("title"),
        match=table.texts("match"),
        architecture=table.text("architecture"),
        compute_capability=table.text("compute_capability"),
        sm=table.value("sm", units.COUNT),
        boost_hz=table.value("boost", units.MHZ),
        int32_lanes=table.value("int32_lanes", units.COUNT),
        memory_bytes=table.value("memory", units.GB),
        bandwidth_bytes_per_s=table.value("bandwidth", units.GB_PER_S),
        fp32_flops=table.value("fp32", units.TFLOPS),
        bf16_flops=table.value_or_none("bf16", units.TFLOPS),
        fp16_flops=table.value_or_none("fp16", units.TFLOPS),
        fp8_flops=table.value_or_none("fp8", units.TFLOPS),
        price_usd=table.value_or_none("price", units.USD),
        tdp_w=table.value("tdp", units.WATTS),
        host_w=table.value("host", units.WATTS),
        psu_efficiency=table.value("psu_efficiency", units.EFFICIENCY),
        sensor=_sensor(table.table_or_none("sensor")),
        simulation=_simulation(table.table_or_none("simulation")),
    )
    table.end()
    return gpu


def find_gpu(nvml_name: str) -> GpuProfile | None:
    """The shipped profile of the card that NVML calls ``nvml_name``; null if there is none."""
    for name in names("gpus"):
        gpu = load_gpu(name)
        if nvml_name.strip() in gpu.match:
            return gpu
    return None


def _sensor(table: Table | None) -> SensorProfile | None:
    if table is None:
        return None
    tick = table.value("counter_tick", units.SECONDS)
    readings = {}
    for name, field in READINGS.items():
        if (reading := table.table_or_none(name)) is not None:
            readings[field] = _reading(reading)
    table.end()
    if not readings:
        raise table.error("instant", "is missing", f"add one of: {', '.join(READINGS)}")
    return SensorProfile(readings, tick)


def _reading(table: Table) -> ReadingProfile:
    reading = ReadingProfile(
        update_s=table.value("update", units.SECONDS),
        window_s=table.value("window", units.SECONDS),
        lag_s=table.value("lag", units.LAG),
        gain=table.value("gain", units.GAIN),
        offset_w=table.value("offset", units.OFFSET),
    )
    table.end()
    return reading


def _simulation(table: Table | None) -> SimulationProfile | None:
    if table is None:
        return None
    idle = table.value("idle", units.WATTS)
    loads = {}
    for name, load in table.named_tables():
        loads[name] = SimulatedLoad(
            load.value("units_per_s", units.RATE),
            load.value("watts", units.WATTS),
            load.plain("config"),
        )
        load.end()
    for name in ("sha256d", "decode"):
        if name not in loads:
            raise table.error(name, "is missing", "a simulated card needs sha256d and decode")
    if not isinstance(loads["decode"].config.get("model"), str):
        raise table.error("decode.config.model", "is missing", "name the model it stands for")
    prompt = loads["prefill"].config.get("prompt") if "prefill" in loads else 1
    if not isinstance(prompt, int) or prompt < 1:
        raise table.error("prefill.config.prompt", "is missing", "say how many tokens a prompt has")
    return SimulationProfile(idle, loads)
