"""One tick of a sampler: readings of an instrument in, facts for the journal out.

Pure over an injected instrument and clock, so that every fault can be tried without a process.
Processes and pipes stop here, and so do the instruments' own clocks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from bench.ports import MeterError
from bench.records.journal import ClockPair, Event, Fact, Field, JsonObject, Sample
from bench.records.run import MeterFacts

SLOW_PERIOD_S = 1.0
HURRY_S = 1.0  # as long as slow fields wait while edges are looked for
FAILURES_IN_A_ROW = 3
FAILURE_SHARE = 0.01
TROUBLE = "meter_trouble"
POWER_FIELDS: frozenset[Field] = frozenset({"power_w", "power_instant_w", "power_average_w"})
ENERGY_FIELDS: frozenset[Field] = POWER_FIELDS | {"energy_j"}


@dataclass(frozen=True, slots=True)
class Reading:
    """A field just read; ``stamp_s`` is the instrument's own time-stamp, wall-clock seconds."""

    field: Field
    value: float
    stamp_s: float | None = None


@dataclass(frozen=True, slots=True)
class Missing:
    """A field that the instrument no longer gives, and why."""

    field: Field
    reason: str


@dataclass(frozen=True, slots=True)
class Notice:
    """Something else the instrument has to say: an event of the journal."""

    name: str
    data: JsonObject


class TransientError(Exception):
    """A reading that failed and may succeed next time."""


class MeterLost(MeterError):  # noqa: N818 - a state of the meter, named as the codes are
    """Sampling has ended by itself; ``code`` is the validity code that says what happened."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class Sensor(Protocol):
    """An instrument as the sampler sees it, already open. ``period_s`` is its sampling period."""

    period_s: float

    def facts(self) -> MeterFacts:
        """What it is and what it can read."""

    def read(self, *, slow: bool) -> Sequence[Reading | Missing | Notice]:
        """Read the fast fields, and the slow ones too if asked.

        A field that has gone is ``Missing`` once. Raises TransientError when this tick is to be
        skipped and MeterLost when the instrument is gone.
        """

    def survey(self) -> Notice | None:
        """Which processes are on the device, "processes"; None for one that knows of none.

        Raises MeterLost when the instrument is gone.
        """


@dataclass(slots=True)
class Tally:
    """What sampling went through: ticks, those skipped and why, and the slowest read."""

    ticks: int = 0
    skipped: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    slowest_read_s: float = 0.0

    def as_data(self) -> JsonObject:
        """As the journal keeps it."""
        return {name: getattr(self, name) for name in Tally.__slots__}


class Sampling:
    """The state between ticks: what was last said of each field, and how often reading failed."""

    def __init__(
        self,
        sensor: Sensor,
        clocks: Callable[[], ClockPair],
        now: Callable[[], float] | None = None,
    ) -> None:
        """``now``, the monotonic clock alone, spares ticks the cost of looking at all of them."""
        self.tally = Tally()
        self._sensor = sensor
        self._clocks = clocks
        self._now = now or (lambda: clocks().monotonic_s)
        self._pair = clocks()
        self._said: dict[Field, float] = {}
        self._slow_due_s = float("-inf")
        self._failures = 0

    def step(self, *, hurry: bool = False) -> list[Fact]:
        """Read once: power every time, anything else on change, the clocks at the slow period.

        In a ``hurry``, that is while a counter's ticks are looked for, slow fields wait a while.
        A sample's time is the middle of its read. A transient failure skips the tick and is
        counted; MeterLost is raised at the third in a row, when the device is gone, and when no
        field of energy or power is left.
        """
        before_s = self._now()
        slow = before_s >= self._slow_due_s + (HURRY_S if hurry else 0.0)
        self.tally.ticks += 1
        try:
            readings = self._sensor.read(slow=slow)
        except TransientError as error:
            self._skip(str(error))
            return []
        took_s = self._now() - before_s
        self._failures = 0
        self.tally.slowest_read_s = max(self.tally.slowest_read_s, took_s)
        facts: list[Fact] = []
        if slow:
            self._slow_due_s = before_s + SLOW_PERIOD_S
            self._pair = self._clocks()
            facts.append(self._pair)
        for reading in sorted(readings, key=lambda reading: isinstance(reading, Missing)):
            facts += self._take(reading, before_s + took_s / 2)
        return facts

    def survey(self) -> list[Fact]:
        """Who is on the device, as an event; nothing where the instrument knows of nobody."""
        notice = self._sensor.survey()
        return [] if notice is None else [_event(notice, self._now())]

    def end(self, now_s: float) -> list[Fact]:
        """The last facts: the tally, and a code when more than one tick in a hundred failed."""
        facts: list[Fact] = [Event(now_s, "meter_tally", self.tally.as_data())]
        if self.tally.skipped > FAILURE_SHARE * self.tally.ticks:
            text = (
                f"{self.tally.skipped} of {self.tally.ticks} readings of the power meter failed"
                f" ({'; '.join(self.tally.errors)}): run again when the machine is quiet"
            )
            facts.append(trouble(now_s, "SAMPLING_GAPS", text))
        return facts

    def _skip(self, reason: str) -> None:
        self.tally.skipped += 1
        self.tally.errors[reason] = self.tally.errors.get(reason, 0) + 1
        self._failures += 1
        if self._failures >= FAILURES_IN_A_ROW:
            text = f"the power meter failed {self._failures} times in a row: {reason}"
            raise MeterLost("SAMPLING_GAPS", text)

    def _take(self, reading: Reading | Missing | Notice, t_s: float) -> list[Fact]:
        if isinstance(reading, Notice):
            return [_event(reading, t_s)]
        if isinstance(reading, Missing):
            self._said.pop(reading.field, None)
            if not ENERGY_FIELDS & self._said.keys():
                raise MeterLost("NO_ENERGY", f"no reading of power is left: {reading.reason}")
            data = {"field": reading.field, "reason": reading.reason}
            return [Event(t_s, "meter_field_lost", data)]
        unchanged = self._said.get(reading.field) == reading.value
        self._said[reading.field] = reading.value
        if unchanged and not self._shows_polls(reading.field):
            return []
        return [
            Sample(t_s, reading.field, reading.value, _on_monotonic(reading.stamp_s, self._pair))
        ]

    def _shows_polls(self, field: Field) -> bool:
        """Whether its every reading is kept, so that the journal tells when anyone looked.

        Power, or where none is read the counter.
        """
        return field in POWER_FIELDS or (
            field == "energy_j" and POWER_FIELDS.isdisjoint(self._said)
        )


def trouble(t_s: float, code: str, text: str) -> Event:
    """A validity code that the meter itself knows, as a fact for the journal."""
    return Event(t_s, TROUBLE, {"code": code, "text": text})


def _event(notice: Notice, t_s: float) -> Event:
    return Event(t_s, notice.name, notice.data)


def _on_monotonic(stamp_s: float | None, pair: ClockPair) -> float | None:
    return None if stamp_s is None else stamp_s - (pair.realtime_s - pair.monotonic_s)
