"""The journal's facts to the figures of a record: windows, rates, joules. Pure.

Both workloads go through the same functions, so hash and token stand on one ledger.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bench.book import Book, power_field, power_series
from bench.budget import Absolute, absolute, aliasing, cross_check
from bench.energy import (
    CounterEnergy,
    counter_energy,
    held_energy,
    held_mean,
    hold_shift_s,
    rise_between,
    sharp_edges,
    updates,
)
from bench.records.journal import Span
from bench.records.run import (
    Boundary,
    DeviceFacts,
    Doubt,
    Estimate,
    Idle,
    JoulesSource,
    MeterFacts,
    Metrics,
    Window,
)
from bench.stats import NORMAL_975, series_interval, widen

HOST_FIELDS = ("host_energy_j", "dram_energy_j")
SLOWED = 0.01
LOW_CLOCK = 0.75
CAPPED = 0.5
"""A block does not count above this share of throttled time, or below this share of the clock
unless the power cap explains it for at least this share of the time."""
THROTTLES = ("throttle_thermal_s", "throttle_brake_s")
HOST_COVERAGE = 0.8
IDLE_PARTS = 4
AROUND_S = 5.0
"""How much more than a window is looked at to find the grid of a sensor's updates."""


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
    counted = _counted(book, start_s, end_s)
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


def windows(
    book: Book, workload: str, meter: MeterFacts, *, full_hz: float | None = None
) -> tuple[Window, ...]:
    """Every block of the workload that could be booked, but those that the card was slowed in."""
    return _booked(book, book.blocks(workload), meter, full_hz)


def phase_windows(
    book: Book, workload: str, part: str, meter: MeterFacts, *, full_hz: float | None = None
) -> tuple[Window, ...]:
    """The same of the stretches in which the workload ran one phase alone."""
    spans = [span for span in book.of_phase("phase", workload) if span.part == part]
    return _booked(book, spans, meter, full_hz)


def _booked(
    book: Book, spans: Sequence[Span], meter: MeterFacts, full_hz: float | None
) -> tuple[Window, ...]:
    kept = (span for span in spans if not slowed(book, span, full_hz))
    found = (window(book, span, meter) for span in kept)
    return tuple(w for w in found if w is not None)


def slowed(book: Book, span: Span, full_hz: float | None) -> bool:
    """Whether heat, a power brake or a low clock slowed a block so that it does not count.

    ``full_hz`` is the SM clock the card can run at. A low clock at the power cap is no slowing:
    heavy work runs so, and its joules are those of that power limit.
    """
    seconds = span.end_s - span.start_s
    if (_throttled_s(book, span.start_s, span.end_s) or 0.0) > SLOWED * seconds:
        return True
    clock, capped = book.series.get("sm_clock_hz"), book.series.get("throttle_power_s")
    mean_hz = held_mean(clock, [(span.start_s, span.end_s)]) if clock is not None else None
    if mean_hz is None or full_hz is None or mean_hz >= LOW_CLOCK * full_hz:
        return False
    capped_s = rise_between(capped, span.start_s, span.end_s) if capped is not None else None
    return (capped_s or 0.0) < CAPPED * seconds


def metrics(
    blocks: tuple[Window, ...],
    meter: MeterFacts,
    device: DeviceFacts,
    idle: Idle,
    *,
    book: Book | None = None,
    launch_s: float | None = None,
) -> Metrics:
    """Rates and joules of one workload with their intervals; what is unknown is None.

    ``blocks`` in time order. The ``book`` they were taken from tells how sharp their edges are,
    how far the power swings and what the host drew; ``launch_s`` is the workload's launch period.
    """
    joules = [joules_of(w, meter) for w in blocks]
    known = [j for j in joules if j is not None]
    complete = bool(known) and len(known) == len(blocks)
    base = Metrics(
        units_per_s=series_interval([w.units / (w.end_s - w.start_s) for w in blocks]),
        watts=None,
        boundary=boundary(device),
        joules_per_unit=None,
        joules_per_unit_absolute=None,
        joules_per_unit_net=None,
        joules_source="unavailable",
        reason=_missing(meter, blocks, complete),
        host_watts=None if book is None else _host_watts(book, blocks),
    )
    if not complete:
        return base
    if any(w.units <= 0 for w in blocks):
        return replace(base, reason="a block counted no work")
    per_unit = series_interval([j / w.units for j, w in zip(known, blocks, strict=True)])
    watts = series_interval([j / (w.end_s - w.start_s) for j, w in zip(known, blocks, strict=True)])
    if per_unit is None or watts is None:
        return base
    doubts = _doubts(blocks, meter, book, launch_s, swing(watts, device, idle, book))
    whole = absolute(per_unit, watts, _with_fitting_correction(meter, book, blocks), doubts)
    found = whole if isinstance(whole, Absolute) else None
    return replace(
        base,
        watts=watts,
        joules_per_unit=per_unit,
        joules_per_unit_absolute=found.estimate if found else None,
        joules_per_unit_net=_net(known, blocks, idle),
        joules_source=_source(meter, blocks),
        reason=whole if isinstance(whole, str) else None,
        budget=found.budget if found else (),
    )


def idle_power(book: Book, meter: MeterFacts) -> Idle:
    """Mean power of the idle spans, before the blocks and after; the interval is over quarters."""
    if meter.source in ("none", "assumed"):
        return Idle(None, meter.reason or "no instrument read the power")
    parts = []
    for span in book.of_phase("idle", None):
        edges = np.linspace(span.start_s, span.end_s, IDLE_PARTS + 1).tolist()
        for start_s, end_s in itertools.pairwise(edges):
            watts = _mean_power(book, start_s, end_s, meter)
            parts += [] if watts is None else [watts]
    found = series_interval(parts)
    if found is None:
        return Idle(None, "no reading fell into an idle stretch")
    return Idle(found, None, _corrected(found, meter))


def _corrected(watts: Estimate, meter: MeterFacts) -> Estimate | None:
    """Watts as the user's meter would show them; None where it never looked, or none are left."""
    if meter.correction is None or watts.mid <= meter.correction.offset_w:
        return None
    known, gain = meter.correction, meter.correction.gain
    mid, lo, hi = ((w - known.offset_w) / gain for w in (watts.mid, watts.lo, watts.hi))
    moved = Estimate(mid, lo, hi, watts.n)
    return widen(moved, [mid * known.gain_u, known.offset_u_w / gain])


def joules_of(w: Window, meter: MeterFacts) -> float | None:
    """Joules of one block: the counter where there is one, else the integral, else assumed."""
    if meter.constant_w is not None:
        return meter.constant_w * (w.end_s - w.start_s)
    return w.counter_j if w.counter_j is not None else w.integral_j


def boundary(device: DeviceFacts) -> Boundary:
    """Where this device's joules are counted: a processor's package, a card's board."""
    return "package" if device.kind == "cpu" else "board"


def _counted(book: Book, start_s: float, end_s: float) -> CounterEnergy | None:
    if book.ticks is None:
        return None
    return counter_energy(book.ticks.series, *sharp_edges(book.ticks, start_s, end_s))


def _integral_j(book: Book, start_s: float, end_s: float, meter: MeterFacts) -> float | None:
    power = power_series(book)
    if power is None:
        return None
    sensor = meter.sensor
    lag_s = hold_shift_s(sensor)
    near = power.between(start_s - AROUND_S, end_s + lag_s + AROUND_S)
    return held_energy(updates(near, sensor.update_s if sensor else None), start_s, end_s, lag_s)


def _throttled_s(book: Book, start_s: float, end_s: float) -> float | None:
    series = (book.series[name] for name in THROTTLES if name in book.series)
    rises = [rise_between(each, start_s, end_s) for each in series]
    known = [rise for rise in rises if rise is not None]
    return math.fsum(known) if known else None


def _mean_power(book: Book, start_s: float, end_s: float, meter: MeterFacts) -> float | None:
    counted = _counted(book, start_s, end_s)
    if counted is not None:
        return counted.joules / (counted.end_s - counted.start_s)
    held = _integral_j(book, start_s, end_s, meter)
    return None if held is None else held / (end_s - start_s)


def _host_watts(book: Book, blocks: Sequence[Window]) -> Estimate | None:
    """What the host's own counters showed over the same windows; None unless over all of them."""
    counters = [book.series[name] for name in HOST_FIELDS if name in book.series]
    if not counters:
        return None
    watts = []
    for w in blocks:
        found = [counter_energy(each, w.start_s, w.end_s) for each in counters]
        least_s = HOST_COVERAGE * (w.end_s - w.start_s)
        known = [each for each in found if each and each.end_s - each.start_s >= least_s]
        if len(known) == len(counters):
            watts.append(math.fsum(each.joules / (each.end_s - each.start_s) for each in known))
    return series_interval(watts) if len(watts) == len(blocks) else None


def _doubts(
    blocks: Sequence[Window],
    meter: MeterFacts,
    book: Book | None,
    launch_s: float | None,
    swing: float,
) -> list[Doubt]:
    """The lines of the budget that depend on how this run went."""
    both = [w for w in blocks if w.counter_j is not None and w.integral_j is not None]
    counted = math.fsum(w.counter_j or 0.0 for w in both)
    held = math.fsum(w.integral_j or 0.0 for w in both)
    other = meter.correction is not None and meter.correction.field != _field(book, blocks)
    seconds = math.fsum(w.end_s - w.start_s for w in blocks)
    found = [
        None if book is None else _edges(book, blocks),
        aliasing(meter.sensor, launch_s, seconds, swing),
        cross_check(counted, held, always=other),
    ]
    return [doubt for doubt in found if doubt is not None]


def _with_fitting_correction(
    meter: MeterFacts, book: Book | None, blocks: Sequence[Window]
) -> MeterFacts:
    """A correction says nothing of another field, unless both were read side by side."""
    both = all(w.counter_j and w.integral_j for w in blocks)
    if meter.correction is None or both or meter.correction.field == _field(book, blocks):
        return meter
    return replace(meter, correction=None)


def _field(book: Book | None, blocks: Sequence[Window]) -> str | None:
    """Whose joules are reported: the counter's, or those of which readings."""
    if all(w.counter_j is not None for w in blocks):
        return "energy_j"
    return None if book is None else power_field(book)


def _edges(book: Book, blocks: Sequence[Window]) -> Doubt | None:
    """How late the ticks at the edges may have been seen, as if it were alike in all blocks."""
    if book.ticks is None or any(w.counter_j is None for w in blocks):
        return None
    shares = [book.ticks.seconds_u(w.start_s, w.end_s) / (w.end_s - w.start_s) for w in blocks]
    text = "ticks of the counter seen late: the gap between two polls over √6"
    return Doubt("edges", max(shares), text)


def swing(watts: Estimate, device: DeviceFacts, idle: Idle, book: Book | None) -> float:
    """The most by which unseen power may differ from seen, relative to the mean.

    From idle (else nothing) up to the power limit, or to the highest reading.
    """
    if watts.mid <= 0:
        return 0.0
    power = None if book is None else power_series(book)
    highest_w = watts.mid if power is None or len(power) == 0 else float(np.max(power.value))
    lowest_w = idle.watts.mid if idle.watts else 0.0
    return max(highest_w, device.power_limit_w or 0.0) / watts.mid - lowest_w / watts.mid


def _net(joules: list[float], blocks: tuple[Window, ...], idle: Idle) -> Estimate | None:
    """Joules per unit above idle; how well idle itself is known widens the interval."""
    if idle.watts is None:
        return None
    seconds_per_unit = [(w.end_s - w.start_s) / w.units for w in blocks]
    gross = [j / w.units for j, w in zip(joules, blocks, strict=True)]
    idle_w = idle.watts
    pairs = zip(gross, seconds_per_unit, strict=True)
    net = series_interval([each - idle_w.mid * seconds for each, seconds in pairs])
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
