"""The record of one run and the figures derived from its journal."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from bench.records.journal import Field, JsonObject

Boundary = Literal["package", "board", "node", "wall", "facility"]
DeviceKind = Literal["gpu", "cpu", "sim"]
GradeName = Literal["quick", "standard", "publish"]
JoulesSource = Literal[
    "measured-counter", "measured-polled", "replayed", "assumed", "simulated", "unavailable"
]
MeterSource = Literal[
    "nvml-counter",
    "nvml-instant",
    "nvml-average",
    "nvml-power-usage",
    "rapl",
    "assumed",
    "replay",
    "sim",
    "none",
]
Scope = Literal["gpu", "module", "package"]
Status = Literal["valid", "labelled", "invalid", "incomplete"]
SensorKind = Literal["full-duty", "part-time", "averaged", "filtered", "unknown"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95 % interval from ``n`` blocks: ``lo <= mid <= hi``, all finite."""

    mid: float
    lo: float
    hi: float
    n: int

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (self.mid, self.lo, self.hi))):
            raise ValueError(f"an estimate must be finite: {self.lo} {self.mid} {self.hi}")
        if not self.lo <= self.mid <= self.hi:
            raise ValueError(f"an interval must hold its middle: {self.lo} {self.mid} {self.hi}")


@dataclass(frozen=True, slots=True)
class SensorFacts:
    """How a power sensor sees: update period, averaging window, lag, share of time seen.

    A reading at an update at t is the mean of the power over [t − lag − window, t − lag]; ``duty``
    is window over update period, at most 1.
    """

    update_s: float | None = None
    window_s: float | None = None
    lag_s: float | None = None
    duty: float | None = None
    scope: Scope | None = None
    counter_tick_s: float | None = None
    kind: SensorKind = "unknown"

    def __post_init__(self) -> None:
        periods = (self.update_s, self.window_s, self.duty, self.counter_tick_s)
        if any(not (math.isfinite(p) and p > 0) for p in periods if p is not None):
            raise ValueError(f"a sensor's periods and duty must be above 0: {periods}")
        if self.lag_s is not None and not (math.isfinite(self.lag_s) and self.lag_s >= 0):
            raise ValueError(f"a sensor's lag must be 0 or more: {self.lag_s}")


@dataclass(frozen=True, slots=True)
class Calibration:
    """A sensor characterised under a seeded on/off load of its own card.

    ``residual`` is the RMS misfit over the load's swing, ``swing_w`` that swing as the sensor saw
    it, ``counter_ratio`` the energy counter over the integral of the readings and
    ``steady_ratio`` the same on a steady load; ``plot`` holds (s, W read, W fitted) for a
    picture, at most a few hundred points.
    """

    sensor: SensorFacts
    field: Field
    made_at: str
    residual: float
    swing_w: float
    counter_ratio: float | None
    device_uuid: str | None = None
    driver: str | None = None
    vbios: str | None = None
    plot: tuple[tuple[float, float, float], ...] = ()
    steady_ratio: float | None = None


@dataclass(frozen=True, slots=True)
class Correction:
    """A sensor against the user's own meter: ``reading = offset_w + gain · true power``.

    ``gain_u`` (relative) and ``offset_u_w`` are standard uncertainties, ``lag_s`` how much the
    readings trail the meter, ``residual_w`` the RMS misfit, ``span_s`` the time both looked.
    """

    gain: float
    offset_w: float
    gain_u: float
    offset_u_w: float
    lag_s: float
    residual_w: float
    span_s: float
    field: Field
    meter: str
    meter_sha256: str
    made_at: str

    def __post_init__(self) -> None:
        known = (self.gain, self.offset_w, self.gain_u, self.offset_u_w)
        if not (all(map(math.isfinite, known)) and self.gain > 0):
            raise ValueError(f"a correction needs a gain above 0 and finite figures: {known}")
        if self.gain_u < 0 or self.offset_u_w < 0:
            raise ValueError(f"an uncertainty must be 0 or more: {self.gain_u} {self.offset_u_w}")


@dataclass(frozen=True, slots=True)
class Truth:
    """What a simulated device really does, per workload: the known answer."""

    joules_per_unit: float
    units_per_s: float


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """The device that does the work. ``index`` is NVML's; ``truth`` exists on simulated ones."""

    kind: DeviceKind
    name: str
    index: int | None = None
    uuid: str | None = None
    compute_capability: str | None = None
    memory_bytes: int | None = None
    power_limit_w: float | None = None
    power_limit_default_w: float | None = None
    power_limit_max_w: float | None = None
    sm_clock_max_hz: float | None = None
    driver: str | None = None
    vbios: str | None = None
    persistence_mode: bool | None = None
    nvml_library: JsonObject | None = None
    profile: str | None = None
    threads: int | None = None
    features: tuple[str, ...] = ()
    mig: bool | None = None
    mps: bool | None = None
    vgpu: bool | None = None
    display: bool | None = None
    ecc: bool | None = None
    temperature_slowdown_c: float | None = None
    truth: dict[str, Truth] | None = None


@dataclass(frozen=True, slots=True)
class MeterFacts:
    """The instrument that reads the power; ``reason`` says why there is none or what it lacks.

    ``device_uuid`` names the device it belongs to, ``constant_w`` the power it assumes, and
    ``library`` the path and sha256 of the vendor's library it reads through.
    """

    source: MeterSource
    name: str
    scope: Scope | None = None
    sensor: SensorFacts | None = None
    device_uuid: str | None = None
    constant_w: float | None = None
    mismatch: bool = False
    capabilities: tuple[str, ...] = ()
    library: JsonObject | None = None
    reason: str | None = None
    calibration: Calibration | None = None
    correction: Correction | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """One verification against the reference: what, whether it held, and the detail."""

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Verified:
    """The checks a workload passed before it was timed and after."""

    passed: bool
    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True)
class WorkloadFacts:
    """What a prepared workload says of itself.

    ``sources`` are sha256 of its code and weights; ``details`` is whatever else it knows, such
    as the UUID its runtime reports (``device_uuid``) or its ``prefill`` figures.
    """

    name: str
    backend: str
    unit: str
    tier: str | None
    config: JsonObject
    data_profile: JsonObject | None = None
    sources: dict[str, str] = field(default_factory=dict)
    details: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Window:
    """One accepted block: its edges, work and energy by each instrument. Null is unknown."""

    start_s: float
    end_s: float
    units: float
    counter_j: float | None
    integral_j: float | None
    throttled_s: float | None


@dataclass(frozen=True, slots=True)
class Doubt:
    """One line of an uncertainty budget: relative standard uncertainty, and where it comes from."""

    name: str
    relative_u: float
    source: str


@dataclass(frozen=True, slots=True)
class Metrics:
    """Figures of one workload; latencies and phases are objects in the workload's own terms.

    ``joules_per_unit`` carries the repeatability interval, ``joules_per_unit_absolute`` the
    absolute one (``budget`` names what widens it), ``joules_per_unit_net`` is net of idle,
    ``host_watts`` what the host's own counters showed meanwhile. ``phases_over_whole`` is the
    joules of the phases, each measured alone and taken in the mix's proportion, over the mix's.
    ``mfu``, ``mbu_useful``, ``mbu_moved`` and ``roofline_fraction`` are shares of what was measured
    on the device itself; ``roofs`` holds them with the peaks they are of, and against the card's
    datasheet.
    """

    units_per_s: Estimate | None
    watts: Estimate | None
    boundary: Boundary
    joules_per_unit: Estimate | None
    joules_per_unit_absolute: Estimate | None
    joules_per_unit_net: Estimate | None
    joules_source: JoulesSource
    reason: str | None
    ttft_s: JsonObject | None = None
    tpot_s: JsonObject | None = None
    itl_s: JsonObject | None = None
    prefill: JsonObject | None = None
    decode: JsonObject | None = None
    mfu: float | None = None
    mbu_useful: float | None = None
    mbu_moved: float | None = None
    roofline_fraction: float | None = None
    phases_over_whole: float | None = None
    budget: tuple[Doubt, ...] = ()
    host_watts: Estimate | None = None
    roofs: JsonObject | None = None


@dataclass(frozen=True, slots=True)
class WorkloadRecord:
    """One workload of a run: what it was, what was checked, what was measured."""

    name: str
    backend: str
    tier: str | None
    unit: str
    config: JsonObject
    data_profile: JsonObject | None
    verified: Verified
    windows: tuple[Window, ...]
    metrics: Metrics


@dataclass(frozen=True, slots=True)
class Code:
    """Doubt as data: a name, what happened and what to do, and whether it spoils the result."""

    name: str
    text: str
    fatal: bool


@dataclass(frozen=True, slots=True)
class Validity:
    """May one trust the run: its status and every code that speaks of it."""

    status: Status
    codes: tuple[Code, ...]


@dataclass(frozen=True, slots=True)
class Idle:
    """Power with contexts and model loaded and nothing running; null without an instrument.

    ``watts_absolute`` is what the user's own meter would show, where the sensor was corrected.
    """

    watts: Estimate | None
    reason: str | None = None
    watts_absolute: Estimate | None = None
