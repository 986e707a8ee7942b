"""The one loop, driven by a fake worker and meter on virtual time."""

import signal

import pytest

from bench.machine import VirtualClock
from bench.measure import Bench, Interrupted, measure
from bench.plan import GRADES, steps
from bench.ports import MeterError, WorkerError
from bench.records.journal import Event, Progress, Sample, Span
from bench.records.run import Check, DeviceFacts, MeterFacts, WorkloadFacts

QUICK = GRADES["quick"]
DEVICE = DeviceFacts(kind="gpu", name="card", uuid="GPU-1")


class FakeWorker:
    def __init__(self, name, clock, *, fail_at=None, passes=True, uuid="GPU-1"):
        self.name = name
        self.clock = clock
        self.fail_at = fail_at
        self.passes = passes
        self.uuid = uuid
        self.log = []
        self.units = 0

    def _note(self, what):
        self.log.append(what)
        if what == self.fail_at:
            raise WorkerError("device", f"{what} failed")

    def prepare(self, group_s):  # noqa: ARG002 - the port's
        self._note("prepare")
        return WorkloadFacts(
            self.name, "fake", "hash", None, {}, details={"device_uuid": self.uuid}
        )

    def verify(self):
        self._note("verify")
        return [] if self.passes is None else [Check("known answer", self.passes, "detail")]

    def start(self):
        self._note("start")

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

    def facts(self):
        return MeterFacts("nvml-counter", "fake")

    def start(self):
        pass

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


def go(worker_options=(), meter_options=(), interrupt_at=None):
    clock = VirtualClock()
    options = dict(worker_options)
    workers = {name: FakeWorker(name, clock, **options.get(name, {})) for name in ("a", "b")}
    meter = FakeMeter(clock, **dict(meter_options))
    facts, watch = [], Watch(interrupt_at)
    plan = steps(QUICK, ("a", "b"), block_s=2.5, metered=True, setup_s={})
    outcome = measure(Bench(DEVICE, workers, meter, clock, facts.append, watch), plan)
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
