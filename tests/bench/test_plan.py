import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.phases import group_s
from bench.plan import (
    BURST_S,
    GRADES,
    after_setup,
    block_order,
    block_seconds,
    load_pattern,
    pace_s,
    steps,
    total_seconds,
)
from bench.records.run import SensorFacts


def test_order_is_abba_and_gives_each_as_many():
    assert block_order(("a", "b"), 4) == ["a", "b", "b", "a", "a", "b", "b", "a"]


def test_linear_drift_cancels():
    order = block_order(("a", "b"), 10)
    places = {name: [i for i, each in enumerate(order) if each == name] for name in "ab"}
    assert sum(places["a"]) == sum(places["b"])


def test_a_window_is_divided_among_the_blocks():
    assert block_seconds(GRADES["standard"], 30.0, None) == pytest.approx(3.0)


def test_a_slow_sensor_stretches_the_blocks_of_ranked_grades_only():
    slow = SensorFacts(update_s=0.2, window_s=1.0, lag_s=2.0)
    assert block_seconds(GRADES["standard"], None, slow) == pytest.approx(15.0)
    assert block_seconds(GRADES["quick"], None, slow) == pytest.approx(2.5)


def test_no_sensor_stretches_a_block_beyond_half_a_minute():
    assert block_seconds(GRADES["standard"], None, SensorFacts(update_s=2.0)) == 30.0


def test_the_meter_looks_twice_an_update_but_not_more_than_a_hundred_times_a_second():
    assert pace_s(SensorFacts(update_s=0.1)) == pytest.approx(0.05)
    assert pace_s(SensorFacts(update_s=0.015)) == pytest.approx(0.01)
    assert pace_s(SensorFacts()) is None
    assert pace_s(None) is None


def sees(window_s, update_s=0.1):
    duty = min(1.0, window_s / update_s)
    return SensorFacts(update_s=update_s, window_s=window_s, lag_s=0.0, duty=duty)


@pytest.mark.parametrize("window_s", [0.025, 0.09, 0.11, 0.15])
def test_launches_are_grouped_for_a_sensor_that_sees_phases_unequally(window_s):
    assert group_s(sees(window_s)) == pytest.approx(0.1382, rel=1e-3)


@pytest.mark.parametrize("sensor", [sees(0.1), sees(0.2), sees(1.05), SensorFacts(), None])
def test_none_are_grouped_for_one_that_sees_all_alike_or_is_unknown(sensor):
    assert group_s(sensor) is None


@pytest.mark.parametrize("window_s", [0.025, 0.1])
def test_blocks_begin_in_ever_other_phases_of_a_group_or_an_update(window_s):
    sensor = sees(window_s)
    walk = after_setup(GRADES["standard"], ("a", "b"), block_s=6.0, metered=True, sensor=sensor)
    settles = [step.settle_s - 2.0 for step in walk if step.name == "block"]
    group = group_s(sensor) or sensor.update_s
    assert all(0 <= each < group for each in settles)
    assert len({round(each / group, 3) for each in settles}) == 20


def test_a_load_goes_on_for_as_long_as_the_last_readings_look_beyond_the_window():
    sensor = SensorFacts(update_s=0.1, window_s=1.0, lag_s=0.5, duty=1.0)
    walk = after_setup(GRADES["quick"], ("a", "b"), block_s=2.5, metered=True, sensor=sensor)
    out = [step.run_out_s for step in walk if step.name in {"idle", "block"}]
    assert out == [pytest.approx(0.55)] * 9
    assert walk[-1].total_s == pytest.approx(walk[-1].settle_s + 2.5 + 0.55)


@given(st.integers(0, 2**31 - 1))
def test_the_calibration_load_is_seeded_aperiodic_and_fills_its_time(seed):
    pattern = load_pattern(seed, 21.0)
    assert pattern == load_pattern(seed, 21.0)
    assert sum(seconds for _, seconds in pattern) == pytest.approx(21.0)
    assert pattern[0] == pattern[-1] == (False, 2.0)
    assert all(seconds <= BURST_S[1] for _, seconds in pattern[1:-1])
    assert sum(on for on, _ in pattern) >= 5


@pytest.mark.parametrize(("metered", "calibrate"), [(True, True), (True, False), (False, False)])
def test_steps_add_up_and_power_needs_a_meter(metered, calibrate):
    walk = steps(
        GRADES["standard"],
        ("a", "b"),
        block_s=6.0,
        metered=metered,
        calibrate=calibrate,
        setup_s={"a": 3.0, "b.verify": 1.0},
        sensor=sees(0.025),
    )
    assert sum(step.name == "idle" for step in walk) == (2 if metered else 0)
    around_s = (60 + 17 + 3 * 7 if metered else 0) + (21 if calibrate else 0)
    out_s = sum(step.run_out_s for step in walk)
    dither_s = sum(step.settle_s - 2.0 for step in walk if step.name == "block")
    plain_s = 3 + 1 + 30 + 20 * 8 + around_s
    assert total_seconds(walk) == pytest.approx(plain_s + out_s + dither_s)
    assert out_s + dither_s < 5
    assert total_seconds(walk) < 8 * 60
    groups = [step.group_s for step in walk if step.name == "prepare"]
    assert groups == [pytest.approx(0.1382, rel=1e-3)] * 2
    assert [s.poll_s for s in walk if s.name == "observer"] == ([0, 1, 0.05] if metered else [])
    names = [step.name for step in walk]
    assert names.index("verify") < names.index("warmup") < names.index("block")
