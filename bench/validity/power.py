"""What the instrument said: joules that fall, disagree, cannot be, or do not follow the load."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from bench.book import power_series
from bench.energy import counter_energy, held_energy, hold_shift_s, updates
from bench.ledger import joules_of
from bench.records.journal import Phase
from bench.records.run import Code
from bench.stats import coefficient_of_variation
from bench.validity.evidence import Evidence, Rule, fatal, graded, label

RATIO = 0.02
"""How far counter over integral may be from 1 under steady load."""
OVER_LIMIT = 1.3


def _counter(e: Evidence) -> Iterator[Code]:
    """A counter that fell: what it lost is filled in or left out, and never a negative joule."""
    kinds = [fall.kind for fall in e.book.falls]
    if "wrap" in kinds:
        yield label("COUNTER_WRAP", "the energy counter ran over and went on from 0: made good")
    if "reset" in kinds:
        text = "the energy counter began anew: polled power stands in where it can"
        yield label("COUNTER_RESET", f"{text}; leave the driver loaded (persistence mode)")


def _disagreement(e: Evidence) -> Iterator[Code]:
    """Two instruments on the same windows: each workload's, and the run as a whole."""
    for w in e.workloads:
        both = [
            (x.counter_j, x.integral_j)
            for x in w.windows
            if x.counter_j is not None and x.integral_j is not None
        ]
        yield from _apart(e, w.name, both)
    yield from _apart(e, "the whole run", _both(e, ("idle", "warmup", "steady", "block")))


def _apart(e: Evidence, what: str, both: list[tuple[float, float]]) -> Iterator[Code]:
    counted = math.fsum(counter for counter, _ in both)
    polled = math.fsum(integral for _, integral in both)
    if counted > 0 and abs(polled / counted - 1) > e.limits.disagreement:
        text = f"{what}: counter {counted:.0f} J, polled {polled:.0f} J over the same time"
        yield fatal("ENERGY_DISAGREE", f"{text}; neither is trusted: bench calibrate, new driver")


def _both(e: Evidence, phases: tuple[Phase, ...]) -> list[tuple[float, float]]:
    """(counter J, integral J) of every span of some phases, between the same two ticks."""
    ticks, power = e.book.ticks, power_series(e.book)
    if ticks is None or power is None:
        return []
    seen = updates(power, e.meter.sensor.update_s if e.meter.sensor is not None else None)
    shift_s = hold_shift_s(e.meter.sensor)
    both = []
    for span in (span for span in e.book.spans if span.phase in phases):
        counted = counter_energy(ticks.series, span.start_s, span.end_s)
        if counted is None:
            continue
        polled = held_energy(seen, counted.start_s, counted.end_s, shift_s)
        both += [] if polled is None else [(counted.joules, polled)]
    return both


def _ratio(e: Evidence) -> Iterator[Code]:
    """Under steady load two instruments of one card have no excuse to differ."""
    both = _both(e, ("steady",))
    polled = math.fsum(integral for _, integral in both)
    if polled <= 0 or not e.own_meter:
        return
    steady = math.fsum(counter for counter, _ in both) / polled
    if abs(steady - 1) > RATIO:
        known = e.meter.calibration.counter_ratio if e.meter.calibration is not None else None
        against = "" if known is None else f", {known:.3f} under changing load"
        text = f"counter over readings is {steady:.3f} under steady load{against}"
        yield label("COUNTER_RATIO", f"{text}: the absolute interval is wider; bench calibrate")


def _power_range(e: Evidence) -> Iterator[Code]:
    power = power_series(e.book)
    if power is None or len(power) == 0:
        return
    limit = e.device.power_limit_max_w or e.device.power_limit_w
    limit = None if e.meter.mismatch else limit
    least, most = float(np.min(power.value)), float(np.max(power.value))
    if least <= 0 or (limit is not None and most > OVER_LIMIT * limit):
        bound = f", limit {limit:.0f} W" if limit is not None else ""
        text = f"readings from {least:.1f} to {most:.1f} W{bound}"
        yield fatal("POWER_OUT_OF_RANGE", f"{text}: the sensor is wrong; reload the driver")


def _not_loaded(e: Evidence) -> Iterator[Code]:
    idle = e.idle.watts
    for w in e.workloads:
        watts = w.metrics.watts
        if e.measured and idle is not None and watts is not None and watts.mid <= idle.hi:
            text = f"{w.name}: {watts.mid:.0f} W under load, {idle.mid:.0f} W idle"
            yield label("NOT_LOADED", f"{text}: is it this device?")


def _spread(e: Evidence) -> Iterator[Code]:
    for w in e.workloads:
        if w.metrics.joules_per_unit is None:
            continue
        joules = [(joules_of(x, e.meter) or 0.0) / x.units for x in w.windows if x.units > 0]
        spread = coefficient_of_variation(joules)
        if spread is not None and spread > e.limits.spread:
            text = f"{w.name}: blocks differ by {spread:.1%} in J/{w.unit}; quieten the machine"
            yield graded(e, "SPREAD", text)


RULES: tuple[Rule, ...] = (
    _counter,
    _disagreement,
    _ratio,
    _power_range,
    _not_loaded,
    _spread,
)
