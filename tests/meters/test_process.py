"""The sampler's process, its pipes and its watchdog, end to end on the fake library."""

import itertools
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from bench.meters.process import SILENCE_S, ProcessMeter
from bench.meters.sampler import Report
from bench.meters.sampling import MeterLost
from bench.ports import MeterError
from bench.records.journal import ClockPair, Event, Sample

LOW_W, HIGH_W, PERIOD_S = 100.0, 300.0, 0.25


def energy_j(t_s):
    """The integral of the square wave from 0, in closed form: high in each first half."""
    periods, rest_s = divmod(t_s, PERIOD_S)
    high_s = periods * PERIOD_S / 2 + min(rest_s, PERIOD_S / 2)
    return HIGH_W * high_s + LOW_W * (t_s - high_s)


def of(facts, field):
    return [fact for fact in facts if isinstance(fact, Sample) and fact.field == field]


def events(facts, name):
    return [fact.data for fact in facts if isinstance(fact, Event) and fact.name == name]


def gone(pid):
    """Ended: no such process, or one that nobody has reaped yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.fixture
def open_nvml(fake_gpu, gpu):
    meters = []

    def open_one(device=gpu, **settings):
        fake_gpu(**settings)
        meters.append(ProcessMeter("nvml", "0", device))
        return meters[-1]

    yield open_one
    for meter in meters:
        meter.stop()


def test_counter_energy_is_the_integral_of_the_waveform(open_nvml, polled):
    meter = open_nvml(WATTS=f"{LOW_W}:{HIGH_W}:{PERIOD_S}", UPDATE_S=0)
    meter.start()
    facts = polled(meter, 0.5)
    meter.stop()
    facts += meter.poll()
    ticks = of(facts, "energy_j")
    first, last = ticks[0], ticks[-1]
    (tally,) = events(facts, "meter_tally")
    assert last.t_s - first.t_s > 0.4
    # a tick is dated within half a read of the value, which is truncated to a millijoule
    tolerance_j = HIGH_W * tally["slowest_read_s"] + 0.002
    expected_j = energy_j(last.t_s) - energy_j(first.t_s)
    assert last.value - first.value == pytest.approx(expected_j, abs=tolerance_j)


def test_what_a_short_run_says(open_nvml, polled):
    meter = open_nvml(WATTS="250", UPDATE_S=0.1)
    assert meter.facts().source == "nvml-counter"
    assert not meter.facts().mismatch
    meter.start()
    facts = polled(meter, 0.5)
    meter.stop()
    facts += meter.poll()
    power = of(facts, "power_instant_w")
    assert {sample.value for sample in power} == {250.0}
    assert len(power) > len(of(facts, "energy_j")) > 3
    assert all(a.t_s < b.t_s for a, b in itertools.pairwise(power))
    assert all(abs(sample.reported_s - sample.t_s) < 0.1 for sample in power)
    assert len(of(facts, "temperature_c")) == len(of(facts, "power_limit_w")) == 1
    assert any(isinstance(fact, ClockPair) for fact in facts)
    (tally,) = events(facts, "meter_tally")
    assert tally["skipped"] == 0
    assert gone(meter.pid)


def test_throttle_counters_are_seconds(open_nvml, polled):
    meter = open_nvml(THROTTLE="74=0.5,269=0.25,270=0.25,271=0.125")
    meter.start()
    facts = polled(meter, 0.3)
    meter.stop()
    (tally,) = events(facts + list(meter.poll()), "meter_tally")
    for field, share in [
        ("throttle_power_s", 0.5),
        ("throttle_thermal_s", 0.5),
        ("throttle_brake_s", 0.125),
    ]:
        first, *_, last = of(facts, field)
        expected_s = share * (last.t_s - first.t_s)
        # each of the two is dated within half a read of its value
        tolerance_s = share * tally["slowest_read_s"]
        assert last.value - first.value == pytest.approx(expected_s, abs=tolerance_s)


def test_another_device_is_a_mismatch(open_nvml, cpu):
    assert open_nvml(device=cpu).facts().mismatch


def test_a_counter_reset_comes_through_as_raw_ticks(open_nvml, polled):
    meter = open_nvml(WATTS="200", UPDATE_S=0, RESET_S=0.3)
    meter.start()

    def has_fallen(facts):
        values = [sample.value for sample in of(facts, "energy_j")]
        return any(b < a for a, b in itertools.pairwise(values))

    facts = polled(meter, 5.0, has_fallen)
    assert has_fallen(facts)
    assert all(sample.value >= 0 for sample in of(facts, "energy_j"))


def test_a_hung_call_is_killed_and_said(open_nvml, polled):
    meter = open_nvml(DELAY="nvmlDeviceGetFieldValues=60", FAULTS_AFTER_S=0.6)
    meter.start()
    started_s = time.monotonic()
    with pytest.raises(MeterLost, match="hung and was killed") as caught:
        polled(meter, 10.0)
    took_s = time.monotonic() - started_s
    assert caught.value.code == "SAMPLER_HUNG"
    assert SILENCE_S <= took_s < 0.6 + SILENCE_S + 1.5
    assert gone(meter.pid)


def test_a_call_that_hangs_when_it_is_to_stop_is_killed_too(open_nvml, polled):
    meter = open_nvml(DELAY="nvmlDeviceGetFieldValues=60", FAULTS_AFTER_S=0.6)
    meter.start()
    polled(meter, 0.8)
    meter.stop()
    facts = meter.poll()
    assert [data["code"] for data in events(facts, "meter_trouble")] == ["SAMPLER_HUNG"]
    assert gone(meter.pid)


@pytest.mark.parametrize(("code", "named"), [(15, "GPU_LOST"), (10, "SAMPLING_GAPS")])
def test_an_error_that_ends_sampling_comes_after_all_samples(open_nvml, polled, code, named):
    meter = open_nvml(FAIL=f"nvmlDeviceGetFieldValues={code}", FAULTS_AFTER_S=0.6)
    meter.start()
    facts = polled(meter, 5.0, lambda facts: bool(events(facts, "meter_trouble")))
    with pytest.raises(MeterLost) as caught:
        facts += polled(meter, 5.0)
    meter.stop()
    facts += meter.poll()
    assert caught.value.code == named
    assert len(of(facts, "power_instant_w")) > 3
    assert next(iter(events(facts, "meter_trouble")))["code"] == named
    assert len(events(facts, "meter_tally")) == 1


def test_a_sampler_that_dies_is_noticed(open_nvml, polled):
    meter = open_nvml()
    meter.start()
    polled(meter, 0.1)
    os.kill(meter.pid, signal.SIGKILL)
    with pytest.raises(MeterLost, match="status -9") as caught:
        polled(meter, 5.0)
    assert caught.value.code == "SAMPLING_GAPS"


def test_the_pace_is_the_one_asked_for(open_nvml, polled):
    meter = open_nvml(WATTS="250", UPDATE_S=0)
    meter.start()
    polled(meter, 0.1)
    counts = {}
    for pace_s in (0.0015, 0.0, 0.1, None):
        meter.pace(pace_s)
        polled(meter, 0.05)
        counts[pace_s] = len(of(polled(meter, 0.3), "power_instant_w"))
    assert counts[0.0] == 0
    assert 2 <= counts[0.1] <= 4
    assert 5 <= counts[None] <= 16
    assert counts[0.0015] > 50


def test_never_reading_is_no_silence(open_nvml, polled):
    meter = open_nvml()
    meter.start()
    meter.pace(0.0)
    polled(meter, SILENCE_S + 0.5)
    meter.pace(0.02)
    assert polled(meter, 5.0, lambda facts: bool(of(facts, "power_instant_w")))


def test_of_a_burst_of_orders_none_is_lost_and_the_last_pace_holds(open_nvml, polled):
    meter = open_nvml(PROCESSES="4001@0.2", GRAPHICS="9")
    meter.survey()
    meter.start()
    for _ in range(200):
        meter.pace(0.0)
        meter.pace(-1.0)
        meter.pace(1e-9)
    meter.survey()
    asked = polled(meter, 5.0, lambda facts: len(events(facts, "processes")) == 2)
    times = [sample.t_s for sample in of(polled(meter, 0.2), "power_instant_w")]
    assert (times[-1] - times[0]) / (len(times) - 1) > 0.0009, "never faster than 1 ms"
    meter.survey()
    later = polled(meter, 5.0, lambda facts: bool(events(facts, "processes")))
    surveys = events(asked, "processes") + events(later, "processes")
    assert [data["pids"] for data in surveys] == [[], [], [4001]]
    assert {tuple(data["graphics"]) for data in surveys} == {(9,)}


def test_orders_to_a_sampler_that_is_gone_or_hangs_neither_raise_nor_block(open_nvml, polled):
    dead = open_nvml()
    dead.start()
    os.kill(dead.pid, signal.SIGKILL)
    hung = open_nvml(DELAY="nvmlDeviceGetFieldValues=inf", FAULTS_AFTER_S=0.3)
    hung.start()
    polled(hung, 0.4)
    started_s = time.monotonic()
    for _ in range(5000):
        hung.pace(0.1)
    for meter in (dead, hung):
        meter.pace(None)
        meter.survey()
        meter.stop()
        meter.pace(None)
        meter.survey()
    assert time.monotonic() - started_s < 6.0


def test_an_interrupt_does_not_reach_the_sampler(open_nvml, polled):
    meter = open_nvml()
    meter.start()
    polled(meter, 0.1)
    interrupted_s = time.monotonic()
    os.kill(meter.pid, signal.SIGINT)
    facts = polled(meter, 5.0, lambda facts: bool(facts) and facts[-1].t_s > interrupted_s + 0.1)
    assert of(facts, "power_instant_w")[-1].t_s > interrupted_s


def test_the_sampler_dies_with_its_parent(fake_gpu):
    fake_gpu()
    code = """
        import os, signal
        from bench.meters.process import ProcessMeter
        from bench.records.run import DeviceFacts
        meter = ProcessMeter("nvml", "0", DeviceFacts(kind="cpu", name=""))
        meter.start()
        print(meter.pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    command = [sys.executable, "-P", "-c", textwrap.dedent(code)]
    done = subprocess.run(command, stdout=subprocess.PIPE, timeout=30, check=False)
    pid = int(done.stdout)
    end_s = time.monotonic() + 5.0
    while not gone(pid) and time.monotonic() < end_s:
        pass
    assert gone(pid)


def test_stopping_twice_or_unstarted_is_quiet(open_nvml):
    meter = open_nvml()
    meter.stop()
    meter.stop()
    assert meter.poll() == []
    assert gone(meter.pid)


def test_without_a_driver_the_refusal_is_one_sentence_with_the_cure(monkeypatch, cpu, tmp_path):
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    (tmp_path / "libnvidia-ml.so.1").write_bytes(b"not a library")
    with pytest.raises(MeterError) as caught:
        ProcessMeter("nvml", "0", cpu)
    text = str(caught.value)
    assert "install the driver" in text
    assert "--device cpu" in text
    assert "\n" not in text


def test_a_report_never_blocks_and_loses_nothing():
    read_fd, write_fd = os.pipe()
    report = Report(write_fd)
    for number in range(3000):
        report.say({"number": number, "padding": "x" * 100})
    received = bytearray()
    report.say()
    while b"{}" not in received:
        received += os.read(read_fd, 1 << 16)
        report.say()
    lines = [json.loads(line) for line in received.split(b"\n") if line]
    assert [line["number"] for line in lines if line] == list(range(3000))
    os.close(read_fd)
    os.close(write_fd)
