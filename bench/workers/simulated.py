"""A workload that a simulated device would run: the known answer on virtual time, no work done."""

from __future__ import annotations

from collections.abc import Sequence

from bench.ports import Clock
from bench.records.journal import Fact, Progress
from bench.records.run import Check, WorkloadFacts
from bench.simulate import SimulatedDevice, SimulatedWork


class SimulatedWorker:
    """Puts its load on the device while it runs and marks progress as a real worker does."""

    def __init__(self, facts: WorkloadFacts, device: SimulatedDevice, clock: Clock) -> None:
        self.name = facts.name
        self._facts = facts
        self._work = SimulatedWork(device, facts.name)
        self._clock = clock

    @property
    def pid(self) -> None:
        """No process."""

    def prepare(self, group_s: float | None) -> WorkloadFacts:  # noqa: ARG002 - the port's
        """Nothing to load."""
        return self._facts

    def verify(self) -> Sequence[Check]:
        """Nothing is computed, and the check says so."""
        return [Check("simulated", True, "no work is done on a simulated device")]

    def check(self) -> Sequence[Check]:
        """Nothing was produced."""
        return []

    def start(self) -> None:
        """Load on."""
        self._work.start(self._clock.now())

    def poll(self) -> Sequence[Progress]:
        """Marks up to now."""
        return self._work.marks(self._clock.now())

    def stop(self) -> Sequence[Fact]:
        """Load off."""
        marks = self._work.marks(self._clock.now())
        self._work.stop(self._clock.now())
        return marks

    def close(self) -> None:
        """Nothing to give back."""
