"""Listens to measuring and tells the screen; learns on the way how long setting up took."""

from __future__ import annotations

import math
import time

from bench.book import Book, open_book
from bench.ledger import joules_of, window
from bench.ports import WorkerError
from bench.records.journal import Span
from bench.records.record import Step
from bench.records.run import MeterFacts, Window
from bench.report.screen import BlockLine, Screen
from bench.stats import series_interval
from bench.store import Journal

DOING = {
    "prepare": "{} loads and compiles",
    "verify": "{} is checked against its reference before it is timed",
    "calibrate": "the power sensor is characterised under {} going on and off",
    "idle": "idle power",
    "warmup": "{} warms up",
    "steady": "{} runs until its power is seen to be steady",
    "observer": "{} runs with less and more sampling, to see what sampling costs",
    "block": "{} block {}/{}",
}
PHASE = "{} runs its {} alone"
REGROUP = "{} groups its launches so that the sensor cannot lock to them"


class Commentary:
    """A Watcher that reads the journal, never the device."""

    def __init__(
        self,
        screen: Screen,
        journal: Journal,
        meter: MeterFacts,
        units: dict[str, str],
        blocks: int,
    ) -> None:
        self.setup_s: dict[str, float] = {}
        self._screen = screen
        self._journal = journal
        self._meter = meter
        self._units = units
        self._blocks = blocks
        self._booked: dict[str, list[Window]] = {name: [] for name in units}
        self._prepared: set[str] = set()
        self._doing = ""
        self._begun: tuple[str, float] | None = None

    def step(self, step: Step, left_s: float) -> None:
        """Say what begins; note how long the set-up step before it took."""
        self.end_setup()
        name = step.workload or ""
        done = len(self._booked.get(name, ())) + 1
        again = step.name == "prepare" and name in self._prepared
        if step.name == "phase":
            self._doing = PHASE.format(name, step.part)
        else:
            doing = REGROUP if again else DOING[step.name]
            self._doing = doing.format(name, done, self._blocks)
        self._prepared |= {name} if step.name == "prepare" else set()
        if step.name in {"prepare", "verify"} and not again:
            key = name if step.name == "prepare" else f"{name}.verify"
            self._begun = (key, time.monotonic())
        self.tick(left_s)

    def tick(self, left_s: float) -> None:
        """Show the time left."""
        self._screen.doing(self._doing, left_s)

    def block(self, span: Span) -> None:
        """Book the block and show its line; what is so far in the journal is made safe."""
        self._journal.sync()
        book = open_book(self._journal.facts)
        booked = window(book, span, self._meter)
        if booked is None:
            return
        name = str(span.workload)
        self._booked[name].append(booked)
        self._screen.block(self._line(name, booked, book))

    def failed(self, workload: str, error: WorkerError) -> None:
        """Say that a workload is out and the run goes on."""
        self._begun = None
        self._screen.say(f"{workload} cannot go on: {error.text}")

    def end_setup(self) -> None:
        """A set-up step, if one was under way, has ended."""
        if self._begun is not None:
            name, since_s = self._begun
            self.setup_s[name] = time.monotonic() - since_s
            self._begun = None

    def _line(self, name: str, booked: Window, book: Book) -> BlockLine:
        seconds = booked.end_s - booked.start_s
        joules = joules_of(booked, self._meter)
        return BlockLine(
            workload=name,
            unit=self._units[name],
            index=len(self._booked[name]),
            blocks=self._blocks,
            units_per_s=booked.units / seconds,
            watts=None if joules is None else joules / seconds,
            joules=None if joules is None else self._joules_so_far(name),
            joules_per_unit=series_interval(self._per_unit(name)),
            temperature_c=_latest(book, "temperature_c"),
            clock_hz=_latest(book, "sm_clock_hz"),
            throttled=bool(booked.throttled_s),
        )

    def _joules_so_far(self, name: str) -> float:
        known = (joules_of(w, self._meter) for w in self._booked[name])
        return math.fsum(j for j in known if j is not None)

    def _per_unit(self, name: str) -> list[float]:
        pairs = ((joules_of(w, self._meter), w.units) for w in self._booked[name])
        return [j / units for j, units in pairs if j is not None and units > 0]


def _latest(book: Book, field: str) -> float | None:
    series = book.series.get(field)
    return None if series is None or len(series) == 0 else float(series.value[-1])
