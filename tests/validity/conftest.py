"""One clean run of a card, and its parts changed one at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest

from bench.book import open_book
from bench.derive import Raw, derive_raw
from bench.plan import GRADES, block_order
from bench.records.journal import ClockPair, Event, Fact, Field, Progress, Sample, Span
from bench.records.run import (
    Calibration,
    Check,
    Code,
    DeviceFacts,
    GradeName,
    MeterFacts,
    SensorFacts,
    WorkloadFacts,
)
from bench.validity import Evidence, judge

CARD = DeviceFacts(
    kind="gpu",
    name="card",
    uuid="GPU-1",
    power_limit_w=700.0,
    power_limit_default_w=700.0,
    power_limit_max_w=700.0,
    sm_clock_max_hz=2e9,
    temperature_slowdown_c=90.0,
)
SENSOR = SensorFacts(update_s=0.1, window_s=0.1, lag_s=0.0, duty=1.0, scope="gpu", kind="full-duty")
CALIBRATION = Calibration(
    SENSOR, "power_instant_w", "2026-11-22T00:00:00Z", 0.01, 500.0, 1.0, device_uuid="GPU-1"
)
METER = MeterFacts(
    source="nvml-counter",
    name="nvml:0",
    scope="gpu",
    sensor=SENSOR,
    device_uuid="GPU-1",
    library={"path": "/usr/lib/libnvidia-ml.so.1", "sha256": "0" * 64, "standard_path": True},
    calibration=CALIBRATION,
)
HASH = WorkloadFacts("sha256d", "cupy", "hash", None, {}, None, {"w.py": "1"}, {"launch_s": 0.012})
TOKEN = WorkloadFacts("decode", "torch", "token", "T0", {}, None, {"w.py": "1"}, {"launch_s": 0.02})
CHECKS = {name: (Check("known answers", True, "8 of 8"),) for name in ("sha256d", "decode")}
WATTS = {None: 60.0, "sha256d": 600.0, "decode": 400.0}
RATES = {"sha256d": 1e6, "decode": 2e3}
SETTLE_S = 1.0
Journal = list[Fact]
Change = Callable[[Journal], Iterable[Fact]]


def schedule(block_s: float) -> list[tuple[Any, str | None, float, float | None]]:
    """(phase, workload, seconds, polling period) of a standard run."""
    blocks = block_order(("sha256d", "decode"), 10)
    return [
        ("idle", None, 20.0, None),
        ("warmup", "sha256d", 20.0, None),
        ("warmup", "decode", 20.0, None),
        ("steady", "sha256d", 15.0, None),
        *(("observer", "sha256d", 5.0, poll_s) for poll_s in (0.0, 1.0, 0.05)),
        *(("block", name, block_s, None) for name in blocks),
        ("idle", None, 20.0, None),
    ]


def clean(block_s: float = 6.0) -> Journal:
    """A run without blemish: ticks and readings (of the 0.1 s before) every 0.1 s, marks too."""
    facts: Journal = [
        Event(0.0, "opened", {"software": {"git": "c0ffee"}}),
        Event(0.0, "prepared", {"name": "sha256d", "sources": {"w.py": "1"}, "details": {}}),
        Event(0.0, "prepared", {"name": "decode", "sources": {"w.py": "1"}, "details": {}}),
        Event(0.5, "own_processes", {"pids": [11, 12]}),
        Event(0.6, "processes", {"pids": [11, 12], "graphics": []}),
        Sample(0.0, "temperature_c", 60.0),
        Sample(0.0, "sm_clock_hz", 1.8e9),
        Sample(0.0, "power_limit_w", 700.0),
        Sample(0.0, "ecc_uncorrected", 3.0),
        Sample(0.0, "throttle_thermal_s", 5.0),
        Sample(0.0, "throttle_power_s", 5.0),
    ]
    now_s, joules, before_w = 1.0, 0.0, WATTS[None]
    units = dict.fromkeys(RATES, 0.0)
    for phase, workload, seconds, poll_s in schedule(block_s):
        facts.append(Span(phase, workload, now_s + SETTLE_S, now_s + SETTLE_S + seconds, poll_s))
        for k in range(round((SETTLE_S + seconds) * 10)):
            t_s = now_s + k / 10
            if workload is not None:
                facts.append(
                    Progress(t_s, round(units[workload] + k / 10 * RATES[workload]), workload)
                )
            wave = 1 + 0.002 * math.sin(1.7 * k)
            seen_w = WATTS[workload] if k > 0 else before_w
            facts.append(Sample(t_s, "energy_j", joules + WATTS[workload] * k / 10))
            facts.append(Sample(t_s, "power_instant_w", seen_w * wave))
        now_s += SETTLE_S + seconds
        joules += WATTS[workload] * (SETTLE_S + seconds)
        before_w = WATTS[workload]
        if workload is not None:
            units[workload] += (SETTLE_S + seconds) * RATES[workload]
    facts += [ClockPair(t, t + 1e9, t + 5.0) for t in range(0, int(now_s), 5)]
    return [*facts, Event(now_s, "processes", {"pids": [11, 12], "graphics": []})]


class CleanRun:
    """The run, what it was of, and ways to judge it with something changed."""

    card, meter, sensor, calibration = CARD, METER, SENSOR, CALIBRATION
    hashing, decoding, checks, watts = HASH, TOKEN, CHECKS, WATTS
    make = staticmethod(clean)

    def __init__(self) -> None:
        self.clean = clean()
        blocks = [f for f in self.clean if isinstance(f, Span) and f.phase == "block"]
        self.first_s, self.last_s = blocks[0].start_s, blocks[-1].end_s
        self.middle_s = (self.first_s + self.last_s) / 2

    def judged(self, facts: Iterable[Fact] | None = None, **changes: Any) -> tuple[str, list[Code]]:
        """Status and codes of a journal, the clean one by default."""
        base = Raw(CARD, METER, "standard", (HASH, TOKEN), CHECKS)
        said = self.clean if facts is None else list(facts)
        validity = derive_raw(replace(base, **changes), said).validity
        return validity.status, list(validity.codes)

    def named(self, facts: Iterable[Fact] | None = None, **changes: Any) -> dict[str, bool]:
        """The codes of a run: name → fatal."""
        return {code.name: code.fatal for code in self.judged(facts, **changes)[1]}

    def readings(self, field: Field, change: Callable[[float, float], float]) -> Journal:
        """The clean run with every reading of a field changed: (s, value) → value."""
        return [
            replace(f, value=change(f.t_s, f.value))
            if isinstance(f, Sample) and f.field == field
            else f
            for f in self.clean
        ]

    def events(self, name: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Journal:
        """The clean run with the data of every event of a name changed."""
        return [
            replace(f, data=change(f.data)) if isinstance(f, Event) and f.name == name else f
            for f in self.clean
        ]

    def spans(self, change: Callable[[Span], Span | None]) -> Journal:
        """The clean run with its spans changed or, where None, taken out."""
        changed = (change(f) if isinstance(f, Span) else f for f in self.clean)
        return [f for f in changed if f is not None]

    def without(self, keep: Callable[[Any], bool]) -> Journal:
        """The facts of the clean run that are to be kept."""
        return [f for f in self.clean if keep(f)]

    def left(
        self, facts: Journal, kept: Callable[[int], bool], grade: GradeName = "standard"
    ) -> dict[str, bool]:
        """The codes when only some of sha256d's blocks were booked."""
        derived = derive_raw(Raw(CARD, METER, grade, (HASH, TOKEN), CHECKS), facts)
        first, second = derived.workloads
        windows = tuple(window for k, window in enumerate(first.windows) if kept(k))
        both = (replace(first, windows=windows), second)
        book = open_book(facts)
        evidence = Evidence(CARD, METER, GRADES[grade], book, derived.idle, both, {})
        return {code.name: code.fatal for code in judge(evidence).codes}


@pytest.fixture(scope="session")
def run() -> CleanRun:
    return CleanRun()
