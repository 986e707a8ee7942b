"""The instrument and what it said: no joules, wrong joules, joules of another device."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from bench.energy import Series, largest_gap_s
from bench.ledger import joules_of, power_series
from bench.records.run import Code
from bench.stats import coefficient_of_variation
from bench.validity.evidence import Evidence, Rule, fatal, label


def _meter_lost(e: Evidence) -> Iterator[Code]:
    """What the sampler said of itself, else that it was lost without a word."""
    troubles = [event.data for event in e.book.events if event.name == "meter_trouble"]
    lost = [event.data for event in e.book.events if event.name == "meter_lost"]
    for trouble in troubles or [{"code": "SAMPLER_HUNG", **data} for data in lost]:
        yield fatal(trouble["code"], f"the power meter: {trouble['text']}")


def _no_energy(e: Evidence) -> Iterator[Code]:
    if e.meter.source == "none":
        yield label("NO_ENERGY", f"no joules: {e.meter.reason}")
    elif e.meter.source == "assumed":
        text = f"the joules assume {e.meter.constant_w:g} W and were not measured; never rank them"
        yield label("ASSUMED_WATTS", text)


def _instrument(e: Evidence) -> Iterator[Code]:
    if e.device.kind == "sim" or e.meter.source == "sim":
        yield label("SIMULATED", "a simulated sensor: it proves the method, not a card")
    if e.meter.mismatch:
        text = (
            f"the joules are not this device's: {e.meter.name} reads another than {e.device.name}"
        )
        yield label("METER_MISMATCH", text)
    if e.meter.scope == "module":
        yield label("MODULE_SCOPE", "the sensor sees the whole module; compare with module scope")
    if e.meter.source.startswith("nvml") and not e.meter.mismatch:
        text = "the sensor's window, lag and gain were not characterised on this card"
        yield label("UNCALIBRATED", text)


def _library(e: Evidence) -> Iterator[Code]:
    library = e.meter.library or e.device.nvml_library
    if library is not None and (library.get("fake") or not library.get("standard_path", True)):
        yield label("FAKE_LIBRARY", f"NVML came from {library.get('path')}, no driver's folder")


def _counter(e: Evidence) -> Iterator[Code]:
    ticks = e.book.series.get("energy_j")
    if ticks is not None and bool(np.any(np.diff(ticks.value) < 0)):
        yield label("COUNTER_RESET", "the energy counter fell; its block uses polled power")


def _disagreement(e: Evidence) -> Iterator[Code]:
    for w in e.workloads:
        both = [x for x in w.windows if x.counter_j is not None and x.integral_j is not None]
        counted = math.fsum(x.counter_j or 0.0 for x in both)
        polled = math.fsum(x.integral_j or 0.0 for x in both)
        if counted > 0 and abs(polled / counted - 1) > e.limits.disagreement:
            text = f"{w.name}: counter {counted:.0f} J, polled {polled:.0f} J in the same windows"
            yield fatal("ENERGY_DISAGREE", text + "; neither is trusted")


def _power_range(e: Evidence) -> Iterator[Code]:
    power = power_series(e.book)
    if power is None or len(power) == 0:
        return
    limit = e.device.power_limit_max_w or e.device.power_limit_w
    worst = float(np.max(power.value))
    if float(np.min(power.value)) <= 0 or (limit is not None and worst > 1.3 * limit):
        bound = f", limit {limit:.0f} W" if limit is not None else ""
        text = f"readings from {float(np.min(power.value)):.1f} to {worst:.1f} W{bound}"
        yield fatal("POWER_OUT_OF_RANGE", text)


def _frozen(e: Evidence) -> Iterator[Code]:
    """A sensor that says the same in every reading of every block sees nothing."""
    power = power_series(e.book)
    blocks = [s for s in e.book.spans if s.phase == "block"]
    if power is None or not blocks:
        return
    seen = [power.between(span.start_s, span.end_s).value for span in blocks]
    if all(len(readings) >= 20 and np.ptp(readings) == 0 for readings in seen):
        text = f"{float(seen[0][0]):.1f} W in every reading of every block: the sensor is stuck"
        yield fatal("POWER_FROZEN", text)


def _not_loaded(e: Evidence) -> Iterator[Code]:
    idle = e.idle.watts
    for w in e.workloads:
        watts = w.metrics.watts
        if e.measured and idle is not None and watts is not None and watts.mid <= idle.hi:
            text = (
                f"{w.name}: {watts.mid:.0f} W under load, {idle.mid:.0f} W idle: is it this device?"
            )
            yield label("NOT_LOADED", text)


def _gaps(e: Evidence) -> Iterator[Code]:
    if not e.measured:
        return
    readings = power_series(e.book) or e.book.series.get("energy_j") or Series.of([])
    for span in (s for s in e.book.spans if s.phase == "block"):
        gap_s = largest_gap_s(readings, span.start_s, span.end_s)
        if gap_s > e.limits.gap_s:
            text = f"no reading for {gap_s:.1f} s of a {span.workload} block; run on an idle host"
            yield fatal("SAMPLING_GAPS", text)
            return


def _throttled(e: Evidence) -> Iterator[Code]:
    for w in e.workloads:
        known = [x for x in w.windows if x.throttled_s is not None]
        seconds = math.fsum(x.end_s - x.start_s for x in known)
        share = math.fsum(x.throttled_s or 0.0 for x in known) / seconds if seconds else 0.0
        if share > e.limits.throttled:
            text = f"{w.name}: slowed by heat or power brake {share:.1%} of the time; cool it"
            yield fatal("THROTTLED", text)


def _power_limit(e: Evidence) -> Iterator[Code]:
    limits = e.book.series.get("power_limit_w")
    if limits is not None and float(np.ptp(limits.value)) > 1.0:
        yield fatal("LIMIT_CHANGED", "the power limit changed during the run; leave it alone")
    now, default = e.device.power_limit_w, e.device.power_limit_default_w
    if now is not None and default is not None and abs(now - default) > 1.0:
        text = f"the power limit is {now:.0f} W, the card's default {default:.0f} W"
        yield label("LIMIT_NOT_DEFAULT", text)


def _spread(e: Evidence) -> Iterator[Code]:
    for w in e.workloads:
        if w.metrics.joules_per_unit is None:
            continue
        joules = [(joules_of(x, e.meter) or 0.0) / x.units for x in w.windows]
        spread = coefficient_of_variation(joules)
        if spread is not None and spread > e.limits.spread:
            text = f"{w.name}: blocks differ by {spread:.1%} in J/{w.unit}; quieten the machine"
            yield fatal("SPREAD", text)


RULES: tuple[Rule, ...] = (
    _meter_lost,
    _no_energy,
    _instrument,
    _library,
    _counter,
    _disagreement,
    _power_range,
    _frozen,
    _not_loaded,
    _gaps,
    _throttled,
    _power_limit,
    _spread,
)
