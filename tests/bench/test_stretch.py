"""A stretch reckoned from ticks and readings against what was really drawn: closed forms."""

import math

import numpy as np
import pytest

from bench.book import open_book
from bench.energy import Series, Ticks
from bench.records.journal import Event, Sample
from bench.records.run import DeviceFacts, Estimate, Idle, MeterFacts, SensorFacts
from bench.stats import series_interval
from bench.stretch import Setting, Stretch, read
from bench.stretch.reckon import counted, polled

IDLE_W, LOAD_W = 60.0, 300.0
CPU = DeviceFacts(kind="cpu", name="a processor")
GPU = DeviceFacts(kind="gpu", name="a card", uuid="GPU-1")
COUNTER = MeterFacts(source="nvml-counter", name="a counter", device_uuid="GPU-1")
NOT_IDLE = Idle(None, "not measured")


def drawn_j(t_s, start_s, end_s):
    """Joules since 0 of a card that is loaded from start to end."""
    return IDLE_W * t_s + (LOAD_W - IDLE_W) * float(np.clip(t_s - start_s, 0, end_s - start_s))


def as_ticks(times, values, gap_s=0.0):
    return Ticks(Series(times, np.array(values)), np.full(len(times), gap_s))


def ticks(start_s, end_s, *, period_s, phase_s=0.0, until_s, dated_s=None, lag_s=0.0):
    """A counter's ticks, ``dated_s`` drawing how far off each is dated."""
    times = np.arange(phase_s + 1e-3, until_s, period_s)
    values = [drawn_j(t - lag_s, start_s, end_s) for t in times]
    late = 0.0 if dated_s is None else dated_s(len(times))
    return as_ticks(times + late, values, 0.0 if dated_s is None else 0.0015)


def around(start_s, end_s, units=None):
    return Stretch(start_s, end_s, start_s - 0.5, end_s + 0.5, units)


@pytest.mark.parametrize("period_s", [0.0015, 0.02, 0.1])
@pytest.mark.parametrize("seconds", [0.25, 1.3, 20.0])
@pytest.mark.parametrize("phase_s", [0.0, 0.3, 0.77])
def test_whatever_the_phase_of_the_counter_the_joules_are_exact(period_s, seconds, phase_s):
    start_s, end_s = 2.0, 2.0 + seconds
    seen = ticks(start_s, end_s, period_s=period_s, phase_s=phase_s * period_s, until_s=end_s + 0.6)
    found = counted(seen, around(start_s, end_s))
    assert found.joules == pytest.approx(LOAD_W * seconds, rel=1e-9)
    assert found.update_s == pytest.approx(period_s)


def test_a_stretch_between_two_ticks_is_not_lost():
    seen = ticks(2.0, 2.03, period_s=0.1, phase_s=0.05, until_s=2.7)
    found = counted(seen, around(2.0, 2.03))
    assert found.joules == pytest.approx(LOAD_W * 0.03)


def test_without_quiet_the_interval_holds_the_truth_whatever_the_work_did():
    """Windows in the midst of bursts, counter ticks of 100 ms: edges fall anywhere in them."""
    draw = np.random.default_rng(7)
    covered, runs = 0, 400
    for _ in range(runs):
        turns = np.cumsum(draw.uniform(0.02, 0.3, 60))
        watts = draw.uniform(50, 400, 61)
        knots = np.concatenate(([0.0], turns))
        joules = np.concatenate(([0.0], np.cumsum(watts[:-1] * np.diff(knots))))
        times = np.arange(draw.uniform(0, 0.1), knots[-1], 0.1)
        seen = as_ticks(times, np.interp(times, knots, joules))
        start_s = draw.uniform(0.5, 2.0)
        end_s = start_s + draw.uniform(0.3, 2.0)
        found = counted(seen, Stretch(start_s, end_s, start_s, end_s))
        true_j = float(np.interp(end_s, knots, joules) - np.interp(start_s, knots, joules))
        covered += abs(found.joules - true_j) <= 1.96 * found.edge_u_j
    assert covered / runs > 0.93


def test_the_interval_covers_ticks_that_are_dated_roughly():
    draw = np.random.default_rng(11)
    covered, runs = 0, 400
    for _ in range(runs):
        start_s, end_s = 2.0, 2.0 + draw.uniform(0.3, 2.0)
        seen = ticks(
            start_s,
            end_s,
            period_s=0.02,
            phase_s=draw.uniform(0, 0.02),
            until_s=end_s + 0.6,
            dated_s=lambda n: draw.uniform(-0.00075, 0.00075, n),
        )
        found = counted(seen, around(start_s, end_s))
        assert found.joules == pytest.approx(LOAD_W * (end_s - start_s), rel=2e-3)
        covered += abs(found.joules - LOAD_W * (end_s - start_s)) <= 1.96 * found.edge_u_j
    assert covered / runs > 0.93


def test_a_counter_that_trails_by_most_of_its_period_lies_within_what_the_lag_allows():
    for phase_s in np.linspace(0, 0.1, 11):
        seen = ticks(2.0, 3.0, period_s=0.1, phase_s=phase_s, until_s=3.7, lag_s=0.09)
        found = counted(seen, around(2.0, 3.0))
        wrong_j = abs(found.joules - LOAD_W)
        assert wrong_j <= 1.96 * math.hypot(found.edge_u_j, found.lag_u_j)


@pytest.mark.parametrize("fault", ["reset", "nothing after", "nothing before", "no ticks"])
def test_a_counter_that_cannot_tell_says_nothing(fault):
    seen = ticks(2.0, 4.0, period_s=0.1, until_s=4.7)
    series = seen.series
    if fault == "reset":
        fallen = np.where(series.t_s > 3.0, series.value - 500.0, series.value)
        series = Series(series.t_s, fallen)
    elif fault == "nothing after":
        series = series.between(0.0, 3.9)
    elif fault == "nothing before":
        series = series.between(2.05, 9.0)
    else:
        series = Series.of([])
    assert counted(as_ticks(series.t_s, series.value), around(2.0, 4.0)) is None


def test_polled_power_leaves_its_edges_open():
    draw = np.random.default_rng(3)
    covered, runs = 0, 300
    for _ in range(runs):
        start_s, end_s = 2.0, 2.0 + draw.uniform(1.0, 3.0)
        polls = np.arange(1.0, end_s + 0.6, 0.01)
        phase_s = draw.uniform(0, 0.1)
        updated = np.floor((polls - phase_s) / 0.1) * 0.1 + phase_s
        watts = np.where((updated >= start_s) & (updated < end_s), LOAD_W, IDLE_W)
        found = polled(
            Series(polls, watts),
            around(start_s, end_s),
            SensorFacts(update_s=0.1, window_s=1e-6),
            window_s=None,
        )
        covered += abs(found.joules - LOAD_W * (end_s - start_s)) <= 1.96 * found.edge_u_j
    assert covered / runs > 0.93


@pytest.mark.parametrize("update_s", [0.1, 0.5, 1.0])
def test_polled_power_that_hardly_changed_leaves_all_open_that_it_may_have_missed(update_s):
    """A load of one second: at most two changes, from which no update period follows."""
    power, window_s = "power_instant_w", 1.0
    for phase_s in np.linspace(0, update_s, 9):
        one = Stretch(2.0, 2.0 + window_s, 1.0, 3.0 + window_s)
        polls = np.arange(1.0, one.quiet_to_s, 0.01)
        updated = np.floor((polls - phase_s) / update_s) * update_s + phase_s
        watts = np.where((updated >= one.start_s) & (updated < one.end_s), LOAD_W, IDLE_W)
        facts = [Sample(float(t), power, float(w)) for t, w in zip(polls, watts, strict=True)]
        reading = read(setting(facts), [one])
        joules = reading.figures.joules
        assert 0 <= joules.lo <= LOAD_W * window_s <= joules.hi
        assert "SHORT_WINDOW" in names(reading)


def test_polled_power_that_never_changed_is_that_power():
    polls = np.arange(1.0, 20.0, 0.01)
    known = SensorFacts()
    found = polled(Series(polls, np.full(len(polls), 200.0)), around(2.0, 19.0), known, window_s=1)
    assert found.joules == pytest.approx(200 * 17)
    assert found.edge_u_j == 0


# --- figures ------------------------------------------------------------------------------------


def journal(stretches, *, watts=LOAD_W):
    """What a counter of 20 ms says of commands that all draw the same."""
    end_s = stretches[-1].end_s + 0.6
    times = np.arange(0.0, end_s, 0.02)
    loaded = np.zeros_like(times)
    for each in stretches:
        loaded += np.clip(times - each.start_s, 0, each.seconds)
    joules = IDLE_W * times + (watts - IDLE_W) * loaded
    return [Sample(float(t), "energy_j", float(j)) for t, j in zip(times, joules, strict=True)]


def setting(facts, *, meter=COUNTER, device=GPU, idle=NOT_IDLE):
    return Setting(open_book(facts), device, meter, idle)


def names(reading):
    return {code.name for code in reading.validity.codes}


def test_one_run_has_both_intervals_and_says_why_they_differ():
    one = around(2.0, 4.0, units=4.0)
    found = read(setting(journal([one])), [one]).figures
    assert found.runs == 1
    assert found.joules.mid == pytest.approx(2 * LOAD_W)
    assert found.watts.mid == pytest.approx(LOAD_W)
    assert found.joules_per_unit.mid == pytest.approx(LOAD_W / 2)
    assert found.joules_source == "measured-counter"
    half = [(e.hi - e.lo) / 2 / e.mid for e in (found.joules, found.joules_absolute)]
    assert half[0] < 0.004
    assert half[1] > 1.96 * 0.066
    assert {doubt.name for doubt in found.budget} >= {"gain", "offset", "delay"}


def test_repeats_give_the_interval_over_them():
    runs = [around(2.0, 3.0), around(5.0, 6.1), around(8.0, 9.2)]
    found = read(setting(journal(runs)), runs).figures
    assert found.runs == 3
    assert found.joules.n == 3
    each = [LOAD_W * seconds for seconds in (1.0, 1.1, 1.2)]
    expected = series_interval(each)
    assert found.joules.mid == pytest.approx(np.mean(each))
    assert found.joules.hi == pytest.approx(expected.hi, rel=1e-6)
    assert found.watts.hi - found.watts.lo < 0.01


def test_net_of_idle_carries_how_well_idle_is_known():
    one = around(2.0, 4.0, units=10.0)
    idle = Idle(Estimate(IDLE_W, IDLE_W - 3, IDLE_W + 3, 4))
    found = read(setting(journal([one]), idle=idle), [one]).figures
    assert found.joules_net.mid == pytest.approx(2 * (LOAD_W - IDLE_W))
    assert (found.joules_net.hi - found.joules_net.lo) / 2 == pytest.approx(6.0, rel=0.05)
    assert found.joules_per_unit_net.mid == pytest.approx(0.2 * (LOAD_W - IDLE_W))


def test_units_that_one_run_lacks_are_unknown_for_all():
    runs = [around(2.0, 3.0, units=5.0), around(5.0, 6.0)]
    found = read(setting(journal(runs)), runs).figures
    assert found.units is None
    assert found.joules_per_unit is None
    assert found.joules is not None


def test_what_no_instrument_saw_is_unknown_never_zero():
    one = around(2.0, 2.5)
    reading = read(setting([]), [one])
    assert reading.figures.joules is None
    assert reading.figures.joules_source == "unavailable"
    assert reading.figures.reason
    assert "SHORT_WINDOW" not in names(reading), "nothing says how often the meter speaks"


def test_shorter_than_two_updates_is_said():
    one = around(2.001, 2.02)
    reading = read(setting(journal([one])), [one])
    assert "SHORT_WINDOW" in names(reading)
    assert reading.figures.joules.mid == pytest.approx(LOAD_W * 0.019, rel=0.01)


def test_energy_is_not_below_zero_however_little_is_known():
    facts = [Sample(t / 100, "power_w", 60.0 + 240 * (t >= 210)) for t in range(100, 320)]
    one = Stretch(2.0, 2.05, 1.0, 3.1, units=2.0)
    found = read(setting(facts), [one]).figures
    for each in (found.joules, found.joules_absolute, found.watts):
        assert (each.lo, each.mid > 0) == (0.0, True)
    for each in (found.joules_per_unit, found.joules_per_unit_absolute):
        assert each.lo == 0.0


def test_assumed_watts_are_that_power_times_the_time():
    meter = MeterFacts(source="assumed", name="100 W", constant_w=100.0)
    one = around(2.0, 4.5)
    reading = read(setting([], meter=meter, device=CPU), [one])
    assert reading.figures.joules.mid == pytest.approx(250.0)
    assert reading.figures.joules_absolute is None
    assert names(reading) == {"ASSUMED_WATTS"}


# --- who else was on the card -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "fresh", "lists", "code"),
    [
        ([10, 11], True, [[], [11], []], None),
        ([10, 11], True, [[99], [99, 11], [99]], "FOREIGN_PROCESS"),
        ([10, 11], True, [[], [11, 99], []], "FOREIGN_PROCESS"),
        ([10, 11], True, [[], [77], []], "PROCESS_UNKNOWN"),
        ([10, 11], False, [[11], [11], [11]], None),
        ([10, 11], False, [[77], [77], [77]], "PROCESS_UNKNOWN"),
        ([10, 11], True, [], "PROCESS_UNKNOWN"),
    ],
)
def test_children_of_the_command_are_no_strangers(own, fresh, lists, code):
    one = around(2.0, 4.0)
    facts = journal([one])
    facts += [Event(1.9 + k, "processes", {"pids": pids}) for k, pids in enumerate(lists)]
    facts.append(Event(4.6, "own_processes", {"pids": own, "fresh": fresh}))
    found = names(read(setting(facts), [one])) & {"FOREIGN_PROCESS", "PROCESS_UNKNOWN"}
    assert found == ({code} if code else set())
