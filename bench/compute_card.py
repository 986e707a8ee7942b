"""A record and the terms of an offer to a compute card, which says nothing else. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from bench.economics.units import S_PER_HOUR
from bench.inferencex import row
from bench.records.compute_card import (
    SCHEMA,
    CardDevice,
    CardRun,
    CardValidity,
    CardWork,
    ComputeCard,
    Energy,
    Latency,
    Objective,
    Offer,
    Telemetry,
    reasoned,
)
from bench.records.journal import JsonObject
from bench.records.record import RunRecord
from bench.records.run import DeviceFacts, Metrics, WorkloadRecord
from bench.verdict.stack import model_of

TOKENS_PER_MTOK = 1e6
OF_HASHES = dict.fromkeys(
    (
        "model", "precision", "concurrency", "context_tokens", "prompt_tokens", "output_tokens",
        "ttft_s", "tpot_s", "itl_s", "slo", "usd_per_mtok", "tier",
    ),
    "it hashes: there are no tokens",
)  # fmt: skip
OF_TOKENS = {
    "tier": "the record names none",
    "model": "the record names none",
    "precision": "the server does not tell it",
    "concurrency": "requests arrive at a rate, as many at once as it brings",
    "prompt_tokens": "no requests were served",
    "output_tokens": "no requests were served",
    "ttft_s": "no requests were timed",
    "tpot_s": "no requests were timed",
    "slo": "the point was held to no service level",
}


def offered(
    price_usd_per_device_hour: float | None, lease_term: str | None, utilisation: float | None
) -> Offer:
    """The terms; what is not stated is null."""
    return reasoned(
        Offer,
        {
            "price_usd_per_device_hour": "not stated: give --price",
            "lease_term": "not stated: give --lease-term",
            "utilisation": "not stated: give --utilisation",
        },
        price_usd_per_device_hour=price_usd_per_device_hour,
        lease_term=lease_term,
        utilisation=utilisation,
    )


def compute_card(
    record: RunRecord, offer: Offer, telemetry: Telemetry, *, made_at: str, made_by: str
) -> ComputeCard:
    """The card of one run. ``made_by`` is the version of the code that makes it."""
    return ComputeCard(
        schema=SCHEMA,
        made_at=made_at,
        made_by=made_by,
        signed=False,
        offer=offer,
        run=_run(record),
        device=_device(record.device),
        workloads=tuple(_work(each, record, offer) for each in record.workloads),
        validity=CardValidity(record.validity.status, record.validity.codes),
        telemetry=telemetry,
    )


def _run(record: RunRecord) -> CardRun:
    return reasoned(
        CardRun,
        {"git": "not run from a checkout"},
        run_id=record.run_id,
        started_at=record.started_at,
        finished_at=record.finished_at,
        grade=record.plan.grade,
        version=record.software.version,
        git=record.software.git,
    )


def _device(device: DeviceFacts) -> CardDevice:
    names = ("profile", "uuid", "memory_bytes", "power_limit_w", "power_limit_default_w", "driver")
    return reasoned(
        CardDevice,
        dict.fromkeys(names, "not known of this device"),
        kind=device.kind,
        name=device.name,
        **{name: getattr(device, name) for name in names},
    )


def _work(work: WorkloadRecord, record: RunRecord, offer: Offer) -> CardWork:
    """One workload; its InferenceX row is made of what the card says."""
    metrics, hashes = work.metrics, work.unit == "hash"
    no_rate = {"units_per_s": metrics.reason or "no block of it was accepted"}
    context = "requests start at their prompt" if _mix(work.config) else "not in the record"
    steps = "no steps were timed" if metrics.tpot_s is None else "without requests it is tpot_s"
    cost = _no_cost(metrics, offer)
    tokens = {**OF_TOKENS, "context_tokens": context, "itl_s": steps, "usd_per_mtok": cost}
    made = reasoned(
        CardWork,
        {**(OF_HASHES if hashes else tokens), **no_rate, "inferencex": ""},
        name=work.name,
        unit=work.unit,
        backend=work.backend,
        tier=work.tier,
        **_point(work, record),
        verified=work.verified.passed,
        units_per_s=metrics.units_per_s,
        energy=_energy(metrics),
        ttft_s=_latency(metrics.ttft_s),
        tpot_s=_latency(metrics.tpot_s),
        itl_s=_latency(metrics.itl_s),
        slo=_objective(work),
        usd_per_mtok=None if hashes else _usd_per_mtok(metrics, offer),
        inferencex=None,
    )
    found = row(made, record)
    if isinstance(found, str):
        return replace(made, reasons={**made.reasons, "inferencex": found})
    reasons = {name: why for name, why in made.reasons.items() if name != "inferencex"}
    return replace(made, inferencex=found, reasons=reasons)


def _point(work: WorkloadRecord, record: RunRecord) -> dict[str, Any]:
    """What was computed: nothing of it for hashes."""
    config, mix = work.config, _mix(work.config)
    tokens, named = work.unit == "token", config.get("model") or record.profiles.model
    batch = _number(config.get("batch"))
    rows = _number(config.get("concurrency")) if batch is None else batch
    precision = config.get("precision")
    return {
        "model": model_of(record, work) if tokens and named else None,
        "precision": precision if isinstance(precision, str) else None,
        "concurrency": None if rows is None else int(rows),
        "context_tokens": None if mix else _number(config.get("context")),
        "prompt_tokens": _number(mix.get("in_tokens")),
        "output_tokens": _number(mix.get("out_tokens")),
    }


def _energy(metrics: Metrics) -> Energy:
    unknown = metrics.reason or "no joules were measured"
    return reasoned(
        Energy,
        {
            "joules_per_unit": unknown,
            "joules_per_unit_absolute": metrics.reason or "the meter's own error is not known",
            "watts": unknown,
        },
        boundary=metrics.boundary,
        source=metrics.joules_source,
        joules_per_unit=metrics.joules_per_unit,
        joules_per_unit_absolute=metrics.joules_per_unit_absolute,
        watts=metrics.watts,
    )


def _objective(work: WorkloadRecord) -> Objective | None:
    limit_s = _number(work.config.get("slo_tpot_s"))
    if limit_s is None:
        return None
    tpot_s = _latency(work.metrics.tpot_s)
    measured_s = None if tpot_s is None else tpot_s.p99
    metric: Literal["tpot"] = "tpot"
    return reasoned(
        Objective,
        dict.fromkeys(("measured_s", "met"), "no requests were timed"),
        metric=metric,
        percentile=99,
        limit_s=limit_s,
        measured_s=measured_s,
        met=None if measured_s is None else measured_s <= limit_s,
    )


def _usd_per_mtok(metrics: Metrics, offer: Offer) -> float | None:
    """p / (3600 · u · tokens/s) · 10^6: the leased hour's price over the tokens made in it."""
    rate, price, share = metrics.units_per_s, offer.price_usd_per_device_hour, offer.utilisation
    if rate is None or rate.mid <= 0 or price is None or share is None:
        return None
    return TOKENS_PER_MTOK * price / (S_PER_HOUR * share * rate.mid)


def _no_cost(metrics: Metrics, offer: Offer) -> str:
    unstated = [why for name, why in offer.reasons.items() if name != "lease_term"]
    return "; ".join(unstated) or metrics.reason or "nothing was generated"


def _latency(found: JsonObject | None) -> Latency | None:
    """A workload's own percentiles; None where one is missing."""
    p50, p90, p99 = (_number((found or {}).get(name)) for name in ("p50", "p90", "p99"))
    if p50 is None or p90 is None or p99 is None:
        return None
    return Latency(p50, p90, p99)


def _mix(config: JsonObject) -> JsonObject:
    mix = config.get("mix")
    return mix if isinstance(mix, dict) else {}


def _number(value: Any) -> float | None:
    """What a workload says of itself in its own terms may be anything."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
