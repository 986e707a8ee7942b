"""The one loop: verify, idle, warm up, blocks in ABBA order. Everything it touches is injected.

Real and simulated devices take the same path; only the clock, the workers and the meter differ.
Nothing is computed here: facts go to ``record`` as they come, and are judged later.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Protocol, TypeVar

from bench.plan import load_pattern
from bench.ports import Clock, Meter, MeterError, Worker, WorkerError
from bench.records.journal import Event, Fact, Progress, Span
from bench.records.record import Step
from bench.records.run import Check, DeviceFacts, WorkloadFacts

POLL_S = 0.1
EDGE_S = 0.25
EDGE_POLL_S = 0.0015
"""At both edges of a window the meter looks so often and so long, to see a counter's tick."""
SURVEY_S = 5.0
LEAST_S = 1e-9
SETUP = frozenset({"prepare", "verify"})
T = TypeVar("T")


class Course(Protocol):
    """The steps of a run as they come; ``left_s`` is what the current and later ones will take."""

    left_s: float

    def __iter__(self) -> Iterator[Step]: ...


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
    """What a run works with: the device, its workers and meter, the clock and the two listeners.

    ``seed`` draws the on/off load of a calibration.
    """

    device: DeviceFacts
    workers: Mapping[str, Worker]
    meter: Meter
    clock: Clock
    record: Callable[[Fact], None]
    watch: Watcher
    seed: int = 0


def measure(bench: Bench, course: Course) -> Outcome:
    """Walk the course; whatever ends the walk early, close everything and keep what there is."""
    walk = _Walk(bench, course)
    try:
        try:
            walk.begin()
            for step in course:
                walk.take(step)
            walk.check_after()
        finally:
            walk.close()
    except Interrupted as signal:
        walk.interrupted(signal.number)
        walk.close()  # again, should the signal have come while closing
    return walk.outcome


class _Walk:
    """One run under way: where it stands in the plan, and what it has learned."""

    def __init__(self, bench: Bench, course: Course) -> None:
        self.bench = bench
        self.outcome = Outcome()
        self._course = course
        self._surveyed_s: float | None = None

    def begin(self) -> None:
        """Start the meter."""
        self._ask(self.bench.meter.start)

    def take(self, step: Step) -> None:
        """One step, unless its workload is out already."""
        if not self._possible(step):
            return
        if step.name not in SETUP:
            self._survey()
        self.bench.watch.step(step, self._course.left_s)
        try:
            self._do(step)
        except WorkerError as error:
            self._give_up(str(step.workload), error)

    def check_after(self) -> None:
        """What the timed runs produced is checked once more; a failure is a code, not a crash."""
        if self._surveyed_s is not None:
            self._ask(self.bench.meter.survey)
        for name, worker in self.bench.workers.items():
            if name in self.outcome.failures or name not in self.outcome.checks:
                continue
            try:
                self._checked(name, worker.check())
            except WorkerError as error:
                self._give_up(name, error)

    def interrupted(self, number: int) -> None:
        """Keep which signal it was."""
        self.outcome.interrupted = number
        self._note("interrupted", signal=number)

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
            self._prepare(worker, step.group_s)
        elif worker is not None and step.name == "verify":
            self._verify(worker)
        elif worker is not None and step.name == "calibrate":
            self._calibrate(step, worker)
        else:
            self._run(step, worker)

    def _prepare(self, worker: Worker, group_s: float | None) -> None:
        facts = worker.prepare(group_s)
        wanted, reported = self.bench.device.uuid, facts.details.get("device_uuid")
        if reported is not None and wanted is not None and reported != wanted:
            text = f"the meter reads {wanted}, {worker.name} runs on {reported}"
            raise WorkerError("mismatch", text)
        self.outcome.workloads[worker.name] = facts
        self._note("prepared", **asdict(facts))

    def _verify(self, worker: Worker) -> None:
        """Nothing is timed that has not passed."""
        checks = list(worker.verify())
        self._checked(worker.name, checks)
        failed = [f"{check.name}: {check.detail}" for check in checks if not check.passed]
        if failed or not checks:
            raise WorkerError("unverified", "; ".join(failed) or "it checks nothing")

    def _checked(self, name: str, checks: Sequence[Check]) -> None:
        self.outcome.checks.setdefault(name, []).extend(checks)
        self._note("checks", workload=name, checks=[asdict(check) for check in checks])

    def _calibrate(self, step: Step, worker: Worker) -> None:
        """The load on and off in a seeded pattern, its edges from the worker's own marks."""
        self._pace(step.poll_s)
        start_s = self.bench.clock.now()
        self._load(0.0, start_s)
        for on, seconds in load_pattern(self.bench.seed, step.seconds):
            into_s = self.bench.clock.now() - start_s
            if on:
                self._burst(worker, into_s, seconds)
            else:
                self._pass(into_s, seconds, None)
        self.bench.record(Span("calibrate", step.workload, start_s, self.bench.clock.now()))

    def _burst(self, worker: Worker, into_s: float, seconds: float) -> None:
        """The load on for a while; it lasts from the first mark of its run to the last."""
        begun_s = self.bench.clock.now()
        worker.start()
        marks = self._pass(into_s, seconds, worker)
        last = worker.stop()
        for fact in last:
            self.bench.record(fact)
        times_s = [each.t_s for each in (*marks, *last) if isinstance(each, Progress)]
        self._load(1.0, min(times_s, default=begun_s))
        self._load(0.0, max(times_s, default=self.bench.clock.now()))

    def _load(self, level: float, t_s: float) -> None:
        self.bench.record(Event(t_s, "load", {"level": level}))

    def _run(self, step: Step, worker: Worker | None) -> None:
        """A window of any kind: start, let it settle, hold it, stop, keep all that was said."""
        assert step.name in {"idle", "warmup", "steady", "observer", "phase", "block"}
        self._pace(step.poll_s)
        if worker is not None:
            worker.start(step.part)
        self._pass(0.0, step.settle_s, worker)
        start_s = self.bench.clock.now()
        if step.name == "warmup":
            self._pass(step.settle_s, step.seconds, worker)
        else:
            self._hold(step, worker)
        poll_s = step.poll_s if step.name == "observer" else None
        now_s = self.bench.clock.now()
        span = Span(step.name, step.workload, start_s, now_s, poll_s, step.part)
        self.bench.record(span)
        self._pass(step.settle_s + step.seconds, step.run_out_s, worker)
        if worker is not None:
            for fact in worker.stop():
                self.bench.record(fact)
        if step.name == "block":
            self.bench.watch.block(span)

    def _hold(self, step: Step, worker: Worker | None) -> None:
        """The window itself, its edges watched closely."""
        edge_s = min(EDGE_S, step.seconds / 2)
        middle_s = step.seconds - 2 * edge_s
        stretches = [(EDGE_POLL_S, edge_s), (step.poll_s, middle_s), (EDGE_POLL_S, edge_s)]
        into_s = step.settle_s
        for poll_s, seconds in stretches:
            self._pace(poll_s)
            self._pass(into_s, seconds, worker)
            into_s += seconds

    def _pass(self, into_s: float, seconds: float, worker: Worker | None) -> list[Progress]:
        """Let time pass, ``into_s`` into the step, while readings and marks are journalled.

        Returns the worker's marks.
        """
        clock = self.bench.clock
        start_s = clock.now()
        marks: list[Progress] = []
        while (left_s := start_s + seconds - clock.now()) > LEAST_S:
            clock.sleep(min(POLL_S, left_s))
            for fact in self._ask(self.bench.meter.poll) or ():
                self.bench.record(fact)
            if worker is not None:
                fresh = worker.poll()
                marks += fresh
                for mark in fresh:
                    self.bench.record(mark)
            self.bench.watch.tick(self._course.left_s - into_s - (clock.now() - start_s))
        return marks

    def _pace(self, poll_s: float | None) -> None:
        self._ask(lambda: self.bench.meter.pace(poll_s))

    def _survey(self) -> None:
        """Which processes are on the device: once all contexts stand, then now and then."""
        now_s = self.bench.clock.now()
        if self._surveyed_s is None:
            pids = [self.bench.meter.pid, *(each.pid for each in self.bench.workers.values())]
            for facts in self.outcome.workloads.values():
                pids += facts.details.get("server_pids", ())
            self._note("own_processes", pids=[pid for pid in pids if pid is not None])
        elif now_s - self._surveyed_s < SURVEY_S:
            return
        self._surveyed_s = now_s
        self._ask(self.bench.meter.survey)

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

    def _note(self, name: str, /, **data: object) -> None:
        self.bench.record(Event(self.bench.clock.now(), name, dict(data)))
