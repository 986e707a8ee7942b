"""A sensor that looks part of the time: what it can miss, and how the budget says so."""

import numpy as np
import pytest

from bench.budget import aliasing, unevenness
from bench.energy import held_energy, hold_shift_s, updates
from bench.records.run import SensorFacts

SECONDS = 60.0
HIGH_W, LOW_W = 600.0, 100.0
SENSOR = SensorFacts(update_s=0.1, window_s=0.025, lag_s=0.03, duty=0.25)
FULL = SensorFacts(update_s=0.1, window_s=0.1, lag_s=0.0, duty=1.0)


@pytest.fixture
def errors(wave, eye, polls):
    """(launch period, runs) to the relative errors of held energy over 60 s, one per phase."""

    def run(launch_s, runs=30):
        found = []
        for seed in range(runs):
            load = wave.square(HIGH_W, LOW_W, launch_s, SECONDS, phase=seed / runs)
            power = eye(0.1, 0.025, 0.03).polled(load, polls(SECONDS + 1, 0.05, seed))
            joules = held_energy(updates(power, 0.1), 0.0, SECONDS, hold_shift_s(SENSOR))
            found.append(joules / SECONDS / load.mean_w(0.0, SECONDS) - 1)
        return np.array(found)

    return run


def test_locked_launches_fool_it_at_any_duration(errors):
    """25 of 100 ms under a 100 ms load, half of it on: −71 % to +71 %, by luck of the phase."""
    found = errors(0.1)
    assert np.min(found) == pytest.approx(-0.714, abs=0.01)
    assert np.max(found) == pytest.approx(0.714, abs=0.01)


@pytest.mark.parametrize("factor", [1.382, 1.618, 0.618])
def test_golden_groups_do_not(errors, factor):
    assert np.max(np.abs(errors(0.1 * factor))) < 0.01


@pytest.mark.parametrize("launch_s", [0.1, 0.1382, 0.1618, 0.0618, 0.05, 0.2, 0.15, 0.1005, 0.033])
def test_unevenness_bounds_the_error_of_any_square_load(errors, launch_s):
    """Error over swing is at most the unevenness, but for a little at the ends of 60 s."""
    swing = (HIGH_W - LOW_W) / ((HIGH_W + LOW_W) / 2)
    bound = swing * unevenness(0.1, 0.025, launch_s, SECONDS)
    assert np.max(np.abs(errors(launch_s, 12))) <= bound + 0.002


def test_unevenness_by_hand():
    assert unevenness(0.1, 0.025, 0.1, SECONDS) == pytest.approx(0.75, abs=0.01)
    assert unevenness(0.1, 0.1, 0.1, SECONDS) == pytest.approx(1 / 600)
    assert unevenness(0.1, 0.025, 0.1382, SECONDS) < 0.01
    assert unevenness(0.1, 0.025, 0.025, SECONDS) == pytest.approx(1 / 600)
    assert unevenness(0.1, 0.025, 0.1, 0.1) == 1.0


def test_the_budget_knows_a_locked_launch_from_a_golden_one():
    locked, golden = (aliasing(SENSOR, s, SECONDS, 1.0) for s in (0.1, 0.1382))
    unknown = aliasing(SENSOR, None, SECONDS, 1.0)
    assert locked.relative_u == pytest.approx(0.75 / 3**0.5, rel=0.02)
    assert golden.relative_u < 0.01
    assert unknown.relative_u == pytest.approx(0.75 / 3**0.5)
    assert "138.2 ms" in golden.source
    assert "not known" in unknown.source


def test_a_sensor_that_sees_enough_or_is_unknown_has_no_such_line():
    assert aliasing(FULL, 0.1, SECONDS, 1.0) is None
    assert aliasing(None, 0.1, SECONDS, 1.0) is None
    assert aliasing(SensorFacts(), 0.1, SECONDS, 1.0) is None
