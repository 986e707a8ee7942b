"""The state of the device while it was measured: heat, clocks, limits, errors, strangers."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from bench.energy import held_mean, rise_between
from bench.ledger import slowed
from bench.records.journal import Span
from bench.records.run import Code, WorkloadRecord
from bench.validity.evidence import Evidence, Rule, fatal, graded, label, published, quarters

CAPPED = 0.01
"""Share of time at the power cap from which on it is worth a word."""
LIMIT_STEP_W = 1.0


def left_out(e: Evidence, w: WorkloadRecord) -> list[Span]:
    """The blocks of a workload that were slowed and therefore gave no window."""
    spans = e.book.blocks(w.name)
    booked = [x.start_s for x in w.windows]
    empty = [s for s in spans if not any(s.start_s <= t <= s.end_s for t in booked)]
    return [span for span in empty if slowed(e.book, span, e.device.sm_clock_max_hz)]


def _discarded(e: Evidence) -> Iterator[Code]:
    """Slowed blocks are left out, never in silence; with none left there is no result."""
    for w in e.workloads:
        lost, blocks = len(left_out(e, w)), len(e.book.blocks(w.name))
        if lost == 0:
            continue
        if not w.windows:
            yield fatal("THROTTLED", f"{w.name}: heat or power brake slowed every block; cool it")
        else:
            text = f"{w.name}: {lost} of {blocks} blocks left out, slowed by heat or power brake"
            yield label("DISCARDED", f"{text}; cool it")


def _throttled(e: Evidence) -> Iterator[Code]:
    for w in e.workloads:
        known = [x for x in w.windows if x.throttled_s is not None]
        seconds = math.fsum(x.end_s - x.start_s for x in known)
        share = math.fsum(x.throttled_s or 0.0 for x in known) / seconds if seconds else 0.0
        if share > e.limits.throttled:
            text = f"{w.name}: slowed by heat or power brake {share:.1%} of the time; cool it"
            yield fatal("THROTTLED", text)


def _capped(e: Evidence) -> Iterator[Code]:
    """Time at the power cap is normal for a heavy kernel: reported, never rejected."""
    counter = e.book.series.get("throttle_power_s")
    if counter is None:
        return
    for w in e.workloads:
        rises = [rise_between(counter, x.start_s, x.end_s) or 0.0 for x in w.windows]
        seconds = math.fsum(x.end_s - x.start_s for x in w.windows)
        share = math.fsum(rises) / seconds if seconds else 0.0
        if share > CAPPED:
            text = f"{w.name}: at the power cap {share:.0%} of the time; normal for heavy work"
            yield label("POWER_CAPPED", f"{text}, and the joules hold for this power limit alone")


def _clock_drift(e: Evidence) -> Iterator[Code]:
    clock = e.book.series.get("sm_clock_hz")
    if clock is None or not e.own_meter:
        return
    for w in e.workloads:
        first, last = (held_mean(clock, part) for part in quarters(w))
        if first and last is not None and abs(last / first - 1) > e.limits.clock_drift:
            text = f"{w.name}: the SM clock moved by {last / first - 1:+.1%} over the blocks"
            yield graded(e, "DRIFT", f"{text}; warm up longer or cool it")


def _heating(e: Evidence) -> Iterator[Code]:
    temperature = e.book.series.get("temperature_c")
    if temperature is None or not e.own_meter:
        return
    for w in e.workloads:
        first, last = (held_mean(temperature, part) for part in quarters(w))
        if first is None or last is None:
            continue
        if abs(last - first) > e.limits.heating_c:
            text = f"{w.name}: the temperature moved by {last - first:+.1f} °C over the blocks"
            yield graded(e, "DRIFT", f"{text}; warm up longer or cool it")


def _margin(e: Evidence) -> Iterator[Code]:
    """Distance to the temperature at which the device slows down, where it tells that."""
    slowdown_c, temperature = e.device.temperature_slowdown_c, e.book.series.get("temperature_c")
    if slowdown_c is None or temperature is None or not e.own_meter:
        return
    seen = [temperature.between(span.start_s, span.end_s).value for span in e.blocks()]
    hottest_c = max((float(np.max(values)) for values in seen if len(values)), default=-math.inf)
    if slowdown_c - hottest_c < e.limits.margin_c:
        text = f"{hottest_c:.0f} °C, and the card slows down at {slowdown_c:.0f} °C"
        yield graded(e, "DRIFT", f"{text}: cool it")


def _power_limit(e: Evidence) -> Iterator[Code]:
    limits = e.book.series.get("power_limit_w")
    if limits is not None and float(np.ptp(limits.value)) > LIMIT_STEP_W:
        yield fatal("LIMIT_CHANGED", "the power limit changed during the run; leave it alone")
    now, default = e.device.power_limit_w, e.device.power_limit_default_w
    if now is not None and default is not None and abs(now - default) > LIMIT_STEP_W:
        text = f"the power limit is {now:.0f} W, the card's default {default:.0f} W"
        yield published(e, "LIMIT_NOT_DEFAULT", f"{text}: the joules hold for this limit alone")


def _errors(e: Evidence) -> Iterator[Code]:
    xids = sorted({str(data.get("code")) for data in e.events("xid")})
    if xids:
        text = f"the driver reported Xid {', '.join(xids)}"
        yield fatal("XID", f"{text}: look it up in NVIDIA's Xid list, mend it, run again")
    errors = e.book.series.get("ecc_uncorrected")
    if errors is not None and float(np.ptp(errors.value)) > 0:
        text = f"{float(np.ptp(errors.value)):.0f} uncorrectable memory errors during the run"
        yield fatal("ECC", f"{text}: its results cannot be trusted; replace or retire the memory")


RULES: tuple[Rule, ...] = (
    _discarded,
    _throttled,
    _capped,
    _clock_drift,
    _heating,
    _margin,
    _power_limit,
    _errors,
)
