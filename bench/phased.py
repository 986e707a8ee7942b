"""What a token workload says apart: its phases under the same meter, its latencies. Pure.

Prefill and decode are measured each alone, in blocks of their own; nothing is got by subtracting
one run from another.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

from bench.book import Book
from bench.ledger import metrics, phase_windows
from bench.records.journal import Event, JsonObject
from bench.records.run import DeviceFacts, Idle, MeterFacts, Metrics, Window, WorkloadFacts

PREFILL, DECODE = "prefill", "decode"
QUANTILES = ("p50", "p90", "p99")
NOT_METERED = "timed once while it was prepared, under no meter"


@dataclass(frozen=True, slots=True)
class Measured:
    """Where figures are drawn from: the instruments, the journal, the workload's blocks."""

    device: DeviceFacts
    meter: MeterFacts
    idle: Idle
    book: Book
    blocks: tuple[Window, ...]


def with_phases(figures: Metrics, facts: WorkloadFacts, seen: Measured) -> Metrics:
    """The figures with prefill and decode counted apart, and the latencies the workload took.

    One that declares phases has them from blocks of each alone. Without, its blocks are of one
    phase: prompt tokens for the workload "prefill", generated ones for any other.
    """
    parts = facts.details.get("phases")
    if parts:
        found = {part: _phase(facts, part, seen) for part in parts}
        prefill, decode = found.get(PREFILL), found.get(DECODE)
    elif facts.name == PREFILL:
        prefill, decode = _whole(figures, seen.blocks), None
    else:
        prefill, decode = _timed(facts.details.get(PREFILL)), _whole(figures, seen.blocks)
    return replace(
        _with_latencies(figures, facts, seen.book),
        prefill=prefill,
        decode=decode,
        phases_over_whole=_over_whole(figures, facts, prefill, decode),
    )


def _phase(facts: WorkloadFacts, part: str, seen: Measured) -> JsonObject | None:
    """Tokens, seconds and joules of the stretches in which the phase ran alone."""
    full_hz = seen.device.sm_clock_max_hz
    blocks = phase_windows(seen.book, facts.name, part, seen.meter, full_hz=full_hz)
    found = metrics(
        blocks,
        seen.meter,
        seen.device,
        seen.idle,
        book=seen.book,
        launch_s=facts.details.get("launch_s"),
    )
    return _whole(found, blocks)


def _whole(figures: Metrics, blocks: tuple[Window, ...]) -> JsonObject | None:
    """Blocks of a single phase: null where there are none."""
    if not blocks:
        return None
    tokens = math.fsum(block.units for block in blocks)
    seconds = math.fsum(block.end_s - block.start_s for block in blocks)
    joules = figures.joules_per_unit
    return {
        "tokens": tokens,
        "seconds": seconds,
        "tokens_per_s": tokens / seconds,
        "joules_per_token": None if joules is None else asdict(joules),
        "reason": figures.reason if joules is None else None,
    }


def _timed(prefill: JsonObject | None) -> JsonObject | None:
    """What a workload says of the prefill it made while it was prepared."""
    if prefill is None:
        return None
    return {"joules_per_token": None, "reason": NOT_METERED, **prefill}


def _over_whole(
    figures: Metrics, facts: WorkloadFacts, prefill: JsonObject | None, decode: JsonObject | None
) -> float | None:
    """(J_prefill·P/O + J_decode) / J(mix), which is 1 where the phases add up to the mix."""
    mix, whole = facts.config.get("mix"), figures.joules_per_unit
    known = [(each or {}).get("joules_per_token") for each in (prefill, decode)]
    if not mix or whole is None or whole.mid <= 0 or None in known:
        return None
    inward, outward = (each["mid"] for each in known if each is not None)
    per_output = mix["in_tokens"] / mix["out_tokens"]
    return float((inward * per_output + outward) / whole.mid)


def _with_latencies(figures: Metrics, facts: WorkloadFacts, book: Book) -> Metrics:
    """From requests where the workload serves them; the time between tokens is then its own."""
    steps = [event.data for event in _mixed(facts, book, "step_latency")]
    requests = [event.data for event in _mixed(facts, book, "request_latency")]
    between = _latency(steps, "steps")
    if not requests:
        return replace(figures, tpot_s=between)
    return replace(
        figures,
        ttft_s=_latency([each["ttft"] for each in requests], "requests"),
        tpot_s=_latency([each["tpot"] for each in requests], "requests"),
        itl_s=between,
    )


def _latency(runs: list[JsonObject], counted: str) -> JsonObject | None:
    """Seconds over the measured runs: the median of their percentiles, and how many there were.

    A run in which no request ended says nothing.
    """
    runs = [run for run in runs if run["n"]]
    if not runs:
        return None
    percentiles = {name: statistics.median(run[f"{name}_s"] for run in runs) for name in QUANTILES}
    return {**percentiles, counted: sum(run["n"] for run in runs)}


def _mixed(facts: WorkloadFacts, book: Book, name: str) -> Iterator[Event]:
    """What the workload reported of runs of all it does, not of one phase alone."""
    spans = sorted(
        (span for span in book.spans if span.workload == facts.name), key=lambda s: s.start_s
    )
    for event in book.events:
        if event.name != name or event.data["workload"] != facts.name:
            continue
        begun = [span for span in spans if span.start_s <= event.t_s]
        if not begun or begun[-1].phase != "phase":
            yield event
