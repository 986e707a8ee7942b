"""A quantity that is piecewise constant in time, or alternates, with closed-form integrals."""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Piece:
    """``level`` from ``t_s`` on, alternating by ``swing`` about it every ``period_s`` (0: not).

    A period begins with its upper half.
    """

    t_s: float
    level: float
    swing: float = 0.0
    period_s: float = 0.0

    def integral(self, dt_s: float) -> float:
        """The integral over the piece's first ``dt_s`` seconds."""
        found = self.level * dt_s
        if self.period_s > 0 and dt_s > 0:
            phase_s = math.fmod(dt_s, self.period_s)
            found += self.swing / 2 * min(phase_s, self.period_s - phase_s)
        return found

    def low_pass(self, before: float, dt_s: float, tau_s: float) -> float:
        """An RC low-pass of time constant ``tau_s`` after ``dt_s``, begun at ``before``."""
        settled = self.level + (before - self.level) * math.exp(-dt_s / tau_s)
        if self.period_s <= 0 or self.swing == 0:
            return settled
        half_s, height = self.period_s / 2, self.swing / 2
        decay = math.exp(-half_s / tau_s)
        cycles = math.floor(dt_s / self.period_s)
        phase_s = dt_s - cycles * self.period_s
        wave = -height * (1 - decay) * (1 - decay ** (2 * cycles)) / (1 + decay)
        wave = height + (wave - height) * math.exp(-min(phase_s, half_s) / tau_s)
        if phase_s > half_s:
            wave = -height + (wave + height) * math.exp(-(phase_s - half_s) / tau_s)
        return settled + wave


class Steps:
    """The pieces so far. Times never go backwards; before the first its level held."""

    def __init__(self, start_s: float, level: float) -> None:
        self.pieces = [Piece(start_s, level)]
        self._times = [start_s]
        self._sums = [0.0]

    def set(self, t_s: float, level: float, swing: float = 0.0, period_s: float = 0.0) -> None:
        """From ``t_s`` on."""
        self._sums.append(self.integral(t_s))
        self._times.append(t_s)
        self.pieces.append(Piece(t_s, level, swing, period_s))

    def integral(self, t_s: float) -> float:
        """From the first piece's start to ``t_s``; negative before it."""
        at = self.at(t_s)
        return self._sums[at] + self.pieces[at].integral(t_s - self._times[at])

    def at(self, t_s: float) -> int:
        """Which piece stands at ``t_s``."""
        return max(bisect.bisect_right(self._times, t_s) - 1, 0)

    def level(self, t_s: float) -> float:
        """The level at ``t_s``, without what alternates."""
        return self.pieces[self.at(t_s)].level


class LowPass:
    """An RC low-pass over steps, exact; it begins settled on the first level."""

    def __init__(self, steps: Steps, tau_s: float) -> None:
        self._steps = steps
        self._tau_s = tau_s
        self._starts = [steps.pieces[0].level]

    def at(self, t_s: float) -> float:
        """Its output at ``t_s``."""
        at = self._steps.at(t_s)
        pieces = self._steps.pieces
        for k in range(len(self._starts), at + 1):
            last, lasted_s = pieces[k - 1], pieces[k].t_s - pieces[k - 1].t_s
            self._starts.append(last.low_pass(self._starts[-1], lasted_s, self._tau_s))
        into_s = max(t_s - pieces[at].t_s, 0.0)
        return pieces[at].low_pass(self._starts[at], into_s, self._tau_s)
