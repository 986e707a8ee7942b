"""The one loop, driven by a fake worker and meter on virtual time."""

import signal
from itertools import pairwise

import pytest

from bench.machine import VirtualClock
from bench.measure import EDGE_POLL_S, EDGE_S, Bench, Interrupted, measure
from bench.plan import GRADES, calibration, load_pattern, steps
from bench.ports import MeterError, WorkerError
from bench.protocol import FixedCourse, Protocol
from bench.records.journal import Event, Progress, Sample, Span
from bench.records.record import Step
from bench.records.run import Check, DeviceFacts, MeterFacts, WorkloadFacts

QUICK = GRADES["quick"]
DEVICE = DeviceFacts(kind="gpu", name="card", uuid="GPU-1")


class FakeWorker:
    def __init__(
        self, name, clock, *, fail_at=None, passes=True, uuid="GPU-1", served=None, phases=None
    ):
        self.name = name
        self.clock = clock
        self.fail_at = fail_at
        self.passes = passes
        self.uuid = uuid
        self.served = {} if served is None else {"server_pids": served}
        self.served |= {} if phases is None else {"phases": phases}
        self.log = []
        self.units = 0
        self.pid = 100 + ord(name)
        self.groups = []

    def _note(self, what):
        self.log.append(what)
        if what == self.fail_at:
            raise WorkerError("device", f"{what} failed")

    def prepare(self, group_s):
        self._note("prepare")
        self.groups.append(group_s)
        return WorkloadFacts(
            self.name, "fake", "hash", None, {}, details={"device_uuid": self.uuid, **self.served}
        )

    def verify(self):
        self._note("verify")
        return [] if self.passes is None else [Check("known answer", self.passes, "detail")]

    def start(self, phase=None):
        self._note("start" if phase is None else f"start {phase}")

    def poll(self):
        self._note("poll")
        self.units += 10
        return [Progress(self.clock.now(), self.units, self.name)]

    def stop(self):
        self._note("stop")
        return [Event(self.clock.now(), "last words", {"workload": self.name})]

    def check(self):
        self._note("check")
        return [Check("after", True, "fine")]

    def close(self):
        self.log.append("close")


class FakeMeter:
    def __init__(self, clock, *, dies_after=None):
        self.clock = clock
        self.dies_after = dies_after
        self.polls = 0
        self.stopped = False
        self.pid = 99
        self.paces = []
        self.surveys = []

    def facts(self):
        return MeterFacts("nvml-counter", "fake")

    def start(self):
        pass

    def pace(self, period_s):
        self.paces.append((self.clock.now(), period_s))

    def survey(self):
        self.surveys.append(self.clock.now())

    def poll(self):
        self.polls += 1
        if self.dies_after is not None and self.polls > self.dies_after:
            raise MeterError("lost")
        return [Sample(self.clock.now(), "power_instant_w", 100.0)]

    def stop(self):
        self.stopped = True


class Watch:
    def __init__(self, interrupt_at=None):
        self.steps = []
        self.blocks = []
        self.failures = []
        self.ticks = 0
        self.interrupt_at = interrupt_at

    def step(self, step, left_s):
        self.steps.append((step.name, step.workload, left_s))

    def tick(self, left_s):  # noqa: ARG002 - the port's
        self.ticks += 1
        if self.ticks == self.interrupt_at:
            raise Interrupted(signal.SIGINT)

    def block(self, span):
        self.blocks.append(span)

    def failed(self, workload, error):
        self.failures.append((workload, error.kind))


QUICK_STEPS = steps(
    QUICK, ("a", "b"), block_s=2.5, metered=True, calibrate=False, setup_s={}, sensor=None
)


def go(worker_options=(), meter_options=(), interrupt_at=None, plan=QUICK_STEPS):
    clock = VirtualClock()
    options = dict(worker_options)
    workers = {name: FakeWorker(name, clock, **options.get(name, {})) for name in ("a", "b")}
    meter = FakeMeter(clock, **dict(meter_options))
    facts, watch = [], Watch(interrupt_at)
    bench = Bench(DEVICE, workers, meter, clock, facts.append, watch, seed=3)
    outcome = measure(bench, FixedCourse(plan))
    return outcome, workers, meter, facts, watch


def test_a_run_verifies_idles_warms_up_and_measures_abba():
    outcome, workers, meter, facts, watch = go()
    names = [(name, workload) for name, workload, _ in watch.steps]
    assert names[:7] == [
        ("prepare", "a"), ("prepare", "b"), ("verify", "a"), ("verify", "b"),
        ("idle", None), ("warmup", "a"), ("warmup", "b"),
    ]  # fmt: skip
    assert [w for name, w in names if name == "block"] == ["a", "b", "b", "a"] * 2
    assert [check.name for check in outcome.checks["a"]] == ["known answer", "after"]
    assert workers["a"].log[-1] == "close"
    assert meter.stopped
    spans = [f for f in facts if isinstance(f, Span) and f.phase == "block"]
    assert all(s.end_s - s.start_s == pytest.approx(2.5) for s in spans)
    assert watch.blocks == spans


def test_blocks_settle_before_they_count():
    _, _, _, facts, _ = go()
    block = next(f for f in facts if isinstance(f, Span) and f.phase == "block")
    before = [f for f in facts if isinstance(f, Progress) and f.t_s < block.start_s]
    warm = next(
        f for f in facts if isinstance(f, Span) and f.phase == "warmup" and f.workload == "b"
    )
    assert block.start_s - warm.end_s == pytest.approx(QUICK.settle_s)
    assert before


def protocol(phases):
    """A whole quick run whose second worker says at its preparation what it can run alone."""
    facts, clock = [], VirtualClock()
    workers = {"a": FakeWorker("a", clock), "b": FakeWorker("b", clock, phases=phases)}
    meter, watch = FakeMeter(clock), Watch()
    course = Protocol(
        QUICK,
        ("a", "b"),
        device=DEVICE,
        meter=meter.facts(),
        window_s=None,
        setup_s={},
        facts=facts,
        made_at="2026-11-22T00:00:00+00:00",
    )
    outcome = measure(Bench(DEVICE, workers, meter, clock, facts.append, watch), course)
    return outcome, workers["b"], facts


def test_a_phase_alone_is_asked_for_and_booked_before_the_blocks():
    outcome, worker, facts = protocol(["prefill", "decode"])
    assert outcome.failures == {}
    alone = [what for what in worker.log if what.startswith("start ")]
    round_trip = ["start prefill", "start decode", "start decode", "start prefill"]
    assert alone == [*round_trip, "start prefill", "start decode"]
    spans = [f for f in facts if isinstance(f, Span)]
    parts = [(s.workload, s.part) for s in spans if s.phase == "phase"]
    assert parts == [("b", what.removeprefix("start ")) for what in alone]
    first = next(s.start_s for s in spans if s.phase == "block")
    assert all(s.end_s <= first for s in spans if s.phase == "phase")
    assert all(s.part is None for s in spans if s.phase != "phase")


def test_without_phases_nothing_is_run_alone():
    _, worker, facts = protocol(None)
    assert "start" in worker.log
    assert not any(isinstance(f, Span) and f.phase == "phase" for f in facts)


def test_one_failing_workload_does_not_take_the_other():
    outcome, workers, _, facts, watch = go({"b": {"fail_at": "start"}}.items())
    assert outcome.failures["b"].kind == "device"
    assert watch.failures == [("b", "device")]
    assert {s.workload for s in watch.blocks} == {"a"}
    assert len(watch.blocks) == 4
    assert workers["b"].log[-1] == "close"
    assert any(isinstance(f, Event) and f.name == "failed" for f in facts)


def test_nothing_unverified_is_timed():
    outcome, workers, _, _, watch = go({"a": {"passes": False}}.items())
    assert outcome.failures["a"].kind == "unverified"
    assert "start" not in workers["a"].log
    assert {s.workload for s in watch.blocks} == {"b"}


def test_work_on_another_card_than_the_meters_is_refused():
    outcome, *_ = go({"a": {"uuid": "GPU-2"}}.items())
    assert outcome.failures["a"].kind == "mismatch"
    assert "GPU-2" in outcome.failures["a"].text


@pytest.mark.parametrize("at", [1, 5, 100, 300])
def test_an_interrupt_keeps_what_there_is_and_closes_everything(at):
    outcome, workers, meter, facts, _ = go(interrupt_at=at)
    assert outcome.interrupted == signal.SIGINT
    assert all(worker.log[-1] == "close" for worker in workers.values())
    assert meter.stopped
    assert at < 100 or any(isinstance(f, Span) for f in facts)


def test_a_lost_meter_ends_the_sampling_not_the_run():
    outcome, _, meter, facts, watch = go(meter_options={"dies_after": 40}.items())
    assert outcome.meter_error == "lost"
    assert len(watch.blocks) == 8
    assert meter.polls == 42, "once more after it was stopped, for its last words"
    assert sum(isinstance(f, Event) and f.name == "meter_lost" for f in facts) == 1


def test_a_workload_that_checks_nothing_is_not_timed():
    outcome, *_ = go({"a": {"passes": None}}.items())
    assert outcome.failures["a"].kind == "unverified"


def test_an_interrupt_while_closing_keeps_the_run(monkeypatch):
    closed = []

    def close(worker):
        closed.append(worker.name)
        worker.log.append("close")
        if len(closed) == 1:
            raise Interrupted(signal.SIGINT)

    monkeypatch.setattr(FakeWorker, "close", close)
    outcome, workers, meter, _, watch = go()
    assert outcome.interrupted == signal.SIGINT
    assert len(watch.blocks) == 8
    assert all("close" in worker.log for worker in workers.values())
    assert meter.stopped


def test_with_all_workloads_gone_no_time_is_wasted():
    bad = {"fail_at": "prepare"}
    _, _, _, _, watch = go({"a": bad, "b": bad}.items())
    assert [name for name, _, _ in watch.steps] == ["prepare", "prepare"]


def events(facts, name):
    return [f for f in facts if isinstance(f, Event) and f.name == name]


def test_the_journal_alone_tells_what_was_prepared_checked_and_how_it_ended():
    _, _, _, facts, _ = go(interrupt_at=100)
    assert [e.data["name"] for e in events(facts, "prepared")] == ["a", "b"]
    checks = [(e.data["workload"], e.data["checks"][0]["name"]) for e in events(facts, "checks")]
    assert checks == [("a", "known answer"), ("b", "known answer")]
    assert [e.data for e in events(facts, "interrupted")] == [{"signal": signal.SIGINT}]
    _, _, _, whole, _ = go()
    assert [e.data["checks"][0]["name"] for e in events(whole, "checks")][2:] == ["after"] * 2


def test_both_edges_of_a_window_are_watched_closely():
    _, _, meter, facts, _ = go()
    block = next(f for f in facts if isinstance(f, Span) and f.phase == "block")
    inside = [(t - block.start_s, p) for t, p in meter.paces if block.start_s <= t <= block.end_s]
    assert inside[0] == (pytest.approx(0), EDGE_POLL_S)
    assert inside[1] == (pytest.approx(EDGE_S), None)
    assert inside[2] == (pytest.approx(2.5 - EDGE_S), EDGE_POLL_S)


def test_a_window_shorter_than_its_edges_is_watched_closely_throughout():
    _, _, meter, facts, _ = go(plan=(*QUICK_STEPS[:4], Step("block", "a", 0.3)))
    block = next(f for f in facts if isinstance(f, Span) and f.phase == "block")
    assert block.end_s - block.start_s == pytest.approx(0.3)
    assert {p for t, p in meter.paces if block.start_s <= t < block.end_s} <= {EDGE_POLL_S, None}


def test_the_processes_of_a_server_that_is_measured_are_the_runs_own():
    _, _, _, facts, _ = go(worker_options={"a": {"served": [21, 22]}})
    (own,) = events(facts, "own_processes")
    assert own.data["pids"] == [99, 100 + ord("a"), 100 + ord("b"), 21, 22]


def test_the_device_is_surveyed_once_all_contexts_stand_then_now_and_then():
    _, _, meter, facts, watch = go()
    (own,) = events(facts, "own_processes")
    assert own.data["pids"] == [99, 100 + ord("a"), 100 + ord("b")]
    assert meter.surveys[0] == own.t_s
    gaps = [b - a for a, b in pairwise(meter.surveys)]
    assert all(gap >= 5 for gap in gaps[:-1])
    blocks = watch.blocks
    assert all(not any(b.start_s < t < b.end_s for b in blocks) for t in meter.surveys)
    assert meter.surveys[-1] >= blocks[-1].end_s


def test_a_calibration_switches_the_load_as_its_seed_says():
    _, workers, meter, facts, _ = go(plan=(*QUICK_STEPS[:4], calibration("a")))
    (span,) = [f for f in facts if isinstance(f, Span)]
    assert (span.phase, span.workload) == ("calibrate", "a")
    levels = [(e.t_s, e.data["level"]) for e in events(facts, "load")]
    pattern = load_pattern(3, 21.0)
    assert sum(seconds for _, seconds in pattern) == pytest.approx(21.0)
    assert len(levels) == 1 + 2 * sum(on for on, _ in pattern)
    assert [t for t, _ in levels] == sorted(t for t, _ in levels)
    lit = [b[0] - a[0] for a, b in pairwise(levels) if a[1] == 1.0]
    for found, asked in zip(lit, (s for on, s in pattern if on), strict=True):
        assert asked - 0.1 <= found + 1e-6 <= asked + 1e-3, "the fake marks every 0.1 s"
    assert workers["a"].log.count("start") == sum(on for on, _ in pattern)
    assert (span.start_s, 0.0025) in meter.paces


def test_an_observer_span_says_how_often_the_meter_looked():
    plan = (*QUICK_STEPS[:4], *(Step("observer", "a", 5.0, 2.0, p) for p in (0.0, 1.0, 0.05)))
    _, _, _, facts, _ = go(plan=plan)
    assert [f.poll_s for f in facts if isinstance(f, Span)] == [0.0, 1.0, 0.05]


def test_a_workload_is_grouped_anew_when_a_later_step_asks():
    _, workers, *_ = go(plan=(*QUICK_STEPS[:4], Step("prepare", "a", 0.0, group_s=0.138)))
    assert workers["a"].groups == [None, 0.138]
