"""A workload that a simulated device would run: the known answer on virtual time, no work done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bench.ports import Clock
from bench.records.journal import Event, Fact, Progress
from bench.records.run import Check, WorkloadFacts
from bench.simulate import SimulatedDevice, SimulatedWork

HASH_LAUNCH_S = 0.0125


class SimulatedWorker:
    """Puts its load on the device while it runs and marks progress as a real worker does."""

    def __init__(self, facts: WorkloadFacts, device: SimulatedDevice, clock: Clock) -> None:
        """A workload whose config has a ``batch`` works in steps of so many units."""
        self.name = facts.name
        self._facts = facts
        self._work = SimulatedWork(device, facts.name)
        self._launch = device.card.launches.get(facts.name)
        self._units_per_s = device.card.truth[facts.name].units_per_s
        self._batch: int | None = facts.config.get("batch")
        self._clock = clock
        self._group_s: float | None = None
        self._begun_s = 0.0

    @property
    def pid(self) -> None:
        """No process."""

    def prepare(self, group_s: float | None) -> WorkloadFacts:
        """Nothing to load; a load that alternates does so every ``group_s`` from now on."""
        self._group_s = group_s
        return replace(self._facts, details={**self._facts.details, "launch_s": self._launch_s()})

    def verify(self) -> Sequence[Check]:
        """Nothing is computed, and the check says so."""
        return [Check("simulated", True, "no work is done on a simulated device")]

    def check(self) -> Sequence[Check]:
        """Nothing was produced."""
        return []

    def start(self) -> None:
        """Load on."""
        self._begun_s = self._clock.now()
        self._work.start(self._begun_s, self._group_s)

    def poll(self) -> Sequence[Progress]:
        """Marks up to now."""
        return self._work.marks(self._clock.now())

    def stop(self) -> Sequence[Fact]:
        """Load off; what a decoder says of its steps comes last."""
        now_s = self._clock.now()
        return [*self._work.stop(now_s), *self._latency(now_s)]

    def close(self) -> None:
        """Nothing to give back."""

    def _launch_s(self) -> float:
        """Seconds from launch to launch, as a real workload would report."""
        if self._batch is not None and self._launch is None:
            return self._batch / self._units_per_s  # a step is a launch, whatever the group
        own_s = HASH_LAUNCH_S if self._launch is None else self._launch.period_s
        return self._group_s or own_s

    def _latency(self, now_s: float) -> list[Fact]:
        """Every step of a run took the same."""
        if self._batch is None or now_s <= self._begun_s:
            return []
        step_s = self._batch / self._work.units_per_s(self._begun_s, now_s)
        steps = int((now_s - self._begun_s) / step_s)
        data = {"p50_s": step_s, "p90_s": step_s, "p99_s": step_s, "n": steps}
        return [Event(now_s, "step_latency", {**data, "workload": self.name})]
