"""A power that is known, and a sensor and a counter that look at it, in closed form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from bench.energy import Series


@dataclass(frozen=True)
class Wave:
    """Power that is constant between instants: ``watts[k]`` from ``t_s[k]`` on, the last for ever.

    Before the first instant it is ``watts[0]``.
    """

    t_s: np.ndarray
    watts: np.ndarray

    @classmethod
    def square(cls, high_w, low_w, period_s, seconds, *, on=0.5, phase=0.0):
        """High for a share ``on`` of every period, from −2 s on so that a window has its past."""
        count = int((seconds + 4) / period_s) + 2
        begins = (np.arange(count) + phase) * period_s - 2
        t_s = np.stack([begins, begins + on * period_s], 1).ravel()
        return cls(t_s, np.tile([high_w, low_w], count))

    def energy_j(self, t_s):
        """Joules since the first instant."""
        at = np.maximum(np.searchsorted(self.t_s, t_s, "right") - 1, 0)
        sums = np.append(0.0, np.cumsum(np.diff(self.t_s) * self.watts[:-1]))
        return sums[at] + (t_s - self.t_s[at]) * self.watts[at]

    def mean_w(self, start_s, end_s):
        return (self.energy_j(end_s) - self.energy_j(start_s)) / (end_s - start_s)


@dataclass(frozen=True)
class Eye:
    """A board sensor: reading = offset + gain · mean over [t−lag−window, t−lag] at every update."""

    update_s: float = 0.1
    window_s: float = 0.1
    lag_s: float = 0.0
    gain: float = 1.0
    offset_w: float = 0.0
    phase_s: float = 0.0

    def readings(self, wave, seconds):
        """Its updates themselves, from −2 s on."""
        t_s = np.arange(-2 + self.phase_s, seconds + 2, self.update_s)
        end_s = t_s - self.lag_s
        return Series(t_s, self.offset_w + self.gain * wave.mean_w(end_s - self.window_s, end_s))

    def polled(self, wave, polls_s):
        """What polls at these instants show, repeats and all."""
        shown = self.readings(wave, polls_s[-1])
        return Series(polls_s, shown.value[np.searchsorted(shown.t_s, polls_s, "right") - 1])

    def counted(self, wave, polls_s, tick_s=0.1):
        """What its energy counter shows at the polls: it moves on at ticks only."""
        ticks_s = np.floor((polls_s - self.phase_s) / tick_s) * tick_s + self.phase_s
        since_s = ticks_s - wave.t_s[0]
        return Series(polls_s, self.gain * wave.energy_j(ticks_s) + self.offset_w * since_s)


@pytest.fixture(scope="session")
def wave():
    """Power as instants and watts; ``square`` for a load that comes in launches."""
    return Wave


@pytest.fixture(scope="session")
def eye():
    """A sensor by update, window and lag."""
    return Eye


@pytest.fixture(scope="session")
def polls():
    """(seconds, period_s, seed) to poll instants from −1 s to a second after, slightly uneven."""

    def instants(seconds, period_s, seed=0):
        steps = np.arange(-1.0, seconds + 1, period_s)
        random = np.random.default_rng(seed)
        return steps + period_s * random.uniform(-0.2, 0.2, len(steps))

    return instants
