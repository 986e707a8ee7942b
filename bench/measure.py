"""The one loop: verify, idle, warm up, blocks in ABBA order. Everything it touches is injected.

Real and simulated devices take the same path; only the clock, the workers and the meter differ.
Nothing is computed here: facts go to ``record`` as they come, and are judged later.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from bench.ports import Clock, Meter, MeterError, Worker, WorkerError
from bench.records.journal import Event, Fact, Span
from bench.records.record import Step
from bench.records.run import Check, DeviceFacts, WorkloadFacts

POLL_S = 0.1
T = TypeVar("T")


class Watcher(Protocol):
    """Whoever looks on while the run goes: told what begins and what has ended."""

    def step(self, step: Step, left_s: float) -> None:
        """A step begins; the plan has ``left_s`` seconds to go, this step included."""

    def tick(self, left_s: float) -> None:
        """Time passes within a step."""

    def block(self, span: Span) -> None:
        """A block has ended and its facts are all recorded."""

    def failed(self, workload: str, error: WorkerError) -> None:
        """A workload cannot go on; the others will."""


@dataclass(slots=True)
class Outcome:
    """What measuring learned beside the journal; ``interrupted`` is the signal's number."""

    workloads: dict[str, WorkloadFacts] = field(default_factory=dict)
    checks: dict[str, list[Check]] = field(default_factory=dict)
    failures: dict[str, WorkerError] = field(default_factory=dict)
    meter_error: str | None = None
    interrupted: int | None = None


class Interrupted(KeyboardInterrupt):
    """SIGINT or SIGTERM arrived; ``number`` says which."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@dataclass(slots=True)
class Bench:
    """What a run works with: the device, its workers and meter, the clock and the two listeners."""

    device: DeviceFacts
    workers: Mapping[str, Worker]
    meter: Meter
    clock: Clock
    record: Callable[[Fact], None]
    watch: Watcher


def measure(bench: Bench, steps: Sequence[Step]) -> Outcome:
    """Walk the steps; whatever ends the walk early, close everything and keep what there is."""
    walk = _Walk(bench, sum(step.total_s for step in steps))
    try:
        try:
            walk.begin()
            for step in steps:
                walk.take(step)
            walk.check_after()
        finally:
            walk.close()
    except Interrupted as signal:
        walk.outcome.interrupted = signal.number
        walk.close()  # again, should the signal have come while closing
    return walk.outcome


class _Walk:
    """One run under way: where it stands in the plan, and what it has learned."""

    def __init__(self, bench: Bench, total_s: float) -> None:
        self.bench = bench
        self.outcome = Outcome()
        self._left_s = total_s

    def begin(self) -> None:
        """Start the meter."""
        self._ask(self.bench.meter.start)

    def take(self, step: Step) -> None:
        """One step, unless its workload is out already."""
        if self._possible(step):
            self.bench.watch.step(step, self._left_s)
            try:
                self._do(step)
            except WorkerError as error:
                self._give_up(str(step.workload), error)
        self._left_s -= step.total_s

    def check_after(self) -> None:
        """What the timed runs produced is checked once more; a failure is a code, not a crash."""
        for name, worker in self.bench.workers.items():
            if name in self.outcome.failures or name not in self.outcome.checks:
                continue
            try:
                self.outcome.checks[name] += worker.check()
            except WorkerError as error:
                self._give_up(name, error)

    def close(self) -> None:
        """Close all of it; keep the meter's last words: a sampler's tally, or that it hung."""
        for worker in self.bench.workers.values():
            worker.close()
        self.bench.meter.stop()
        with contextlib.suppress(MeterError):
            for fact in self.bench.meter.poll():
                self.bench.record(fact)

    def _possible(self, step: Step) -> bool:
        """Whether the step's workload still stands, or for idle steps any workload."""
        alive = [name for name in self.bench.workers if name not in self.outcome.failures]
        return bool(alive) if step.workload is None else step.workload in alive

    def _do(self, step: Step) -> None:
        worker = None if step.workload is None else self.bench.workers[step.workload]
        if worker is not None and step.name == "prepare":
            self._prepare(worker)
        elif worker is not None and step.name == "verify":
            self._verify(worker)
        else:
            self._run(step, worker)

    def _prepare(self, worker: Worker) -> None:
        facts = worker.prepare(None)
        wanted, reported = self.bench.device.uuid, facts.details.get("device_uuid")
        if reported is not None and wanted is not None and reported != wanted:
            text = f"the meter reads {wanted}, {worker.name} runs on {reported}"
            raise WorkerError("mismatch", text)
        self.outcome.workloads[worker.name] = facts

    def _verify(self, worker: Worker) -> None:
        """Nothing is timed that has not passed."""
        checks = list(worker.verify())
        self.outcome.checks[worker.name] = checks
        failed = [f"{check.name}: {check.detail}" for check in checks if not check.passed]
        if failed or not checks:
            raise WorkerError("unverified", "; ".join(failed) or "it checks nothing")
        self._note("verified", workload=worker.name, checks=len(checks))

    def _run(self, step: Step, worker: Worker | None) -> None:
        """Idle, warm-up or block: start, let it settle, hold the window, stop, keep all it said."""
        if worker is not None:
            worker.start()
        self._pass(0.0, step.settle_s, worker)
        start_s = self.bench.clock.now()
        self._pass(step.settle_s, step.seconds, worker)
        assert step.name in {"idle", "warmup", "block"}
        span = Span(step.name, step.workload, start_s, self.bench.clock.now())
        self.bench.record(span)
        if worker is not None:
            for fact in worker.stop():
                self.bench.record(fact)
        if step.name == "block":
            self.bench.watch.block(span)

    def _pass(self, into_s: float, seconds: float, worker: Worker | None) -> None:
        """Let time pass, ``into_s`` into the step, while readings and marks are journalled."""
        clock = self.bench.clock
        start_s = clock.now()
        while (passed_s := clock.now() - start_s) < seconds:
            clock.sleep(min(POLL_S, seconds - passed_s))
            for fact in self._ask(self.bench.meter.poll) or ():
                self.bench.record(fact)
            for mark in worker.poll() if worker else ():
                self.bench.record(mark)
            self.bench.watch.tick(self._left_s - into_s - (clock.now() - start_s))

    def _give_up(self, name: str, error: WorkerError) -> None:
        self.outcome.failures[name] = error
        self._note("failed", workload=name, failure=error.kind, text=error.text)
        self.bench.workers[name].close()
        self.bench.watch.failed(name, error)

    def _ask(self, meter: Callable[[], T]) -> T | None:
        """Ask the meter; once it is lost the run goes on without it and says so."""
        if self.outcome.meter_error is not None:
            return None
        try:
            return meter()
        except MeterError as error:
            self.outcome.meter_error = str(error)
            self._note("meter_lost", text=str(error))
            return None

    def _note(self, name: str, **data: object) -> None:
        self.bench.record(Event(self.bench.clock.now(), name, dict(data)))
