"""Whether a device is warm and its power settled, from what the journal shows so far. Pure.

What cannot be told for want of a reading counts as steady: a processor without a thermometer must
not warm up for ever. Which grade wants how much is the validity rules' affair.
"""

from __future__ import annotations

import numpy as np

from bench.book import Book, power_series
from bench.energy import Array, Series, held
from bench.plan import PART_TIME
from bench.records.journal import Span
from bench.records.run import SensorFacts

WARMING_C = 1.0
WARMING_S = 20.0
"""Warm: no more than 1 °C in 20 s, and a throughput that no longer moves."""
SLOPE = 0.005
"""Change of throughput over a stretch, relative, above which the device is still on its way."""
BAND = 0.05
"""Settled: moving power within ±5 % of its mean."""
MOVING_S = 1.0
PART_TIME_MOVING_S = 5.0
BINS = 8
LEAST_MARKS = 2 * BINS
BEGINNING = 0.1  # share of a stretch in which work only gets going


def warm(book: Book) -> str | None:
    """Why the device is not warm after the warm-up so far; None when it is, or none can tell.

    Throughput is judged over each workload's last stretch, temperature between the ends of its
    last two (so that loads of different power, taken in turn, can be warm), or within the only one.
    """
    stretches: dict[str | None, list[Span]] = {}
    for span in book.spans:
        if span.phase == "warmup":
            stretches.setdefault(span.workload, []).append(span)
    reasons = (
        warming(book, spans) or slope(book, spans[-1]) for _, spans in sorted_by_name(stretches)
    )
    return next((reason for reason in reasons if reason is not None), None)


def sorted_by_name(stretches: dict[str | None, list[Span]]) -> list[tuple[str, list[Span]]]:
    """(workload, its spans) in the order of names."""
    return sorted((str(name), spans) for name, spans in stretches.items())


def warming(book: Book, spans: list[Span]) -> str | None:
    """How much hotter (or cooler) the device got in a workload's stretches, if it is too much."""
    temperature = book.series.get("temperature_c")
    if temperature is None:
        return None
    last = spans[-1]
    since_s = max(last.start_s, last.end_s - WARMING_S)
    if len(spans) > 1:
        since_s = spans[-2].end_s
    before, after = held(temperature, since_s), held(temperature, last.end_s)
    if before is None or after is None:
        return None
    allowed_c = WARMING_C * max((last.end_s - since_s) / WARMING_S, 1.0)
    if abs(after - before) <= allowed_c:
        return None
    passed_s = last.end_s - since_s
    return f"{last.workload}: from {before:.0f} to {after:.0f} °C in {passed_s:.0f} s"


def slope(book: Book, span: Span) -> str | None:
    """How much the throughput of a stretch changed, if that is more than its own noise allows.

    A straight line through the rates of eight parts; its change over the stretch counts less two
    of its standard errors, or a noisy machine would never be warm.
    """
    marks = book.progress.get(str(span.workload))
    if marks is None or len(marks.between(span.start_s, span.end_s)) < LEAST_MARKS:
        return None
    rates = rates_within(marks, span.start_s + BEGINNING * (span.end_s - span.start_s), span.end_s)
    mean = float(np.mean(rates)) if len(rates) == BINS else 0.0
    if mean <= 0:
        return None
    place = (np.arange(BINS) - (BINS - 1) / 2) / BINS
    change = float(np.dot(place, rates) / np.dot(place, place))
    noise = rates - mean - change * place
    error = float(np.sqrt(np.dot(noise, noise) / (BINS - 2) / np.dot(place, place)))
    if abs(change) - 2 * error < SLOPE * mean:
        return None
    return f"{span.workload}: throughput still changes by {change / mean:+.1%}"


def rates_within(marks: Series, start_s: float, end_s: float) -> Array:
    """Units per second in each of ``BINS`` equal parts of a window; empty outside the marks."""
    inside = marks.between(start_s, end_s)
    if len(inside) < 2:
        return np.empty(0)
    edges = np.linspace(inside.t_s[0], inside.t_s[-1], BINS + 1)
    return np.asarray(np.diff(np.interp(edges, marks.t_s, marks.value)) / np.diff(edges))


def settled(
    book: Book, start_s: float, end_s: float, sensor: SensorFacts | None = None
) -> str | None:
    """Why power has not settled between two instants; None when it has or was not read.

    The mean over every second within is compared with the mean of the whole, over every five where
    the sensor sees a part of the time only: its single readings say little.
    """
    part_time = sensor is not None and sensor.duty is not None and sensor.duty < PART_TIME
    moving_s = PART_TIME_MOVING_S if part_time else MOVING_S
    joules = cumulative(book, start_s, end_s)
    if joules is None or joules.t_s[-1] - joules.t_s[0] < 2 * moving_s:
        return None
    whole_s = float(joules.t_s[-1] - joules.t_s[0])
    mean_w = float(joules.value[-1] - joules.value[0]) / whole_s
    begins = joules.t_s[joules.t_s <= joules.t_s[-1] - moving_s]
    ends = np.interp(begins + moving_s, joules.t_s, joules.value)
    moving_w = (ends - np.interp(begins, joules.t_s, joules.value)) / moving_s
    low_w, high_w = float(np.min(moving_w)), float(np.max(moving_w))
    if mean_w <= 0 or (low_w >= (1 - BAND) * mean_w and high_w <= (1 + BAND) * mean_w):
        return None
    return f"power moves between {low_w:.0f} and {high_w:.0f} W about {mean_w:.0f} W"


def cumulative(book: Book, start_s: float, end_s: float) -> Series | None:
    """Joules since ``start_s``: readings held until the next, else the counter's ticks."""
    power = power_series(book)
    if power is not None:
        inside = power.between(start_s, end_s)
        if len(inside) < 2:
            return None
        joules = np.concatenate(([0.0], np.cumsum(inside.value[:-1] * np.diff(inside.t_s))))
        return Series(inside.t_s, joules)
    ticks = book.ticks
    inside = Series.of([]) if ticks is None else ticks.series.between(start_s, end_s)
    return inside if len(inside) >= 2 else None
