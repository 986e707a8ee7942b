"""A simulated card at work: true power over time, progress, and what its faults make of both."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from bench.records.journal import Progress
from bench.simulate.card import Card, Launch
from bench.simulate.faults import KINDS, Fault, Faults
from bench.simulate.steps import LowPass, Steps

MARK_PERIOD_S = 0.05
BLOCK_RATE_NOISE = 0.002
REVIEW_S = 1.0
"""How often a fault of the work changes the pace: power stays piecewise constant."""
THROTTLED_PACE, CAPPED_PACE, LEAST_PACE = 0.8, 0.92, 0.05
SWING_PERIOD_S = 12.0
IDLE_CLOCK_HZ, CLOCK_STEP_HZ = 345e6, 15e6
ROOM_C, RISE_AT_LIMIT_C, THERMAL_S = 30.0, 40.0, 12.0


class SimulatedDevice:
    """True power over time: idle until a load is put on it. Times in seconds, never backwards."""

    def __init__(
        self,
        card: Card,
        seed: int,
        start_s: float = 0.0,
        *,
        faults: Iterable[Fault] = (),
        strike_s: float = 0.0,
    ) -> None:
        """Faults without a moment of their own begin at once or strike after ``strike_s``."""
        self.card = card
        self.seed = seed
        self.start_s = start_s
        self.faults = Faults(faults, start_s, strike_s)
        self.power = Steps(start_s, card.idle_w)
        self.pace = Steps(start_s, 0.0)
        self.busy = Steps(start_s, 0.0)
        self.clock = Steps(start_s, 1.0)
        self.capped = Steps(start_s, 0.0)
        self._warmth = LowPass(self.power, THERMAL_S)
        self._random = np.random.default_rng(seed)
        self._load: tuple[float, Launch] | None = None
        self._reviewed = 0
        self._paced = any(KINDS[fault.name].of_work for fault in self.faults)

    def load(self, t_s: float, workload: str, period_s: float | None = None) -> None:
        """From ``t_s`` on it runs the workload, in launches of ``period_s`` if given."""
        self.advance(t_s)
        own = self.card.launches.get(workload, Launch(0.0))
        launch = Launch(period_s or own.period_s, own.swing_w)
        self._load = (self.card.load_w(workload), launch)
        self.busy.set(t_s, 1.0)
        self.clock.set(t_s, self.card.slowed.get(workload, 1.0))
        self.capped.set(t_s, float(workload in self.card.slowed))
        self._apply(t_s)

    def idle(self, t_s: float) -> None:
        """From ``t_s`` on it runs nothing."""
        self.advance(t_s)
        self._load = None
        self.busy.set(t_s, 0.0)
        self.capped.set(t_s, 0.0)
        self._apply(t_s)

    def advance(self, t_s: float) -> None:
        """Let its faults work up to ``t_s``."""
        if not self._paced:
            return
        passed = math.floor((t_s - self.start_s) / REVIEW_S)
        for k in range(self._reviewed + 1, passed + 1):
            self._reviewed = k
            if self._load is not None:
                self._apply(self.start_s + k * REVIEW_S)

    def energy_j(self, t_s: float) -> float:
        """True joules drawn since the start; before the start the card idled."""
        return self.power.integral(t_s)

    def work_s(self, t_s: float) -> float:
        """Seconds of work at full speed that it has done by ``t_s``."""
        return self.pace.integral(t_s)

    def block_rate_factor(self) -> float:
        """How much faster than its mean a block happens to run."""
        return float(1 + BLOCK_RATE_NOISE * self._random.standard_normal())

    def clock_hz(self, t_s: float) -> float:
        """SM clock, in the steps that NVML shows."""
        pace = self.pace.level(t_s)
        boost_hz = self.card.boost_hz * self.clock.level(t_s)
        clock_hz = boost_hz * pace if pace > 0 else IDLE_CLOCK_HZ
        return round(clock_hz / CLOCK_STEP_HZ) * CLOCK_STEP_HZ

    def temperature_c(self, t_s: float) -> float:
        """Whole degrees: first order towards a value proportional to the power."""
        rated_w = self.card.rated_w or self.card.limit_w
        return float(round(ROOM_C + RISE_AT_LIMIT_C * self._warmth.at(t_s) / rated_w))

    def held_back_s(self, fault: str, t_s: float) -> float:
        """What the throttle counter of the fault ("throttle" or "power-cap") stands at.

        That of the power cap runs all the time while the card's own limit holds a workload back.
        """
        own_s = self.capped.integral(t_s) if fault == "power-cap" else 0.0
        share = self.faults.size(fault, t_s)
        if share is None:
            return own_s
        since_s = self.busy.integral(t_s) - self.busy.integral(self.faults.at(fault))
        return max(own_s, share * since_s)

    def _apply(self, t_s: float) -> None:
        """The load as its faults leave it."""
        if self._load is None:
            self.power.set(t_s, self.card.idle_w)
            self.pace.set(t_s, 0.0)
            return
        pace = self._pace(t_s) if self._paced else 1.0
        watts, launch = self._load
        self.power.set(t_s, watts * pace, launch.swing_w * pace, launch.period_s)
        self.pace.set(t_s, pace)

    def _pace(self, t_s: float) -> float:
        pace = 1.0
        if self.faults.size("throttle", t_s) is not None:
            pace *= THROTTLED_PACE
        if self.faults.size("power-cap", t_s) is not None:
            pace *= CAPPED_PACE
        if (each_100_s := self.faults.size("drift", t_s)) is not None:
            pace *= math.exp(-each_100_s * (t_s - self.faults.at("drift")) / 100)
        if (swing := self.faults.size("unsteady", t_s)) is not None:
            pace *= 1 + swing * math.sin(2 * math.pi * t_s / SWING_PERIOD_S)
        return max(pace, LEAST_PACE)


class SimulatedWork:
    """Progress of one workload on a simulated device, marked as a real worker would."""

    def __init__(self, device: SimulatedDevice, workload: str) -> None:
        self._device = device
        self._workload = workload
        self._units = 0.0
        self._began_s = self._marked_s = 0.0
        self._rate = 0.0
        self._first = False

    def start(self, t_s: float, period_s: float | None = None, phase: str | None = None) -> None:
        """Put the load on the device, or one phase's, in launches of ``period_s`` if given."""
        load = self._workload if phase is None else f"{self._workload}.{phase}"
        self._device.load(t_s, load, period_s)
        known = self._device.card.truth[load]
        self._rate = known.units_per_s * self._device.block_rate_factor()
        self._began_s = self._marked_s = t_s
        self._first = True

    def marks(self, t_s: float) -> list[Progress]:
        """Cumulative units at every mark since the last call; a run's first mark is its start."""
        self._device.advance(t_s)
        marks = [Progress(self._began_s, int(self._units), self._workload)] if self._first else []
        self._first = False
        return [*marks, *map(self._mark, grid(self._began_s, MARK_PERIOD_S, self._marked_s, t_s))]

    def stop(self, t_s: float) -> list[Progress]:
        """Take the load off; the marks up to then, the last of them at the very end."""
        marks = self.marks(t_s)
        if t_s > self._marked_s:
            marks.append(self._mark(t_s))
        self._device.idle(t_s)
        return marks

    def units_per_s(self, start_s: float, end_s: float) -> float:
        """The rate between two instants of the run under way."""
        worked_s = self._device.work_s(end_s) - self._device.work_s(start_s)
        return self._rate * worked_s / (end_s - start_s)

    def _mark(self, t_s: float) -> Progress:
        worked_s = self._device.work_s(t_s) - self._device.work_s(self._marked_s)
        self._units += self._rate * worked_s
        self._marked_s = t_s
        return Progress(t_s, int(self._units), self._workload)


def grid(origin: float, period: float, after: float, until: float) -> list[float]:
    """Instants origin + k·period in (after, until], k ≥ 1."""
    first = max(1, math.floor((after - origin) / period + 1e-9) + 1)
    last = math.floor((until - origin) / period + 1e-9)
    return [origin + k * period for k in range(first, last + 1)]
