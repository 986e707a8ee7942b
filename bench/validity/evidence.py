"""What the codes look at, and what each grade allows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bench.book import Book
from bench.plan import Grade
from bench.records.journal import JsonObject, Span
from bench.records.run import Code, DeviceFacts, Idle, MeterFacts, WorkloadRecord

Slices = list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a grade wants and allows; shares and spreads are relative, temperatures in °C.

    ``window_s`` measured per workload; ``updates`` of the sensor in it; readings cover at least
    ``coverage`` of each block with no gap above ``gap_s``; ``spread`` of J/unit between blocks;
    ``throttled`` share of accepted time; SM ``clock_drift`` and ``heating_c`` between the first
    and the last quarter; ``margin_c`` below the temperature of slowdown; ``shares`` expected;
    ``disagreement`` of counter and integral; ``timing``, device against host seconds;
    ``observer``, throughput that sampling may cost.
    """

    window_s: float
    updates: int
    coverage: float
    gap_s: float
    spread: float
    throttled: float
    clock_drift: float
    heating_c: float
    margin_c: float
    shares: int
    disagreement: float
    timing: float
    observer: float


LIMITS = {
    "quick": Limits(
        window_s=0.0,
        updates=0,
        coverage=0.95,
        gap_s=1.0,
        spread=math.inf,
        throttled=0.01,
        clock_drift=math.inf,
        heating_c=math.inf,
        margin_c=-math.inf,
        shares=16_384,
        disagreement=0.03,
        timing=0.005,
        observer=math.inf,
    ),
    "standard": Limits(
        window_s=60.0,
        updates=500,
        coverage=0.95,
        gap_s=1.0,
        spread=0.03,
        throttled=0.005,
        clock_drift=0.03,
        heating_c=5.0,
        margin_c=5.0,
        shares=16_384,
        disagreement=0.03,
        timing=0.005,
        observer=0.01,
    ),
    "publish": Limits(
        window_s=600.0,
        updates=5000,
        coverage=0.99,
        gap_s=0.5,
        spread=0.01,
        throttled=0.0,
        clock_drift=0.01,
        heating_c=2.0,
        margin_c=5.0,
        shares=240_000,
        disagreement=0.015,
        timing=0.005,
        observer=0.005,
    ),
}
BOOKED = 0.8
"""Share of the time asked for that marks and ticks must cover: edges are moved inwards to them."""


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
    def publish(self) -> bool:
        """Whether the run is meant for publication."""
        return self.grade.name == "publish"

    @property
    def measured(self) -> bool:
        """Whether an instrument, real or simulated, read the power."""
        return self.meter.source not in ("none", "assumed")

    @property
    def own_meter(self) -> bool:
        """Whether the power that was read is that of the device that worked."""
        return self.measured and not self.meter.mismatch

    @property
    def whole(self) -> bool:
        """Whether the run came to its end with every workload."""
        return not self.interrupted and not self.failures

    def events(self, name: str) -> list[JsonObject]:
        """What the events of a name say, in time order."""
        return [event.data for event in self.book.events if event.name == name]

    def prepared(self, workload: str) -> JsonObject:
        """What the workload last said of itself; empty where the journal does not hold it."""
        said = [data for data in self.events("prepared") if data.get("name") == workload]
        return said[-1] if said else {}

    def blocks(self) -> list[Span]:
        """The measured blocks of all workloads."""
        return [span for span in self.book.spans if span.phase == "block"]


Rule = Callable[[Evidence], Iterator[Code]]


def fatal(name: str, text: str) -> Code:
    """A code that spoils the run."""
    return Code(name, text, True)


def label(name: str, text: str) -> Code:
    """A code that labels it."""
    return Code(name, text, False)


def graded(e: Evidence, name: str, text: str) -> Code:
    """A code of a ranked grade: fatal there, a label where no rank is asked for."""
    return Code(name, text, e.grade.ranked)


def published(e: Evidence, name: str, text: str) -> Code:
    """A code that only a run for publication cannot bear."""
    return Code(name, text, e.publish)


def seconds(w: WorkloadRecord) -> float:
    """Measured seconds of a workload."""
    return math.fsum(window.end_s - window.start_s for window in w.windows)


def too_short(e: Evidence, w: WorkloadRecord) -> bool:
    """Whether a whole run measured a workload for less than its grade wants."""
    whole = bool(w.windows) and not e.interrupted
    return e.grade.ranked and whole and seconds(w) < BOOKED * e.limits.window_s


def quarters(w: WorkloadRecord) -> tuple[Slices, Slices]:
    """First and last quarter of a workload's measured time, as (start, end) slices of it."""
    slices = [(window.start_s, window.end_s) for window in w.windows]
    quarter_s = seconds(w) / 4
    last = [(-end, -start) for start, end in _take(quarter_s, [(-b, -a) for a, b in slices[::-1]])]
    return _take(quarter_s, slices), last[::-1]


def _take(wanted_s: float, slices: Slices) -> Slices:
    """The first ``wanted_s`` seconds of consecutive slices."""
    taken: Slices = []
    for start, end in slices:
        if wanted_s <= 0:
            break
        taken.append((start, min(end, start + wanted_s)))
        wanted_s -= end - start
    return taken
