"""Joules, watts and joules per unit of stretches, each with its two intervals and their budget."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from bench.book import power_series
from bench.budget import Absolute, absolute, aliasing, cross_check
from bench.energy import rise_between
from bench.ledger import THROTTLES, boundary, swing
from bench.records.run import Doubt, Estimate, Idle, JoulesSource, MeterFacts
from bench.stats import NORMAL_975, series_interval, widen
from bench.stretch.nouns import Figures, Measured, Setting, Taken
from bench.stretch.reckon import Reckoning, Stretch, counted, polled

AVERAGE_WINDOW_S = 1.0
"""The window of NVML's averaged readings, arXiv 2312.02741."""
COMPARABLE_U = 0.005
"""Two instruments are compared where their edges leave less than this share of the joules open."""


def take(setting: Setting, stretch: Stretch) -> Taken:
    """One stretch by every instrument there is; without energy above zero there is no best."""
    meter, book = setting.meter, setting.book
    if meter.constant_w is not None:
        known = Reckoning(meter.constant_w * stretch.seconds, 0.0, 0.0, 0.0)
        return Taken(stretch, None, None, known)
    counter = counted(book.ticks, stretch) if book.ticks is not None else None
    power = power_series(book)
    integral = None
    if power is not None and stretch.seconds > 0:
        averaged_s = None if "power_instant_w" in book.series else AVERAGE_WINDOW_S
        integral = polled(power, stretch, meter.sensor, window_s=averaged_s)
    best = counter if counter is not None else integral
    return Taken(stretch, counter, integral, best if best and best.joules > 0 else None)


def measured(setting: Setting, taken: Taken) -> Measured:
    """The stretch as a record keeps it."""
    stretch, best = taken.stretch, taken.best
    series = (setting.book.series[name] for name in THROTTLES if name in setting.book.series)
    rises = [rise_between(each, stretch.start_s, stretch.end_s) for each in series]
    known = [rise for rise in rises if rise is not None]
    return Measured(
        start_s=stretch.start_s,
        end_s=stretch.end_s,
        seconds=stretch.seconds,
        units=stretch.units,
        counter_j=taken.counter.joules if taken.counter else None,
        integral_j=taken.integral.joules if taken.integral else None,
        joules=best.joules if best else None,
        edge_u_j=best.edge_u_j if best else None,
        throttled_s=math.fsum(known) if known else None,
    )


def figures(setting: Setting, taken: Sequence[Taken]) -> Figures:
    """The means over at least one stretch, their intervals and what is missing."""
    known = [each.best for each in taken if each.best is not None]
    joules = [(best.joules, best.edge_u_j) for best in known] if len(known) == len(taken) else []
    seconds = [each.stretch.seconds for each in taken]
    counts = [each.stretch.units for each in taken if each.stretch.units is not None]
    units = counts if len(counts) == len(taken) else []
    gross, watts = _mean(joules), _mean(_over(joules, seconds))
    per_unit = _mean(_over(joules, units))
    whole = _absolute(setting, taken, gross, watts)
    part = _absolute(setting, taken, per_unit, watts)
    return Figures(
        runs=len(taken),
        seconds=_mean_of(seconds),
        units=_mean_of(units) if units else None,
        boundary=boundary(setting.device),
        joules_source=_source(setting.meter, taken) if gross else "unavailable",
        joules=_positive(gross),
        joules_absolute=_positive(whole.estimate) if isinstance(whole, Absolute) else None,
        joules_net=_net(setting.idle, joules, seconds, [1.0] * len(taken)),
        watts=_positive(watts),
        joules_per_unit=_positive(per_unit),
        joules_per_unit_absolute=_positive(part.estimate) if isinstance(part, Absolute) else None,
        joules_per_unit_net=_net(setting.idle, joules, seconds, units),
        budget=whole.budget if isinstance(whole, Absolute) else (),
        reason=_missing(setting.meter) if gross is None else _why(whole),
    )


def _over(values: list[tuple[float, float]], by: Sequence[float]) -> list[tuple[float, float]]:
    """(value, u) each divided; nothing where one of them is missing."""
    return [(v / b, u / b) for (v, u), b in zip(values, by, strict=True)] if values and by else []


def _mean_of(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _mean(values: Sequence[tuple[float, float]]) -> Estimate | None:
    """(value, u) in time order: the interval over repeats, or what a single one's u leaves."""
    if len(values) == 1:
        ((value, u),) = values
        return widen(Estimate(value, value, value, 1), [u])
    return series_interval([value for value, _ in values])


def _positive(estimate: Estimate | None) -> Estimate | None:
    """Gross energy cannot be negative, so neither can its lower bound."""
    return estimate and Estimate(estimate.mid, max(estimate.lo, 0.0), estimate.hi, estimate.n)


def _net(
    idle: Idle,
    joules: Sequence[tuple[float, float]],
    seconds: Sequence[float],
    units: Sequence[float],
) -> Estimate | None:
    """Above idle, whose own interval widens it."""
    if idle.watts is None or not joules or not units:
        return None
    above = [(j - idle.watts.mid * s, u) for (j, u), s in zip(joules, seconds, strict=True)]
    net = _mean(_over(above, units))
    idle_u_w = (idle.watts.hi - idle.watts.lo) / 2 / NORMAL_975
    return net and widen(net, [idle_u_w * _mean_of(seconds) / _mean_of(units)])


def _absolute(
    setting: Setting, taken: Sequence[Taken], estimate: Estimate | None, watts: Estimate | None
) -> Absolute | str | None:
    """What the run's own budget says, with the lines that are a stretch's."""
    if estimate is None or watts is None:
        return None
    joules = math.fsum(each.best.joules for each in taken if each.best)
    lag_u_j = math.fsum(each.best.lag_u_j for each in taken if each.best)
    text = "the sensor may trail the load by one of its updates, or smear it over its window"
    doubts = [
        Doubt("delay", lag_u_j / joules, text),
        aliasing(
            setting.meter.sensor,
            None,
            joules / watts.mid,
            swing(watts, setting.device, setting.idle, setting.book),
        ),
        _crossed(setting, taken),
    ]
    known = [doubt for doubt in doubts if doubt is not None]
    whole = absolute(estimate, watts, setting.meter, known)
    if isinstance(whole, Absolute) and estimate.n == 1:
        own = replace(whole.budget[0], source="the edges of the one stretch")
        return replace(whole, budget=(own, *whole.budget[1:]))
    return whole


def _crossed(setting: Setting, taken: Sequence[Taken]) -> Doubt | None:
    counter_j, integral_j = both(taken)
    correction = setting.meter.correction
    field = "energy_j" if all(each.counter for each in taken) else None
    other = correction is not None and correction.field != field
    return cross_check(counter_j, integral_j, always=other) if counter_j > 0 else None


def both(taken: Sequence[Taken]) -> tuple[float, float]:
    """Joules by the counter and by polled power, of the stretches in which they can be compared."""
    compared = [(e.counter, e.integral) for e in taken if comparable(e)]
    counter_j = math.fsum(counter.joules for counter, _ in compared if counter)
    return counter_j, math.fsum(integral.joules for _, integral in compared if integral)


def comparable(taken: Taken) -> bool:
    """Whether a gap between the two instruments would say more than where their edges lie."""
    counter, integral = taken.counter, taken.integral
    if counter is None or integral is None or counter.joules <= 0:
        return False
    open_j = math.hypot(counter.edge_u_j, counter.lag_u_j, integral.edge_u_j, integral.lag_u_j)
    return open_j < COMPARABLE_U * counter.joules


def _source(meter: MeterFacts, taken: Sequence[Taken]) -> JoulesSource:
    named: dict[str, JoulesSource] = {
        "assumed": "assumed",
        "sim": "simulated",
        "replay": "replayed",
    }
    all_counted = all(each.counter is not None for each in taken)
    return named.get(meter.source, "measured-counter" if all_counted else "measured-polled")


def _missing(meter: MeterFacts) -> str | None:
    if meter.source == "none":
        return meter.reason
    return (
        "the meter gave no reading on both sides of it, or none above zero: it was too short, or"
        " the meter was lost"
    )


def _why(whole: Absolute | str | None) -> str | None:
    return whole if isinstance(whole, str) else None
