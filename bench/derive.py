"""Journal to figures in one call, the same for a run just ended and one read years later. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from bench.ledger import Book, idle_power, metrics, open_book, windows
from bench.plan import GRADES
from bench.records.journal import Fact, JsonObject
from bench.records.run import (
    Check,
    DeviceFacts,
    GradeName,
    Idle,
    MeterFacts,
    Metrics,
    Validity,
    Verified,
    Window,
    WorkloadFacts,
    WorkloadRecord,
)
from bench.validity import Evidence, judge


@dataclass(frozen=True, slots=True)
class Raw:
    """What a run knows beside its journal. ``failures`` are (kind, text) by workload."""

    device: DeviceFacts
    meter: MeterFacts
    grade: GradeName
    workloads: tuple[WorkloadFacts, ...]
    checks: dict[str, tuple[Check, ...]]
    failures: dict[str, tuple[str, str]] = field(default_factory=dict)
    interrupted: bool = False


@dataclass(frozen=True, slots=True)
class Derived:
    """What follows from it."""

    idle: Idle
    workloads: tuple[WorkloadRecord, ...]
    validity: Validity


def derive(raw: Raw, facts: Sequence[Fact]) -> Derived:
    """Book the journal, draw each workload's figures, and judge whether they may be trusted."""
    book = open_book(facts)
    idle = idle_power(book, raw.meter)
    workloads = tuple(_workload(raw, book, idle, facts) for facts in raw.workloads)
    evidence = Evidence(
        raw.device,
        raw.meter,
        GRADES[raw.grade],
        book,
        idle,
        workloads,
        raw.failures,
        raw.interrupted,
    )
    return Derived(idle, workloads, judge(evidence))


def _workload(raw: Raw, book: Book, idle: Idle, facts: WorkloadFacts) -> WorkloadRecord:
    checks = raw.checks.get(facts.name, ())
    blocks = windows(book, facts.name, raw.meter)
    figures = metrics(blocks, raw.meter, raw.device, idle)
    return WorkloadRecord(
        name=facts.name,
        backend=facts.backend,
        tier=facts.tier,
        unit=facts.unit,
        config=facts.config,
        data_profile=facts.data_profile,
        verified=Verified(bool(checks) and all(check.passed for check in checks), checks),
        windows=blocks,
        metrics=_with_phases(figures, facts, book, blocks),
    )


def _with_phases(
    figures: Metrics, facts: WorkloadFacts, book: Book, blocks: tuple[Window, ...]
) -> Metrics:
    """Prefill and decode counted apart, and the latency that the workload took itself."""
    if facts.unit != "token":
        return figures
    return replace(
        figures,
        prefill=facts.details.get("prefill"),
        decode=_decode(blocks),
        tpot_s=_latency(book, facts.name),
    )


def _decode(blocks: tuple[Window, ...]) -> JsonObject | None:
    """Tokens generated in the measured blocks and the seconds they took."""
    if not blocks:
        return None
    tokens = math.fsum(block.units for block in blocks)
    seconds = math.fsum(block.end_s - block.start_s for block in blocks)
    return {"tokens": tokens, "seconds": seconds, "tokens_per_s": tokens / seconds}


def _latency(book: Book, workload: str) -> JsonObject | None:
    """Time per output token over the measured runs: the median of their percentiles, in s."""
    runs = [
        e.data for e in book.events if e.name == "step_latency" and e.data["workload"] == workload
    ]
    if not runs:
        return None
    percentiles = {
        name: statistics.median(run[f"{name}_s"] for run in runs) for name in ("p50", "p90", "p99")
    }
    return {**percentiles, "steps": sum(run["n"] for run in runs)}
