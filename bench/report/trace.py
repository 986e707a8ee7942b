"""A journal's power, phases and throttling as tables that a chart can draw; computes no figure."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from bench.book import Book, power_field
from bench.energy import Series
from bench.records.run import Boundary
from bench.report.sheet import Cell, Column, Sheet

MOST_POINTS = 2000
CAUSES = {
    "throttle_power_s": "power limit",
    "throttle_thermal_s": "heat",
    "throttle_brake_s": "power brake",
}
APART_S = 1.0
"""Marks of one cause closer than this are one mark."""


def power(book: Book, boundary: Boundary, most: int = MOST_POINTS) -> Sheet | None:
    """The polled power against seconds since the journal began; null where none was polled."""
    field = power_field(book)
    if field is None or len(book.series[field].t_s) == 0:
        return None
    series = book.series[field]
    kept = extremes(series.value, most)
    start_s = began(book)
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (round(float(series.t_s[k]) - start_s, 3), float(series.value[k])) for k in kept
    )
    columns = (Column("t", "time", "s", digits=6), Column("power", "power", "W", digits=4))
    note = f"{len(rows):,} of {len(series.t_s):,} readings of {field}"
    if len(rows) < len(series.t_s):
        note += ": the lowest and the highest of each stretch"
    return Sheet("Power over time", boundary, columns, rows, (note,))


def extremes(values: NDArray[np.float64], most: int) -> list[int]:
    """Places of at most ``most`` values, in order: first, last, and each stretch's extremes."""
    count = len(values)
    if count <= most:
        return list(range(count))
    edges = np.linspace(1, count - 1, (most - 2) // 2 + 1).astype(int)
    kept = {0, count - 1}
    for low, high in pairwise(edges):
        stretch = values[low:high]
        kept |= {int(low + stretch.argmin()), int(low + stretch.argmax())}
    return sorted(kept)


def phases(book: Book, boundary: Boundary) -> Sheet:
    """What ran when: a row for every span of the journal, in time order."""
    columns = (
        Column("phase", "phase"),
        Column("workload", "workload"),
        Column("start", "from", "s", digits=6),
        Column("end", "to", "s", digits=6),
    )
    start_s = began(book)
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (
            span.phase if span.part is None else f"{span.phase}: {span.part}",
            span.workload,
            round(span.start_s - start_s, 3),
            round(span.end_s - start_s, 3),
        )
        for span in sorted(book.spans, key=lambda span: span.start_s)
    )
    return Sheet("Phases", boundary, columns, rows)


def throttles(book: Book, boundary: Boundary) -> Sheet | None:
    """When the card's own counters say it was held back, and by what; null without counters."""
    known = {field: book.series[field] for field in CAUSES if field in book.series}
    if not known:
        return None
    start_s = began(book)
    found = [
        (CAUSES[field], round(low - start_s, 3), round(high - start_s, 3))
        for field, series in known.items()
        for low, high in _held_back(series)
    ]
    columns = (
        Column("cause", "held back by"),
        Column("start", "from", "s", digits=6),
        Column("end", "to", "s", digits=6),
    )
    rows: tuple[tuple[Cell, ...], ...] = tuple(sorted(found, key=itemgetter(1)))
    return Sheet("Throttling", boundary, columns, rows)


def began(book: Book) -> float:
    """The first instant that a journal speaks of, on its own clock."""
    starts = [span.start_s for span in book.spans]
    starts += [float(series.t_s[0]) for series in book.series.values() if len(series.t_s)]
    return min(starts, default=0.0)


def _held_back(counter: Series) -> Iterator[tuple[float, float]]:
    """Stretches that end where a cumulative counter was read higher, as long as its rise."""
    held: tuple[float, float] | None = None
    for place in np.flatnonzero(np.diff(counter.value) > 0) + 1:
        end_s = float(counter.t_s[place])
        rise_s = float(counter.value[place] - counter.value[place - 1])
        low_s = max(end_s - rise_s, float(counter.t_s[place - 1]))
        if held is not None and low_s - held[1] < APART_S:
            held = (held[0], end_s)
            continue
        if held is not None:
            yield held
        held = (low_s, end_s)
    if held is not None:
        yield held
