import pytest

from bench.records.run import Truth
from bench.simulate import Card, Sensor, SimulatedDevice, SimulatedWork

CARD = Card(
    "card",
    idle_w=50.0,
    truth={"sha256d": Truth(joules_per_unit=2e-7, units_per_s=1e9)},
    sensor=Sensor(0.1, 0.025, 0.02, gain=1.1, offset_w=5.0, counter_tick_s=0.1),
)


def test_true_energy_is_the_closed_form():
    device = SimulatedDevice(CARD, seed=0)
    device.set_power(2.0, 300.0)
    device.set_power(5.0, 50.0)
    assert device.energy_j(2.0) == pytest.approx(100.0)
    assert device.energy_j(6.0) == pytest.approx(100 + 900 + 50)
    assert device.energy_j(-1.0) == pytest.approx(-50.0)


def test_the_sensor_shows_gain_offset_and_its_window_only():
    device = SimulatedDevice(CARD, seed=0)
    device.set_power(1.0, 300.0)
    shown = {round(s.t_s, 3): s.value for s in device.readings(0.0, 2.0) if s.field != "energy_j"}
    assert shown[1.0] == pytest.approx(5 + 1.1 * 50, rel=0.02)
    assert shown[1.1] == pytest.approx(5 + 1.1 * 300, rel=0.02)
    assert len(shown) == 20


def test_the_counter_integrates_what_the_sensor_would_see():
    device = SimulatedDevice(CARD, seed=0)
    ticks = [s for s in device.readings(0.0, 10.0) if s.field == "energy_j"]
    assert len(ticks) == 100
    assert ticks[-1].value == pytest.approx(10 * (5 + 1.1 * 50), abs=2e-3)


def test_readings_do_not_depend_on_how_often_one_looks():
    once, often = (SimulatedDevice(CARD, seed=3) for _ in range(2))
    whole = once.readings(0.0, 3.0)
    parts = [s for k in range(30) for s in often.readings(k * 0.1, (k + 1) * 0.1)]
    assert [(s.t_s, s.field) for s in whole] == [(s.t_s, s.field) for s in parts]
    assert len(whole) == 60


def test_work_marks_its_rate_and_loads_the_device():
    device = SimulatedDevice(CARD, seed=1)
    work = SimulatedWork(device, "sha256d")
    work.start(10.0)
    marks = work.marks(20.0)
    work.stop(20.0)
    assert marks[-1].units == pytest.approx(1e10, rel=0.01)
    assert device.energy_j(20.0) - device.energy_j(10.0) == pytest.approx(2000.0)
    assert [m.units for m in marks] == sorted(m.units for m in marks)
    work.start(30.0)
    assert work.marks(31.0)[0].units > marks[-1].units
