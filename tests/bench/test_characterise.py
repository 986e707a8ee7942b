"""Every published kind of sensor, simulated with jitter, is found again. Takes about 8 s."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy.signal import lfilter

from bench.characterise import characterise, counter_ratio, sensor_kind, update_period
from bench.characterise.boxcar import Drawn
from bench.characterise.changes import changes, counter_tick
from bench.energy import Series
from bench.records.run import SensorFacts

END_S = 21.0
IDLE_W, SWING_W = 60.0, 240.0
RC_STEP_S = 0.0005


@dataclass(frozen=True)
class Board:
    """A sensor and how it is polled: seconds and W."""

    update_s: float
    window_s: float
    lag_s: float
    gain: float = 0.95
    offset_w: float = -5.0
    jitter: float = 0.03  # of an update period
    noise_w: float = 0.3
    poll_s: float = 0.0025
    lost_polls: float = 0.0
    rc_s: float | None = None


# arXiv 2312.02741, table 1 of its sensors; lags as their rise times allow
BOARDS = {
    "V100": Board(0.020, 0.0105, 0.030),
    "A100": Board(0.1012, 0.025, 0.020),
    "H100 instant": Board(0.100, 0.0225, 0.020),
    "H100 average": Board(0.100, 1.0, 0.050),
    "2080 Ti": Board(0.101, 0.100, 0.100),
    "Quadro RTX 8000": Board(0.100, 0.020, 0.150),
    "RTX 30 instant": Board(0.100, 0.100, 0.050),
    "RTX 30 average": Board(0.100, 1.0, 0.100),
    "RTX 4090": Board(0.100, 0.110, 0.070),
    "18.5 ms": Board(0.0185, 0.0185, 0.010),
}
KINDS = {
    "V100": "part-time",
    "A100": "part-time",
    "H100 instant": "part-time",
    "H100 average": "averaged",
    "2080 Ti": "full-duty",
    "Quadro RTX 8000": "part-time",
    "RTX 30 instant": "full-duty",
    "RTX 30 average": "averaged",
    "RTX 4090": "full-duty",
    "18.5 ms": "full-duty",
}
each_board = pytest.mark.parametrize("name", BOARDS)


def pattern(random):
    """On and off in turn, each for 0.06 to 1.5 s, log-uniform; the first 2 s off."""
    edges = 2.0 + np.cumsum(np.exp(random.uniform(np.log(0.06), np.log(1.5), 400)))
    edges = np.concatenate(([2.0], edges[edges < END_S]))
    return Series(edges, 1.0 - np.arange(len(edges)) % 2)


def seen(board, random, load):
    """What polling the board shows under the load."""
    updates = np.arange(0.013, END_S, board.update_s)
    updates = np.sort(updates + random.normal(0, board.jitter * board.update_s, len(updates)))
    values = board.offset_w + board.gain * true_means(board, load, updates - board.lag_s)
    values = np.round(values + random.normal(0, board.noise_w, len(values)), 3)
    polls = np.arange(0.02, END_S, board.poll_s)
    polls = np.sort(polls + random.normal(0, 0.0002, len(polls)))
    polls = polls[random.random(len(polls)) >= board.lost_polls]
    shown = np.searchsorted(updates, polls, "right") - 1
    return Series(polls[shown >= 0], values[shown[shown >= 0]])


def true_means(board, load, ends):
    drawn = Drawn.of(Series(load.t_s, IDLE_W + SWING_W * load.value), IDLE_W)
    if board.rc_s is None:
        return drawn.mean(ends, board.window_s)
    grid = np.arange(-1, END_S, RC_STEP_S)
    fresh = 1 - np.exp(-RC_STEP_S / board.rc_s)
    start = [IDLE_W * (1 - fresh)]
    low, _ = lfilter([fresh], [1, fresh - 1], drawn.mean(grid + RC_STEP_S, RC_STEP_S), zi=start)
    return np.interp(ends, grid, low)


def found(board, seed=0, energy=None):
    random = np.random.default_rng(seed)
    load = pattern(random)
    readings = seen(board, random, load)
    return characterise({"power_instant_w": readings}, energy, load, scope="gpu", made_at="today")


@each_board
@pytest.mark.parametrize("seed", range(5))
def test_period_window_lag_and_class_of_every_published_sensor(name, seed):
    board = BOARDS[name]
    sensor = found(board, seed).sensor
    assert sensor.update_s == pytest.approx(board.update_s, rel=0.03)
    assert sensor.window_s == pytest.approx(board.window_s, abs=grid_step_s(board))
    assert sensor.lag_s == pytest.approx(board.lag_s, abs=0.010)
    assert sensor.duty == pytest.approx(min(1, sensor.window_s / sensor.update_s))
    assert sensor.kind == KINDS[name]


def grid_step_s(board):
    """No finer than one poll can tell, nor than a twentieth of the period."""
    return max(board.poll_s, board.update_s / 20)


@each_board
def test_lost_polls_noise_and_noise_free_plateaus_change_little(name):
    for change in ({"lost_polls": 0.2}, {"noise_w": 2.0}, {"noise_w": 0.0}, {"jitter": 0.05}):
        board = replace(BOARDS[name], **change)
        sensor = found(board, seed=1).sensor
        assert sensor.update_s == pytest.approx(board.update_s, rel=0.03), change
        assert sensor.window_s == pytest.approx(board.window_s, abs=1.5 * grid_step_s(board))
        assert sensor.lag_s == pytest.approx(board.lag_s, abs=0.010), change
        assert sensor.kind == KINDS[name], change


def test_a_slow_poll_misleads_the_median_and_not_the_slope():
    random = np.random.default_rng(4)
    readings = seen(replace(BOARDS["18.5 ms"], poll_s=0.005), random, pattern(random))
    median_s = float(np.median(np.diff(changes(readings).t_s)))
    assert median_s / 0.0185 - 1 == pytest.approx(0.08, abs=0.02)
    assert update_period(readings) == pytest.approx(0.0185, rel=0.001)


def test_the_shortest_interval_is_not_the_period():
    random = np.random.default_rng(5)
    readings = seen(replace(BOARDS["V100"], jitter=0.1), random, pattern(random))
    assert np.min(np.diff(changes(readings).t_s)) < 0.014
    assert update_period(readings) == pytest.approx(0.020, rel=0.001)


def test_a_period_needs_twenty_changes_and_polls_that_can_see_it():
    board = BOARDS["RTX 30 instant"]
    random = np.random.default_rng(6)
    readings = seen(board, random, pattern(random))
    first = changes(readings).t_s[19]
    assert update_period(readings.between(0, first - 0.01)) is None
    assert update_period(readings.between(0, first + 0.01)) == pytest.approx(0.1, rel=0.03)
    too_slow = Series(readings.t_s[::60], readings.value[::60])
    assert update_period(too_slow) is None


@pytest.mark.parametrize("rc_s", [0.1, 0.2, 0.5])
@pytest.mark.parametrize("update_s", [0.02, 0.1])
def test_a_low_pass_is_called_filtered(rc_s, update_s):
    calibration = found(Board(update_s, 0.0, 0.020, rc_s=rc_s))
    assert calibration.sensor.kind == "filtered"
    assert calibration.residual > 0.05


@pytest.mark.parametrize(
    ("window_s", "residual", "kind"),
    [
        (0.079, 0.01, "part-time"),
        (0.081, 0.01, "full-duty"),
        (0.150, 0.01, "full-duty"),
        (0.300, 0.01, "averaged"),
        (0.100, 0.051, "filtered"),
    ],
)
def test_classes_at_their_borders(window_s, residual, kind):
    assert sensor_kind(0.1, window_s, residual) == kind


def test_a_swing_too_small_to_see_is_unknown():
    calibration = found(Board(0.1, 0.1, 0.05, gain=0.001, noise_w=1.0))
    assert calibration.sensor.kind == "unknown"
    assert calibration.sensor.update_s == pytest.approx(0.1, rel=0.03)
    assert (calibration.sensor.window_s, calibration.sensor.duty) == (None, None)


def test_without_edges_or_changes_there_is_nothing_to_fit():
    random = np.random.default_rng(7)
    load = pattern(random)
    readings = seen(BOARDS["V100"], random, load)
    flat = Series(readings.t_s, np.full(len(readings), 61.0))
    still = Series(np.array([2.0]), np.array([1.0]))
    facts = {"scope": "gpu", "made_at": "today"}
    assert characterise({}, None, load, **facts) is None
    assert characterise({"power_w": readings}, None, still, **facts) is None
    assert characterise({"power_w": flat}, None, load, **facts) is None


def test_the_field_is_the_one_the_ledger_reads_and_provenance_is_kept():
    random = np.random.default_rng(8)
    load = pattern(random)
    instant, average = (seen(BOARDS[f"RTX 30 {n}"], random, load) for n in ("instant", "average"))
    power = {"power_w": average, "power_average_w": average, "power_instant_w": instant}
    origin = {"device_uuid": "GPU-1", "driver": "999", "vbios": "1.2"}
    calibration = characterise(power, None, load, scope="module", made_at="now", **origin)
    assert calibration.field == "power_instant_w"
    assert calibration.swing_w == pytest.approx(0.95 * SWING_W, rel=0.01)
    assert (calibration.device_uuid, calibration.driver) == ("GPU-1", "999")
    assert (calibration.vbios, calibration.made_at) == ("1.2", "now")
    assert calibration.sensor.scope == "module"
    assert 100 < len(calibration.plot) <= 300
    misfit = [read - fitted for _, read, fitted in calibration.plot]
    assert np.std(misfit) < 0.02 * calibration.swing_w


@pytest.mark.parametrize("factor", [1.0, 1.03])
def test_the_counter_is_compared_with_the_readings_between_its_own_ticks(factor):
    board = replace(BOARDS["RTX 30 instant"], noise_w=0.1)
    random = np.random.default_rng(9)
    load = pattern(random)
    readings = seen(board, random, load)
    drawn = Drawn.of(Series(load.t_s, IDLE_W + SWING_W * load.value), IDLE_W)
    ticks = np.arange(0.05, END_S, 0.1)
    joules = factor * (board.gain * (drawn.up_to(ticks) - drawn.up_to(0)) + board.offset_w * ticks)
    energy = Series(ticks + random.uniform(0, board.poll_s, len(ticks)), joules)
    calibration = characterise(
        {"power_instant_w": readings}, energy, load, scope="gpu", made_at="now"
    )
    assert calibration.counter_ratio == pytest.approx(factor, rel=0.003)
    assert calibration.sensor.counter_tick_s == pytest.approx(0.1, rel=0.001)


def test_counter_and_readings_are_not_compared_where_one_is_missing():
    random = np.random.default_rng(10)
    board = BOARDS["RTX 30 instant"]
    readings = seen(board, random, pattern(random))
    sensor = SensorFacts(update_s=0.1, window_s=0.1, lag_s=0.05)
    fell = Series(np.arange(0.05, END_S, 0.1), 100 * np.arange(0.05, END_S, 0.1) % 900)
    assert counter_ratio(None, readings, sensor) is None
    assert counter_ratio(fell, readings, sensor) is None
    assert counter_ratio(fell, readings.between(-2, -1), sensor) is None
    assert counter_ratio(fell, readings, SensorFacts()) is None


def test_a_counter_that_rarely_ticks_has_no_tick():
    assert counter_tick(Series(np.arange(19.0), np.arange(19.0))) is None
    assert counter_tick(Series(np.arange(20.0), np.arange(20.0))) == pytest.approx(1.0)
