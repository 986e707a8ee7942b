"""A compute card for a person: a line for each thing it says."""

from __future__ import annotations

from collections.abc import Iterator

from bench.records.compute_card import CardWork, ComputeCard, Offer
from bench.report.text import half_width, per_unit, rate
from bench.verdict.sentence import figures


def lines(card: ComputeCard) -> Iterator[str]:
    """What may not be trusted stands first."""
    if card.validity.status in ("invalid", "incomplete"):
        yield f"{card.validity.status.upper()}: the figures of this run are not to be relied on"
    device, run = card.device, card.run
    limit = "unknown" if device.power_limit_w is None else f"{device.power_limit_w:.0f} W"
    yield f"Compute card (unsigned) of run {run.run_id}, {run.started_at}, grade {run.grade}"
    yield f"Device: {device.name} ({device.kind}), power limit {limit}"
    yield f"Terms: {', '.join(_terms(card.offer))}"
    for work in card.workloads:
        yield f"{_named(work)}: {', '.join(_figures(work))}"
    codes = ", ".join(dict.fromkeys(code.name for code in card.validity.codes))
    yield f"Run: {card.validity.status}{f' ({codes})' if codes else ''}"
    telemetry = card.telemetry
    digest = telemetry.sha256 or telemetry.reasons["sha256"]
    told = {
        "verified": "is that journal's, and the figures follow from it",
        "absent": "is what the record states: the journal is not beside it",
    }[telemetry.status]
    yield f"Telemetry: {telemetry.journal}, sha256 {digest}: {told}"


def _terms(offer: Offer) -> Iterator[str]:
    why = offer.reasons
    price, share = offer.price_usd_per_device_hour, offer.utilisation
    yield (
        f"price {why['price_usd_per_device_hour']}"
        if price is None
        else (f"${figures(price)} a device-hour")
    )
    yield f"term {why['lease_term'] if offer.lease_term is None else offer.lease_term}"
    yield f"utilisation {why['utilisation'] if share is None else f'{100 * share:g} %'}"


def _named(work: CardWork) -> str:
    rows = None if work.concurrency is None else f"b{work.concurrency}"
    parts = (work.name, work.model, work.precision, work.tier or work.backend, rows)
    return " ".join(part for part in parts if part)


def _figures(work: CardWork) -> Iterator[str]:
    speed, energy = work.units_per_s, work.energy
    yield (
        work.reasons["units_per_s"]
        if speed is None
        else (f"{rate(speed.mid, work.unit)} {half_width(speed)}")
    )
    joules = energy.joules_per_unit
    yield (
        f"joules: {energy.reasons['joules_per_unit']}"
        if joules is None
        else (
            f"{per_unit(joules.mid, work.unit)} {half_width(joules)} ({energy.boundary},"
            f" {energy.source})"
        )
    )
    if work.slo is not None and work.slo.measured_s is not None:
        held = "within" if work.slo.met else "ABOVE"
        limit_ms, p99_ms = 1e3 * work.slo.limit_s, 1e3 * work.slo.measured_s
        yield f"TPOT p99 {figures(p99_ms)} ms {held} {limit_ms:g} ms"
    if work.usd_per_mtok is not None:
        yield f"${figures(work.usd_per_mtok)} a million tokens"
