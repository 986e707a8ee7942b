"""The steps of a run follow from what its journal has shown."""

from dataclasses import replace

import pytest

import bench.protocol
from bench.plan import GRADES
from bench.protocol import WARMUP_CAP_S, FixedCourse, Protocol, can_calibrate, metered
from bench.records.journal import Sample, Span
from bench.records.record import Step
from bench.records.run import Calibration, DeviceFacts, MeterFacts, SensorFacts

CARD = DeviceFacts(kind="gpu", name="card", uuid="GPU-1")
METER = MeterFacts("nvml-counter", "NVML", capabilities=("energy_j", "power_instant_w"))
PART_TIME = SensorFacts(0.4, 0.1, 0.02, 0.25, "gpu", 0.1, "part-time")


def protocol(facts, meter=METER, grade="standard"):
    return Protocol(
        GRADES[grade],
        ("a", "b"),
        device=CARD,
        meter=meter,
        window_s=None,
        setup_s={},
        facts=facts,
        made_at="2026-11-22T10:00:00Z",
    )


def walk(course, facts, temperature=lambda _t: 60.0):
    """Takes every step as measuring would, seeing only spans and a temperature."""
    now_s, taken = 0.0, []
    for step in course:
        taken.append((step, course.left_s))
        facts.append(Sample(now_s, "temperature_c", temperature(now_s)))
        now_s += step.total_s
        facts.append(Sample(now_s, "temperature_c", temperature(now_s)))
        if step.name not in ("prepare", "verify"):
            facts.append(Span(step.name, step.workload, now_s - step.seconds, now_s))
    return taken


def names(taken):
    return [step.name for step, _ in taken]


def test_the_time_left_is_what_is_still_ahead():
    facts = []
    taken = walk(protocol(facts), facts)
    total_s = sum(step.total_s for step, _ in taken)
    for step, left_s in taken:
        assert left_s == pytest.approx(total_s)
        total_s -= step.total_s
    assert names(taken).count("warmup") == 2


def test_a_warming_device_is_warmed_on_until_it_is_warm():
    facts = []
    taken = walk(protocol(facts), facts, lambda t: min(30 + 0.1 * t, 45.0))
    assert 2 < names(taken).count("warmup") < 18
    assert names(taken).index("steady") > max(
        i for i, n in enumerate(names(taken)) if n == "warmup"
    )


def test_warming_up_ends_at_its_cap_though_the_device_warms_on():
    facts = []
    taken = walk(protocol(facts), facts, lambda t: 30 + 0.1 * t)
    warmed_s = sum(step.seconds for step, _ in taken if step.name == "warmup")
    assert WARMUP_CAP_S <= warmed_s < WARMUP_CAP_S + 21


def test_the_quick_grade_neither_calibrates_nor_waits_to_be_warm():
    facts = []
    taken = walk(protocol(facts, grade="quick"), facts, lambda t: 30 + t)
    assert names(taken).count("warmup") == 2
    assert not {"calibrate", "steady", "observer"} & set(names(taken))


def test_what_calibration_finds_shapes_the_rest(monkeypatch):
    found = Calibration(PART_TIME, "power_instant_w", "2026", 0.01, 300.0, 1.0)
    monkeypatch.setattr(
        bench.protocol,
        "calibrated",
        lambda meter, *_: replace(meter, sensor=PART_TIME, calibration=found),
    )
    facts = []
    course = protocol(facts)
    taken = walk(course, facts)
    after = [step for step, _ in taken][names(taken).index("calibrate") + 1 :]
    assert [(s.name, s.workload) for s in after[:2]] == [("prepare", "a"), ("prepare", "b")]
    assert all(s.group_s == pytest.approx(0.4 * 1.381966) for s in after[:2])
    blocks = [s for s in after if s.name == "block"]
    assert len(blocks) == 20
    assert all(s.seconds == pytest.approx(20.0) for s in blocks), "50 updates of 0.4 s"
    assert all(s.poll_s == pytest.approx(0.2) for s in blocks)
    assert course.meter.calibration == found


def test_a_sensor_known_beforehand_is_not_calibrated_again():
    found = Calibration(PART_TIME, "power_instant_w", "2026", 0.01, 300.0, 1.0)
    facts = []
    taken = walk(protocol(facts, replace(METER, sensor=PART_TIME, calibration=found)), facts)
    assert "calibrate" not in names(taken)
    assert taken[0][0].group_s == pytest.approx(0.4 * 1.381966)


@pytest.mark.parametrize(
    ("meter", "power", "sensor"),
    [
        (METER, True, True),
        (replace(METER, mismatch=True), False, False),
        (MeterFacts("none", "none"), False, False),
        (MeterFacts("assumed", "100 W", constant_w=100.0), False, False),
        (MeterFacts("rapl", "RAPL", capabilities=("energy_j",)), True, False),
    ],
)
def test_what_an_instrument_allows(meter, power, sensor):
    assert metered(meter) is power
    assert can_calibrate(meter) is sensor
    facts = []
    taken = names(walk(protocol(facts, meter), facts))
    assert ("idle" in taken) is ("steady" in taken) is power
    assert ("calibrate" in taken) is sensor


def test_a_fixed_course_counts_down():
    steps = (Step("idle", None, 5.0, 1.0), Step("block", "a", 2.0))
    course = FixedCourse(steps)
    assert [(step, course.left_s) for step in course] == [(steps[0], 8.0), (steps[1], 2.0)]
