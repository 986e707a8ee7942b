from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.ledger import boundary, idle_power, joules_of, metrics, open_book, window, windows
from bench.records.journal import Progress, Sample, Span
from bench.records.run import DeviceFacts, Estimate, Idle, MeterFacts, SensorFacts

CPU = DeviceFacts(kind="cpu", name="a processor")
GPU = DeviceFacts(kind="gpu", name="a card", power_limit_w=700.0)
NO_IDLE = Idle(None, "none taken")
COUNTER = MeterFacts(source="nvml-counter", name="nvml:0")
NONE = MeterFacts(source="none", name="none", reason="no sensor here")


def marks(rate, until, period=0.05, name="sha256d"):
    return [
        Progress(k * period, int(rate * k * period), name) for k in range(int(until / period) + 1)
    ]


def blocks(count, seconds, name="sha256d"):
    return [Span("block", name, k * seconds, (k + 1) * seconds) for k in range(count)]


def ticks(watts, until, period=0.1, phase=0.03):
    times = [phase + k * period for k in range(int(until / period))]
    return [Sample(t, "energy_j", watts * t) for t in times]


def test_without_a_meter_the_count_is_exact_between_marks():
    book = open_book([*marks(1000, 10), Span("block", "sha256d", 1.02, 4.98)])
    booked = window(book, book.spans[0], NONE)
    assert booked is not None
    assert (booked.start_s, booked.end_s) == (pytest.approx(1.05), pytest.approx(4.95))
    assert booked.units == 4950 - 1050
    assert booked.counter_j is None
    assert booked.integral_j is None


def test_with_a_counter_work_and_energy_share_the_ticks():
    book = open_book([*marks(1000, 10), *ticks(300, 10), Span("block", "sha256d", 1.0, 5.0)])
    booked = window(book, book.spans[0], COUNTER)
    assert booked is not None
    assert booked.start_s == pytest.approx(1.03)
    seconds = booked.end_s - booked.start_s
    assert booked.counter_j == pytest.approx(300 * seconds)
    assert booked.units == pytest.approx(1000 * seconds, abs=2)


def test_a_block_without_two_marks_is_not_booked():
    book = open_book([Progress(1.0, 5, "sha256d"), Span("block", "sha256d", 0.5, 1.5)])
    assert windows(book, "sha256d", NONE) == ()
    assert window(book, Span("block", "decode", 0.5, 1.5), NONE) is None


def test_joules_come_from_the_counter_then_the_integral_then_the_assumption():
    polled = [Sample(k * 0.02, "power_instant_w", 250.0) for k in range(500)]
    facts = [*marks(1000, 9), *polled, Span("block", "sha256d", 1.0, 5.0)]
    booked = window(open_book(facts), facts[-1], COUNTER)
    assert joules_of(booked, COUNTER) == pytest.approx(250 * (booked.end_s - booked.start_s))
    assumed = MeterFacts(source="assumed", name="assumed", constant_w=65.0)
    assert joules_of(booked, assumed) == pytest.approx(65 * (booked.end_s - booked.start_s))
    both = [*facts, *ticks(300, 9)]
    booked = window(open_book(both), facts[-1], COUNTER)
    assert joules_of(booked, COUNTER) == pytest.approx(300 * (booked.end_s - booked.start_s))


def test_no_meter_gives_rates_and_null_joules_with_the_reason():
    facts = [*marks(1000, 10), *blocks(4, 2.5)]
    figures = metrics(windows(open_book(facts), "sha256d", NONE), NONE, CPU, NO_IDLE)
    assert figures.units_per_s.mid == pytest.approx(1000, rel=1e-3)
    assert figures.joules_per_unit is None
    assert figures.watts is None
    assert figures.joules_source == "unavailable"
    assert figures.reason == "no sensor here"


def test_assumed_watts_give_labelled_joules_and_no_absolute_interval():
    assumed = MeterFacts(source="assumed", name="assumed", constant_w=65.0)
    facts = [*marks(1000, 10), *blocks(4, 2.5)]
    figures = metrics(windows(open_book(facts), "sha256d", assumed), assumed, CPU, NO_IDLE)
    assert figures.joules_per_unit.mid == pytest.approx(0.065, rel=1e-3)
    assert figures.joules_source == "assumed"
    assert figures.joules_per_unit_absolute is None
    assert "assumed" in figures.reason


def test_absolute_interval_holds_gain_and_offset_and_net_subtracts_idle():
    facts = [*marks(1000, 41), *ticks(300, 41), *blocks(10, 4.0)]
    idle = Idle(Estimate(100.0, 99.0, 101.0, 8))
    figures = metrics(windows(open_book(facts), "sha256d", COUNTER), COUNTER, GPU, idle)
    per_unit, absolute = figures.joules_per_unit, figures.joules_per_unit_absolute
    assert per_unit.mid == pytest.approx(0.3, rel=1e-3)
    relative = (absolute.hi - absolute.mid) / absolute.mid
    assert relative == pytest.approx(1.96 * (0.066**2 + (5 / 3**0.5 / 300) ** 2) ** 0.5, rel=0.01)
    assert figures.joules_per_unit_net.mid == pytest.approx(0.2, rel=1e-3)
    assert figures.joules_source == "measured-counter"


def test_one_block_without_a_reading_leaves_the_joules_unknown():
    facts = [*marks(1000, 10), *ticks(300, 5), *blocks(4, 2.5)]
    booked = windows(open_book(facts), "sha256d", COUNTER)
    assert [w.counter_j is None for w in booked] == [False, False, True, True]
    figures = metrics(booked, COUNTER, GPU, NO_IDLE)
    assert figures.joules_per_unit is None
    assert figures.reason


def test_idle_is_the_mean_of_the_idle_spans_or_null_with_a_reason():
    book = open_book([*ticks(60, 10), Span("idle", None, 1.0, 9.0)])
    assert idle_power(book, COUNTER).watts.mid == pytest.approx(60.0)
    assert idle_power(book, NONE) == Idle(None, "no sensor here")
    assert idle_power(open_book([]), COUNTER).reason


def test_polled_power_is_shifted_by_the_sensors_lag():
    lagging = replace(COUNTER, sensor=SensorFacts(lag_s=1.0))
    polled = [Sample(k * 0.1, "power_instant_w", 100.0 if k < 30 else 300.0) for k in range(100)]
    facts = [*marks(1000, 9), *polled, Span("block", "sha256d", 1.0, 3.0)]
    booked = window(open_book(facts), facts[-1], lagging)
    assert booked.integral_j == pytest.approx(100 * 1.0 + 300 * 1.0, rel=0.06)


def test_the_counter_is_the_source_only_if_every_block_has_it():
    polled = [Sample(k * 0.02, "power_instant_w", 300.0) for k in range(600)]
    facts = [*marks(1000, 11), *ticks(300, 5), *polled, *blocks(4, 2.5)]
    figures = metrics(windows(open_book(facts), "sha256d", COUNTER), COUNTER, GPU, NO_IDLE)
    assert figures.joules_source == "measured-polled"
    assert figures.joules_per_unit.mid == pytest.approx(0.3, rel=1e-2)


def test_how_well_idle_is_known_widens_the_net_joules():
    facts = [*marks(1000, 41), *ticks(300, 41), *blocks(10, 4.0)]
    booked = windows(open_book(facts), "sha256d", COUNTER)
    idle = Idle(Estimate(100.0, 80.0, 120.0, 8))
    net = metrics(booked, COUNTER, GPU, idle).joules_per_unit_net
    assert (net.lo, net.hi) == (pytest.approx(0.18, abs=2e-3), pytest.approx(0.22, abs=2e-3))


def test_one_block_has_a_reason_and_no_interval():
    facts = [*marks(1000, 10), *ticks(300, 10), *blocks(1, 2.5)]
    figures = metrics(windows(open_book(facts), "sha256d", COUNTER), COUNTER, GPU, NO_IDLE)
    assert figures.joules_per_unit is None
    assert "one block" in figures.reason


def test_boundary_is_where_the_sensor_sits():
    assert boundary(CPU) == "package"
    assert boundary(GPU) == "board"


@given(st.floats(0.2, 4.8))
def test_two_halves_of_a_block_sum_to_the_block(cut):
    book = open_book([*marks(1000, 6), *ticks(300, 6, period=0.01, phase=0.0)])
    whole = window(book, Span("block", "sha256d", 0.0, 5.0), COUNTER)
    halves = [
        window(book, Span("block", "sha256d", a, b), COUNTER) for a, b in ((0.0, cut), (cut, 5.0))
    ]
    # the tick at the cut falls between the halves: at most one tick and one mark are lost there
    assert whole.counter_j - sum(h.counter_j for h in halves) == pytest.approx(0, abs=300 * 0.12)
    assert whole.units - sum(h.units for h in halves) == pytest.approx(0, abs=1000 * 0.12)
