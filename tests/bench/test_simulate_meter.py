"""The simulated meter and worker, step by step: paces, marks, groups, and every fault."""

import numpy as np
import pytest

from bench.machine import VirtualClock
from bench.meters.sampling import MeterLost
from bench.meters.sim import SimulatedMeter, open_beside
from bench.records.journal import ClockPair, Event, Progress, Sample
from bench.records.run import DeviceFacts, Truth, WorkloadFacts
from bench.simulate import (
    KINDS,
    Card,
    Counter,
    Launch,
    PowerSensor,
    SimulatedDevice,
    parse_fault,
)
from bench.simulate.instrument import WRAP_J
from bench.workers import SimulatedWorker

STILL = {"jitter_s": 0.0, "noise": 0.0}


def make_card(*sensors, launches=(), **options):
    """A card of 50 W idle, 400 W under sha256d and 300 W under decode."""
    return Card(
        "card",
        idle_w=50.0,
        truth={"sha256d": Truth(4e-7, 1e9), "decode": Truth(0.3, 1000.0)},
        sensors=sensors or (PowerSensor(0.1, 0.025, 0.02, gain=1.1, offset_w=5.0, **STILL),),
        counter=Counter(gain=1.1, offset_w=5.0),
        launches=dict(launches),
        **options,
    )


def rig(card, *faults, strike_s=5.0, seed=3):
    """Device, clock, started meter and both workers."""
    clock = VirtualClock()
    device = SimulatedDevice(
        card, seed, faults=[parse_fault(text) for text in faults], strike_s=strike_s
    )
    meter = SimulatedMeter(device, clock, mismatch=False)
    config = {"sha256d": {}, "decode": {"batch": 8}}
    workers = {
        name: SimulatedWorker(WorkloadFacts(name, "sim", "unit", None, config[name]), device, clock)
        for name in card.truth
    }
    meter.start()
    return device, clock, meter, workers


def go(clock, meter, seconds, worker=None):
    """Let time pass as measuring does; everything the meter and the worker said."""
    facts, end_s = [], clock.now() + seconds
    while clock.now() < end_s - 1e-9:
        clock.sleep(min(0.1, end_s - clock.now()))
        facts += meter.poll()
        facts += worker.poll() if worker is not None else ()
    return facts


def series(facts, field):
    return [(fact.t_s, fact.value) for fact in facts if getattr(fact, "field", None) == field]


# Meter and worker


def test_power_is_polled_at_the_pace_asked_for_and_repeats_between_updates():
    _, clock, meter, _ = rig(make_card(PowerSensor(0.1, 0.025)))
    own = series(go(clock, meter, 2.0), "power_instant_w")
    assert len(own) == pytest.approx(101, abs=1)
    assert len({value for _, value in own}) <= 22
    meter.pace(0.0025)
    fast = go(clock, meter, 2.0)
    assert len(series(fast, "power_instant_w")) == pytest.approx(801, abs=1)
    assert len(series(fast, "energy_j")) == pytest.approx(20, abs=1)
    meter.pace(0.0)
    assert not series(go(clock, meter, 2.0), "power_instant_w")
    meter.pace(None)
    again = series(go(clock, meter, 2.0), "power_instant_w")
    assert len(again) == pytest.approx(101, abs=1)
    meter.stop()
    (tally,) = (fact for fact in meter.poll() if isinstance(fact, Event))
    assert (tally.name, tally.data["skipped"]) == ("meter_tally", 0)


def test_facts_do_not_depend_on_how_often_one_polls():
    said = []
    for period_s in (0.1, 3.0):
        _, clock, meter, _ = rig(make_card(PowerSensor(0.1, 0.025)))
        facts = []
        for _ in range(round(3.0 / period_s)):
            clock.sleep(period_s)
            facts += meter.poll()
        said.append([(f.field, round(f.t_s, 6), f.value) for f in facts if isinstance(f, Sample)])
    assert said[0] == said[1]
    assert len(said[0]) > 150


def test_the_meter_knows_what_it_reads_but_not_how_it_sees():
    card = make_card(PowerSensor(0.1, 0.025), PowerSensor(0.1, 1.0, field="power_average_w"))
    _, clock, meter, _ = rig(card)
    facts = meter.facts()
    assert facts.source == "sim"
    assert {"energy_j", "power_instant_w", "power_average_w"} <= set(facts.capabilities)
    assert facts.sensor.window_s is None
    assert not facts.mismatch
    fields = {fact.field for fact in go(clock, meter, 1.5) if isinstance(fact, Sample)}
    assert fields == set(facts.capabilities)


def test_a_survey_names_nobody_but_a_stranger():
    _, clock, meter, _ = rig(make_card(), "foreign")
    for expected in ([], [4242]):
        meter.survey()
        (found,) = (fact for fact in meter.poll() if getattr(fact, "name", "") == "processes")
        assert found.data == {"pids": expected, "graphics": []}
        go(clock, meter, 6.0)


def test_marks_give_the_edges_of_the_load_and_its_units():
    device, clock, meter, workers = rig(make_card())
    worker = workers["sha256d"]
    units = 0
    for run_s in (0.07, 3.33):
        begun_s = clock.now()
        worker.start()
        facts = [*go(clock, meter, run_s, worker), *worker.stop()]
        marks = [fact for fact in facts if isinstance(fact, Progress)]
        assert marks[0].t_s == pytest.approx(begun_s)
        assert marks[-1].t_s == pytest.approx(begun_s + run_s)
        assert marks[0].units == units
        units = marks[-1].units
        assert units - marks[0].units == pytest.approx(1e9 * run_s, rel=0.01)
        assert device.power.level(clock.now()) == 50.0
        go(clock, meter, 1.0)


def test_a_decoder_tells_how_long_its_steps_took():
    _, clock, meter, workers = rig(make_card())
    worker = workers["decode"]
    assert worker.prepare(None).details["launch_s"] == pytest.approx(0.008)
    worker.start()
    go(clock, meter, 2.0, worker)
    latency = worker.stop()[-1]
    assert latency.name == "step_latency"
    assert latency.data["workload"] == "decode"
    assert latency.data["p50_s"] == pytest.approx(0.008, rel=0.01)
    assert latency.data["n"] == pytest.approx(250, abs=3)


def test_a_launch_group_moves_a_part_time_sensor_off_the_beat():
    """Locked to the sensor's update a load of 600 and 200 W is seen in one half only."""
    card = make_card(PowerSensor(0.1, 0.025, **STILL), launches={"sha256d": Launch(0.1, 400.0)})
    means = []
    for group_s in (None, 0.1382):
        _, clock, meter, workers = rig(card)
        worker = workers["sha256d"]
        facts = worker.prepare(group_s)
        assert facts.details["launch_s"] == (group_s or 0.1)
        worker.start()
        go(clock, meter, 2.0, worker)
        readings = series(go(clock, meter, 60.0, worker), "power_instant_w")
        means.append(np.mean([value for _, value in readings]))
    assert abs(means[0] / 400 - 1) > 0.2
    assert abs(means[1] / 400 - 1) < 0.01


def test_a_sensor_beside_real_work_is_another_devices():
    clock = VirtualClock()
    meter = open_beside(make_card(), clock, 1, DeviceFacts("cpu", "a processor"))
    meter.start()
    readings = series(go(clock, meter, 2.0), "power_instant_w")
    assert meter.facts().mismatch
    assert readings[-1][1] == pytest.approx(5 + 1.1 * 400)


# Faults, as the meter shows them


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("frieze", "no such fault; known: throttle, power-cap"),
        ("", "write NAME"),
        ("gain=", "VALUE must be a number"),
        ("gain=nan", "VALUE must be a number from 0 to 10"),
        ("gain=-1", "VALUE must be a number from 0 to 10"),
        ("gain=0", "VALUE must be more than 0"),
        ("drop=2", "VALUE must be a number from 0 to 1"),
        ("gain=1.1@soon", "SECONDS must be a number"),
        ("gain@1@2", "write NAME"),
    ],
)
def test_a_fault_that_cannot_be_is_one_line(text, why):
    with pytest.raises(ValueError, match=why) as caught:
        parse_fault(text)
    assert "\n" not in str(caught.value)


def test_a_fault_is_written_as_it_is_read():
    assert str(parse_fault("gain=1.2@3")) == "gain=1.2@3"
    assert str(parse_fault("reset")) == "reset=1"
    assert parse_fault("throttle@7").at_s == 7.0


def test_the_counter_starts_again_or_wraps():
    for fault in ("reset@3", "wrap@3"):
        _, clock, meter, _ = rig(make_card(), fault)
        values = [value for _, value in series(go(clock, meter, 30.0), "energy_j")]
        (fell,) = np.flatnonzero(np.diff(values) < 0)
        assert min(values) >= 0
        assert values[fell + 1] < 50
        assert (values[fell] > 0.99 * WRAP_J) == fault.startswith("wrap")


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("zero", lambda values: set(values) == {0.0}),
        ("range=5", lambda values: set(values) == {3500.0}),
        ("freeze", lambda values: len(set(values)) == 1),
        ("gain=2", lambda values: np.mean(values) == pytest.approx(2 * 60, rel=1e-3)),
    ],
)
def test_readings_go_wrong_and_the_counter_does_not(fault, expected):
    _, clock, meter, _ = rig(make_card(), fault)
    facts = go(clock, meter, 5.0)
    assert expected([value for _, value in series(facts, "power_instant_w")])
    counted = series(facts, "energy_j")
    assert counted[-1][1] - counted[0][1] == pytest.approx(4.9 * 60, rel=0.03)


def test_gaps_a_hang_and_a_lost_card_end_as_a_real_sampler_would():
    _, clock, meter, _ = rig(make_card(), "gaps=3@2")
    times = [t_s for t_s, _ in series(go(clock, meter, 8.0), "power_instant_w")]
    assert np.max(np.diff(times)) == pytest.approx(3.0, abs=0.05)
    for fault, code in (("hang@2", "SAMPLER_HUNG"), ("lost@2", "GPU_LOST"), ("drop=1@2", None)):
        _, clock, meter, _ = rig(make_card(), fault)
        with pytest.raises(MeterLost) as caught:
            go(clock, meter, 9.0)
        assert caught.value.code == (code or "SAMPLING_GAPS")
        assert clock.now() < 5.0
        meter.stop()
        assert not meter.poll()


def test_a_read_that_hangs_is_told_even_when_the_run_ends_first():
    _, clock, meter, _ = rig(make_card(), "hang@2")
    go(clock, meter, 3.0)
    meter.stop()
    assert [fact.data["code"] for fact in meter.poll()] == ["SAMPLER_HUNG"]


def test_what_is_said_once_is_said_once():
    card = make_card(PowerSensor(0.1, 0.025), PowerSensor(0.1, 1.0, field="power_average_w"))
    _, clock, meter, _ = rig(card, "xid=31@2", "field-lost@2", "ecc@2", "limit=0.5@2")
    facts = go(clock, meter, 8.0)
    said = [fact.data for fact in facts if isinstance(fact, Event)]
    assert said[0] == {"code": 31}
    assert said[1]["field"] == "power_instant_w"
    assert len(said) == 2
    assert [value for _, value in series(facts, "ecc_uncorrected")] == [0.0, 1.0]
    assert [value for _, value in series(facts, "power_limit_w")] == [700.0, 350.0]
    assert max(t_s for t_s, _ in series(facts, "power_instant_w")) < 3.1
    assert max(t_s for t_s, _ in series(facts, "power_average_w")) > 7.9


def test_clocks_that_slept_or_lag():
    for fault in ("pause=3@4", "slow-clock=0.05"):
        _, clock, meter, _ = rig(make_card(), fault)
        pairs = [fact for fact in go(clock, meter, 20.0) if isinstance(fact, ClockPair)]
        awake = [pair.boottime_s - pair.monotonic_s for pair in pairs]
        wall = [pair.realtime_s - pair.monotonic_s for pair in pairs]
        if fault.startswith("pause"):
            assert max(awake) - min(awake) == pytest.approx(3.0)
        else:
            assert wall[0] - wall[-1] == pytest.approx(0.05 * pairs[-1].monotonic_s, rel=1e-3)


@pytest.mark.parametrize("fault", [name for name, kind in KINDS.items() if kind.of_work])
def test_faults_of_the_work_change_rate_and_power_alike(fault):
    device, clock, meter, workers = rig(make_card(), fault)
    worker = workers["sha256d"]
    worker.start()
    facts = [*go(clock, meter, 60.0, worker), *worker.stop()]
    marks = [fact for fact in facts if isinstance(fact, Progress)]
    joules = device.energy_j(marks[-1].t_s) - device.energy_j(marks[0].t_s)
    assert joules / (marks[-1].units - marks[0].units) == pytest.approx(4e-7, rel=0.01)
    rates = np.diff([mark.units for mark in marks[:-1]])
    clocks = {value for _, value in series(facts, "sm_clock_hz")}
    assert np.min(rates) < 0.95e9 * 0.05
    assert min(clocks) < 0.95 * 1.98e9
    held_s = {
        field: series(facts, field)[-1][1] for field in ("throttle_thermal_s", "throttle_power_s")
    }
    assert held_s == {
        "throttle_thermal_s": pytest.approx(6.0 if fault == "throttle" else 0.0, abs=0.1),
        "throttle_power_s": pytest.approx(30.0 if fault == "power-cap" else 0.0, abs=0.5),
    }
