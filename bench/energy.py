"""Polls, counter ticks and progress marks to joules and units between the same two instants.

Pure. What a sensor says stands until its next update (zero-order hold); what a counter says is
taken between two of its own ticks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bench.records.run import SensorFacts

Array = NDArray[np.float64]
MAX_HOLD_S = 2.0
"""How long a reading may stand for what followed it before that counts as not covered."""
COVERAGE = 0.95
EDGE_S = 0.3
"""How far inwards from a window's edge a tick may lie that was seen more sharply."""
UPDATE_S = 0.1
"""Update period of most boards (arXiv 2312.02741), where a sensor's own is not known."""
PHASES = 64
NEIGHBOURS = 41
WRAP_J = 2**32 / 1000
"""Where a counter of millijoules in 32 bits begins again."""
WRAP_MOST_W = 5000.0
"""More than any one board draws: a wrap that implies more is a reset."""


@dataclass(frozen=True, slots=True)
class Series:
    """A quantity over time: strictly increasing ``t_s`` (s) and ``value``, same length."""

    t_s: Array
    value: Array

    @classmethod
    def of(cls, points: list[tuple[float, float]]) -> Series:
        """Build from (t_s, value) pairs in any order; of equal times the last stands."""
        if not points:
            return cls(np.empty(0), np.empty(0))
        t_s, value = np.array(points, float).T
        if np.any(np.diff(t_s) <= 0):
            order = np.argsort(t_s, kind="stable")
            t_s, value = t_s[order], value[order]
            last = np.append(np.diff(t_s) > 0, True)
            t_s, value = t_s[last], value[last]
        return cls(t_s, value)

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
class Ticks:
    """A counter at the instants it moved on, as well as polling can tell.

    A tick lies somewhere between the last poll that showed the old count and the first that
    showed the new: ``series`` (s, J) has it in the middle of that gap, ``gap_s`` is its width.
    The first reading of a journal is no tick, so it is not among them.
    """

    series: Series
    gap_s: Array

    def seconds_u(self, start_s: float, end_s: float) -> float:
        """Standard uncertainty (s) of the distance of two ticks, each rectangular over its gap."""
        gaps = np.interp([start_s, end_s], self.series.t_s, self.gap_s)
        return float(np.hypot(*gaps) / np.sqrt(12))


@dataclass(frozen=True, slots=True)
class CounterEnergy:
    """Energy between two ticks of a counter: what lies between them is exact, edges included."""

    start_s: float
    end_s: float
    joules: float


@dataclass(frozen=True, slots=True)
class Fall:
    """A counter that went down by ``t_s``.

    "wrap": 32 bits of millijoules had run full, nothing is lost. "reset": it began anew; what it
    missed was filled with held power where ``bridged``, else the windows around it have no count.
    """

    t_s: float
    kind: Literal["wrap", "reset"]
    bridged: bool


def updates(power: Series, update_s: float | None = None) -> Series:
    """Polled readings, each new value moved back to when it most likely appeared.

    A value first seen at a poll appeared between that poll and the one before, at most one update
    period (``update_s``, s) ago: on average in the middle. Where the period is known, neighbouring
    updates tell more, for they stand whole periods apart. Repeats stay where they were read.
    """
    new = np.flatnonzero(np.diff(power.value) != 0) + 1
    if len(new) == 0:
        return power
    gap_s = np.diff(power.t_s)[new - 1]
    if update_s is None:
        late_s = np.minimum(gap_s, UPDATE_S) / 2
    else:
        late_s = _late_s(power.t_s[new], np.minimum(gap_s, update_s), update_s)
    t_s = power.t_s.copy()
    t_s[new] -= late_s
    return Series(t_s, power.value)


def change_instants(power: Series) -> Series:
    """The polls that were the first to show a new value; the very first poll is none."""
    new = np.diff(power.value, prepend=power.value[:1]) != 0
    return Series(power.t_s[new], power.value[new])


def hold_shift_s(sensor: SensorFacts | None) -> float:
    """How much earlier than it stands a reading was true, s; what is not known shifts nothing.

    A reading at an update at t is the mean over [t−L−W, t−L], centred on t−L−W/2, and stands
    for one update period, centred on t+U/2: the hold trails by L + (W+U)/2.
    """
    if sensor is None:
        return 0.0
    return (sensor.lag_s or 0.0) + ((sensor.window_s or 0.0) + (sensor.update_s or 0.0)) / 2


def held_energy(power: Series, start_s: float, end_s: float, lag_s: float = 0.0) -> float | None:
    """∫P dt over the window in joules, zero-order hold, readings shifted earlier by ``lag_s``.

    Holes are filled by the reading before them (at the start by the one after), so that parts sum
    to the whole. None when readings cover less than ``COVERAGE`` of the window, each for at most
    ``MAX_HOLD_S``: a dead sensor's last word is no measurement.
    """
    if len(power) == 0 or end_s <= start_s:
        return None
    first = max(int(np.searchsorted(power.t_s, start_s + lag_s, "right")) - 1, 0)
    last = max(int(np.searchsorted(power.t_s, end_s + lag_s, "left")), first + 1)
    times, values = power.t_s[first:last] - lag_s, power.value[first:last]
    ends = np.append(times[1:], np.inf)
    covered = np.minimum(np.minimum(ends, times + MAX_HOLD_S), end_s) - np.maximum(times, start_s)
    if float(np.sum(np.maximum(covered, 0.0))) < COVERAGE * (end_s - start_s):
        return None
    edges = np.concatenate(([start_s], times[1:], [end_s]))
    return float(np.sum(values * np.diff(edges)))


def largest_gap_s(power: Series, start_s: float, end_s: float) -> float:
    """The longest stretch of the window without a reading, its edges counted; ≤ the window."""
    inside = power.between(start_s, end_s)
    edges = np.concatenate(([start_s], inside.t_s, [end_s]))
    return float(np.max(np.diff(edges)))


def mended(counter: Series, power: Series | None) -> tuple[Series, tuple[Fall, ...]]:
    """A cumulative counter (J) without its wraps and resets, and what was mended.

    After a wrap the count goes on exactly. What a reset hides lies between the last tick before
    it and the first after it: that is filled with the held ``power``; without power over it the
    fall stays in the series, and windows across it have no count.
    """
    rises = np.diff(counter.value)
    moved = np.append(0, np.flatnonzero(rises != 0) + 1)
    falls = []
    for k in np.flatnonzero(rises < 0):
        at_s = float(counter.t_s[k + 1])
        wrapped = rises[k] + WRAP_J
        if 0 <= wrapped <= WRAP_MOST_W * (at_s - counter.t_s[k]):
            rises[k] = wrapped
            falls.append(Fall(at_s, "wrap", bridged=True))
            continue
        before = moved[int(np.searchsorted(moved, k, "right")) - 1]
        after = moved[min(int(np.searchsorted(moved, k + 1, "right")), len(moved) - 1)]
        start_s, end_s = float(counter.t_s[before]), float(counter.t_s[after])
        held = None if power is None else held_energy(power, start_s, end_s)
        falls.append(Fall(at_s, "reset", bridged=held is not None))
        if held is not None:
            rises[k] = max(held - (counter.value[after] - counter.value[k + 1]), 0.0)
    if not falls:
        return counter, ()
    return Series(counter.t_s, counter.value[0] + np.append(0.0, np.cumsum(rises))), tuple(falls)


def ticks_of(counter: Series, polled_s: Array, tick_s: float | None = None) -> Ticks:
    """When a counter moved on, from its readings and from all instants at which it was polled.

    ``counter`` may be journalled on change only; ``polled_s`` (increasing) are the polls known
    from elsewhere. A tick is never older than one period of the counter (``tick_s``, else the
    median distance of ticks), however long nobody looked.
    """
    new = np.flatnonzero(np.diff(counter.value) != 0) + 1
    if len(new) == 0:
        return Ticks(Series.of([]), np.empty(0))
    seen_s, joules = counter.t_s[new], counter.value[new]
    before_s = counter.t_s[new - 1]
    if len(polled_s):
        polls = np.searchsorted(polled_s, seen_s, "left") - 1
        known = np.where(polls >= 0, polled_s[np.maximum(polls, 0)], -np.inf)
        before_s = np.maximum(before_s, known)
    period_s = float(np.median(np.diff(seen_s))) if tick_s is None and len(new) > 1 else tick_s
    gap_s = seen_s - before_s
    gap_s = gap_s if period_s is None else np.minimum(gap_s, period_s)
    return Ticks(Series(seen_s - gap_s / 2, joules), gap_s)


def counter_energy(ticks: Series, start_s: float, end_s: float) -> CounterEnergy | None:
    """Edge-aligned counter energy: from the first tick to the last inside the window.

    ``ticks`` holds cumulative joules at the instants the counter moved on, so energy and work are
    taken between the same two edges and the counter's period drops out. None with fewer than two
    ticks inside, or when the counter fell between them.
    """
    inside = ticks.between(start_s, end_s)
    if len(inside) < 2 or bool(np.any(np.diff(inside.value) < 0)):
        return None
    return CounterEnergy(
        float(inside.t_s[0]), float(inside.t_s[-1]), float(inside.value[-1] - inside.value[0])
    )


def sharp_edges(ticks: Ticks, start_s: float, end_s: float) -> tuple[float, float]:
    """The window drawn in to the ticks near its edges that were seen most sharply.

    Of the ticks within ``EDGE_S`` of the outermost, the outermost whose gap is at most twice the
    smallest: around a window's edges the counter is polled faster, and not from its first moment.
    """
    t_s = ticks.series.t_s
    inside = np.flatnonzero((t_s >= start_s) & (t_s <= end_s))
    if len(inside) < 2:
        return start_s, end_s
    near = inside[t_s[inside] <= t_s[inside[0]] + EDGE_S]
    far = inside[t_s[inside] >= t_s[inside[-1]] - EDGE_S][::-1]
    first, last = (
        int(group[np.argmax(ticks.gap_s[group] <= 2 * np.min(ticks.gap_s[group]))])
        for group in (near, far)
    )
    if first >= last:
        first, last = int(inside[0]), int(inside[-1])
    return float(t_s[first]), float(t_s[last])


def _late_s(seen_s: Array, gap_s: Array, period_s: float) -> Array:
    """How long before it was seen each of a sensor's periodic updates took place, within its gap.

    Every update allows the phases of its gap; of ``NEIGHBOURS`` in a row that phase is taken which
    most allow, so that a period slightly off or drifting does no harm. Where they allow all alike,
    or the phase lies outside an update's own gap, it is the middle.
    """
    phase = (np.arange(PHASES) + 0.5) / PHASES
    earliest = ((seen_s - gap_s - seen_s[0]) / period_s)[:, None]
    width = (gap_s / period_s)[:, None]
    allowed = np.cumsum(np.mod(phase - earliest, 1.0) < width, axis=0)
    around = np.arange(len(seen_s))
    after = np.minimum(around + NEIGHBOURS // 2, len(seen_s) - 1)
    before = around - NEIGHBOURS // 2 - 1
    votes = allowed[after] - np.where(before[:, None] >= 0, allowed[np.maximum(before, 0)], 0)
    most = votes == np.max(votes, axis=1, keepdims=True)
    agreed = np.sum(np.where(most, np.exp(2j * np.pi * phase), 0.0), axis=1)
    into = np.mod(np.angle(agreed) / (2 * np.pi) - earliest[:, 0], 1.0)
    clear = (np.abs(agreed) > 0.1) & (into < width[:, 0])
    return gap_s - np.where(clear, into * period_s, gap_s / 2)


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


def held(series: Series, t_s: float) -> float | None:
    """The value of a quantity journalled on change, at ``t_s``; before the first, the first."""
    if len(series) == 0:
        return None
    return float(series.value[max(int(np.searchsorted(series.t_s, t_s, "right")) - 1, 0)])


def held_mean(series: Series, windows: list[tuple[float, float]]) -> float | None:
    """Mean over (start, end) windows of a quantity journalled on change; None without seconds."""
    weighted = seconds = 0.0
    for start_s, end_s in windows:
        first = held(series, start_s)
        if first is None or end_s <= start_s:
            continue
        inside = series.between(start_s, end_s)
        edges = np.concatenate(([start_s], inside.t_s, [end_s]))
        values = np.concatenate(([first], inside.value))
        weighted += float(np.dot(values, np.diff(edges)))
        seconds += end_s - start_s
    return weighted / seconds if seconds else None
