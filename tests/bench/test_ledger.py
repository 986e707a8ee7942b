import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.book import open_book, power_series
from bench.ledger import boundary, idle_power, joules_of, metrics, window, windows
from bench.records.journal import Event, Progress, Sample, Span
from bench.records.run import Correction, DeviceFacts, Estimate, Idle, MeterFacts, SensorFacts

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
    assert booked.start_s == pytest.approx(1.08)  # a tick seen at 1.13, 1.03 at the soonest
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


def budget_of(figures):
    return {line.name: line.relative_u for line in figures.budget}


def test_the_budget_adds_up_to_the_absolute_interval_and_names_its_sources():
    polled = [Sample(k * 0.02, "power_instant_w", 312.0) for k in range(2100)]
    facts = [*marks(1000, 41), *ticks(300, 41), *polled, *blocks(10, 4.0)]
    book = open_book(facts)
    figures = metrics(windows(book, "sha256d", COUNTER), COUNTER, GPU, NO_IDLE, book=book)
    lines, absolute = budget_of(figures), figures.joules_per_unit_absolute
    assert list(lines) == ["repeatability", "gain", "offset", "edges", "cross-check"]
    assert lines["gain"] == 0.066
    assert lines["offset"] == pytest.approx(5 / 3**0.5 / 300, rel=1e-3)
    assert lines["cross-check"] == pytest.approx(0.04 / 2 / 3**0.5, rel=0.01)
    assert lines["edges"] == pytest.approx(0.01 / 6**0.5 / 3.8, rel=0.05)
    half = 1.959964 * absolute.mid * sum(u * u for u in lines.values()) ** 0.5
    assert absolute.hi - absolute.mid == pytest.approx(half)
    assert all(line.source for line in figures.budget)


def test_instruments_that_agree_to_two_percent_add_no_line():
    polled = [Sample(k * 0.02, "power_instant_w", 305.0) for k in range(2100)]
    book = open_book([*marks(1000, 41), *ticks(300, 41), *polled, *blocks(10, 4.0)])
    figures = metrics(windows(book, "sha256d", COUNTER), COUNTER, GPU, NO_IDLE, book=book)
    assert "cross-check" not in budget_of(figures)


CORRECTION = Correction(
    1.044, -22.6, 0.004, 0.5, 0.0, 1.0, 600.0, "energy_j", "a wattmeter", "00", "2026-11-22"
)


def test_a_correction_moves_the_absolute_estimate_and_narrows_it():
    """A card like the RTX 4090 of arXiv 2312.02741 that draws 450 W and shows 447.2."""
    meter = replace(COUNTER, correction=CORRECTION)
    shown_w = 1.044 * 450 - 22.6
    polled = [Sample(k * 0.02, "power_instant_w", shown_w) for k in range(2100)]
    book = open_book([*marks(1000, 41), *ticks(shown_w, 41), *polled, *blocks(10, 4.0)])
    figures = metrics(windows(book, "sha256d", meter), meter, GPU, NO_IDLE, book=book)
    assert figures.joules_per_unit.mid == pytest.approx(shown_w / 1000, rel=1e-3)
    assert figures.joules_per_unit_absolute.mid == pytest.approx(0.45, rel=1e-3)
    lines = budget_of(figures)
    assert lines["gain"] == 0.004
    assert lines["offset"] == pytest.approx(0.5 / 1.044 / 450, rel=1e-3)
    half = figures.joules_per_unit_absolute.hi - figures.joules_per_unit_absolute.mid
    assert half / 0.45 < 0.012


def test_a_correction_of_the_readings_counts_any_gap_to_the_counter():
    meter = replace(COUNTER, correction=replace(CORRECTION, field="power_instant_w"))
    polled = [Sample(k * 0.02, "power_instant_w", 303.0) for k in range(2100)]
    book = open_book([*marks(1000, 41), *ticks(300, 41), *polled, *blocks(10, 4.0)])
    figures = metrics(windows(book, "sha256d", meter), meter, GPU, NO_IDLE, book=book)
    assert budget_of(figures)["cross-check"] == pytest.approx(0.01 / 3**0.5, rel=0.01)


def test_no_power_left_after_correction_is_a_reason():
    meter = replace(COUNTER, correction=replace(CORRECTION, offset_w=400.0))
    booked = windows(
        open_book([*marks(1000, 41), *ticks(300, 41), *blocks(4, 4.0)]), "sha256d", meter
    )
    figures = metrics(booked, meter, GPU, NO_IDLE)
    assert figures.joules_per_unit_absolute is None
    assert "no power" in figures.reason


def test_a_part_time_sensor_is_doubted_as_far_as_its_launches_leave_it():
    sensor = SensorFacts(update_s=0.1, window_s=0.025, lag_s=0.0, duty=0.25)
    meter = replace(COUNTER, sensor=sensor)
    book = open_book([*marks(1000, 41), *ticks(300, 41), *blocks(10, 4.0)])
    booked, idle = windows(book, "sha256d", meter), Idle(Estimate(60.0, 59.0, 61.0, 8))
    for launch_s, share in ((0.1, 0.75), (None, 0.75), (0.1382, 0.003)):
        figures = metrics(booked, meter, GPU, idle, book=book, launch_s=launch_s)
        swing = (700 - 60) / 300
        found = budget_of(figures)["aliasing"] * 3**0.5 / swing
        assert found == pytest.approx(share, abs=0.006)


def test_host_watts_are_packages_and_memory_over_the_same_windows():
    host = [Sample(k * 0.05, "host_energy_j", 80.0 * k * 0.05) for k in range(820)]
    dram = [Sample(k * 0.05, "dram_energy_j", 12.0 * k * 0.05) for k in range(820)]
    facts = [*marks(1000, 41), *ticks(300, 41), *blocks(4, 4.0)]
    for more, watts in (([*host, *dram], 92.0), (host, 80.0)):
        book = open_book([*facts, *more])
        figures = metrics(windows(book, "sha256d", COUNTER), COUNTER, GPU, NO_IDLE, book=book)
        assert figures.host_watts.mid == pytest.approx(watts)
    short = open_book([*facts, *host[:200]])
    figures = metrics(windows(short, "sha256d", COUNTER), COUNTER, GPU, NO_IDLE, book=short)
    assert figures.host_watts is None


def test_a_reset_inside_a_block_neither_loses_the_block_nor_goes_negative():
    polled = [Sample(k * 0.02, "power_instant_w", 300.0) for k in range(500)]
    fallen = [replace(t, value=t.value - 900.0 * (t.t_s > 3.2)) for t in ticks(300, 10)]
    span = Span("block", "sha256d", 1.0, 5.0)
    book = open_book([*marks(1000, 10), *fallen, *polled, span])
    booked = window(book, span, COUNTER)
    assert [fall.kind for fall in book.falls] == ["reset"]
    assert booked.counter_j / (booked.end_s - booked.start_s) == pytest.approx(300, rel=1e-3)


def test_the_book_keeps_the_load_the_observer_spans_and_repeated_readings():
    load = [Event(1.0, "load", {"level": 1}), Event(2.5, "load", {"level": 0})]
    power = [Sample(0.1 * k, "power_w", 50.0) for k in range(20)]
    spans = [Span("observer", "sha256d", t, t + 5, p) for t, p in ((5.0, 1.0), (0.0, 0.0))]
    book = open_book([*load, *power, *spans])
    assert book.load.value.tolist() == [1.0, 0.0]
    assert len(book.series["power_w"]) == 20
    assert [span.poll_s for span in book.of_phase("observer", "sha256d")] == [0.0, 1.0]
    assert book.ticks is None


@given(st.randoms(use_true_random=False))
def test_the_order_of_the_facts_changes_nothing(random):
    polled = [Sample(k * 0.05, "power_instant_w", 300.0 + k % 5) for k in range(120)]
    facts = [*marks(1000, 6), *ticks(300, 6), *polled, *blocks(2, 2.5)]
    straight = windows(open_book(facts), "sha256d", COUNTER)
    random.shuffle(facts)
    assert windows(open_book(facts), "sha256d", COUNTER) == straight


def test_a_block_that_heat_slowed_gives_no_window():
    hot = [Sample(8.0 + k, "throttle_thermal_s", 0.1 * k) for k in range(4)]
    facts = [*marks(1000, 41), *ticks(300, 41), *blocks(10, 4.0)]
    booked = windows(open_book([*facts, *hot]), "sha256d", COUNTER)
    assert len(booked) == 9
    assert all(not 8.0 <= w.start_s < 12.0 for w in booked)


@pytest.mark.parametrize(("capped_share", "kept"), [(0.0, 9), (0.9, 10)])
def test_a_low_clock_discards_a_block_unless_the_power_cap_explains_it(capped_share, kept):
    clock = [Sample(0.0, "sm_clock_hz", 1.9e9), Sample(8.0, "sm_clock_hz", 1.2e9),
             Sample(12.0, "sm_clock_hz", 1.9e9)]  # fmt: skip
    cap = [Sample(8.0 + k, "throttle_power_s", capped_share * k) for k in range(5)]
    facts = [*marks(1000, 41), *ticks(300, 41), *blocks(10, 4.0), *clock, *cap]
    booked = windows(open_book(facts), "sha256d", COUNTER, full_hz=1.98e9)
    assert len(booked) == kept
    assert len(windows(open_book(facts), "sha256d", COUNTER)) == 10


def test_a_reading_that_vanished_gives_way_to_one_that_did_not():
    facts = [
        *(Sample(k * 0.1, "power_instant_w", 300.0) for k in range(20)),
        *(Sample(k * 0.1, "power_average_w", 290.0) for k in range(400)),
    ]
    lost = Event(2.0, "meter_field_lost", {"field": "power_instant_w", "reason": "gone"})
    assert power_series(open_book(facts)).value[0] == 300.0
    assert power_series(open_book([*facts, lost])).value[0] == 290.0
    alone = [f for f in facts if f.field == "power_instant_w"]
    assert power_series(open_book([*alone, lost])).value[0] == 300.0


def test_a_correction_moves_idle_as_it_moves_the_work():
    shown_w = 1.044 * 60 - 22.6
    book = open_book([*ticks(shown_w, 41), Span("idle", None, 10.0, 30.0)])
    corrected = idle_power(book, replace(COUNTER, correction=CORRECTION))
    assert corrected.watts.mid == pytest.approx(shown_w)
    assert corrected.watts_absolute.mid == pytest.approx(60.0)
    assert idle_power(book, COUNTER).watts_absolute is None


def test_a_correction_of_other_readings_says_nothing_where_they_were_not_read():
    """Fitted to the power readings, and the counter alone was there: the prior stands."""
    meter = replace(COUNTER, correction=replace(CORRECTION, field="power_instant_w"))
    book = open_book([*marks(1000, 41), *ticks(300, 41), *blocks(10, 4.0)])
    figures = metrics(windows(book, "sha256d", meter), meter, GPU, NO_IDLE, book=book)
    assert budget_of(figures)["gain"] == pytest.approx(0.066)
    assert figures.joules_per_unit_absolute.mid == pytest.approx(figures.joules_per_unit.mid)


def test_how_well_a_correction_is_known_widens_idle():
    book = open_book([*ticks(40, 41), Span("idle", None, 10.0, 30.0)])
    vague = replace(CORRECTION, gain=1.0, offset_w=0.0, gain_u=0.02, offset_u_w=1.0)
    idle = idle_power(book, replace(COUNTER, correction=vague)).watts_absolute
    half = 1.96 * math.hypot(0.02 * 40, 1.0)
    assert idle.hi - idle.mid == pytest.approx(half, rel=0.01)


def test_no_absolute_interval_reaches_below_nothing():
    book = open_book([*marks(1000, 41), *ticks(1, 41), *blocks(10, 4.0)])
    figures = metrics(windows(book, "sha256d", COUNTER), COUNTER, GPU, NO_IDLE, book=book)
    assert figures.joules_per_unit_absolute.lo == 0.0
    assert figures.joules_per_unit_absolute.hi > 3 * figures.joules_per_unit.mid


def test_a_host_counter_that_fell_silent_gives_no_watts():
    host = [Sample(k * 0.05, "host_energy_j", 4.0 * k) for k in range(820) if k * 0.05 % 4 < 0.5]
    facts = [*marks(1000, 41), *ticks(300, 41), *blocks(4, 4.0)]
    book = open_book([*facts, *host])
    figures = metrics(windows(book, "sha256d", COUNTER), COUNTER, GPU, NO_IDLE, book=book)
    assert figures.host_watts is None


def test_work_that_was_not_counted_has_no_joules_and_says_so():
    idle_hands = [Progress(k * 0.05, 0, "sha256d") for k in range(820)]
    book = open_book([*idle_hands, *ticks(300, 41), *blocks(4, 4.0)])
    figures = metrics(windows(book, "sha256d", COUNTER), COUNTER, GPU, NO_IDLE, book=book)
    assert figures.joules_per_unit is None
    assert figures.reason == "a block counted no work"
