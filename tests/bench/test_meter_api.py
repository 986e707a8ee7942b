"""``bench.Meter`` without a sampler. About 3 s.

With one: ``tests/meters/test_run_command.py``.
"""

import os
import subprocess
import sys
import time

import pytest

import bench
from bench.metered import Metering, family, slowed_s
from bench.ports import MeterError
from bench.records.journal import Event, Sample
from bench.records.run import MeterFacts


def test_it_is_loaded_when_asked_for_and_typos_are_told():
    code = "import bench, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"pynvml", "scipy", "numpy", "bench.metered"} & set(done.stdout.split())
    assert bench.Meter.__module__ == "bench.metered"
    with pytest.raises(AttributeError, match="Metre"):
        bench.Metre  # noqa: B018


def test_assumed_watts():
    with bench.Meter(device="cpu", meter="assumed:50") as m, m.window("part") as part:
        pass
    assert m.joules.mid == pytest.approx(50 * m.seconds)
    assert m.per_unit(2).mid == pytest.approx(25 * m.seconds)
    assert part.joules.mid == pytest.approx(50 * part.seconds)
    assert part.seconds <= m.seconds
    assert m.joules_absolute is None
    assert "assumed" in m.reason
    assert [code.name for code in m.codes] == ["ASSUMED_WATTS"]


def test_no_meter_is_an_error_unless_none_was_asked_for(monkeypatch, tmp_path):
    monkeypatch.setattr("bench.meters.rapl.ROOT", tmp_path)
    with pytest.raises(MeterError, match="none"):
        bench.Meter(device="cpu").__enter__()
    with bench.Meter(device="cpu", meter="none") as m:
        pass
    assert m.joules is None
    assert m.watts is None
    assert m.per_unit(3) is None
    assert m.reason
    assert m.seconds > 0


@pytest.mark.parametrize(
    "asked",
    [
        {"gpu": 0, "device": "cpu"},
        {"device": "tpu"},
        {"device": "cpu", "meter": "watch"},
        {"device": "cpu", "meter": "sim:h100"},
    ],
)
def test_what_cannot_be_meant(asked):
    with pytest.raises(ValueError, match=r"device|meter"):
        bench.Meter(**asked).__enter__()


def test_figures_are_asked_for_too_early_and_units_below_one():
    with (
        bench.Meter(device="cpu", meter="assumed:50") as m,
        pytest.raises(RuntimeError, match="stopped"),
    ):
        m.joules  # noqa: B018
    with pytest.raises(ValueError, match="above 0"):
        m.per_unit(0)


def test_a_meter_measures_once_and_windows_lie_within():
    m = bench.Meter(device="cpu", meter="assumed:50")
    with pytest.raises(RuntimeError, match="window"), m.window("before"):
        pass
    with m:
        pass
    joules = m.joules
    with pytest.raises(RuntimeError, match="once"):
        m.__enter__()
    with pytest.raises(RuntimeError, match="window"), m.window("after"):
        pass
    assert m.joules == joules


def test_a_meter_that_could_not_be_opened_may_be_tried_again(monkeypatch, tmp_path):
    m = bench.Meter(device="cpu")
    monkeypatch.setattr("bench.meters.rapl.ROOT", tmp_path)
    for _ in range(2):
        with pytest.raises(MeterError):
            m.__enter__()


class Instrument:
    """A meter in this process: ticks at every poll, until it is told to fail."""

    pid = None

    def __init__(self, fails_after=None):
        self.log = []
        self._polls, self._fails_after = 0, fails_after

    def facts(self):
        return MeterFacts(source="nvml-counter", name="a counter", capabilities=("energy_j",))

    def start(self):
        self.log.append("start")

    def pace(self, period_s):
        self.log.append(period_s)

    def survey(self):
        self.log.append("survey")

    def poll(self):
        self._polls += 1
        if self._fails_after is not None and self._polls > self._fails_after:
            raise MeterError("the sampler hung")
        return [Sample(time.monotonic(), "energy_j", float(self._polls))]

    def stop(self):
        self.log.append("stop")


def test_the_meter_is_read_closely_around_a_stretch_only():
    meter, stretches = Instrument(), []
    with Metering(meter, fresh=True) as metering, metering.stretch(stretches.append):
        meter.log.append("work")
    assert meter.log == ["start", "survey", 0.0015, None, "work", 0.0015, "survey", "stop"]
    (one,) = stretches
    assert one.quiet_from_s < one.start_s <= one.end_s < one.quiet_to_s


def test_what_is_raised_inside_stops_the_meter_and_keeps_the_stretch():
    meter, stretches = Instrument(), []
    with (
        pytest.raises(KeyError),
        Metering(meter, fresh=True) as metering,
        metering.stretch(stretches.append),
    ):
        raise KeyError
    assert meter.log[-1] == "stop"
    assert len(stretches) == 1


def test_a_meter_that_is_lost_is_noted_once_and_holds_nobody():
    meter, stretches = Instrument(fails_after=2), []
    with Metering(meter, fresh=True) as metering, metering.stretch(stretches.append):
        pass
    lost = [f for f in metering.facts if isinstance(f, Event) and f.name == "meter_lost"]
    assert [each.data["text"] for each in lost] == ["the sampler hung"]
    (own,) = [f for f in metering.facts if isinstance(f, Event) and f.name == "own_processes"]
    assert own.data["fresh"] is True


@pytest.mark.parametrize("counts", [True, False])
def test_a_days_stretch_is_read_ever_less_often_and_stays_small(counts):
    passed_s, reads = 60.0, 3000
    while passed_s < 86400:
        passed_s += slowed_s(passed_s, counts=counts)
        reads += 1
    assert slowed_s(59.0, counts=counts) is None
    assert slowed_s(60.0, counts=counts) == pytest.approx(0.02)
    assert slowed_s(86400.0, counts=counts) == (0.5 if counts else 0.1)
    assert reads < (200_000 if counts else 1_000_000)


def test_a_family_is_whoever_descends_from_it_and_is_not_forgotten():
    command = [sys.executable, "-c", "input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as child:
        mine = family(os.getpid(), set())
        child.communicate(b"\n")
    assert {os.getpid(), child.pid} <= mine
    assert os.getppid() not in mine
    assert child.pid in family(os.getpid(), mine)
    assert child.pid not in family(os.getpid(), set())
