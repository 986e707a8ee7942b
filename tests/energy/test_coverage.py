"""In a thousand runs each interval holds what it claims to as often as it claims; naive ones don't.

A run is ten blocks of a 450 W load between stretches of another at 300 W, block means scattering
by 0.5 %, read by a sensor whose gain (σ 6.6 %) and offset (±5 W) are drawn anew for every run.
"""

from dataclasses import dataclass

import numpy as np
import pytest

from bench.book import Book
from bench.budget import GAIN_U
from bench.energy import Series, ticks_of
from bench.ledger import metrics, windows
from bench.records.journal import Span
from bench.records.run import DeviceFacts, Estimate, Idle, MeterFacts, SensorFacts
from bench.stats import series_interval, standard_error, t_quantile

RUNS, BLOCKS = 1000, 10
WATTS, OTHER_W, RATE = 450.0, 300.0, 1e6
TURN_S, SETTLE_S, BLOCK_S, TAIL_S = 3.637, 0.5, 2.0, 0.2
SPREAD = 0.005
GPU = DeviceFacts(kind="gpu", name="a card")
METER = MeterFacts("nvml-counter", "nvml:0", sensor=SensorFacts(0.1, 0.1, 0.05, 1.0))
JOULES = WATTS / RATE


@dataclass
class Run:
    """One run's readings; ``sensed_j`` is what the sensor would say of a unit without scatter."""

    power: Series
    counter: Series
    polled_s: np.ndarray
    marks: Series
    begun_s: np.ndarray
    sensed_j: float

    def book(self, *, counter):
        series = {"power_instant_w": self.power} | ({"energy_j": self.counter} if counter else {})
        spans = tuple(
            Span("block", "work", t + SETTLE_S, t + SETTLE_S + BLOCK_S) for t in self.begun_s
        )
        ticks = ticks_of(self.counter, self.polled_s) if counter else None
        return Book(series, {"work": self.marks}, spans, (), (), (), Series.of([]), ticks, ())


@pytest.fixture(scope="module")
def runs(wave, eye):
    """All of them, seeded."""

    def run(seed):
        random = np.random.default_rng(seed)
        begun_s = TURN_S * np.arange(BLOCKS)
        ended_s = begun_s + SETTLE_S + BLOCK_S + TAIL_S
        own_w = WATTS * (1 + SPREAD * random.standard_normal(BLOCKS))
        watts = np.stack([own_w, np.full(BLOCKS, OTHER_W)], 1).ravel()
        load = wave(np.stack([begun_s, ended_s], 1).ravel(), watts)
        gain, offset_w = random.normal(1, GAIN_U), random.uniform(-5, 5)
        sensor = eye(0.1, 0.1, 0.05, gain, offset_w, random.uniform(0, 0.1))
        edges = np.concatenate([begun_s + SETTLE_S, begun_s + SETTLE_S + BLOCK_S - 0.2])
        fast = (edges[:, None] + np.arange(0, 0.2, 0.005)).ravel()
        slow = np.arange(-1.0, ended_s[-1] + 2, 0.05)
        polled_s = np.unique(np.concatenate([fast, slow + random.uniform(-0.01, 0.01, len(slow))]))
        marks_s = np.arange(0.0, ended_s[-1], 0.05)
        return Run(
            sensor.polled(load, polled_s),
            sensor.counted(load, polled_s),
            polled_s,
            Series(marks_s, RATE * marks_s),
            begun_s,
            (gain * WATTS + offset_w) / RATE,
        )

    return [run(seed) for seed in range(RUNS)]


def share_held(intervals, truths):
    return float(np.mean([i.lo <= t <= i.hi for i, t in zip(intervals, truths, strict=True)]))


@pytest.mark.parametrize("counter", [True, False])
def test_each_interval_covers_what_it_claims(runs, counter):
    """Repeatability: what this very sensor says, g·P + o. Absolute: the truth."""
    repeated, absolute = [], []
    for run in runs:
        book = run.book(counter=counter)
        figures = metrics(windows(book, "work", METER), METER, GPU, Idle(None), book=book)
        repeated.append(figures.joules_per_unit)
        absolute.append(figures.joules_per_unit_absolute)
    assert 0.93 <= share_held(repeated, [run.sensed_j for run in runs]) <= 0.97
    assert 0.93 <= share_held(absolute, [JOULES] * RUNS) <= 0.97


def deduplicated(run, start_s, end_s):
    """Trapezoid of the readings left when repeats are dropped."""
    inside = run.power.between(start_s, end_s)
    new = np.append(True, np.diff(inside.value) != 0)
    new[-1] = True
    return float(np.trapezoid(inside.value[new], inside.t_s[new]))


def unaligned(run, start_s, end_s):
    """What the counter shows at the end less what it shows at the start."""
    shown = run.counter.value[np.searchsorted(run.polled_s, [start_s, end_s], "right") - 1]
    return float(shown[1] - shown[0])


def textbook(values):
    """Mean with t(0.975, B−1)·s/√B, as of blocks that know nothing of each other."""
    mean, half = float(np.mean(values)), t_quantile(len(values) - 1) * standard_error(values)
    return Estimate(mean, mean - half, mean + half, len(values))


@pytest.mark.parametrize("naive", [deduplicated, unaligned])
def test_a_naive_estimator_fails_the_same_test(runs, naive):
    """Joules from a load's start to its end over its units: biased, and of nothing absolute."""
    seconds = SETTLE_S + BLOCK_S + TAIL_S
    found = [
        textbook([naive(run, t, t + seconds) / (RATE * seconds) for t in run.begun_s])
        for run in runs
    ]
    assert share_held(found, [run.sensed_j for run in runs]) < 0.5
    assert share_held(found, [JOULES] * RUNS) < 0.5


def drifting(blocks, correlation, count=2000):
    """Block means that remember the one before: AR(1) of unit variance about nought."""
    random = np.random.default_rng(11)
    values = random.standard_normal((count, blocks))
    for k in range(1, blocks):
        fresh = np.sqrt(1 - correlation**2) * values[:, k]
        values[:, k] = correlation * values[:, k - 1] + fresh
    return values


@pytest.mark.parametrize("blocks", [10, 20])
@pytest.mark.parametrize("correlation", [0.0, 0.15, 0.25])
def test_slow_drift_does_not_fool_the_interval(blocks, correlation):
    found = [series_interval(list(row)) for row in drifting(blocks, correlation)]
    assert 0.93 <= share_held(found, np.zeros(len(found))) <= 0.97


def test_blocks_taken_for_independent_fail_under_drift():
    found = [textbook(list(row)) for row in drifting(10, 0.25)]
    assert share_held(found, np.zeros(len(found))) < 0.9
