"""Joules against a known waveform: what a sensor or a counter gives, read well and read naively."""

import numpy as np
import pytest

from bench.energy import (
    Series,
    counter_energy,
    held_energy,
    hold_shift_s,
    mended,
    sharp_edges,
    ticks_of,
    updates,
)
from bench.records.run import SensorFacts

SECONDS = 60.0
GOLDEN = 1.382


def facts(eye):
    return SensorFacts(update_s=eye.update_s, window_s=eye.window_s, lag_s=eye.lag_s)


def held(eye, power, start_s, end_s):
    return held_energy(updates(power, eye.update_s), start_s, end_s, hold_shift_s(facts(eye)))


def trapezoid_of_new_readings(power, start_s, end_s):
    """What is often done: drop repeats, join the rest by straight lines, ignore the lag."""
    inside = power.between(start_s, end_s)
    new = np.append(True, np.diff(inside.value) != 0)
    new[-1] = True
    return float(np.trapezoid(inside.value[new], inside.t_s[new]))


@pytest.mark.parametrize("lag_s", [0.0, 0.06])
@pytest.mark.parametrize("period_s", [0.1, 0.0371, 0.1382, 1.7])
@pytest.mark.parametrize("update_s", [0.1, 0.02])
def test_a_sensor_that_sees_all_is_exact(wave, eye, polls, *, update_s, period_s, lag_s):
    """600/200 W, also locked to the update period: within 0.2 % of the waveform over 60 s."""
    load = wave.square(600, 200, period_s, SECONDS)
    for seed in range(5):
        start_s = 0.013 * seed
        sensor = eye(update_s, update_s, lag_s, phase_s=0.017 * seed)
        power = sensor.polled(load, polls(SECONDS + 2, max(0.01, update_s / 2), seed))
        found = held(sensor, power, start_s, start_s + SECONDS)
        truth = load.mean_w(start_s, start_s + SECONDS)
        assert found / SECONDS == pytest.approx(truth, rel=2e-3)


def test_a_period_slightly_off_and_updates_that_jitter_do_no_harm(wave, eye, polls):
    load, random = wave.square(600, 200, 0.77, SECONDS), np.random.default_rng(5)
    shown = eye(0.1, 0.1).readings(load, SECONDS + 2)
    jittered = Series(shown.t_s + random.normal(0, 0.003, len(shown)), shown.value)
    polled_s = polls(SECONDS + 1, 0.05)
    seen = jittered.value[np.searchsorted(jittered.t_s, polled_s, "right") - 1]
    for update_s in (0.0998, 0.1, 0.1002):
        sensor = eye(update_s, 0.1)
        found = held(sensor, Series(polled_s, seen), 0.0, SECONDS)
        assert found / SECONDS == pytest.approx(load.mean_w(0, SECONDS), rel=2e-3)


@pytest.mark.parametrize("factor", [GOLDEN, 1.618, 0.618])
def test_a_part_time_sensor_under_golden_groups(wave, eye, polls, factor):
    """25 of 100 ms seen: launches of update × 1.382 step its looks evenly through the launch."""
    worst = 0.0
    for seed in range(10):
        load = wave.square(600, 200, 0.1 * factor, SECONDS, phase=0.1 * seed)
        sensor = eye(0.1, 0.025, 0.03, phase_s=0.0073 * seed)
        power = sensor.polled(load, polls(SECONDS + 1, 0.05, seed))
        found = held(sensor, power, 0.0, SECONDS)
        worst = max(worst, abs(found / SECONDS / load.mean_w(0.0, SECONDS) - 1))
    assert worst < 0.01


def test_polls_that_come_late_shift_nothing(wave, eye, polls):
    """From idle into load: the step's place is known to a few ms though polls are 50 ms apart."""
    load, errors = wave(np.array([-2.0, 5.0]), np.array([60.0, 600.0])), []
    for seed in range(200):
        sensor = eye(0.1, 0.1, 0.05, phase_s=0.0005 * seed)
        power = sensor.polled(load, polls(12.0, 0.05, seed))
        errors.append((held(sensor, power, 0.0, 10.0) - load.mean_w(0.0, 10.0) * 10) / 540)
    assert abs(np.mean(errors)) < 0.002
    assert np.max(np.abs(errors)) < 0.05


def test_a_step_seen_through_a_one_second_average(wave, eye, polls):
    """Naive loses half a second of load; the fitted shift gives it back, and so does settling."""
    load, sensor = wave(np.array([-9.0, 0.0]), np.array([60.0, 600.0])), eye(0.1, 1.0)
    power = sensor.polled(load, polls(14.0, 0.02))
    assert trapezoid_of_new_readings(power, 0.0, 10.0) / 6000 - 1 < -0.04
    assert held(sensor, power, -0.8, 10.0) == pytest.approx(6000 + 0.8 * 60, rel=1e-3)
    assert held(sensor, power, 2.0, 12.0) == pytest.approx(6000, rel=1e-9)


@pytest.mark.parametrize(("seconds", "lost"), [(1.0, -0.044), (5.0, -0.0088), (30.0, -0.00147)])
def test_an_unaligned_counter_over_an_idle_to_load_edge(wave, eye, polls, seconds, lost):
    """Read at start and end, a 100 ms counter misses half a tick of load; between ticks, none."""
    naive, aligned = [], []
    load = wave(np.array([-9.0, 0.0]), np.array([70.0, 600.0]))
    for seed in range(200):
        sensor = eye(phase_s=0.0005 * seed)
        plain = sensor.counted(load, np.array([-0.0001, seconds]))
        naive.append(float(np.diff(plain.value)[0]) / (600 * seconds) - 1)
        counter = sensor.counted(load, polls(seconds + 1, 0.0015, seed))
        ticks = ticks_of(counter, counter.t_s)
        found = counter_energy(ticks.series, *sharp_edges(ticks, 0.3, 0.3 + seconds))
        aligned.append(found.joules / (found.end_s - found.start_s) / 600 - 1)
    assert np.mean(naive) == pytest.approx(lost, rel=0.05)
    assert abs(np.mean(aligned)) < 2e-4
    assert np.sqrt(np.mean(np.square(aligned))) < 0.0008 / (seconds - 0.1)


def test_sharp_edges_are_found_where_polling_was_fast(wave, eye):
    """1.5 ms at the edges, 50 ms between, nothing at all in the middle: known to a millisecond."""
    load = wave(np.array([-9.0]), np.array([450.0]))
    fast = [np.arange(a, a + 0.25, 0.0015) for a in (1.0, 5.75)]
    slow = [np.arange(a, b, 0.05) for a, b in ((0.0, 1.0), (1.26, 2.0), (5.0, 5.7), (6.01, 7.0))]
    polled_s = np.sort(np.concatenate([*fast, *slow]))
    ticks = ticks_of(eye(phase_s=0.033).counted(load, polled_s), polled_s)
    found = counter_energy(ticks.series, *sharp_edges(ticks, 1.0, 6.0))
    assert found.joules / (found.end_s - found.start_s) == pytest.approx(450, rel=5e-4)
    assert ticks.seconds_u(found.start_s, found.end_s) == pytest.approx(0.0015 / 6**0.5, rel=0.1)


def wrapped(counter, at_j):
    return Series(counter.t_s, np.mod(counter.value, at_j))


def test_a_counter_that_wraps_loses_nothing(wave, eye, polls):
    load = wave.square(600, 200, 0.1, SECONDS)
    counter = eye().counted(load, polls(SECONDS, 0.02))
    late = Series(counter.t_s, counter.value + 2**32 / 1000 - 9000)
    whole, falls = mended(wrapped(late, 2**32 / 1000), None)
    assert [fall.kind for fall in falls] == ["wrap"]
    assert np.diff(whole.value) == pytest.approx(np.diff(counter.value), abs=1e-6)


@pytest.mark.parametrize("on_change", [True, False])
@pytest.mark.parametrize("to_j", [0.0, 17.0])
@pytest.mark.parametrize("at_s", [31.7, 31.74])
def test_a_counter_that_resets_is_bridged_by_held_power(  # noqa: PLR0917
    wave, eye, polls, on_change, to_j, at_s
):
    load, sensor = wave.square(600, 200, 0.1382, SECONDS), eye()
    polled_s = polls(SECONDS, 0.02)
    counter, power = sensor.counted(load, polled_s), sensor.polled(load, polled_s)
    after = counter.t_s > at_s
    fallen = np.where(after, counter.value - counter.value[after][0] + to_j, counter.value)
    kept = np.append(True, np.diff(fallen) != 0) if on_change else slice(None)
    whole, falls = mended(Series(counter.t_s[kept], fallen[kept]), power)
    assert [(fall.kind, fall.bridged) for fall in falls] == [("reset", True)]
    assert np.all(np.diff(whole.value) >= 0)
    found = counter_energy(ticks_of(whole, polled_s).series, 29.0, 35.0)
    truth = load.mean_w(found.start_s, found.end_s) * (found.end_s - found.start_s)
    assert found.joules == pytest.approx(truth, rel=0.01)


def test_a_reset_that_no_power_bridges_leaves_no_count(wave, eye, polls):
    counter = eye().counted(wave.square(600, 200, 0.1, SECONDS), polls(SECONDS, 0.02))
    fallen = Series(counter.t_s, counter.value - 1e4 * (counter.t_s > 30))
    whole, falls = mended(fallen, None)
    assert [(fall.kind, fall.bridged) for fall in falls] == [("reset", False)]
    ticks = ticks_of(whole, whole.t_s).series
    assert counter_energy(ticks, 25.0, 35.0) is None
    assert counter_energy(ticks, 31.0, 41.0) is not None
