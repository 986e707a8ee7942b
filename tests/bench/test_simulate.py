"""The simulated card: closed forms, and what its instrument shows."""

import math

import numpy as np
import pytest

from bench.records.run import Truth
from bench.simulate import (
    Card,
    Counter,
    EnergyCounter,
    Launch,
    PowerReading,
    PowerSensor,
    SimulatedDevice,
)
from bench.simulate.steps import LowPass, Steps

STILL = {"jitter_s": 0.0, "noise": 0.0}


def make_card(*sensors, launches=(), **options):
    """A card of 50 W idle, 400 W under sha256d and 300 W under decode."""
    return Card(
        "card",
        idle_w=50.0,
        truth={"sha256d": Truth(4e-7, 1e9), "decode": Truth(0.3, 1000.0)},
        sensors=sensors or (PowerSensor(0.1, 0.025, 0.02, gain=1.1, offset_w=5.0, **STILL),),
        counter=Counter(gain=1.1, offset_w=5.0),
        launches=dict(launches),
        **options,
    )


# True power


def test_integrals_are_the_closed_form():
    steps = Steps(0.0, 50.0)
    steps.set(2.0, 300.0)
    steps.set(5.0, 400.0, swing=400.0, period_s=0.1)
    assert steps.integral(2.0) == pytest.approx(100.0)
    assert steps.integral(5.0) == pytest.approx(1000.0)
    assert steps.integral(-1.0) == pytest.approx(-50.0)
    assert steps.integral(5.05) - steps.integral(5.0) == pytest.approx(0.05 * 600)
    assert steps.integral(5.1) - steps.integral(5.05) == pytest.approx(0.05 * 200)
    assert steps.integral(15.0) - steps.integral(5.0) == pytest.approx(4000.0)


@pytest.mark.parametrize(("swing", "period_s"), [(0.0, 0.0), (400.0, 0.1), (100.0, 1.7)])
def test_the_low_pass_is_that_of_the_power(swing, period_s):
    steps = Steps(0.0, 50.0)
    steps.set(1.0, 400.0, swing, period_s)
    steps.set(3.0, 100.0)
    smooth = LowPass(steps, 0.2)
    dt_s = 1e-4
    level, worst = 50.0, 0.0
    for k in range(40_000):
        level += (1 - math.exp(-dt_s / 0.2)) * (
            (steps.integral((k + 1) * dt_s) - steps.integral(k * dt_s)) / dt_s - level
        )
        worst = max(worst, abs(smooth.at((k + 1) * dt_s) - level))
    assert worst < 0.2


def test_a_load_that_alternates_draws_its_known_power():
    card = make_card(launches={"sha256d": Launch(0.1, 400.0)})
    device = SimulatedDevice(card, 0)
    device.load(1.0, "sha256d")
    assert device.energy_j(11.0) - device.energy_j(1.0) == pytest.approx(4000.0)
    device.load(11.0, "sha256d", 0.1382)
    assert device.energy_j(11.0 + 0.0691) - device.energy_j(11.0) == pytest.approx(0.0691 * 600)
    with pytest.raises(ValueError, match="below 0 W"):
        make_card(launches={"decode": Launch(0.1, 700.0)})


def test_a_card_warms_up_and_its_clock_follows_the_load():
    device = SimulatedDevice(make_card(), 0)
    cold = device.temperature_c(0.0)
    assert device.clock_hz(0.0) < 5e8
    device.load(0.0, "sha256d")
    assert device.clock_hz(1.0) == pytest.approx(1.98e9)
    warm = [device.temperature_c(t_s) for t_s in (10.0, 60.0, 100.0)]
    assert cold < warm[0] < warm[1] == warm[2]


# What the instrument shows


def test_a_reading_is_the_mean_over_its_window_held_until_the_next_update():
    device = SimulatedDevice(make_card(), seed=0)
    device.load(1.0, "sha256d")
    reading = PowerReading(device, device.card.sensors[0], 1)
    shown = [reading.at(t_s) for t_s in np.arange(0.0, 2.0, 0.001)]
    changed = np.flatnonzero(np.diff(shown)) + 1
    assert shown[0] == pytest.approx(5 + 1.1 * 50)
    assert shown[-1] == pytest.approx(5 + 1.1 * 400)
    assert 1 <= len(changed) <= 2
    assert 1.02 <= 0.001 * changed[0] <= 1.121


@pytest.mark.parametrize("update_s", [0.02, 0.101])
def test_updates_come_at_their_period_with_jitter(update_s):
    device = SimulatedDevice(make_card(), seed=5)
    reading = PowerReading(device, PowerSensor(update_s, 0.01, noise=0.1), 1)
    times = np.arange(0.0, 20.0, 0.0005)
    shown = np.array([reading.at(t_s) for t_s in times])
    changed = times[np.flatnonzero(np.diff(shown)) + 1]
    gaps = np.diff(changed)
    assert len(gaps) == pytest.approx(20 / update_s, abs=2)
    assert np.mean(gaps) == pytest.approx(update_s, rel=1e-3)
    assert 0.0005 < np.std(gaps) < 0.002
    assert np.max(np.abs(gaps - update_s)) <= 0.0031


def test_a_coarse_sensor_reads_whole_watts_and_a_filtered_one_creeps():
    device = SimulatedDevice(make_card(), seed=0)
    device.load(0.5, "decode")
    coarse = PowerReading(device, PowerSensor(0.1, 0.1, quantum_w=1.0), 1)
    assert {coarse.at(t_s) % 1 for t_s in np.arange(0, 5, 0.1)} == {0.0}
    filtered = PowerReading(device, PowerSensor(0.01, 0.01, filter_s=0.3, **STILL), 2)
    shown = [filtered.at(t_s) for t_s in (0.4, 0.8, 5.0)]
    assert shown[0] == pytest.approx(50.0)
    assert 50 + 0.55 * 250 < shown[1] < 50 + 0.65 * 250
    assert shown[2] == pytest.approx(300.0, abs=0.01)


def test_the_counter_integrates_what_the_sensor_would_see():
    device = SimulatedDevice(make_card(), seed=0)
    counter = EnergyCounter(device, device.card.counter)
    shown = [counter.at(t_s) for t_s in np.arange(0.0, 10.0, 0.001)]
    ticks = np.flatnonzero(np.diff(shown)) + 1
    assert 99 <= len(ticks) <= 101
    assert shown[-1] == pytest.approx(10 * (5 + 1.1 * 50), abs=0.11 * 60)
