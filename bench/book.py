"""A journal sorted by what it speaks of: series, progress, spans, events. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.energy import Fall, Series, Ticks, mended, ticks_of
from bench.records.journal import ClockPair, Event, Fact, Progress, Sample, Share, Span

POWER_FIELDS = ("power_instant_w", "power_average_w", "power_w")


@dataclass(frozen=True, slots=True)
class Book:
    """A journal sorted by what it speaks of.

    ``series`` holds every field as it was journalled (power at every poll, repeats too); ``ticks``
    is the energy counter mended of the ``falls`` it took, with each tick as sharply as it was
    seen; ``load`` is the level (0 or 1) that a calibration put on the device from each instant on.
    """

    series: dict[str, Series]
    progress: dict[str, Series]
    spans: tuple[Span, ...]
    shares: tuple[Share, ...]
    clocks: tuple[ClockPair, ...]
    events: tuple[Event, ...]
    load: Series
    ticks: Ticks | None
    falls: tuple[Fall, ...]

    def blocks(self, workload: str) -> list[Span]:
        """The workload's measured blocks in time order."""
        return self.of_phase("block", workload)

    def of_phase(self, phase: str, workload: str | None) -> list[Span]:
        """The spans of one phase and workload in time order."""
        found = (s for s in self.spans if s.phase == phase and s.workload == workload)
        return sorted(found, key=lambda span: span.start_s)


def open_book(facts: Iterable[Fact]) -> Book:
    """Sort a journal, in whatever order its facts come."""
    samples: dict[str, list[tuple[float, float]]] = defaultdict(list)
    progress: dict[str, list[tuple[float, float]]] = defaultdict(list)
    load: list[tuple[float, float]] = []
    spans, shares, clocks, events = [], [], [], []
    for fact in facts:
        if isinstance(fact, Sample):
            samples[fact.field].append((fact.t_s, fact.value))
        elif isinstance(fact, Progress):
            progress[fact.workload].append((fact.t_s, float(fact.units)))
        elif isinstance(fact, Share):
            shares.append(fact)
        elif isinstance(fact, ClockPair):
            clocks.append(fact)
        elif isinstance(fact, Span):
            spans.append(fact)
        else:
            events.append(fact)
            if fact.name == "load":
                load.append((fact.t_s, float(fact.data["level"])))
    series = {name: Series.of(points) for name, points in samples.items()}
    ticks, falls = _ticks(series, events)
    return Book(
        series,
        {name: Series.of(points) for name, points in progress.items()},
        tuple(spans),
        tuple(shares),
        tuple(clocks),
        tuple(events),
        Series.of(load),
        ticks,
        falls,
    )


def power_series(book: Book) -> Series | None:
    """The polled power that says most; see ``power_field``."""
    field = power_field(book)
    return None if field is None else book.series[field]


def power_field(book: Book) -> str | None:
    """Its field: instant, else average, else the power-usage reading.

    One that vanished during the run comes after those that did not.
    """
    return _field(book.series, book.events)


def _field(series: dict[str, Series], events: Sequence[Event]) -> str | None:
    lost = {event.data.get("field") for event in events if event.name == "meter_field_lost"}
    known = sorted((name for name in POWER_FIELDS if name in series), key=lambda name: name in lost)
    return known[0] if known else None


def _ticks(
    series: dict[str, Series], events: Sequence[Event]
) -> tuple[Ticks | None, tuple[Fall, ...]]:
    counter, field = series.get("energy_j"), _field(series, events)
    if counter is None:
        return None, ()
    power = None if field is None else series[field]
    whole, falls = mended(counter, power)
    polled_s = counter.t_s if power is None else power.t_s
    return ticks_of(whole, polled_s), falls
