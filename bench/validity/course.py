"""How the run went: ended early, paused, too short, too few blocks, in what order."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterator

from bench.energy import held
from bench.records.journal import Span
from bench.records.run import Code
from bench.steadiness import settled, warm
from bench.validity.card import left_out
from bench.validity.evidence import (
    BOOKED,
    Evidence,
    Rule,
    fatal,
    graded,
    label,
    seconds,
    too_short,
)

MIN_BLOCKS = 8
ASLEEP_S = 0.1
"""Growth of BOOTTIME − MONOTONIC, which stands still unless the machine sleeps."""
CLOCK_APART_S = 5.0
FEW_SLOPES = 3


def _interrupted(e: Evidence) -> Iterator[Code]:
    if e.interrupted:
        yield label("INTERRUPTED", "stopped early; what was measured is kept: run again")


def _failed(e: Evidence) -> Iterator[Code]:
    begun = {w.name for w in e.workloads}
    for name, (kind, text) in e.failures.items():
        if kind == "unverified":
            continue
        said = f"{name} could not go on: {text}"
        lost = kind == "device" and e.device.kind == "gpu" and name in begun
        yield fatal("GPU_LOST", said) if lost else fatal("NO_DATA", said)


def _no_data(e: Evidence) -> Iterator[Code]:
    """A workload that ran and left no block; blocks left out for their heat are named elsewhere."""
    for w in e.workloads:
        ran = w.name not in e.failures and not e.interrupted
        if ran and not w.windows and not left_out(e, w):
            yield fatal("NO_DATA", f"{w.name}: no block could be booked; lengthen --window")


def _paused(e: Evidence) -> Iterator[Code]:
    offsets = [pair.boottime_s - pair.monotonic_s for pair in e.book.clocks]
    if offsets and max(offsets) - min(offsets) > ASLEEP_S:
        yield fatal("PAUSED", "the machine slept during the run; run again")


def _clock(e: Evidence) -> Iterator[Code]:
    """Two clocks that run at different rates: device and host, monotonic and wall.

    A wall clock that is set once is no matter; the median of many slopes does not see it.
    """
    for w in e.workloads:
        timed = [t for t in e.events("device_time") if t.get("workload") == w.name]
        host_s = math.fsum(float(t.get("host_s", 0.0)) for t in timed)
        device_s = math.fsum(float(t.get("device_s", 0.0)) for t in timed)
        if host_s > 0 and abs(device_s / host_s - 1) > e.limits.timing:
            text = f"{w.name}: {device_s:.3f} s by the device's events, {host_s:.3f} s by the host"
            yield fatal("CLOCK", f"{text}: check the host's clock source")
    slopes = _wall_slopes(e)
    if len(slopes) >= FEW_SLOPES and abs(statistics.median(slopes)) > e.limits.timing:
        text = f"wall clock and monotonic clock part by {statistics.median(slopes):+.2%}"
        yield fatal("CLOCK", f"{text}: check the host's clock source")


def _wall_slopes(e: Evidence) -> list[float]:
    pairs = sorted(e.book.clocks, key=lambda pair: pair.monotonic_s)
    apart = pairs[:1]
    for pair in pairs:
        if pair.monotonic_s - apart[-1].monotonic_s >= CLOCK_APART_S:
            apart.append(pair)
    return [
        (b.realtime_s - a.realtime_s) / (b.monotonic_s - a.monotonic_s) - 1
        for a, b in itertools.pairwise(apart)
    ]


def _coverage(e: Evidence) -> Iterator[Code]:
    """Edges are moved inwards to marks and ticks; a block that shrinks by much did not run on."""
    for w in e.workloads:
        spans_s = math.fsum(
            span.end_s - span.start_s
            for span in e.book.blocks(w.name)
            if any(span.start_s <= x.start_s < span.end_s for x in w.windows)
        )
        if seconds(w) < BOOKED * spans_s:
            text = f"{w.name}: marks and readings cover {seconds(w):.3g} of {spans_s:.3g} s"
            yield graded(e, "COVERAGE", f"{text}; raise --window")


def _too_few_blocks(e: Evidence) -> Iterator[Code]:
    for w in e.workloads:
        if e.grade.ranked and not e.interrupted and 0 < len(w.windows) < MIN_BLOCKS:
            text = f"{w.name}: {len(w.windows)} blocks, {MIN_BLOCKS} needed; run again"
            yield graded(e, "TOO_FEW_BLOCKS", text)


def _order(e: Evidence) -> Iterator[Code]:
    """ABBA: each round of the workloads runs the other way round from the one before."""
    names = list(dict.fromkeys(span.workload for span in e.blocks()))
    if not e.grade.ranked or not e.whole or len(names) < 2:
        return
    order = [span.workload for span in e.blocks()]
    wanted = itertools.chain.from_iterable(
        names if turn % 2 == 0 else reversed(names) for turn in range(len(order))
    )
    if order != list(itertools.islice(wanted, len(order))):
        text = "the blocks were not in ABBA order, so a drift favours one workload; run again"
        yield graded(e, "ORDER", text)


def _short_window(e: Evidence) -> Iterator[Code]:
    for w in e.workloads:
        if too_short(e, w):
            text = f"{w.name}: {seconds(w):.0f} s measured, a rank needs {e.limits.window_s:.0f} s"
            yield label("SHORT_WINDOW", f"{text}: leave --window out or raise it")


def _not_warm(e: Evidence) -> Iterator[Code]:
    """Warm-up ends at its cap even when the device is still on its way; then this says so."""
    reason = warm(e.book) if e.grade.ranked else None
    if reason is not None:
        yield label("NOT_WARM", f"warm-up ended before the device was warm ({reason}): cool it")


def _not_steady(e: Evidence) -> Iterator[Code]:
    """Settled power after warm-up; for publication the temperature must stand still as well."""
    if not e.grade.ranked or not e.own_meter:
        return
    for span in (span for span in e.book.spans if span.phase == "steady"):
        reason = settled(e.book, span.start_s, span.end_s, e.meter.sensor)
        if reason is None and e.publish:
            reason = _heating(e, span)
        if reason is not None:
            text = f"{span.workload} after warm-up: {reason}; free the machine and run again"
            yield graded(e, "NOT_STEADY", text)


def _heating(e: Evidence, span: Span) -> str | None:
    """More than 1 °C in a minute since the same load's warm-up ended, or else within the span.

    Loads taken in turn heat differently, so that like is compared with like; one step of a
    thermometer of whole degrees is no change.
    """
    temperature = e.book.series.get("temperature_c")
    warmed_s = [s.end_s for s in e.book.of_phase("warmup", span.workload) if s.end_s < span.start_s]
    since_s = warmed_s[-1] if warmed_s else span.start_s
    before_c = held(temperature, since_s) if temperature is not None else None
    after_c = held(temperature, span.end_s) if temperature is not None else None
    if before_c is None or after_c is None:
        return None
    change_c, passed_s = abs(after_c - before_c), span.end_s - since_s
    if change_c <= max(1.0, passed_s / 60):
        return None
    return f"temperature moves by {change_c:.0f} °C in {passed_s:.0f} s"


def _unchecked(e: Evidence) -> Iterator[Code]:
    """What a ranked run should have shown and its journal does not hold."""
    if not e.grade.ranked or not e.own_meter or not e.whole:
        return
    phases = {span.phase for span in e.book.spans}
    missing = [f"the {phase} blocks" for phase in ("steady", "observer") if phase not in phases]
    if e.device.kind == "gpu":
        wanted = {"sm_clock_hz": "the SM clock", "temperature_c": "the temperature"}
        missing += [text for field, text in wanted.items() if field not in e.book.series]
        if e.publish and None in (e.device.power_limit_w, e.device.power_limit_default_w):
            missing.append("the power limits")
    if missing:
        text = f"not checked, for the journal holds none of it: {', '.join(missing)}"
        yield label("UNCHECKED", f"{text}; see bench doctor")


def _unranked(e: Evidence) -> Iterator[Code]:
    """What no table may rank, with every reason."""
    reasons = []
    if not e.grade.ranked:
        reasons.append(f"the {e.grade.name} grade is a first look: use --grade standard")
    if any(too_short(e, w) for w in e.workloads):
        reasons.append("measured too briefly: leave --window out or raise it")
    if e.meter.source in ("assumed", "sim") or e.meter.mismatch:
        reasons.append("the joules were not measured on this device")
    if e.device.mig or e.device.mps or e.device.vgpu:
        reasons.append("the device was shared or only a part of one")
    if any(w.config.get("simulator") for w in e.workloads):
        reasons.append("the kernel ran in a simulator")
    if reasons:
        yield label("UNRANKED", "; ".join(reasons))


RULES: tuple[Rule, ...] = (
    _interrupted,
    _failed,
    _no_data,
    _paused,
    _clock,
    _coverage,
    _too_few_blocks,
    _order,
    _short_window,
    _not_warm,
    _not_steady,
    _unchecked,
    _unranked,
)
