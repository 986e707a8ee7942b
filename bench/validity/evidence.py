"""What the codes look at, and what each grade allows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bench.ledger import Book
from bench.plan import Grade
from bench.records.run import Code, DeviceFacts, Idle, MeterFacts, WorkloadRecord


@dataclass(frozen=True, slots=True)
class Limits:
    """What a grade wants and allows: measured seconds per workload, largest reading gap (s),
    spread between blocks, throttled share, counter against integral."""

    window_s: float
    gap_s: float
    spread: float
    throttled: float
    disagreement: float


LIMITS = {
    "quick": Limits(0.0, 1.0, math.inf, 0.01, 0.03),
    "standard": Limits(60.0, 1.0, 0.03, 0.005, 0.03),
    "publish": Limits(600.0, 0.5, 0.01, 0.0, 0.015),
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that the codes look at. ``failures`` maps a workload that could not finish to why."""

    device: DeviceFacts
    meter: MeterFacts
    grade: Grade
    book: Book
    idle: Idle
    workloads: tuple[WorkloadRecord, ...]
    failures: dict[str, tuple[str, str]]
    interrupted: bool = False

    @property
    def limits(self) -> Limits:
        """The grade's thresholds."""
        return LIMITS[self.grade.name]

    @property
    def measured(self) -> bool:
        """Whether an instrument, real or simulated, read the power."""
        return self.meter.source not in ("none", "assumed")


Rule = Callable[[Evidence], Iterator[Code]]


def fatal(name: str, text: str) -> Code:
    """A code that spoils the run."""
    return Code(name, text, True)


def label(name: str, text: str) -> Code:
    """A code that labels it."""
    return Code(name, text, False)
