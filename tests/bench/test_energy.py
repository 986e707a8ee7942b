"""Joules worked out by hand, and the parts sum to the whole."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.energy import (
    Series,
    change_instants,
    counter_energy,
    held_energy,
    hold_shift_s,
    largest_gap_s,
    mended,
    rise_between,
    sharp_edges,
    ticks_of,
    updates,
)
from bench.records.run import SensorFacts

STEPS = Series.of([(0.0, 100.0), (1.0, 200.0), (3.0, 50.0)])


def test_zero_order_hold_by_hand():
    assert held_energy(STEPS, 0.0, 1.0) == pytest.approx(100.0)
    assert held_energy(STEPS, 0.5, 3.5) == pytest.approx(50 + 400 + 25)
    assert held_energy(STEPS, 3.5, 4.5) == pytest.approx(50.0)


def test_a_lagging_sensor_is_read_earlier():
    assert held_energy(STEPS, 0.0, 1.0, lag_s=1.0) == pytest.approx(200.0)


def test_no_reading_is_no_energy():
    assert held_energy(STEPS, -1.0, 1.0) is None
    assert held_energy(STEPS, 2.0, 2.0) is None
    assert held_energy(Series.of([]), 0.0, 1.0) is None


def test_a_dead_sensors_last_word_is_not_held_for_ever():
    assert held_energy(STEPS, 2.0, 4.9) is not None
    assert held_energy(STEPS, 2.0, 5.1) == pytest.approx(200 + 50 * 2.1)  # 97 % covered
    assert held_energy(STEPS, 2.0, 5.3) is None
    assert held_energy(STEPS, 9.0, 9.5) is None


@given(st.floats(0.01, 4.9), st.floats(0.01, 4.9))
def test_parts_sum_to_the_whole(cut, end):
    start, cut, end = 0.0, *sorted((cut, end))
    whole = held_energy(STEPS, start, end)
    parts = [held_energy(STEPS, a, b) or 0.0 for a, b in ((start, cut), (cut, end))]
    assert whole == pytest.approx(sum(parts))


def test_counter_is_taken_between_its_own_ticks():
    ticks = Series.of([(0.1 * k, 30.0 * k) for k in range(100)])
    found = counter_energy(ticks, 1.05, 3.16)
    assert found is not None
    assert found.start_s == pytest.approx(1.1)
    assert found.end_s == pytest.approx(3.1)
    assert found.joules == pytest.approx(300.0 * 2.0)


def test_a_counter_that_fell_gives_nothing():
    ticks = Series.of([(0.0, 5.0), (1.0, 9.0), (2.0, 1.0), (3.0, 4.0)])
    assert counter_energy(ticks, 0.0, 3.0) is None
    assert counter_energy(ticks, 2.0, 3.0) is not None
    assert counter_energy(ticks, 0.0, 0.5) is None


def test_gap_counts_the_edges():
    assert largest_gap_s(STEPS, 0.0, 4.0) == pytest.approx(2.0)
    assert largest_gap_s(STEPS, 4.0, 9.0) == pytest.approx(5.0)


def test_rise_of_a_counter_journalled_on_change():
    throttled = Series.of([(0.0, 1.0), (5.0, 1.5)])
    assert rise_between(throttled, 1.0, 4.0) == 0.0
    assert rise_between(throttled, 1.0, 6.0) == pytest.approx(0.5)
    assert rise_between(Series.of([]), 0.0, 1.0) is None


def test_points_are_sorted_and_the_last_of_equal_times_stands():
    found = Series.of([(2.0, 1.0), (1.0, 5.0), (2.0, 3.0)])
    assert found.t_s.tolist() == [1.0, 2.0]
    assert found.value.tolist() == [5.0, 3.0]


def test_a_reading_trails_by_lag_and_half_of_window_and_update():
    assert hold_shift_s(SensorFacts(0.1, 0.025, 0.03)) == pytest.approx(0.03 + 0.0625)
    assert hold_shift_s(SensorFacts(lag_s=1.0)) == 1.0
    assert hold_shift_s(None) == 0.0


def test_a_new_value_is_moved_to_the_middle_of_the_gap_it_appeared_in():
    polled = Series.of([(0.0, 5.0), (0.04, 5.0), (0.08, 7.0), (0.5, 7.0), (1.0, 9.0)])
    assert updates(polled).t_s.tolist() == pytest.approx([0.0, 0.04, 0.06, 0.5, 0.95])
    assert change_instants(polled).t_s.tolist() == [0.08, 1.0]
    assert len(updates(Series.of([]))) == len(change_instants(Series.of([]))) == 0


def test_a_tick_lies_between_two_polls_and_is_never_older_than_the_period():
    counter = Series.of([(0.0, 0.0), (0.1, 30.0), (0.2, 60.0), (5.0, 1500.0)])
    ticks = ticks_of(counter, np.array([0.0, 0.08, 0.1, 0.19, 0.2, 5.0]), 0.1)
    assert ticks.series.t_s.tolist() == pytest.approx([0.09, 0.195, 4.95])
    assert ticks.gap_s.tolist() == pytest.approx([0.02, 0.01, 0.1])
    assert len(ticks_of(Series.of([(0.0, 1.0)]), np.array([0.0])).series) == 0


def test_without_two_ticks_the_edges_stay():
    ticks = ticks_of(Series.of([(0.0, 0.0), (0.1, 30.0)]), np.array([0.0, 0.1]))
    assert sharp_edges(ticks, 0.0, 1.0) == (0.0, 1.0)


def test_a_fall_that_would_take_too_many_watts_is_no_wrap():
    high = 2**32 / 1000
    near, _ = mended(Series.of([(0.0, high - 10), (0.1, 20.0)]), None)
    assert near.value[-1] == pytest.approx(high + 20)
    _, falls = mended(Series.of([(0.0, high - 10_000), (0.1, 20.0)]), None)
    assert falls[0].kind == "reset"


TICKS = Series.of([(0.1 * k, 31.0 * k + (k % 7)) for k in range(200)])


@given(st.integers(1, 80), st.integers(81, 150))
def test_splitting_at_a_tick_neither_creates_nor_loses_energy(cut, end):
    """Of a counter and of held power alike."""
    at = TICKS.t_s
    whole = counter_energy(TICKS, at[0], at[end])
    parts = [counter_energy(TICKS, at[a], at[b]) for a, b in ((0, cut), (cut, end))]
    assert whole.joules == pytest.approx(sum(part.joules for part in parts), abs=1e-9)
    seen = updates(TICKS, 0.1)
    halves = [held_energy(seen, at[a], at[b], 0.05) for a, b in ((1, cut + 1), (cut + 1, end + 1))]
    assert held_energy(seen, at[1], at[end + 1], 0.05) == pytest.approx(sum(halves))


def polled(seed, scale=1.0, shift_s=0.0):
    """A sensor of 100 ms and random power, polled every 30 ms or so."""
    random = np.random.default_rng(seed)
    values = random.uniform(1.0, 900.0, 60)
    t_s = np.sort(random.uniform(0.0, 5.5, 180))
    return Series(t_s + shift_s, scale * values[(t_s * 10).astype(int)])


@given(st.integers(0, 10**6), st.floats(0.1, 3.0), st.floats(-1e4, 1e4))
def test_energy_is_linear_in_gain_and_free_of_the_origin_of_time(seed, gain, shift_s):
    """A gain of the readings is one of the joules; a clock that starts elsewhere changes none."""
    plain = held_energy(updates(polled(seed), 0.1), 0.5, 5.0, 0.1)
    scaled = held_energy(updates(polled(seed, gain), 0.1), 0.5, 5.0, 0.1)
    moved = updates(polled(seed, 1.0, shift_s), 0.1)
    later = held_energy(moved, 0.5 + shift_s, 5.0 + shift_s, 0.1)
    assert scaled == pytest.approx(gain * plain)
    assert later == pytest.approx(plain, abs=1.5)  # the grid's phase is known to 1/128 of 100 ms


@given(st.integers(0, 10**6), st.floats(0.01, 10.0))
def test_time_and_energy_scale_together(seed, factor):
    power = polled(seed)
    plain = held_energy(power, 0.5, 5.0, 0.1)
    longer = Series(power.t_s * factor, power.value)
    stretched = held_energy(longer, 0.5 * factor, 5.0 * factor, 0.1 * factor)
    assert stretched is None or stretched == pytest.approx(factor * plain)
