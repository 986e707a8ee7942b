import pytest

from bench.meters.sampling import (
    MeterLost,
    Missing,
    Notice,
    Reading,
    Sampling,
    TransientError,
)
from bench.records.journal import ClockPair, Event, Sample

REALTIME_AHEAD_S = 1.7e9


class Scripted:
    """A sensor that plays a script: per read, a list of readings or an exception."""

    period_s = 0.02

    def __init__(self, *script, found=None):
        self.script = list(script)
        self.found = found
        self.asked_slow = []

    def read(self, *, slow):
        self.asked_slow.append(slow)
        turn = self.script.pop(0)
        if isinstance(turn, Exception):
            raise turn
        return turn

    def survey(self):
        return self.found


class Clocks:
    """Each look at the time takes ``step_s``; two looks a tick."""

    def __init__(self, step_s=0.01):
        self.now_s, self.step_s = 100.0, step_s

    def now(self):
        seen_s, self.now_s = self.now_s, self.now_s + self.step_s
        return seen_s

    def pair(self):
        return ClockPair(self.now_s, self.now_s + REALTIME_AHEAD_S, self.now_s)


def sampling_of(sensor, step_s=0.01):
    clocks = Clocks(step_s)
    return Sampling(sensor, clocks.pair, clocks.now)


def samples(facts):
    return [fact for fact in facts if isinstance(fact, Sample)]


def values(facts):
    return [(sample.field, sample.value) for sample in samples(facts)]


def test_power_is_said_at_every_tick_and_the_rest_on_change():
    turn = [
        [Reading("energy_j", 5.0), Reading("power_instant_w", 200.0), Reading("pstate", 2.0)],
        [Reading("energy_j", 5.0), Reading("power_instant_w", 200.0), Reading("pstate", 2.0)],
        [Reading("energy_j", 6.0), Reading("power_instant_w", 200.0), Reading("pstate", 2.0)],
    ]
    sampling = sampling_of(Scripted(*turn))
    assert len(values(sampling.step())) == 3
    assert values(sampling.step()) == [("power_instant_w", 200.0)]
    assert values(sampling.step()) == [("energy_j", 6.0), ("power_instant_w", 200.0)]


def test_a_counter_alone_is_said_at_every_tick_so_that_its_ticks_can_be_dated():
    turn = [Reading("energy_j", 5.0), Reading("pstate", 2.0)]
    sampling = sampling_of(Scripted(turn, turn, turn))
    sampling.step()
    assert values(sampling.step()) == [("energy_j", 5.0)]


def test_a_sample_is_dated_in_the_middle_of_its_read():
    sampling = sampling_of(Scripted([Reading("energy_j", 1.0)]), step_s=0.5)
    (sample,) = samples(sampling.step())
    assert sample.t_s == 100.25
    assert sampling.tally.slowest_read_s == 0.5


def test_the_instruments_wall_clock_becomes_monotonic():
    stamp_s = REALTIME_AHEAD_S + 99.9
    sampling = sampling_of(Scripted([Reading("power_w", 1.0, stamp_s)]))
    (sample,) = samples(sampling.step())
    assert sample.reported_s == pytest.approx(99.9, abs=1e-6)


def test_a_reading_without_a_stamp_has_no_reported_time():
    sampling = sampling_of(Scripted([Reading("power_w", 1.0)]))
    assert samples(sampling.step())[0].reported_s is None


def test_slow_fields_and_clocks_come_once_a_second():
    sensor = Scripted(*[[Reading("power_w", 1.0)]] * 6)
    sampling = sampling_of(sensor, step_s=0.2)
    pairs = [any(isinstance(f, ClockPair) for f in sampling.step()) for _ in range(6)]
    assert sensor.asked_slow == pairs == [True, False, False, True, False, False]


def test_a_slow_tick_that_failed_is_slow_again():
    sensor = Scripted(TransientError("busy"), [Reading("power_w", 1.0)])
    sampling = sampling_of(sensor)
    sampling.step()
    sampling.step()
    assert sensor.asked_slow == [True, True]


def test_a_counter_that_falls_is_told_as_it_is():
    sensor = Scripted([Reading("energy_j", 900.0)], [Reading("energy_j", 2.0)])
    sampling = sampling_of(sensor)
    assert values(sampling.step() + sampling.step()) == [("energy_j", 900.0), ("energy_j", 2.0)]


def test_two_failures_in_a_row_are_skipped_and_counted():
    good = [Reading("power_w", 1.0)]
    busy = TransientError("busy")
    sampling = sampling_of(Scripted(good, busy, busy, good, busy, good))
    said = [len(values(sampling.step())) for _ in range(6)]
    assert said == [1, 0, 0, 1, 0, 1]
    assert (sampling.tally.ticks, sampling.tally.skipped) == (6, 3)
    assert sampling.tally.errors == {"busy": 3}


def test_the_third_failure_in_a_row_ends_sampling():
    sampling = sampling_of(Scripted(*[TransientError("timed out")] * 3))
    sampling.step()
    sampling.step()
    with pytest.raises(MeterLost, match="3 times in a row: timed out") as caught:
        sampling.step()
    assert caught.value.code == "SAMPLING_GAPS"


def test_a_lost_device_ends_sampling_at_once():
    sampling = sampling_of(Scripted(MeterLost("GPU_LOST", "gone")))
    with pytest.raises(MeterLost) as caught:
        sampling.step()
    assert caught.value.code == "GPU_LOST"


def test_a_field_that_goes_is_an_event_and_sampling_goes_on():
    sampling = sampling_of(
        Scripted(
            [Missing("temperature_c", "withdrawn"), Reading("power_w", 1.0)],
            [Reading("power_w", 2.0)],
        )
    )
    (event,) = [fact for fact in sampling.step() if isinstance(fact, Event)]
    assert event.name == "meter_field_lost"
    assert event.data == {"field": "temperature_c", "reason": "withdrawn"}
    assert values(sampling.step()) == [("power_w", 2.0)]


def test_without_any_reading_of_power_left_sampling_ends():
    sensor = Scripted(
        [Reading("energy_j", 1.0), Reading("pstate", 0.0)], [Missing("energy_j", "withdrawn")]
    )
    sampling = sampling_of(sensor)
    sampling.step()
    with pytest.raises(MeterLost, match="withdrawn") as caught:
        sampling.step()
    assert caught.value.code == "NO_ENERGY"


@pytest.mark.parametrize(("ticks", "failures", "troubled"), [(100, 1, False), (100, 2, True)])
def test_more_than_one_failure_in_a_hundred_is_a_code(ticks, failures, troubled):
    good = [Reading("power_w", 1.0)]
    script = [good] * ticks
    for at in range(failures):
        script[10 * at] = TransientError("busy")
    sampling = sampling_of(Scripted(*script))
    for _ in range(ticks):
        sampling.step()
    tally, *rest = sampling.end(200.0)
    assert tally.name == "meter_tally"
    assert (tally.data["ticks"], tally.data["skipped"]) == (ticks, failures)
    assert [event.data["code"] for event in rest] == (["SAMPLING_GAPS"] if troubled else [])


def test_slow_fields_wait_while_edges_are_looked_for_but_not_for_ever():
    sensor = Scripted(*[[Reading("power_w", 1.0)]] * 6)
    sampling = sampling_of(sensor, step_s=0.25)
    sampling.step()
    for _ in range(5):  # 0.5 s each
        sampling.step(hurry=True)
    assert sensor.asked_slow == [True, False, False, False, True, False]


def test_what_else_an_instrument_says_is_an_event():
    turn = [Notice("xid", {"code": 79}), Reading("power_w", 1.0)]
    facts = sampling_of(Scripted(turn)).step()
    (event,) = [fact for fact in facts if isinstance(fact, Event)]
    assert (event.name, event.data) == ("xid", {"code": 79})


def test_a_survey_is_an_event_and_no_answer_none():
    found = Notice("processes", {"pids": [7]})
    (event,) = sampling_of(Scripted(found=found)).survey()
    assert (event.t_s, event.name, event.data) == (100.0, "processes", {"pids": [7]})
    assert sampling_of(Scripted()).survey() == []


GROWTH = """
    import time
    from bench.machine import clock_pair
    from bench.meters.sampler import ENCODE
    from bench.meters.sampling import Reading, Sampling, TransientError
    from bench.records.journal import to_line

    class Endless:
        period_s, k = 0.05, 0
        def read(self, *, slow):
            self.k += 1
            if self.k % 1000 == 0:
                raise TransientError("busy")
            return [Reading("energy_j", 0.1 * self.k), Reading("power_instant_w", 200.0 + self.k)]

    sampling = Sampling(Endless(), clock_pair, time.monotonic)
    def rise(steps):
        before = pages()
        for _ in range(steps):
            for fact in sampling.step():
                ENCODE(to_line(fact))
        return 4096 * (pages() - before)
    def pages():
        return int(open("/proc/self/statm").read().split()[1])
    rise(20_000)
    print(rise(int(24 * 3600 / 0.05 / 48)))
"""


def test_a_day_of_sampling_does_not_grow_the_sampler(python):
    """A 48th of the steps of a day at 20 Hz, held to a 48th of 20 MB."""
    assert python(GROWTH) < 20e6 / 48
