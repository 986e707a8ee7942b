"""Joules worked out by hand, and the parts sum to the whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.energy import Series, counter_energy, held_energy, largest_gap_s, rise_between

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
    assert held_energy(STEPS, 2.0, 5.1) is None
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
