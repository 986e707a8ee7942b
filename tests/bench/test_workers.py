"""The real child process, running workloads that live only here."""

import textwrap
import time

import pytest

from bench.ports import WorkerError
from bench.records.journal import Event, Progress, Share
from bench.workers import ProcessWorker

WORKLOAD = """
import os, sys, time
class Fake:
    name, unit = "fake", "hash"
    def __init__(self, fault=None):
        if fault == "usage": raise ValueError("no such kernel")
        self.fault = fault
    def prepare(self, *, group_s=None):
        if self.fault == "missing": raise ImportError("no module named torch")
        if self.fault == "nobody": raise ConnectionError("no server answers: start it")
        if self.fault == "memory": raise MemoryError("too big")
        if self.fault == "slow": time.sleep(60)
        print("chatter that must not disturb the protocol", flush=True)
    def describe(self):
        return {"name": "fake", "backend": "test", "unit": "hash", "tier": None, "config": {},
                "device_uuid": os.environ.get("CUDA_VISIBLE_DEVICES")}
    def verify(self):
        return [("known", True, "fine")]
    def run(self, mark, stop):
        if self.fault == "crash": sys.stderr.write("last words\\n"); os._exit(3)
        if self.fault == "bug": raise RuntimeError("boom")
        units = 0
        if self.fault == "ends": return
        if self.fault == "backwards": mark(1.0, 5); mark(1.1, 4)
        while not stop():
            time.sleep(0.01); units += 1; mark(time.monotonic(), units)
    def facts(self):
        if self.fault == "strange": return [{"kind": "gossip"}]
        if self.fault == "nan": return [{"kind": "clocks", "monotonic_s": float("nan")}]
        return [{"kind": "share", "header_hex": "00" * 80, "nonce": 0, "mask": 1},
                {"kind": "event", "t_s": 1.0, "name": "step_latency", "data": {"n": 1}}]
    def check(self): return [("after", True, "fine")]
    def close(self): pass
"""


@pytest.fixture
def start(tmp_path, monkeypatch):
    (tmp_path / "fakeworkload.py").write_text(textwrap.dedent(WORKLOAD))
    info = tmp_path / "fakeworkload-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fakeworkload\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[joulemark.workloads]\nfake = fakeworkload:Fake\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    workers = []

    def start(fault=None, name="fake", environment=None):
        worker = ProcessWorker(name, {"fault": fault}, environment or {})
        workers.append(worker)
        return worker

    yield start
    for worker in workers:
        worker.close()


def run_for(worker, marks):
    worker.start()
    seen = []
    while len(seen) < marks:
        seen += worker.poll()
    return seen, worker.stop()


def poll_forever(worker):
    while True:
        worker.poll()


def test_a_whole_life(start):
    worker = start(environment={"CUDA_VISIBLE_DEVICES": "GPU-7"})
    facts = worker.prepare(None)
    assert (facts.name, facts.backend, facts.unit) == ("fake", "test", "hash")
    assert facts.details["device_uuid"] == "GPU-7"
    assert worker.verify()[0].passed
    first, rest = run_for(worker, 3)
    again, _ = run_for(worker, 3)
    units = [m.units for m in [*first, *(f for f in rest if isinstance(f, Progress)), *again]]
    assert units == list(range(1, len(units) + 1)), "marks go on over runs without gap or repeat"
    assert all(m.workload == "fake" for m in first)
    assert any(isinstance(f, Share) for f in rest)
    assert [f.data["workload"] for f in rest if isinstance(f, Event)] == ["fake"]
    assert worker.check()[0].name == "after"


def test_marks_are_on_this_machines_monotonic_clock(start):
    worker = start()
    worker.prepare(None)
    before = time.monotonic()
    marks, _ = run_for(worker, 2)
    assert all(before < mark.t_s < time.monotonic() for mark in marks)


@pytest.mark.parametrize("fault", ["missing", "memory", "usage"])
def test_what_keeps_it_from_starting_is_told_in_kind(start, fault):
    with pytest.raises(WorkerError) as caught:
        start(fault).prepare(None)
    assert caught.value.kind == fault
    assert "\n" not in caught.value.text


def test_a_server_that_does_not_answer_is_missing(start):
    with pytest.raises(WorkerError, match="start it") as caught:
        start("nobody").prepare(None)
    assert caught.value.kind == "missing"


def test_an_unknown_workload_lists_the_known_ones(start):
    with pytest.raises(WorkerError, match=r"known: .*sha256d"):
        start(name="nonsense").prepare(None)


def test_a_bug_is_reported_and_the_worker_lives_on(start):
    worker = start("bug")
    worker.prepare(None)
    worker.start()
    with pytest.raises(WorkerError, match="boom") as caught:
        poll_forever(worker)
    assert caught.value.kind == "bug"
    assert worker.verify()[0].passed


@pytest.mark.parametrize(
    ("fault", "words"), [("ends", "ended by itself"), ("backwards", "counts backwards")]
)
def test_a_run_that_misbehaves_is_a_bug_of_the_workload(start, fault, words):
    worker = start(fault)
    worker.prepare(None)
    worker.start()
    with pytest.raises(WorkerError, match=words) as caught:
        poll_forever(worker)
    assert caught.value.kind == "bug"


@pytest.mark.parametrize(("fault", "words"), [("strange", "gossip"), ("nan", "NaN")])
def test_facts_that_no_journal_keeps_are_refused(start, fault, words):
    worker = start(fault)
    worker.prepare(None)
    with pytest.raises(WorkerError, match=words) as caught:
        run_for(worker, 1)
    assert caught.value.kind == "bug"


def test_a_stop_right_after_the_start_is_not_lost(start):
    worker = start()
    worker.prepare(None)
    begun = time.monotonic()
    for _ in range(20):
        worker.start()
        worker.stop()
    assert time.monotonic() - begun < 10


def test_a_crash_is_told_with_its_last_words(start):
    worker = start("crash")
    worker.prepare(None)
    worker.start()
    with pytest.raises(WorkerError, match=r"status 3\): last words"):
        poll_forever(worker)
    with pytest.raises(WorkerError):
        worker.verify()


def test_closing_does_not_wait_for_slow_work(start):
    worker = start("slow")
    worker._send({"do": "prepare", "group_s": None})
    begun = time.monotonic()
    worker.close()
    worker.close()
    assert time.monotonic() - begun < 2.0
    assert worker._process.returncode is not None


def test_what_is_known_beforehand_joins_the_configuration(start):
    start().close()
    worker = ProcessWorker("fake", {"fault": None}, {}, {"limit": {"alu": 1}})
    try:
        assert worker.prepare(None).config == {"limit": {"alu": 1}}
    finally:
        worker.close()
