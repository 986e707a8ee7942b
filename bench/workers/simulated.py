"""A workload that a simulated device would run: the known answer on virtual time, no work done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bench.ports import Clock
from bench.records.journal import Event, Fact, JsonObject, Progress
from bench.records.run import Check, Truth, WorkloadFacts
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
        self._truth = device.card.truth
        self._phase: str | None = None
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

    def start(self, phase: str | None = None) -> None:
        """Load on, that of one phase if one is named."""
        self._phase = phase
        self._begun_s = self._clock.now()
        self._work.start(self._begun_s, self._group_s, phase)

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
        """Seconds from launch to launch, as a real workload would report: a decoder's is a step."""
        if self._batch is not None and self._launch is None:
            return self._batch / self._stepping().units_per_s  # whatever the group
        own_s = HASH_LAUNCH_S if self._launch is None else self._launch.period_s
        return self._group_s or own_s

    def _stepping(self) -> Truth:
        """The answer for what decodes: its own phase where there are several."""
        return self._truth.get(f"{self.name}.decode", self._truth[self.name])

    def _latency(self, now_s: float) -> list[Fact]:
        """Every step took the same but those that waited for a prefill; every request too."""
        if self._batch is None or now_s <= self._begun_s or self._phase == "prefill":
            return []
        token_s = self._batch / self._work.units_per_s(self._begun_s, now_s)
        steps = int((now_s - self._begun_s) / token_s)
        fill = self._truth.get(f"{self.name}.prefill")
        if fill is None or self._phase is not None:
            return [self._event(now_s, "step_latency", _same(token_s, steps))]
        mix = self._facts.config["mix"]
        fill_s = mix["in_tokens"] / fill.units_per_s
        step_s = self._batch / self._stepping().units_per_s
        tail = {"p99_s": step_s + fill_s}
        requests = self._batch * steps // mix["out_tokens"]
        each = {"ttft": _same(fill_s, requests), "tpot": _same(token_s, requests)}
        return [
            self._event(now_s, "step_latency", {**_same(step_s, steps), **tail}),
            self._event(now_s, "request_latency", each),
        ]

    def _event(self, now_s: float, name: str, data: JsonObject) -> Event:
        return Event(now_s, name, {**data, "workload": self.name})


def _same(seconds: float, n: int) -> JsonObject:
    return {"p50_s": seconds, "p90_s": seconds, "p99_s": seconds, "n": n}
