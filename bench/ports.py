"""All that the harness asks of the world: a workload, its worker, a meter and a clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from bench.records.journal import Fact, Progress
from bench.records.run import Check, MeterFacts, WorkloadFacts


class Workload(Protocol):
    """Work that keeps a device full. Builtins only, so that kernels need nothing of the harness.

    ``unit`` is what is counted ("hash", "token"). A workload is built by its entry point from
    keyword arguments that are JSON values, lives in a process of its own, and is driven in this
    order: prepare, verify, then run as often as asked, check, close. One whose description lists
    ``phases`` can also run each of them alone: ``run(mark, stop, phase=…)``, where marks count the
    phase's own units.
    """

    name: str
    unit: str

    def prepare(self, *, group_s: float | None = None) -> None:
        """Allocate, compile, load; ``group_s`` is a launch-group length if the meter asks."""

    def describe(self) -> Mapping[str, Any]:
        """After prepare: backend, tier, config, data_profile and sources (file -> sha256)."""

    def verify(self) -> list[tuple[str, bool, str]]:
        """(check, passed, detail) against the plain reference, before any timing."""

    def run(self, mark: Callable[[float, int], None], stop: Callable[[], bool]) -> None:
        """Keep the device full until stop(); mark(monotonic seconds, units so far) ≤ 20/s.

        A mark is taken only after the device has finished the units it counts.
        """

    def facts(self) -> list[Mapping[str, Any]]:
        """Raw facts since the last call, each with its "kind": shares, latencies, phases."""

    def check(self) -> list[tuple[str, bool, str]]:
        """(check, passed, detail) after the last run, on what the timed runs produced."""

    def close(self) -> None:
        """Give everything back."""


class Worker(Protocol):
    """A workload as the measuring loop drives it: elsewhere, and never blocking for long."""

    name: str

    @property
    def pid(self) -> int | None:
        """Its process, so that it is not taken for a stranger on the device; None without one."""

    def prepare(self, group_s: float | None) -> WorkloadFacts:
        """Raise ``WorkerError`` when the workload cannot run here.

        Once prepared, called again to change the launch-group length alone.
        """

    def verify(self) -> Sequence[Check]:
        """Run the checks that must hold before any timing."""

    def start(self, phase: str | None = None) -> None:
        """Begin to run, one phase alone if one is named; returns at once."""

    def poll(self) -> Sequence[Progress]:
        """Progress since the last poll; raises ``WorkerError`` when the work has died."""

    def stop(self) -> Sequence[Fact]:
        """End the run and return what it has left to say."""

    def check(self) -> Sequence[Check]:
        """Run the checks on what the timed runs produced."""

    def close(self) -> None:
        """End the worker; never raises, may be called at any time."""


class Meter(Protocol):
    """An instrument that reads power. Vendor names and milliwatts stop behind it."""

    def facts(self) -> MeterFacts:
        """What it is and what it can read."""

    @property
    def pid(self) -> int | None:
        """The sampler's process; None without one."""

    def start(self) -> None:
        """Begin to sample."""

    def pace(self, period_s: float | None) -> None:
        """From now on read every ``period_s`` seconds: 0 is never, None the instrument's own."""

    def survey(self) -> None:
        """Ask which processes are on the device: poll brings a "processes" event, if it can."""

    def poll(self) -> Sequence[Fact]:
        """Facts since the last poll, in time order: readings (counters on change only), clocks."""

    def stop(self) -> None:
        """End sampling; never raises, may be called at any time."""


class Clock(Protocol):
    """Time as the run sees it: CLOCK_MONOTONIC, or virtual time on a simulated device."""

    def now(self) -> float:
        """Seconds."""

    def sleep(self, seconds: float) -> None:
        """Let that much time pass."""


class WorkerError(Exception):
    """A workload that could not go on: ``kind`` is "missing", "memory", "device" or "bug"."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind
        self.text = text


class MeterError(Exception):
    """An instrument that cannot be opened or has been lost, in one sentence with the cure."""
