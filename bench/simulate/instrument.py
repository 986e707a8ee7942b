"""What the instrument of a simulated card shows at an instant: held readings, counted energy.

Updates happen at seeded instants near a grid, whoever looks; a reading stands until the next.
"""

from __future__ import annotations

import numpy as np

from bench.records.journal import Field
from bench.simulate.card import Counter, PowerSensor
from bench.simulate.device import SimulatedDevice
from bench.simulate.steps import LowPass

CHUNK = 512
WRAP_J = 2**32 / 1000
"""Where a 32-bit counter of millijoules wraps."""
TYPICAL_LOAD = 0.8
"""Mean power of a run over its loads' mean, idle stretches counted: how far ahead a wrap lies."""


class Updates:
    """Instants ``start + (k + phase)·period`` with jitter, drawn as they are needed."""

    def __init__(self, start_s: float, period_s: float, jitter_s: float, seed: list[int]) -> None:
        self._random = np.random.default_rng(seed)
        self._period_s = period_s
        self._jitter_s = min(jitter_s, period_s / 4)
        self._origin_s = start_s + float(self._random.uniform(0, period_s)) - 2 * period_s
        self._drawn = 0
        self._times: list[float] = []
        self._draws: list[float] = []
        self._at = 0
        self._draw()

    def last(self, t_s: float) -> tuple[float, float]:
        """The last update at or before ``t_s``, which never goes back, and its normal draw."""
        times = self._times
        while times[self._at + 1] <= t_s:
            self._at += 1
            if self._at + 1 == len(times):
                self._draw()
                times = self._times
        return times[self._at], self._draws[self._at]

    def next_s(self) -> float:
        """The update after the last one asked for."""
        return self._times[self._at + 1]

    def _draw(self) -> None:
        """One more chunk; of the one before only its last update is kept."""
        grid = self._origin_s + self._period_s * np.arange(self._drawn, self._drawn + CHUNK)
        jitter = self._random.uniform(-self._jitter_s, self._jitter_s, CHUNK)
        self._drawn += CHUNK
        self._times = [*self._times[-1:], *(grid + jitter).tolist()]
        self._draws = [*self._draws[-1:], *self._random.standard_normal(CHUNK).tolist()]
        self._at = 0


class PowerReading:
    """One power field of the card."""

    def __init__(self, device: SimulatedDevice, sensor: PowerSensor, stream: int) -> None:
        """``stream`` tells the draws of several fields of one card apart."""
        seed = [device.seed, stream]
        self._device = device
        self._sensor = sensor
        self._filter = LowPass(device.power, sensor.filter_s) if sensor.filter_s > 0 else None
        self._updates = Updates(device.start_s, sensor.update_s, sensor.jitter_s, seed)
        self._next_s = -np.inf
        self._shown_w = 0.0

    @property
    def field(self) -> Field:
        """Under which name it is read."""
        return self._sensor.field

    def at(self, t_s: float) -> float:
        """W as shown at ``t_s``, which never goes back."""
        if t_s >= self._next_s:
            updated_s, draw = self._updates.last(t_s)
            first = self._next_s == -np.inf
            self._next_s = self._updates.next_s()
            if first or self._device.faults.size("freeze", t_s) is None:
                self._shown_w = self._disturbed(t_s, self._seen_w(updated_s, draw))
        return self._shown_w

    def _seen_w(self, t_s: float, draw: float) -> float:
        sensor = self._sensor
        mean_w = self._mean_w(t_s - sensor.lag_s - sensor.window_s, t_s - sensor.lag_s)
        watts = sensor.offset_w + sensor.gain * mean_w * (1 + sensor.noise * draw)
        return max(round(watts / sensor.quantum_w) * sensor.quantum_w, 0.0)

    def _mean_w(self, start_s: float, end_s: float) -> float:
        """Of what the filter leaves y: its integral is that of P less τ times the rise of y."""
        joules = self._device.energy_j(end_s) - self._device.energy_j(start_s)
        if self._filter is not None:
            rise_w = self._filter.at(end_s) - self._filter.at(start_s)
            joules -= self._sensor.filter_s * rise_w
        return joules / (end_s - start_s)

    def _disturbed(self, t_s: float, watts: float) -> float:
        faults = self._device.faults
        if (gain := faults.size("gain", t_s)) is not None:
            watts *= gain
        if (times := faults.size("range", t_s)) is not None:
            watts = times * self._device.card.limit_w
        return 0.0 if faults.size("zero", t_s) is not None else round(watts, 6)


class EnergyCounter:
    """The card's energy counter, in steps of 1 mJ."""

    def __init__(self, device: SimulatedDevice, counter: Counter) -> None:
        seed = [device.seed, 0]
        self._device = device
        self._counter = counter
        self._updates = Updates(device.start_s, counter.tick_s, counter.jitter_s, seed)
        self._next_s = -np.inf
        self._shown_j = 0.0
        self._before_j = self._room_to_wrap()

    def at(self, t_s: float) -> float:
        """J as shown at ``t_s``, which never goes back."""
        if t_s >= self._next_s:
            ticked_s, _ = self._updates.last(t_s)
            self._next_s = self._updates.next_s()
            joules = self._before_j + self._counted_j(max(ticked_s, self._device.start_s))
            if self._device.faults.size("reset", ticked_s) is not None:
                joules -= self._before_j + self._counted_j(self._device.faults.at("reset"))
            self._shown_j = round(joules % WRAP_J, 3)
        return self._shown_j

    def _counted_j(self, t_s: float) -> float:
        counter, device = self._counter, self._device
        return counter.gain * device.energy_j(t_s) + counter.offset_w * (t_s - device.start_s)

    def _room_to_wrap(self) -> float:
        """What stands on the counter at the start, so that it wraps about when it should."""
        device = self._device
        if device.faults.at("wrap") == np.inf:
            return 0.0
        card = device.card
        mean_w = TYPICAL_LOAD * sum(map(card.load_w, card.truth)) / len(card.truth)
        return WRAP_J - mean_w * (device.faults.at("wrap") - device.start_s)
