"""How a power sensor sees, from its readings under a known on/off load. Pure.

The readings are the sensor's own watts: gain and offset found here are relative to the load's two
levels, so what the watts are worth takes another meter (``against``).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bench.characterise.boxcar import Drawn, Fit, around, fit
from bench.characterise.changes import FEWEST_CHANGES, changes, counter_tick, update_period
from bench.energy import Array, Series, counter_energy, held_energy, hold_shift_s, updates
from bench.records.journal import Field
from bench.records.run import Calibration, DeviceFacts, Scope, SensorFacts, SensorKind

__all__ = [
    "characterise",
    "counter_ratio",
    "counter_tick",
    "of_device",
    "sensor_kind",
    "update_period",
]

FIELDS: tuple[Field, ...] = ("power_instant_w", "power_average_w", "power_w")
"""The power fields, the one that says most first."""
FEWEST_EDGES = 4
BEFORE_S = 1.5
"""How long before the first edge the load counts as off."""
FINEST_S = 0.0005
COARSE_LAG_S = 0.01
LONGEST_WINDOW_S = 1.6
LONGEST_LAG_S = 0.8
FULL_DUTY = 0.8
"""Share of time seen from which on nothing of a steady period is missed."""
AVERAGED = 2.0
"""Window in update periods from which on readings overlap: between 1.1 (RTX 4090) and 10."""
FILTERED = 0.05
"""Residual over swing beyond which the sensor is no window mean."""
SEEN = 0.5
"""Share of the readings' variance that the load must explain for a swing to be seen."""
PLOT_POINTS = 300


def characterise(
    power: Mapping[Field, Series],
    energy: Series | None,
    load: Series,
    *,
    scope: Scope | None,
    made_at: str,
    device_uuid: str | None = None,
    driver: str | None = None,
    vbios: str | None = None,
) -> Calibration | None:
    """Update period, window, lag, duty and class of the sensor that the ledger reads.

    ``power`` holds every poll of each field, ``energy`` the counter's changes, ``load`` the
    level (0 or 1) from each time on; readings outside the load's pattern are left aside. None
    when there is nothing to fit: no power, under 4 edges, or under 20 changes of the reading.
    """
    field = next((name for name in FIELDS if name in power and len(power[name])), None)
    if field is None or np.count_nonzero(np.diff(load.value)) < FEWEST_EDGES - 1:
        return None
    start_s = float(load.t_s[0]) - (BEFORE_S if load.value[0] else 0.0)
    polled = power[field].between(start_s, float(load.t_s[-1]))
    update_s = update_period(polled)
    readings = changes(polled)
    if len(readings) < FEWEST_CHANGES:
        return None
    found = _fit(readings, load, update_s or float(np.median(np.diff(readings.t_s))))
    sensor = _sensor(found, update_s, scope, counter_tick(energy) if energy else None)
    return Calibration(
        sensor=sensor,
        field=field,
        made_at=made_at,
        residual=found.residual / max(abs(found.gain), 1e-9),
        swing_w=abs(found.gain),
        counter_ratio=counter_ratio(energy, polled, sensor),
        device_uuid=device_uuid,
        driver=driver,
        vbios=vbios,
        plot=_plot(readings, found.fitted),
    )


def of_device(calibration: Calibration, device: DeviceFacts) -> bool:
    """Whether it was made on this very card under this driver."""
    made_on = (calibration.device_uuid, calibration.driver, calibration.vbios)
    return made_on == (device.uuid, device.driver, device.vbios)


def sensor_kind(update_s: float, window_s: float, residual: float) -> SensorKind:
    """The class of a sensor that saw the load; ``residual`` is the misfit over the swing."""
    if residual > FILTERED:
        return "filtered"
    if window_s < FULL_DUTY * update_s:
        return "part-time"
    return "averaged" if window_s >= AVERAGED * update_s else "full-duty"


def _fit(readings: Series, load: Series, update_s: float) -> Fit:
    """Coarse over all windows and lags that sensors are known to have, then fine around it."""
    step_s = max(FINEST_S, update_s / 100)
    drawn = Drawn.of(load, before=0.0)
    windows = np.geomspace(update_s / 20, LONGEST_WINDOW_S, 40)
    coarse = fit(readings, drawn, windows, np.arange(0, LONGEST_LAG_S, COARSE_LAG_S))
    reach_s = coarse.window_s * (windows[1] / windows[0] - 1) + 4 * step_s
    return fit(
        readings,
        drawn,
        around(coarse.window_s, reach_s, step_s, least=step_s),
        around(coarse.lag_s, 3 * COARSE_LAG_S, 0.001, least=0.0),
    )


def _sensor(
    found: Fit, update_s: float | None, scope: Scope | None, tick_s: float | None
) -> SensorFacts:
    if update_s is None or found.explained < SEEN or found.gain <= 0:
        return SensorFacts(update_s=update_s, scope=scope, counter_tick_s=tick_s)
    return SensorFacts(
        update_s=update_s,
        window_s=found.window_s,
        lag_s=found.lag_s,
        duty=min(1.0, found.window_s / update_s),
        scope=scope,
        counter_tick_s=tick_s,
        kind=sensor_kind(update_s, found.window_s, found.residual / found.gain),
    )


def counter_ratio(energy: Series | None, polled: Series, sensor: SensorFacts) -> float | None:
    """The counter between its first and last tick over the readings' integral between the same.

    None without a counter or readings, of a sensor whose lag is not known, or of a counter that
    started again meanwhile.
    """
    if energy is None or sensor.lag_s is None or len(polled) == 0:
        return None
    shift_s = hold_shift_s(sensor)
    start_s, end_s = float(polled.t_s[0]), float(polled.t_s[-1]) - shift_s
    counted = counter_energy(energy, start_s, end_s)
    if counted is None:
        return None
    held = updates(polled, sensor.update_s)
    held_j = held_energy(held, counted.start_s, counted.end_s, shift_s)
    return counted.joules / held_j if held_j else None


def _plot(readings: Series, fitted: Array) -> tuple[tuple[float, float, float], ...]:
    """Every nth reading beside its fit, time from the first reading on."""
    every = slice(None, None, -(-len(readings) // PLOT_POINTS))
    columns = (readings.t_s - readings.t_s[0], readings.value, fitted)
    rounded = (np.round(column[every], 3).tolist() for column in columns)
    return tuple(zip(*rounded, strict=True))
