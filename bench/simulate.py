"""A simulated card: a true power over time, and a sensor that sees it as real ones do.

Pure and deterministic in its seed. The true power is piecewise constant, so that energy, a
sensor's window mean and the known answer are closed forms, never sums of samples.
"""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass

import numpy as np

from bench.records.journal import Progress, Sample
from bench.records.market import GpuProfile
from bench.records.run import Truth

MARK_PERIOD_S = 0.05
READING_NOISE = 0.003
BLOCK_RATE_NOISE = 0.002


@dataclass(frozen=True, slots=True)
class Sensor:
    """How a simulated sensor sees: period, window, lag (s), gain, offset (W), counter tick (s).

    A reading at an update is ``offset + gain · mean(power over [t−lag−window, t−lag])``.
    """

    update_s: float
    window_s: float
    lag_s: float
    gain: float
    offset_w: float
    counter_tick_s: float

    @property
    def poll_s(self) -> float:
        """How often the sampler looks: half the update period, so that every update is seen."""
        return self.update_s / 2


@dataclass(frozen=True, slots=True)
class Card:
    """A simulated card: idle power (W) and the known answer of each workload it can run."""

    name: str
    idle_w: float
    truth: dict[str, Truth]
    sensor: Sensor

    def load_w(self, workload: str) -> float:
        """True power while the workload runs, W."""
        known = self.truth[workload]
        return known.joules_per_unit * known.units_per_s


def card_of(profile: GpuProfile) -> Card | None:
    """The simulated card of a profile; None when the profile describes no sensor or no loads."""
    sensor, simulation = profile.sensor, profile.simulation
    if sensor is None or simulation is None:
        return None
    return Card(
        name=profile.name,
        idle_w=simulation.idle_w.value,
        truth={
            name: Truth(load.watts.value / load.units_per_s.value, load.units_per_s.value)
            for name, load in simulation.loads.items()
        },
        sensor=Sensor(
            update_s=sensor.update_s.value,
            window_s=sensor.window_s.value,
            lag_s=sensor.lag_s.value,
            gain=sensor.gain.value,
            offset_w=sensor.offset_w.value,
            counter_tick_s=sensor.counter_tick_s.value,
        ),
    )


class SimulatedDevice:
    """True power over time: idle until a load is put on it. Times in seconds, never backwards."""

    def __init__(self, card: Card, seed: int, start_s: float = 0.0) -> None:
        self.card = card
        self.start_s = start_s
        self._random = np.random.default_rng(seed)
        self._times = [start_s]
        self._watts = [card.idle_w]
        self._joules = [0.0]

    def set_power(self, t_s: float, watts: float) -> None:
        """From ``t_s`` on the card draws ``watts``."""
        self._joules.append(self.energy_j(t_s))
        self._times.append(t_s)
        self._watts.append(watts)

    def energy_j(self, t_s: float) -> float:
        """True joules drawn since the start; before the start the card idled."""
        if t_s < self.start_s:
            return (t_s - self.start_s) * self.card.idle_w
        at = bisect.bisect_right(self._times, t_s) - 1
        return self._joules[at] + (t_s - self._times[at]) * self._watts[at]

    def block_rate_factor(self) -> float:
        """How much faster than its mean a block happens to run."""
        return float(1 + BLOCK_RATE_NOISE * self._random.standard_normal())

    def readings(self, after_s: float, until_s: float) -> list[Sample]:
        """What the sensor shows in (after, until]: window means at updates, energy at ticks."""
        sensor = self.card.sensor
        samples = [self._reading(t) for t in _grid(self.start_s, sensor.update_s, after_s, until_s)]
        samples += [
            Sample(t, "energy_j", self._counter_j(t))
            for t in _grid(self.start_s, sensor.counter_tick_s, after_s, until_s)
        ]
        return sorted(samples, key=lambda sample: sample.t_s)

    def _reading(self, t_s: float) -> Sample:
        sensor = self.card.sensor
        end = t_s - sensor.lag_s
        mean_w = (self.energy_j(end) - self.energy_j(end - sensor.window_s)) / sensor.window_s
        noise = 1 + READING_NOISE * self._random.standard_normal()
        watts = sensor.offset_w + sensor.gain * mean_w * noise
        return Sample(t_s, "power_instant_w", round(max(watts, 0.0), 3))

    def _counter_j(self, t_s: float) -> float:
        sensor = self.card.sensor
        joules = sensor.gain * self.energy_j(t_s) + sensor.offset_w * (t_s - self.start_s)
        return round(joules, 3)


class SimulatedWork:
    """Progress of one workload on a simulated device, marked as a real worker would."""

    def __init__(self, device: SimulatedDevice, workload: str) -> None:
        self._device = device
        self._workload = workload
        self._truth = device.card.truth[workload]
        self._units = 0.0
        self._marked_s = 0.0
        self._rate = 0.0

    def start(self, t_s: float) -> None:
        """Put the load on the device."""
        self._device.set_power(t_s, self._device.card.load_w(self._workload))
        self._rate = self._truth.units_per_s * self._device.block_rate_factor()
        self._marked_s = t_s

    def marks(self, t_s: float) -> list[Progress]:
        """Cumulative units at every mark since the last call."""
        marks = []
        for at in _grid(self._marked_s, MARK_PERIOD_S, self._marked_s, t_s):
            self._units += self._rate * (at - self._marked_s)
            self._marked_s = at
            marks.append(Progress(at, int(self._units), self._workload))
        return marks

    def stop(self, t_s: float) -> None:
        """Take the load off."""
        self._device.set_power(t_s, self._device.card.idle_w)


def _grid(origin: float, period: float, after: float, until: float) -> list[float]:
    """Instants origin + k·period in (after, until], k ≥ 1."""
    first = max(1, math.floor((after - origin) / period + 1e-9) + 1)
    last = math.floor((until - origin) / period + 1e-9)
    return [origin + k * period for k in range(first, last + 1)]
