"""Samples, counter ticks and progress marks to joules and units between the same two instants.

Pure. Readings are taken as zero-order hold: a sensor's value stands until its next update.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
MAX_HOLD_S = 2.0


@dataclass(frozen=True, slots=True)
class Series:
    """A quantity over time: strictly increasing ``t_s`` (s) and ``value``, same length."""

    t_s: Array
    value: Array

    @classmethod
    def of(cls, points: list[tuple[float, float]]) -> Series:
        """Build from (t_s, value) pairs; of equal times the last stands."""
        unique = dict(sorted(points, key=lambda point: point[0]))
        return cls(np.fromiter(unique, float), np.fromiter(unique.values(), float))

    def __len__(self) -> int:
        return len(self.t_s)

    def between(self, start_s: float, end_s: float) -> Series:
        """The points with start_s <= t <= end_s."""
        lo, hi = (
            np.searchsorted(self.t_s, start_s, "left"),
            np.searchsorted(self.t_s, end_s, "right"),
        )
        return Series(self.t_s[lo:hi], self.value[lo:hi])

    def at(self, t_s: float) -> float | None:
        """Linear interpolation; None outside the series."""
        if len(self) == 0 or not self.t_s[0] <= t_s <= self.t_s[-1]:
            return None
        return float(np.interp(t_s, self.t_s, self.value))


@dataclass(frozen=True, slots=True)
class CounterEnergy:
    """Energy between two ticks of a counter: what lies between them is exact, edges included."""

    start_s: float
    end_s: float
    joules: float


def counter_energy(ticks: Series, start_s: float, end_s: float) -> CounterEnergy | None:
    """Edge-aligned counter energy: from the first tick to the last inside the window.

    ``ticks`` holds cumulative joules at the instants the counter was seen to change, so energy
    and work are taken between the same two edges and the counter's period drops out. None with
    fewer than two ticks inside, or when the counter fell (a reset).
    """
    inside = ticks.between(start_s, end_s)
    if len(inside) < 2 or bool(np.any(np.diff(inside.value) < 0)):
        return None
    return CounterEnergy(
        float(inside.t_s[0]), float(inside.t_s[-1]), float(inside.value[-1] - inside.value[0])
    )


def held_energy(power: Series, start_s: float, end_s: float, lag_s: float = 0.0) -> float | None:
    """∫P dt over the window in joules, zero-order hold, readings shifted earlier by ``lag_s``.

    None when no reading stands at the window's start, or one would have to stand for longer than
    ``MAX_HOLD_S``: a dead sensor's last word is no measurement.
    """
    times = power.t_s - lag_s
    first = int(np.searchsorted(times, start_s, "right")) - 1
    if first < 0 or end_s <= start_s:
        return None
    last = int(np.searchsorted(times, end_s, "left"))
    if float(np.max(np.diff(np.append(times[first:last], end_s)))) > MAX_HOLD_S:
        return None
    edges = np.concatenate(([start_s], times[first + 1 : last], [end_s]))
    return float(np.sum(power.value[first:last] * np.diff(edges)))


def largest_gap_s(power: Series, start_s: float, end_s: float) -> float:
    """The longest stretch of the window without a reading, its edges counted; ≤ the window."""
    inside = power.between(start_s, end_s)
    edges = np.concatenate(([start_s], inside.t_s, [end_s]))
    return float(np.max(np.diff(edges)))


def rise_between(cumulative: Series, start_s: float, end_s: float) -> float | None:
    """How much a cumulative quantity journalled on change grew over the window.

    The value before the first change in the window is the last one known before it. None when
    nothing was known by the window's end.
    """
    at_end = int(np.searchsorted(cumulative.t_s, end_s, "right")) - 1
    at_start = max(int(np.searchsorted(cumulative.t_s, start_s, "right")) - 1, 0)
    if at_end < 0:
        return None
    return float(max(cumulative.value[at_end] - cumulative.value[at_start], 0.0))
