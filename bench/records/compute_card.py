"""The compute card: what a device is let for and what it was measured to do, on one page.

Every object holds its own ``reasons``: by the name of each field that is null, why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from bench.records.run import (
    Boundary,
    Code,
    DeviceKind,
    Estimate,
    GradeName,
    JoulesSource,
    Status,
)

SCHEMA: Literal["joulemark/card/1"] = "joulemark/card/1"
T = TypeVar("T")
Reasons = dict[str, str]
TelemetryStatus = Literal["verified", "absent"]


@dataclass(frozen=True, slots=True)
class Offer:
    """The terms, stated by whoever makes the card. ``lease_term`` is an ISO 8601 duration,
    ``utilisation`` the share of the leased hours in which the device works."""

    price_usd_per_device_hour: float | None
    lease_term: str | None
    utilisation: float | None
    reasons: Reasons


@dataclass(frozen=True, slots=True)
class CardRun:
    """The run that the figures are of, and the code that measured it."""

    run_id: str
    started_at: str
    finished_at: str
    grade: GradeName
    version: str
    git: str | None
    reasons: Reasons


@dataclass(frozen=True, slots=True)
class CardDevice:
    """What did the work, with the power limit it worked under."""

    kind: DeviceKind
    name: str
    profile: str | None
    uuid: str | None
    memory_bytes: int | None
    power_limit_w: float | None
    power_limit_default_w: float | None
    driver: str | None
    reasons: Reasons


@dataclass(frozen=True, slots=True)
class Energy:
    """Joules at ``boundary`` and no further out; ``source`` says how they were come by.

    ``joules_per_unit`` carries the repeatability interval, ``joules_per_unit_absolute`` the one
    that counts in what the meter itself may be off by.
    """

    boundary: Boundary
    source: JoulesSource
    joules_per_unit: Estimate | None
    joules_per_unit_absolute: Estimate | None
    watts: Estimate | None
    reasons: Reasons


@dataclass(frozen=True, slots=True)
class Latency:
    """Percentiles, s."""

    p50: float
    p90: float
    p99: float


@dataclass(frozen=True, slots=True)
class Objective:
    """The service level that the point was chosen for: p99 of TPOT within ``limit_s``."""

    metric: Literal["tpot"]
    percentile: Literal[99]
    limit_s: float
    measured_s: float | None
    met: bool | None
    reasons: Reasons


@dataclass(frozen=True, slots=True)
class InferenceXRow:
    """The work under the field names of InferenceX's aggregated results, in their units: tokens/s,
    tokens/s of a user (``intvty``), s, W, J. ``power_valid`` is 1 for measured board joules."""

    hw: str
    model: str
    framework: str | None
    precision: str | None
    isl: float
    osl: float
    conc: int | None
    tp: int | None
    disagg: bool | None
    is_multinode: bool
    tput_per_gpu: float
    output_tput_per_gpu: float
    input_tput_per_gpu: float
    median_ttft: float | None
    p90_ttft: float | None
    p99_ttft: float | None
    median_tpot: float | None
    p90_tpot: float | None
    p99_tpot: float | None
    median_intvty: float | None
    p90_intvty: float | None
    p99_intvty: float | None
    median_itl: float | None
    p90_itl: float | None
    p99_itl: float | None
    power_metric_schema_version: int
    power_valid: int
    avg_power_w: float | None
    joules_per_input_token: float | None
    joules_per_output_token: float | None
    joules_per_total_token: float | None
    reasons: Reasons


@dataclass(frozen=True, slots=True)
class CardWork:
    """One workload: what was done, how fast, on what energy, how late.

    ``concurrency`` is how many rows or requests are in work at once; ``context_tokens`` what a
    decode without requests reads, ``prompt_tokens`` and ``output_tokens`` the means of requests.
    A token is a generated one; ``usd_per_mtok`` is what a million of them cost at the offer's price
    and utilisation.
    """

    name: str
    unit: str
    backend: str
    tier: str | None
    model: str | None
    precision: str | None
    concurrency: int | None
    context_tokens: float | None
    prompt_tokens: float | None
    output_tokens: float | None
    verified: bool
    units_per_s: Estimate | None
    energy: Energy
    ttft_s: Latency | None
    tpot_s: Latency | None
    itl_s: Latency | None
    slo: Objective | None
    usd_per_mtok: float | None
    inferencex: InferenceXRow | None
    reasons: Reasons


@dataclass(frozen=True, slots=True)
class CardValidity:
    """May one trust the run: its status and every code, as its record has them."""

    status: Status
    codes: tuple[Code, ...]


@dataclass(frozen=True, slots=True)
class Telemetry:
    """The raw readings: ``sha256`` of the uncompressed journal.

    "verified": the journal lay beside the record, has that hash, and gives the record's figures;
    "absent": it did not lie there, and the hash is what the record states.
    """

    status: TelemetryStatus
    journal: str
    sha256: str | None
    reasons: Reasons


@dataclass(frozen=True, slots=True)
class ComputeCard:
    """The whole card. It is not signed: whoever has the record and its journal can make it again.

    Format history: ``joulemark/card/1`` 2026-11, the first.
    """

    schema: Literal["joulemark/card/1"]
    made_at: str
    made_by: str
    signed: Literal[False]
    offer: Offer
    run: CardRun
    device: CardDevice
    workloads: tuple[CardWork, ...]
    validity: CardValidity
    telemetry: Telemetry


def reasoned(noun: Callable[..., T], why: Mapping[str, str], **values: Any) -> T:
    """The noun of these values, with the reason for each that is null picked from ``why``."""
    return noun(**values, reasons={name: why[name] for name, v in values.items() if v is None})
