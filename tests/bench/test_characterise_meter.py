"""A simulated sensor against a simulated meter whose truth is known. Takes about 5 s."""

import re

import numpy as np
import pytest

from bench.budget import GAIN_U, OFFSET_U_W
from bench.characterise.boxcar import Drawn, fit
from bench.characterise.changes import changes
from bench.characterise.meter import LINE_U, against, align
from bench.energy import Series
from bench.records.run import SensorFacts

GAIN, OFFSET_W, LAG_S, UPDATE_S = 0.93, 4.0, 0.05, 0.1
NAMES = {"field": "power_instant_w", "name": "meter.csv", "sha256": "ab", "made_at": "today"}


def power(random, end_s):
    """True power on a 1 ms grid: on and off at random, with slow wander and quick noise."""
    edges = 2.0 + np.cumsum(np.exp(random.uniform(np.log(0.06), np.log(1.5), int(3 * end_s))))
    grid = np.arange(0, end_s, 0.001)
    on = np.searchsorted(edges, grid) % 2 * (grid < end_s - 2)
    wander = np.cumsum(random.normal(0, 0.05, len(grid)))
    return Series(grid, 80 + 300 * on + wander + random.normal(0, 2.0, len(grid)))


def sensor_polls(random, truth, window_s, error_w=0.0):
    updates = np.arange(1.5, truth.t_s[-1], UPDATE_S)
    updates = np.sort(updates + random.normal(0, 0.002, len(updates)))
    mean = Drawn.of(truth, 80).mean(updates - LAG_S, window_s)
    readings = OFFSET_W + GAIN * mean + random.normal(0, 0.3, len(updates)) + error_w
    polls = np.arange(updates[0], updates[-1], 0.0025)
    return Series(polls, readings[np.searchsorted(updates, polls, "right") - 1])


def sampled(truth, pace_s, shift_s=0.0):
    """A meter of its own pace and clock: means over its period, ``shift_s`` ahead."""
    times = np.arange(pace_s, truth.t_s[-1], pace_s)
    return Series(times + shift_s, Drawn.of(truth, 80).mean(times, pace_s))


@pytest.mark.parametrize("window_s", [0.025, 0.1, 1.0])
@pytest.mark.parametrize("shift_s", [0.0, 7213.4, -1.7])
def test_a_fast_meter_gives_gain_offset_and_shift(window_s, shift_s):
    random = np.random.default_rng(1)
    truth = power(random, 21)
    readings = sensor_polls(random, truth, window_s)
    found = against(sampled(truth, 0.001, shift_s), readings, None, **NAMES)
    assert found.gain == pytest.approx(GAIN, rel=0.005)
    assert found.offset_w == pytest.approx(OFFSET_W, abs=1.5)
    assert found.lag_s == pytest.approx(LAG_S - shift_s, abs=0.004)
    assert LINE_U <= found.gain_u < 0.01
    assert 0 < found.offset_u_w < 1.5
    assert found.residual_w < 5
    assert found.span_s > 16
    assert (found.meter, found.meter_sha256, found.made_at) == ("meter.csv", "ab", "today")


def test_a_known_window_is_kept():
    random = np.random.default_rng(2)
    truth = power(random, 21)
    readings = sensor_polls(random, truth, 0.1)
    sensor = SensorFacts(update_s=0.1, window_s=0.09)
    assert align(sampled(truth, 0.01), readings, sensor).window_s == 0.09
    assert align(sampled(truth, 0.01), readings, None).window_s == pytest.approx(0.1, abs=0.011)


@pytest.mark.parametrize("pace_s", [0.02, 0.05, 0.1, 0.2, 0.5, 1.0])
@pytest.mark.parametrize("window_s", [0.025, 0.1, 1.0])
def test_a_slower_meter_bends_nothing_and_says_how_little_it_knows(pace_s, window_s):
    random = np.random.default_rng(3)
    truth = power(random, 120)
    readings = sensor_polls(random, truth, window_s)
    sensor = SensorFacts(update_s=UPDATE_S, window_s=window_s)
    found = against(sampled(truth, pace_s, -3600.0), readings, sensor, **NAMES)
    assert abs(found.gain / GAIN - 1) < 2.6 * found.gain_u
    assert abs(found.offset_w - OFFSET_W) < 3.5 * found.offset_u_w
    assert found.gain_u < (0.01 if window_s >= UPDATE_S and pace_s <= 0.2 else 0.04)
    assert found.lag_s == pytest.approx(3600 + LAG_S, abs=0.012 + min(pace_s, 0.1))


def test_a_meter_of_ten_hertz_laid_over_single_readings_would_bend_the_gain():
    random = np.random.default_rng(3)
    truth = power(random, 120)
    readings = changes(sensor_polls(random, truth, 0.1))
    meter = sampled(truth, 0.1)
    drawn = Drawn.of(meter, 80)
    naive = fit(readings, drawn, np.array([0.1]), np.arange(-0.2, 0.2, 0.001))
    assert abs(naive.gain / GAIN - 1) > 0.04


def test_the_stated_uncertainties_cover_slow_errors_of_the_sensor():
    """Errors with a memory of half a second, which a plain least-squares interval ignores."""
    inside, naive = 0, 0
    for seed in range(60):
        random = np.random.default_rng(seed)
        truth = power(random, 21)
        count = len(np.arange(1.5, truth.t_s[-1], UPDATE_S))
        slow = np.zeros(count)
        for k in range(1, count):
            slow[k] = 0.8 * slow[k - 1] + random.normal(0, 2.0)
        readings = sensor_polls(random, truth, 0.1, slow)
        sensor = SensorFacts(update_s=0.1, window_s=0.1)
        found = against(sampled(truth, 0.01), readings, sensor, **NAMES)
        pairs = align(sampled(truth, 0.01), readings, sensor)
        plain_u = found.residual_w / np.sqrt(np.sum((pairs.meter - pairs.meter.mean()) ** 2))
        off = found.offset_w - OFFSET_W
        inside += abs(off) < 1.96 * found.offset_u_w
        naive += abs(off) < 1.96 * plain_u * np.sqrt(np.mean(pairs.meter**2))
    assert inside >= 54
    assert naive <= 45


def test_unlike_recordings_are_refused():
    random = np.random.default_rng(4)
    readings = sensor_polls(random, power(random, 21), 0.1)
    stranger = sampled(power(np.random.default_rng(99), 21), 0.001)
    with pytest.raises(ValueError, match="do not move together") as caught:
        against(stranger, readings, None, **NAMES)
    assert "\n" not in str(caught.value)


def test_a_still_meter_is_refused():
    random = np.random.default_rng(5)
    readings = sensor_polls(random, power(random, 21), 0.1)
    still = Series(np.arange(0, 21, 0.01), np.full(2100, 80.0))
    with pytest.raises(ValueError, match="too little to compare"):
        against(still, readings, None, **NAMES)


def test_a_recording_of_a_moment_is_refused():
    random = np.random.default_rng(6)
    truth = power(random, 21)
    readings = sensor_polls(random, truth, 0.1)
    with pytest.raises(ValueError, match="at least 20 of each"):
        against(sampled(truth, 1.5), readings, None, **NAMES)
    with pytest.raises(ValueError, match="too little to compare"):
        against(sampled(truth, 0.01).between(8, 9), readings, None, **NAMES)


def test_a_correction_that_says_less_than_no_meter_is_refused():
    """One value a second beside a part-time sensor, in half a minute: often too vague."""
    refused = []
    for seed in range(3, 9):
        random = np.random.default_rng(seed)
        truth = power(random, 33)
        readings = sensor_polls(random, truth, 0.025)
        sensor = SensorFacts(update_s=UPDATE_S, window_s=0.025)
        try:
            found = against(sampled(truth, 1.0), readings, sensor, **NAMES)
        except ValueError as error:
            refused.append(str(error))
        else:
            for watts in (80.0, 380.0):
                known_w = np.hypot(found.gain_u * watts, found.offset_u_w / found.gain)
                assert known_w < 1.1 * np.hypot(GAIN_U * watts, OFFSET_U_W)
    assert 0 < len(refused) < 6
    sentence = re.compile(r"meter.csv: over \d+ s it fixes \d+ W only to .*faster meter")
    assert all(map(sentence.fullmatch, refused))


def test_a_reversed_meter_is_refused():
    random = np.random.default_rng(7)
    truth = power(random, 21)
    reversed_sign = Series(truth.t_s, 500 - truth.value)
    with pytest.raises(ValueError, match=r"do not move together|too vague"):
        against(reversed_sign, sensor_polls(random, truth, 0.1), None, **NAMES)
