"""The host's own energy counters read beside another instrument, as a part of the whole's cost.

The run belongs to the main instrument: the host's trouble is told as an event and ends there.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from bench.ports import Meter, MeterError
from bench.records.journal import ClockPair, Event, Fact, Field, Sample
from bench.records.run import MeterFacts

RENAMED: dict[Field, Field] = {"energy_j": "host_energy_j", "dram_energy_j": "dram_energy_j"}
LOST = "host_meter_lost"
TROUBLE = "meter_trouble"

T = TypeVar("T")


class Beside:
    """Two meters driven as one: ``main`` in everything, and of ``host`` its energy alone.

    Without a host meter it says why, once. The host's edges need no watching: it keeps its pace.
    """

    def __init__(self, main: Meter, host: Meter | None, reason: str | None = None) -> None:
        """``reason`` says why there is no host meter."""
        self._main = main
        self._host = host
        self._lost = reason

    def facts(self) -> MeterFacts:
        """The main instrument's."""
        return self._main.facts()

    @property
    def pid(self) -> int | None:
        """The main instrument's sampler; the host's never touches the device."""
        return self._main.pid

    def start(self) -> None:
        """Start both; MeterError is the main instrument's alone."""
        self._main.start()
        self._ask(lambda host: host.start())

    def pace(self, period_s: float | None) -> None:
        """Of the main instrument; where that is never, the host's too."""
        self._main.pace(period_s)
        self._ask(lambda host: host.pace(0.0 if period_s == 0 else None))

    def survey(self) -> None:
        """By the main instrument."""
        self._main.survey()

    def poll(self) -> Sequence[Fact]:
        """What both have said, in time order; raises as the main instrument does."""
        said = self._main.poll()
        return sorted([*said, *self._of_host()], key=_time_s)

    def stop(self) -> None:
        """Stop both."""
        self._main.stop()
        if self._host is not None:
            self._host.stop()

    def _of_host(self) -> list[Fact]:
        heard = self._ask(lambda host: host.poll()) or ()
        facts: list[Fact] = [
            dataclasses.replace(fact, field=RENAMED[fact.field])
            for fact in heard
            if isinstance(fact, Sample) and fact.field in RENAMED
        ]
        if (text := _trouble(heard)) is not None:
            self._give_up(text)
        if self._lost is not None:
            facts.append(Event(time.monotonic(), LOST, {"reason": self._lost}))
            self._lost = None
        return facts

    def _ask(self, ask: Callable[[Meter], T]) -> T | None:
        if self._host is None:
            return None
        try:
            return ask(self._host)
        except MeterError as error:
            self._give_up(str(error))
            return None

    def _give_up(self, reason: str) -> None:
        if self._host is not None:
            self._host.stop()
        self._host, self._lost = None, reason


def _trouble(facts: Iterable[Fact]) -> str | None:
    """What the host's sampler knows to be wrong with itself."""
    texts = (f.data["text"] for f in facts if isinstance(f, Event) and f.name == TROUBLE)
    return next(texts, None)


def _time_s(fact: Fact) -> float:
    """When it was; meters tell of nothing else."""
    assert isinstance(fact, ClockPair | Event | Sample)
    return fact.monotonic_s if isinstance(fact, ClockPair) else fact.t_s
