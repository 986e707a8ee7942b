"""A simulated card as data: what it draws and does, and how its instrument sees."""

from __future__ import annotations

from dataclasses import dataclass, field

from bench.records.journal import Field
from bench.records.market import GpuProfile
from bench.records.run import Truth


@dataclass(frozen=True, slots=True)
class PowerSensor:
    """One power reading: update period, window and lag in s, gain, offset in W.

    At an update at t it shows ``offset + gain · mean(power over [t−lag−window, t−lag])`` and holds
    that until the next. Updates stray up to ``jitter_s`` from their grid, readings by ``noise``
    (relative, 1 σ); they come in steps of ``quantum_w``. With ``filter_s`` the power is first
    smoothed by an RC low-pass of that time constant.
    """

    update_s: float
    window_s: float
    lag_s: float = 0.0
    gain: float = 1.0
    offset_w: float = 0.0
    field: Field = "power_instant_w"
    jitter_s: float = 0.0015
    noise: float = 0.003
    quantum_w: float = 0.001
    filter_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Counter:
    """An energy counter: seconds between its ticks, and the gain and offset it counts with."""

    tick_s: float = 0.1
    gain: float = 1.0
    offset_w: float = 0.0
    jitter_s: float = 0.0005


@dataclass(frozen=True, slots=True)
class Launch:
    """A load that comes in launches: its power is ``swing_w`` higher in one half than the other."""

    period_s: float
    swing_w: float = 0.0


@dataclass(frozen=True, slots=True)
class Card:
    """A simulated card: idle power (W), the known answer of each workload, and its instrument.

    ``launches`` holds the workloads whose power alternates; their mean power is the known one.
    ``limit_w`` is the power limit it obeys, ``rated_w`` the one it is built for (without it the
    same), ``slowed`` the share of ``boost_hz`` that the limit leaves a workload it holds back.
    """

    name: str
    idle_w: float
    truth: dict[str, Truth]
    sensors: tuple[PowerSensor, ...]
    counter: Counter | None = Counter()
    launches: dict[str, Launch] = field(default_factory=dict)
    limit_w: float = 700.0
    boost_hz: float = 1.98e9
    rated_w: float | None = None
    slowed: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, launch in self.launches.items():
            if launch.swing_w / 2 > self.load_w(name):
                raise ValueError(f"{name}: power would alternate below 0 W")

    def load_w(self, workload: str) -> float:
        """True mean power while the workload runs, W."""
        known = self.truth[workload]
        return known.joules_per_unit * known.units_per_s


def card_of(profile: GpuProfile) -> Card | None:
    """The simulated card of a profile; None when the profile describes no sensor or no loads."""
    sensor, simulation = profile.sensor, profile.simulation
    if sensor is None or simulation is None:
        return None
    readings = tuple(
        PowerSensor(
            update_s=known.update_s.value,
            window_s=known.window_s.value,
            lag_s=known.lag_s.value,
            gain=known.gain.value,
            offset_w=known.offset_w.value,
            field=name,
        )
        for name, known in sensor.readings.items()
    )
    return Card(
        name=profile.name,
        idle_w=simulation.idle_w.value,
        truth={
            name: Truth(load.watts.value / load.units_per_s.value, load.units_per_s.value)
            for name, load in simulation.loads.items()
        },
        sensors=readings,
        counter=Counter(sensor.counter_tick_s.value, readings[0].gain, readings[0].offset_w),
        limit_w=profile.tdp_w.value,
        boost_hz=profile.boost_hz.value,
    )
