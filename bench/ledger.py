"""The journal's facts to the figures of a record: windows, rates, joules. Pure.

Both workloads go through the same functions, so hash and token stand on one ledger.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from bench.energy import Series, counter_energy, held_energy, rise_between
from bench.records.journal import ClockPair, Event, Fact, Progress, Sample, Share, Span
from bench.records.run import (
    Boundary,
    DeviceFacts,
    Estimate,
    Idle,
    JoulesSource,
    MeterFacts,
    Metrics,
    Window,
)
from bench.stats import NORMAL_975, mean_interval, widen

GAIN_U = 0.066
"""Relative standard uncertainty of a board sensor's gain: RMS of the nine Turing-or-newer cards
metered in arXiv 2312.02741."""
OFFSET_U_W = 5 / math.sqrt(3)
"""Standard uncertainty of a sensor's offset in W: rectangular ±5 W."""
POWER_FIELDS = ("power_instant_w", "power_average_w", "power_w")
THROTTLES = ("throttle_thermal_s", "throttle_brake_s")


@dataclass(frozen=True, slots=True)
class Book:
    """A journal sorted by what it speaks of."""

    series: dict[str, Series]
    progress: dict[str, Series]
    spans: tuple[Span, ...]
    shares: tuple[Share, ...]
    clocks: tuple[ClockPair, ...]
    events: tuple[Event, ...]

    def blocks(self, workload: str) -> list[Span]:
        """The workload's measured blocks in time order."""
        return [s for s in self.spans if s.phase == "block" and s.workload == workload]


def open_book(facts: Iterable[Fact]) -> Book:
    """Sort a journal."""
    samples: dict[str, list[tuple[float, float]]] = defaultdict(list)
    progress: dict[str, list[tuple[float, float]]] = defaultdict(list)
    spans, shares, clocks, events = [], [], [], []
    for fact in facts:
        match fact:
            case Sample():
                samples[fact.field].append((fact.t_s, fact.value))
            case Progress():
                progress[fact.workload].append((fact.t_s, float(fact.units)))
            case Span():
                spans.append(fact)
            case Share():
                shares.append(fact)
            case ClockPair():
                clocks.append(fact)
            case Event():
                events.append(fact)
    return Book(
        {name: Series.of(points) for name, points in samples.items()},
        {name: Series.of(points) for name, points in progress.items()},
        tuple(spans),
        tuple(shares),
        tuple(clocks),
        tuple(events),
    )


def window(book: Book, span: Span, meter: MeterFacts) -> Window | None:
    """One block as the record keeps it, edges moved inwards to where energy and work are known.

    With a counter the edges are its ticks and work is interpolated between marks; without, they
    are marks, so that the count is exact. None when the block holds no two such edges.
    """
    marks = book.progress.get(str(span.workload))
    if marks is None:
        return None
    inside = marks.between(span.start_s, span.end_s)
    if len(inside) < 2:
        return None
    start_s, end_s = float(inside.t_s[0]), float(inside.t_s[-1])
    ticks = book.series.get("energy_j")
    counted = counter_energy(ticks, start_s, end_s) if ticks is not None else None
    if counted is not None:
        start_s, end_s = counted.start_s, counted.end_s
    first, last = marks.at(start_s), marks.at(end_s)
    if first is None or last is None or end_s <= start_s:
        return None
    return Window(
        start_s,
        end_s,
        last - first,
        counted.joules if counted else None,
        _integral_j(book, start_s, end_s, meter),
        _throttled_s(book, start_s, end_s),
    )


def windows(book: Book, workload: str, meter: MeterFacts) -> tuple[Window, ...]:
    """Every block of the workload that could be booked."""
    found = (window(book, span, meter) for span in book.blocks(workload))
    return tuple(w for w in found if w is not None)


def metrics(
    blocks: tuple[Window, ...], meter: MeterFacts, device: DeviceFacts, idle: Idle
) -> Metrics:
    """Rates and joules of one workload with their intervals; what is unknown is None."""
    rates = [w.units / (w.end_s - w.start_s) for w in blocks]
    joules = [joules_of(w, meter) for w in blocks]
    known = [j for j in joules if j is not None]
    complete = bool(known) and len(known) == len(blocks)
    base = Metrics(
        units_per_s=mean_interval(rates),
        watts=None,
        boundary=boundary(device),
        joules_per_unit=None,
        joules_per_unit_absolute=None,
        joules_per_unit_net=None,
        joules_source="unavailable",
        reason=_missing(meter, blocks, complete),
    )
    if not complete or len(blocks) < 2 or any(w.units <= 0 for w in blocks):
        return base
    per_unit = mean_interval([j / w.units for j, w in zip(known, blocks, strict=True)])
    watts = mean_interval([j / (w.end_s - w.start_s) for j, w in zip(known, blocks, strict=True)])
    return Metrics(
        units_per_s=base.units_per_s,
        watts=watts,
        boundary=base.boundary,
        joules_per_unit=per_unit,
        joules_per_unit_absolute=_absolute(per_unit, watts, meter),
        joules_per_unit_net=_net(known, blocks, idle),
        joules_source=_source(meter, blocks),
        reason=_missing_absolute(meter),
    )


def idle_power(book: Book, meter: MeterFacts) -> Idle:
    """Mean power of the idle spans; the interval is over their quarters."""
    if meter.source in ("none", "assumed"):
        return Idle(None, meter.reason or "no instrument read the power")
    parts = []
    for span in (s for s in book.spans if s.phase == "idle"):
        quarter = (span.end_s - span.start_s) / 4
        for k in range(4):
            watts = _mean_power(book, span.start_s + k * quarter, span.start_s + (k + 1) * quarter)
            parts += [] if watts is None else [watts]
    found = mean_interval(parts)
    return Idle(found, None if found else "no reading fell into an idle stretch")


def joules_of(w: Window, meter: MeterFacts) -> float | None:
    """Joules of one block: the counter where there is one, else the integral, else assumed."""
    if meter.constant_w is not None:
        return meter.constant_w * (w.end_s - w.start_s)
    return w.counter_j if w.counter_j is not None else w.integral_j


def boundary(device: DeviceFacts) -> Boundary:
    """Where this device's joules are counted: a processor's package, a card's board."""
    return "package" if device.kind == "cpu" else "board"


def power_series(book: Book) -> Series | None:
    """The polled power that says most: instant, else average, else the power-usage reading."""
    for name in POWER_FIELDS:
        if name in book.series:
            return book.series[name]
    return None


def _integral_j(book: Book, start_s: float, end_s: float, meter: MeterFacts) -> float | None:
    power = power_series(book)
    if power is None:
        return None
    lag_s = (meter.sensor.lag_s or 0.0) if meter.sensor else 0.0
    return held_energy(power, start_s, end_s, lag_s)


def _throttled_s(book: Book, start_s: float, end_s: float) -> float | None:
    series = (book.series[name] for name in THROTTLES if name in book.series)
    rises = [rise_between(each, start_s, end_s) for each in series]
    known = [rise for rise in rises if rise is not None]
    return math.fsum(known) if known else None


def _mean_power(book: Book, start_s: float, end_s: float) -> float | None:
    ticks = book.series.get("energy_j")
    counted = counter_energy(ticks, start_s, end_s) if ticks is not None else None
    if counted is not None:
        return counted.joules / (counted.end_s - counted.start_s)
    power = power_series(book)
    held = held_energy(power, start_s, end_s) if power is not None else None
    return None if held is None else held / (end_s - start_s)


def _absolute(
    per_unit: Estimate | None, watts: Estimate | None, meter: MeterFacts
) -> Estimate | None:
    """Repeatability widened by the sensor's own gain and offset; None where neither is known."""
    if per_unit is None or watts is None or meter.source not in _PRIORS:
        return None
    offset = OFFSET_U_W / watts.mid if watts.mid > 0 else 0.0
    gain = _PRIORS[meter.source]
    return widen(per_unit, [per_unit.mid * gain, per_unit.mid * offset])


_PRIORS = dict.fromkeys(
    ("nvml-counter", "nvml-instant", "nvml-average", "nvml-power-usage", "sim"), GAIN_U
)


def _net(joules: list[float], blocks: tuple[Window, ...], idle: Idle) -> Estimate | None:
    """Joules per unit above idle; how well idle itself is known widens the interval."""
    if idle.watts is None:
        return None
    seconds_per_unit = [(w.end_s - w.start_s) / w.units for w in blocks]
    gross = [j / w.units for j, w in zip(joules, blocks, strict=True)]
    idle_w = idle.watts
    pairs = zip(gross, seconds_per_unit, strict=True)
    net = mean_interval([each - idle_w.mid * seconds for each, seconds in pairs])
    if net is None:
        return None
    mean_s = math.fsum(seconds_per_unit) / len(seconds_per_unit)
    return widen(net, [(idle_w.hi - idle_w.lo) / 2 / NORMAL_975 * mean_s])


def _source(meter: MeterFacts, blocks: tuple[Window, ...]) -> JoulesSource:
    named: dict[str, JoulesSource] = {
        "assumed": "assumed",
        "sim": "simulated",
        "replay": "replayed",
    }
    if meter.source in named:
        return named[meter.source]
    counted = all(w.counter_j is not None for w in blocks)
    return "measured-counter" if counted else "measured-polled"


def _missing(meter: MeterFacts, blocks: tuple[Window, ...], complete: bool) -> str | None:
    if not blocks:
        return "no block was measured"
    if meter.source == "none":
        return meter.reason
    if not complete:
        return "the meter gave no reading for at least one block"
    return "one block has no spread, so no interval" if len(blocks) == 1 else None


def _missing_absolute(meter: MeterFacts) -> str | None:
    if meter.source in _PRIORS:
        return None
    if meter.source == "assumed":
        return "the watts are assumed: how far they are off is not known, so no absolute interval"
    return f"no published gain error for {meter.source} on this device: no absolute interval"
