"""A calibration end to end through the real NVML path: the load, the sampler, what is found.

The fake library's power follows a file that the worker writes as its load goes on and off. It
takes 14 s of real time. How closely each figure can be found is tested on simulated sensors, in
tests/bench; here the edges of the load fall where the real clock lets them.
"""

import time

import pytest

from bench.book import open_book
from bench.derive import calibrated
from bench.machine import RealClock
from bench.measure import Bench, measure
from bench.meters.process import ProcessMeter
from bench.protocol import FixedCourse
from bench.records.journal import Progress
from bench.records.record import Step
from bench.records.run import Check, WorkloadFacts

SECONDS = 14.0


class Switch:
    """A worker whose load is a line in a file; marks bear the very instants it writes."""

    name = "sha256d"
    pid = None

    def __init__(self, path):
        self.path = path
        self.began_s = 0.0
        self.write(0)

    def write(self, level):
        now_s = time.monotonic()
        with self.path.open("a", encoding="ascii") as out:
            out.write(f"{now_s:.6f} {level}\n")
        return now_s

    def prepare(self, _group_s):
        return WorkloadFacts("sha256d", "cupy", "hash", None, {})

    def verify(self):
        return [Check("switch", True, "writes")]

    def start(self, _phase=None):
        self.began_s = self.write(1)

    def poll(self):
        return []

    def stop(self):
        ended_s = self.write(0)
        return [Progress(self.began_s, 0, self.name), Progress(ended_s, 1, self.name)]

    def check(self):
        return []

    def close(self):
        pass


class Silent:
    def step(self, step, left_s):
        pass

    def tick(self, left_s):
        pass

    def block(self, span):
        pass

    def failed(self, workload, error):  # noqa: ARG002 - the port's
        raise error


def test_a_part_time_sensor_is_found_through_the_driver(fake_gpu, gpu, tmp_path):
    fake_gpu(
        WATTS="60:400:1",
        LOAD=tmp_path / "load",
        UPDATE_S=0.1,
        JITTER=0.02,
        WINDOW_S=0.025,
        LAG_S=0.03,
        GAIN=0.95,
        TICK_S=0.1,
        NOISE_W=0.5,
    )
    worker = Switch(tmp_path / "load")
    meter = ProcessMeter("nvml", "0", gpu)
    facts = []
    bench = Bench(gpu, {"sha256d": worker}, meter, RealClock(), facts.append, Silent(), seed=11)
    steps = (
        Step("prepare", "sha256d", 0.0),
        Step("verify", "sha256d", 0.0),
        Step("calibrate", "sha256d", SECONDS, poll_s=0.0025),
    )
    measure(bench, FixedCourse(steps))
    found = calibrated(meter.facts(), gpu, open_book(facts), "2026-11-22T00:00:00Z")
    sensor = found.sensor
    assert sensor.update_s == pytest.approx(0.1, rel=0.03)
    # How far back the window's middle lies is found closely; its width, only from the few
    # readings that fall upon an edge of the load: in ten runs with a deviation of 3 ms.
    assert sensor.lag_s + sensor.window_s / 2 == pytest.approx(0.0425, abs=0.006)
    assert sensor.window_s == pytest.approx(0.025, abs=0.015)
    assert sensor.kind == "part-time"
    assert sensor.counter_tick_s == pytest.approx(0.1, rel=0.03)
    assert found.calibration.swing_w == pytest.approx(0.95 * 340, rel=0.02)
    assert found.calibration.counter_ratio == pytest.approx(1.0, abs=0.08)
