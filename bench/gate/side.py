"""What one file holds for the gate: figures as block values, and what they depend on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from bench.ledger import boundary, joules_of
from bench.records.journal import JsonObject
from bench.records.record import RunRecord
from bench.records.run import Boundary, DeviceFacts, MeterFacts, WorkloadRecord

Metric = Literal["units_per_s", "joules_per_unit"]
KIND = "device kind"
ASKED = (
    "kernel",
    "variant",
    "simulator",
    "model",
    "weights",
    "precision",
    "batch",
    "context",
    "steps",
    "prompt",
    "output",
    "mix",
    "slo_tpot_s",
    "threads",
    "api",
    "load",
    "concurrency",
    "rate_hz",
    "exact_output",
)
"""Parts of a configuration that say what is measured; the others follow from the code or the run,
such as how many nonces a launch takes at the speed found."""
DRAWN = ("init", "prompts")
"""Parts of a data profile that say which data were asked for; the seed and what was seen of the
data differ in every run."""


@dataclass(frozen=True, slots=True)
class Gauge:
    """One figure of one workload: its block values in time order, and what it was measured under.

    ``asked`` must be alike on both sides for a comparison. ``reason`` says why there are no values.
    """

    workload: str
    metric: Metric
    unit: str
    values: tuple[float, ...]
    asked: JsonObject
    reason: str | None = None

    @property
    def more_is_worse(self) -> bool:
        """Whether growth is a loss."""
        return self.metric == "joules_per_unit"

    @property
    def name(self) -> str:
        """As people read it."""
        return f"{self.workload} {self.metric}"


@dataclass(frozen=True, slots=True)
class Side:
    """All figures of one file. ``device`` must be alike on both sides, ``spoilt`` says why none of
    it may be believed, ``on_card`` whether the work ran on one."""

    device: JsonObject
    gauges: tuple[Gauge, ...]
    on_card: bool
    boundary: Boundary
    spoilt: str | None = None


def side_of(record: RunRecord) -> Side:
    """A run as the gate sees it."""
    device = record.device
    gauges = tuple(gauge for each in record.workloads for gauge in _gauges(each, record.meter))
    on_card = device.kind != "cpu"
    return Side(_device(device), gauges, on_card, boundary(device), _spoilt(record))


def _spoilt(record: RunRecord) -> str | None:
    if record.validity.status in ("invalid", "incomplete"):
        codes = ", ".join(c.name for c in record.validity.codes if c.fatal)
        return f"the run is {record.validity.status}{f': {codes}' if codes else ''}"
    return None


def _device(device: DeviceFacts) -> JsonObject:
    return {
        KIND: device.kind,
        "device": device.name,
        "threads": device.threads,
        "power limit": device.power_limit_w,
    }


def _gauges(work: WorkloadRecord, meter: MeterFacts) -> Iterator[Gauge]:
    asked: JsonObject = {
        "backend": work.backend,
        "tier": work.tier,
        "unit": work.unit,
        **_data(work.data_profile or {}),
        **{key: work.config[key] for key in ASKED if key in work.config},
    }
    blocks = work.windows
    rates = tuple(w.units / (w.end_s - w.start_s) for w in blocks)
    wrong = None if all(rate > 0 for rate in rates) else "a block counted no work"
    yield Gauge(
        work.name, "units_per_s", work.unit, () if wrong else rates, asked, _why(rates, wrong)
    )
    figures = work.metrics
    known = [joules_of(w, meter) for w in blocks]
    joules = tuple(
        j / w.units for j, w in zip(known, blocks, strict=True) if j is not None and w.units > 0
    )
    whole = len(joules) == len(blocks) and all(j > 0 for j in joules)
    lacking = None if whole and figures.joules_per_unit else figures.reason or "no joules"
    metered: JsonObject = {
        "boundary": figures.boundary,
        "source of the joules": figures.joules_source,
        "meter scope": meter.scope,
    }
    values = () if lacking else joules
    yield Gauge(
        work.name, "joules_per_unit", work.unit, values, asked | metered, _why(values, lacking)
    )


def _data(profile: JsonObject) -> JsonObject:
    return {f"data {key}": profile[key] for key in DRAWN if key in profile}


def _why(values: tuple[float, ...], wrong: str | None) -> str | None:
    return wrong or (None if values else "no block was measured")
