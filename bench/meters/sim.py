"""A simulated sensor as a meter: virtual time beside simulated workers, or real time beside real
work to exercise the whole path without a sensor.
"""

from __future__ import annotations

from collections.abc import Sequence

from bench.ports import Clock
from bench.records.journal import Sample
from bench.records.run import DeviceFacts, MeterFacts, SensorFacts
from bench.simulate import Card, SimulatedDevice


class SimulatedMeter:
    """Reads a simulated device through its sensor's eyes; labelled wherever it appears."""

    def __init__(self, device: SimulatedDevice, clock: Clock, *, mismatch: bool) -> None:
        self._device = device
        self._clock = clock
        self._mismatch = mismatch
        self._seen_s = clock.now()

    def facts(self) -> MeterFacts:
        """The sensor as it is, for a simulated sensor is known without calibration."""
        sensor = self._device.card.sensor
        return MeterFacts(
            source="sim",
            name=f"sim:{self._device.card.name}",
            scope="gpu",
            sensor=SensorFacts(
                update_s=sensor.update_s,
                window_s=sensor.window_s,
                lag_s=sensor.lag_s,
                duty=min(1.0, sensor.window_s / sensor.update_s),
                scope="gpu",
                counter_tick_s=sensor.counter_tick_s,
            ),
            mismatch=self._mismatch,
            capabilities=("energy_j", "power_instant_w"),
        )

    @property
    def pid(self) -> None:
        """No process."""

    def pace(self, period_s: float | None) -> None:
        """It shows every update whoever looks."""

    def survey(self) -> None:
        """A simulated device has no processes."""

    def start(self) -> None:
        """Forget what passed before."""
        self._seen_s = self._clock.now()

    def poll(self) -> Sequence[Sample]:
        """Every update and tick since the last poll."""
        now_s = self._clock.now()
        readings = self._device.readings(self._seen_s, now_s)
        self._seen_s = now_s
        return readings

    def stop(self) -> None:
        """Nothing to close."""


def open_beside(card: Card, clock: Clock, seed: int, device: DeviceFacts) -> SimulatedMeter:
    """A simulated sensor beside real work: it sees a card under a steady load of its own."""
    simulated = SimulatedDevice(card, seed, clock.now())
    simulated.set_power(clock.now(), max(map(card.load_w, card.truth)))
    return SimulatedMeter(simulated, clock, mismatch=device.kind != "sim")
