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
    outcome = Outcome()
    try:
        try:
            _listen(bench, outcome, bench.meter.start)
            _walk(bench, steps, outcome)
            _check_after(bench, outcome)
        finally:
            _close(bench)
    except Interrupted as signal:
        outcome.interrupted = signal.number
        _close(bench)  # again, should the signal have come while closing
    return outcome


def _close(bench: Bench) -> None:
    """Close all of it; keep the meter's last words: a sampler's tally, or that it hung."""
    for worker in bench.workers.values():
        worker.close()
    bench.meter.stop()
    with contextlib.suppress(MeterError):
        for fact in bench.meter.poll():
            bench.record(fact)


def _walk(bench: Bench, steps: Sequence[Step], outcome: Outcome) -> None:
    left_s = sum(step.total_s for step in steps)
    for step in steps:
        if _possible(step, bench, outcome):
            bench.watch.step(step, left_s)
            try:
                _take(bench, step, outcome, left_s)
            except WorkerError as error:
                _give_up(bench, str(step.workload), error, outcome)
        left_s -= step.total_s


def _possible(step: Step, bench: Bench, outcome: Outcome) -> bool:
    """Whether the step's workload still stands, or for idle steps any workload."""
    alive = [name for name in bench.workers if name not in outcome.failures]
    return bool(alive) if step.workload is None else step.workload in alive


def _take(bench: Bench, step: Step, outcome: Outcome, left_s: float) -> None:
    if step.workload is None:
        _pass(bench, step.settle_s, None, outcome, left_s)
        _span(bench, step, None, outcome, left_s - step.settle_s)
        return
    worker = bench.workers[step.workload]
    match step.name:
        case "prepare":
            _prepare(bench, worker, outcome)
        case "verify":
            _verify(bench, worker, outcome)
        case _:
            _run(bench, step, worker, outcome, left_s)


def _prepare(bench: Bench, worker: Worker, outcome: Outcome) -> None:
    facts = worker.prepare(None)
    reported = facts.details.get("device_uuid")
    if reported is not None and bench.device.uuid is not None and reported != bench.device.uuid:
        raise WorkerError(
            "mismatch", f"the meter reads {bench.device.uuid}, {worker.name} runs on {reported}"
        )
    outcome.workloads[worker.name] = facts


def _verify(bench: Bench, worker: Worker, outcome: Outcome) -> None:
    """Nothing is timed that has not passed."""
    checks = list(worker.verify())
    outcome.checks[worker.name] = checks
    failed = [f"{check.name}: {check.detail}" for check in checks if not check.passed]
    if failed or not checks:
        raise WorkerError("unverified", "; ".join(failed) or "it checks nothing")
    bench.record(_event(bench, "verified", workload=worker.name, checks=len(checks)))


def _run(bench: Bench, step: Step, worker: Worker, outcome: Outcome, left_s: float) -> None:
    """Warm-up or block: start, let it settle, hold the window, stop, keep all it said."""
    worker.start()
    _pass(bench, step.settle_s, worker, outcome, left_s)
    span = _span(bench, step, worker, outcome, left_s - step.settle_s)
    for fact in worker.stop():
        bench.record(fact)
    if step.name == "block":
        bench.watch.block(span)


def _span(bench: Bench, step: Step, worker: Worker | None, outcome: Outcome, left_s: float) -> Span:
    start_s = bench.clock.now()
    _pass(bench, step.seconds, worker, outcome, left_s)
    phase = step.name
    assert phase in {"idle", "warmup", "block"}
    span = Span(phase, step.workload, start_s, bench.clock.now())
    bench.record(span)
    return span


def _pass(
    bench: Bench, seconds: float, worker: Worker | None, outcome: Outcome, left_s: float
) -> None:
    """Let time pass while readings and marks stream into the journal."""
    start_s = bench.clock.now()
    end_s = start_s + seconds
    while (now_s := bench.clock.now()) < end_s:
        bench.clock.sleep(min(POLL_S, end_s - now_s))
        for fact in _listen(bench, outcome, bench.meter.poll) or ():
            bench.record(fact)
        for mark in worker.poll() if worker else ():
            bench.record(mark)
        bench.watch.tick(left_s - (bench.clock.now() - start_s))


def _check_after(bench: Bench, outcome: Outcome) -> None:
    """What the timed runs produced is checked once more; a failure is a code, not a crash."""
    for name, worker in bench.workers.items():
        if name in outcome.failures or name not in outcome.checks:
            continue
        try:
            outcome.checks[name] += worker.check()
        except WorkerError as error:
            _give_up(bench, name, error, outcome)


def _give_up(bench: Bench, name: str, error: WorkerError, outcome: Outcome) -> None:
    outcome.failures[name] = error
    bench.record(_event(bench, "failed", workload=name, failure=error.kind, text=error.text))
    bench.workers[name].close()
    bench.watch.failed(name, error)


def _listen(bench: Bench, outcome: Outcome, ask: Callable[[], T]) -> T | None:
    """Ask the meter; once it is lost the run goes on without it and says so."""
    if outcome.meter_error is not None:
        return None
    try:
        return ask()
    except MeterError as error:
        outcome.meter_error = str(error)
        bench.record(_event(bench, "meter_lost", text=str(error)))
        return None


def _event(bench: Bench, name: str, **data: object) -> Event:
    return Event(bench.clock.now(), name, dict(data))
