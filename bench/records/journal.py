"""The raw facts of a run, one dataclass per line kind of the journal.

A journal is the time-ordered stream of these facts; everything else in a record is derived from
it. Times are CLOCK_MONOTONIC seconds, shared by all processes of the machine (virtual seconds on
a simulated device).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from bench.records.decode import Misfit, from_object

JsonObject = dict[str, Any]

Field = Literal[
    "energy_j",  # cumulative energy counter
    "power_w",  # NVML power usage (semantics depend on the architecture), RAPL has none
    "power_instant_w",  # NVML field 186
    "power_average_w",  # NVML field 185
    "sm_clock_hz",
    "mem_clock_hz",
    "temperature_c",
    "power_limit_w",
    "pstate",
    "throttle_power_s",  # NVML field 74, cumulative
    "throttle_thermal_s",  # NVML fields 269 + 270, cumulative
    "throttle_brake_s",  # NVML field 271, cumulative
    "ecc_uncorrected",  # uncorrectable ECC errors since driver load, cumulative
    "host_energy_j",  # RAPL packages of the host, beside another instrument
    "dram_energy_j",  # RAPL memory domains, where the processor counts them
]

Phase = Literal["calibrate", "idle", "warmup", "steady", "observer", "phase", "block"]


@dataclass(frozen=True, slots=True)
class Sample:
    """One reading of one field of a meter; slow fields are journalled on change only.

    ``reported_s`` is the instrument's own time-stamp on the same clock, when it gives one.
    """

    t_s: float
    field: Field
    value: float
    reported_s: float | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """Units of work finished by ``t_s``, cumulative since the worker's run began."""

    t_s: float
    units: int
    workload: str = ""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the run: idle, warm-up, one measured block of one workload and so on.

    ``poll_s`` is the sampling period that was asked for, where it was not the meter's own;
    ``inf`` (no polling at all) is written as 0, since JSON has no infinity. A "phase" ran one
    ``part`` of the workload alone.
    """

    phase: Phase
    workload: str | None
    start_s: float
    end_s: float
    poll_s: float | None = None
    part: str | None = None


@dataclass(frozen=True, slots=True)
class Share:
    """A header whose SHA-256d met the share mask: ``H7 & mask == 0``.

    ``header_hex`` is the whole 80-byte header in wire order with ``nonce`` in place; ``H7`` is
    the last 32-bit word of the digest read big-endian, as SHA-256 writes it.
    """

    header_hex: str
    nonce: int
    mask: int
    workload: str = "sha256d"


@dataclass(frozen=True, slots=True)
class ClockPair:
    """The machine's clocks read together; BOOTTIME − MONOTONIC grows when the machine slept."""

    monotonic_s: float
    realtime_s: float
    boottime_s: float


@dataclass(frozen=True, slots=True)
class Event:
    """Anything else worth keeping; ``data`` is a JSON object of the event's own.

    "opened" device, meter, plan, software · "prepared" the workload's facts · "checks" of a
    workload · "own_processes" pids · "processes" on the device (pids, graphics, mps, or a reason) ·
    "load" level 0 or 1 from here on (calibration) · "xid" code · "failed", "interrupted" · what
    meters say of themselves (meter_trouble, meter_lost, meter_tally, meter_field_lost,
    host_meter_lost) · step_latency, request_latency,
    requests, phase_time, device_time.
    """

    t_s: float
    name: str
    data: JsonObject


Fact = Sample | Progress | Span | Share | ClockPair | Event

KINDS: dict[str, type[Fact]] = {
    "sample": Sample,
    "progress": Progress,
    "span": Span,
    "share": Share,
    "clocks": ClockPair,
    "event": Event,
}
_NAMES = {kind: name for name, kind in KINDS.items()}


def to_line(fact: Fact) -> JsonObject:
    """A fact as one journal line: its fields and its kind; fields that are None are left out."""
    fields = {name: getattr(fact, name) for name in type(fact).__slots__}
    return {"kind": _NAMES[type(fact)], **{k: v for k, v in fields.items() if v is not None}}


def from_line(line: JsonObject) -> Fact:
    """A journal line as a fact; ValueError names an unknown kind or the field that is amiss."""
    fields = dict(line)
    kind = fields.pop("kind", None)
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"unknown kind of fact: {kind!r}")
    if kind == "span":
        fields.setdefault("workload", None)
    try:
        return from_object(KINDS[kind], fields)
    except Misfit as error:
        raise ValueError(f"a {kind} line is malformed: {error}") from error
