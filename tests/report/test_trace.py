"""A journal's power and throttling as what a chart draws: few points, no peak lost."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bench.book import open_book
from bench.records.journal import Sample, Span
from bench.report import trace

VALUES = st.lists(st.floats(0, 1000), min_size=1, max_size=400)


@given(VALUES, st.integers(4, 60))
def test_few_points_hold_both_ends_and_every_extreme(values, most):
    array = np.array(values)
    kept = trace.extremes(array, most)
    assert len(kept) <= max(most, 1)
    assert kept == sorted(set(kept))
    assert {0, len(values) - 1} <= set(kept)
    assert array[kept].max() == array.max()
    assert array[kept].min() == array.min()


def test_a_short_series_is_kept_whole():
    assert trace.extremes(np.arange(5.0), 5) == [0, 1, 2, 3, 4]


def test_one_spike_among_many_readings_is_drawn():
    facts = [Sample(10 + k / 100, "power_instant_w", 300.0) for k in range(30_000)]
    facts[17_123] = Sample(10 + 171.23, "power_instant_w", 650.0)
    sheet = trace.power(open_book(facts), "board")
    assert len(sheet.rows) <= trace.MOST_POINTS
    assert (171.23, 650.0) in sheet.rows
    assert sheet.rows[0] == (0.0, 300.0)
    assert f"{len(sheet.rows):,} of 30,000 readings" in sheet.notes[0]


def test_without_readings_there_is_no_trace():
    assert trace.power(open_book([Span("idle", None, 0.0, 5.0)]), "board") is None


def held_back(*points, field="throttle_thermal_s"):
    return trace.throttles(open_book([Sample(t_s, field, v) for t_s, v in points]), "board")


def test_a_rise_of_the_counter_is_a_mark_as_long_as_the_rise():
    assert held_back((0.0, 0.0), (10.0, 0.5)).rows == (("heat", 9.5, 10.0),)


def test_marks_close_together_are_one():
    points = [(0.0, 0.0), (10.0, 0.5), (10.5, 1.0), (30.0, 1.25)]
    assert held_back(*points).rows == (("heat", 9.5, 10.5), ("heat", 29.75, 30.0))


def test_a_rise_longer_than_the_time_between_readings_begins_at_the_earlier():
    assert held_back((0.0, 0.0), (10.0, 50.0)).rows == (("heat", 0.0, 10.0),)


def test_a_counter_at_rest_gives_no_mark_and_no_counter_gives_no_table():
    assert held_back((0.0, 3.0), (10.0, 3.0)).rows == ()
    assert held_back((0.0, 100.0), field="power_w") is None


def test_phases_stand_in_time_order_with_their_part():
    spans = [
        Span("block", "serve", 12.0, 14.0),
        Span("idle", None, 2.0, 5.0),
        Span("phase", "serve", 6.0, 8.0, part="prefill"),
    ]
    assert trace.phases(open_book(spans), "board").rows == (
        ("idle", None, 0.0, 3.0),
        ("phase: prefill", "serve", 4.0, 6.0),
        ("block", "serve", 10.0, 12.0),
    )
