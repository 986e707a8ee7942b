"""How well the sensor was looked at: often enough, without gaps, not in step, at what cost."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from bench.book import power_series
from bench.energy import Array, Series
from bench.phases import EQUAL, GOLDEN, blind, unevenness
from bench.records.journal import Span
from bench.records.run import Code, SensorFacts, WorkloadRecord
from bench.stats import coefficient_of_variation
from bench.validity.evidence import Evidence, Rule, fatal, graded, label, seconds, too_short

UNEVEN = 0.02
"""Unevenness of the phases seen from which on it is worth a word."""
IN_STEP = 0.02
RATIOS = sorted({Fraction(p, q) for q in (1, 2, 3) for p in (1, 2, 3, 4)})
"""Launch period over update period at which few phases recur: simple fractions."""
STANDING = 20
"""Updates in a row that a live sensor never lets pass unchanged."""
STANDING_S = 2.0
"""The same where the update period is not known: twenty of the usual 100 ms."""
HOLD = 3.0
USUAL_S = 0.1
"""A reading stands for at most three periods of the sensor, or of the usual one, 100 ms."""
SIGMAS = 3.0


def _gaps(e: Evidence) -> Iterator[Code]:
    """The first workload with a silence in a block, or with too little of its time read."""
    if not e.measured:
        return
    readings = power_series(e.book) or e.book.series.get("energy_j") or Series.of([])
    for w in e.workloads:
        spans = e.book.blocks(w.name)
        gaps = [_gaps_within(readings, span) for span in spans]
        gap_s = max((float(np.max(each)) for each in gaps), default=0.0)
        share = _covered(e, np.concatenate(gaps)) if gaps else 1.0
        if gap_s > e.limits.gap_s:
            text = f"no reading for {gap_s:.1f} s of a {w.name} block"
        elif share < e.limits.coverage:
            text = f"readings cover {share:.0%} of the {w.name} blocks"
        else:
            continue
        yield fatal("SAMPLING_GAPS", f"{text}; run on an idle host")
        return


def _gaps_within(readings: Series, span: Span) -> Array:
    """Seconds between one reading and the next, the edges of the span counted as readings."""
    inside = readings.between(span.start_s, span.end_s)
    return np.diff(np.concatenate(([span.start_s], inside.t_s, [span.end_s])))


def _covered(e: Evidence, gaps_s: Array) -> float:
    """Share of the blocks in which a reading was fresh: no older than a few usual gaps."""
    sensor = e.meter.sensor or SensorFacts()
    periods_s = (USUAL_S, sensor.update_s or 0.0, sensor.counter_tick_s or 0.0)
    hold_s = HOLD * max(float(np.median(gaps_s)), *periods_s)
    whole_s = float(np.sum(gaps_s))
    return float(np.sum(np.minimum(gaps_s, hold_s))) / whole_s if whole_s > 0 else 1.0


def _few_updates(e: Evidence) -> Iterator[Code]:
    for w in e.workloads:
        found = _updates(e, w)
        if found is not None and e.grade.ranked and w.windows and found < e.limits.updates:
            text = f"{w.name}: {found} readings of the register, {e.limits.updates} needed"
            code = graded(e, "FEW_UPDATES", f"{text}: raise --window")
            yield label("FEW_UPDATES", code.text) if too_short(e, w) else code


def _updates(e: Evidence, w: WorkloadRecord) -> int | None:
    """How often the sensor said something new in the measured time; None without one.

    Of a counter every change is an update; power may repeat itself, so that time over the update
    period is taken where that is known.
    """
    counted = all(x.counter_j is not None for x in w.windows)
    ticks, power = e.book.ticks, power_series(e.book)
    update_s = e.meter.sensor.update_s if e.meter.sensor is not None else None
    if not e.measured or (ticks is None and power is None):
        return None
    if ticks is not None and counted:
        return sum(_changes(ticks.series, x.start_s, x.end_s) for x in w.windows)
    if update_s:
        return int(seconds(w) / update_s)
    return sum(_changes(power, x.start_s, x.end_s) for x in w.windows) if power else 0


def _changes(series: Series, start_s: float, end_s: float) -> int:
    return int(np.count_nonzero(np.diff(series.between(start_s, end_s).value)))


def _frozen(e: Evidence) -> Iterator[Code]:
    """A live sensor never says the same for long; one that rounds to whole watts may."""
    power = power_series(e.book)
    blocks = [power.between(s.start_s, s.end_s) for s in e.blocks()] if power is not None else []
    blocks = [readings for readings in blocks if len(readings) >= STANDING]
    if not blocks:
        return
    update_s = e.meter.sensor.update_s if e.meter.sensor is not None else None
    limit_s = STANDING * update_s if update_s else STANDING_S
    stood = [_longest_standing(readings) for readings in blocks]
    rounded = all(bool(np.all(x.value == np.round(x.value))) for x in blocks)
    always = all(bool(np.ptp(readings.value) == 0) for readings in blocks)
    longest_s, watts = max(stood)
    if always:
        longest_s = math.fsum(seconds for seconds, _ in stood)
    if longest_s > limit_s and (always or not rounded):
        text = f"{watts:.1f} W in every reading for {longest_s:.1f} s under load"
        yield fatal("POWER_FROZEN", f"{text}: the sensor is stuck; reload the driver")


def _longest_standing(readings: Series) -> tuple[float, float]:
    """(seconds, watts) of the longest stretch without a change."""
    new = np.flatnonzero(np.diff(readings.value) != 0) + 1
    edges = np.concatenate(([0], new, [len(readings) - 1]))
    stood_s = np.diff(readings.t_s[edges])
    longest = int(np.argmax(stood_s))
    return float(stood_s[longest]), float(readings.value[edges[longest]])


def _aliased(e: Evidence) -> Iterator[Code]:
    """Updates and launches that keep step: the sensor sees some phases of the load too often."""
    for w in e.workloads if e.own_meter else ():
        launch_s = e.prepared(w.name).get("details", {}).get("launch_s")
        how = _in_phase(e, w, launch_s) if launch_s else None
        if how is not None:
            text = f"{w.name}: launches of {1e3 * launch_s:.1f} ms {how}"
            yield label("ALIASED", f"{text}: bench calibrate, so that launches are grouped apart")


def _in_phase(e: Evidence, w: WorkloadRecord, launch_s: float) -> str | None:
    """How the sensor sees launches unevenly, if it does, beyond what golden groups leave."""
    sensor = e.meter.sensor or SensorFacts()
    if sensor.update_s and sensor.window_s:
        seen = (sensor.update_s, sensor.window_s)
        uneven = unevenness(*seen, launch_s, seconds(w))
        best = unevenness(*seen, sensor.update_s * GOLDEN, seconds(w))
        if (blind(sensor) or 0.0) < EQUAL or uneven <= max(UNEVEN, 2 * best):
            return None
        return (
            f"are seen unevenly ({uneven:.1%}) by a sensor that looks at {1e3 * seen[1]:.0f} ms"
            f" every {1e3 * seen[0]:.1f} ms"
        )
    update_s = sensor.update_s or _usual_update_s(e)
    ratio = in_step(launch_s / update_s) if update_s else None
    if update_s is None or ratio is None:
        return None
    return f"keep step ({ratio}) with a sensor of {1e3 * update_s:.1f} ms that is not characterised"


def in_step(ratio: float) -> Fraction | None:
    """The simple fraction that a ratio of periods is within 2 % of, if any."""
    return next((f for f in RATIOS if abs(ratio / float(f) - 1) <= IN_STEP), None)


def _usual_update_s(e: Evidence) -> float | None:
    """Median distance of changes: a fair guess at the update period of a sensor not known."""
    power = power_series(e.book)
    if power is None:
        return None
    gaps = []
    for span in e.blocks():
        inside = power.between(span.start_s, span.end_s)
        gaps.append(np.diff(inside.t_s[1:][np.diff(inside.value) != 0]))
    every = np.concatenate(gaps) if gaps else np.empty(0)
    return float(np.median(every)) if len(every) else None


def _observer(e: Evidence) -> Iterator[Code]:
    """Throughput with sampling against none, beyond what blocks differ by anyway."""
    if not e.grade.ranked:
        return
    for w in e.workloads:
        watched = e.book.of_phase("observer", w.name)
        rates = {span.poll_s: _rate(e, span) for span in watched}
        alone = rates.pop(0.0, None)
        seen = [rate for rate in rates.values() if rate is not None]
        if not alone or not seen:
            continue
        cost = 1 - min(seen) / alone
        blocks = [x.units / (x.end_s - x.start_s) for x in w.windows if x.end_s > x.start_s]
        noise = math.sqrt(2) * (coefficient_of_variation(blocks) or 0.0)
        if cost - SIGMAS * noise > e.limits.observer:
            text = f"{w.name}: sampling costs {cost:.1%} of its throughput"
            yield graded(e, "OBSERVER", f"{text}: leave the sampler a core of its own")


def _rate(e: Evidence, span: Span) -> float | None:
    """Units per second between the first and the last mark of a span."""
    marks = e.book.progress.get(str(span.workload))
    inside = marks.between(span.start_s, span.end_s) if marks is not None else Series.of([])
    if len(inside) < 2:
        return None
    return float((inside.value[-1] - inside.value[0]) / (inside.t_s[-1] - inside.t_s[0]))


RULES: tuple[Rule, ...] = (_gaps, _few_updates, _frozen, _aliased, _observer)
