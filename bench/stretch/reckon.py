"""Joules of a stretch that begins and ends where it pleases, with what its edges leave open. Pure.

The energy between the ticks around the stretch is taken, and what the device drew outside it,
known from the quiet before and after, is taken off again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from bench.energy import Array, Series, Ticks, change_instants, held_energy, hold_shift_s, updates
from bench.records.run import SensorFacts

UNIFORM = math.sqrt(12)


@dataclass(frozen=True, slots=True)
class Stretch:
    """From ``start_s`` to ``end_s``, monotonic; ``units`` of work, where they are known.

    The meter also looked on from ``quiet_from_s`` and until ``quiet_to_s`` while nothing of the
    stretch ran; both equal the edges where there was no such quiet.
    """

    start_s: float
    end_s: float
    quiet_from_s: float
    quiet_to_s: float
    units: float | None = None

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.end_s - self.start_s


@dataclass(frozen=True, slots=True)
class Reckoning:
    """Joules of one stretch by one instrument.

    ``edge_u_j`` is the standard uncertainty that its edges leave, ``lag_u_j`` what an unknown
    delay of the sensor adds to it, ``update_s`` how often the instrument speaks.
    """

    joules: float
    edge_u_j: float
    lag_u_j: float
    update_s: float


@dataclass(frozen=True, slots=True)
class _Outside:
    """What was drawn between an edge and the tick beyond it; ``step_w`` is how far the power
    inside stands above that of the quiet."""

    joules: float
    u_j: float
    step_w: float


def counted(ticks: Ticks, stretch: Stretch) -> Reckoning | None:
    """By a counter: from the last tick before the stretch to the first after it, less the power
    of the quiet held over the remainders.

    An edge without quiet is interpolated between its two ticks, which leaves P·update/√12 open.
    The counter may run up to one of its own periods behind: ``lag_u_j``. None when no tick stands
    on one side, or the counter fell in between.
    """
    t_s, value, gap_s = ticks.series.t_s, ticks.series.value, ticks.gap_s
    first = int(np.searchsorted(t_s, stretch.start_s, "right")) - 1
    last = int(np.searchsorted(t_s, stretch.end_s, "left"))
    if first < 0 or last >= len(t_s) or bool(np.any(np.diff(value[first : last + 1]) < 0)):
        return None
    joules = float(value[last] - value[first])
    inside_w = joules / float(t_s[last] - t_s[first])
    quiet = ticks.series.between(stretch.quiet_from_s, stretch.start_s)
    before = _outside(
        Series(quiet.t_s[::-1], quiet.value[::-1]),
        Series(t_s[first : first + 2], value[first : first + 2]),
        stretch.start_s - float(t_s[first]),
        float(gap_s[first]),
        inside_w,
    )
    after = _outside(
        ticks.series.between(stretch.end_s, stretch.quiet_to_s),
        Series(t_s[last - 1 : last + 1], value[last - 1 : last + 1]),
        float(t_s[last]) - stretch.end_s,
        float(gap_s[last]),
        inside_w,
    )
    seen_s = t_s[(t_s >= stretch.quiet_from_s) & (t_s <= stretch.quiet_to_s)]
    tick_s = float(np.median(np.diff(seen_s if len(seen_s) > 1 else t_s[[first, last]])))
    return Reckoning(
        joules - before.joules - after.joules,
        math.hypot(before.u_j, after.u_j),
        abs(after.step_w) * tick_s / math.sqrt(3),
        tick_s,
    )


def polled(
    power: Series, stretch: Stretch, sensor: SensorFacts | None, *, window_s: float | None
) -> Reckoning | None:
    """By readings of power in W, each held for one update around the middle of what it saw.

    What is not known of the sensor: the update period is taken from the readings, the window is
    ``window_s``, else one update. Where the load steps between two updates is not known:
    step·update/√12 an edge. How far a sensor smears or delays a step is ``lag_u_j``. Readings that
    changed too seldom to tell a period: ``_seldom``. None where readings cover too little of the
    stretch.
    """
    near = power.between(stretch.quiet_from_s, stretch.quiet_to_s)
    known = sensor if sensor is not None else SensorFacts()
    if known.window_s is not None:
        window_s = known.window_s
    update_s = known.update_s or _update_s(near)
    if update_s is None:
        return _seldom(near, stretch, replace(known, window_s=window_s))
    seen_s = update_s if window_s is None else window_s
    known = replace(known, update_s=update_s, window_s=seen_s)
    joules = held_energy(
        updates(near, update_s), stretch.start_s, stretch.end_s, hold_shift_s(known)
    )
    if joules is None:
        return None
    inside_w = joules / stretch.seconds
    before = power.between(stretch.quiet_from_s, stretch.start_s).value
    after = power.between(stretch.end_s, stretch.quiet_to_s).value
    step_before = inside_w - (float(np.median(before)) if len(before) else 0.0)
    step_after = inside_w - (float(after[-1]) if len(after) else 0.0)
    return Reckoning(
        joules,
        math.hypot(step_before, step_after) * update_s / UNIFORM,
        abs(step_after) * seen_s / math.sqrt(3),
        update_s,
    )


def _outside(
    quiet: Series, interval: Series, remainder_s: float, gap_s: float, inside_w: float
) -> _Outside:
    """``quiet`` are the ticks outside, from the edge away: the nearest, over no less than the
    remainder, say what was drawn in it. ``interval`` are the two around the edge, ``gap_s`` is how
    exactly the outer one is dated."""
    if len(quiet) < 2:
        watts, length_s = _mean_w(interval.t_s, interval.value), float(np.ptp(interval.t_s))
        return _Outside(watts * remainder_s, watts * length_s / UNIFORM, inside_w)
    near = max(int(np.count_nonzero(np.abs(quiet.t_s - quiet.t_s[0]) < remainder_s)), 1)
    watts = _mean_w(quiet.t_s[: near + 1], quiet.value[: near + 1])
    share = remainder_s / float(np.ptp(quiet.t_s[: near + 1]))
    dated_s = gap_s / UNIFORM * math.hypot(1 + share, share)  # the edge's own tick counts twice
    rates = np.diff(quiet.value) / np.diff(quiet.t_s)
    step_w = inside_w - float(np.median(rates))  # a counter that lags still counts the load
    spread_w = float(np.std(rates, ddof=1)) if len(rates) > 1 else abs(step_w) / math.sqrt(3)
    u_j = math.hypot(spread_w * remainder_s, watts * dated_s)
    return _Outside(watts * remainder_s, u_j, step_w)


def _mean_w(t_s: Array, joules: Array) -> float:
    return float((joules[-1] - joules[0]) / (t_s[-1] - t_s[0]))


def _update_s(power: Series) -> float | None:
    """The median time between changes of the reading; fewer than three of them do not tell."""
    changes = change_instants(power)
    return float(np.median(np.diff(changes.t_s))) if len(changes) > 2 else None


def _seldom(near: Series, stretch: Stretch, sensor: SensorFacts) -> Reckoning | None:
    """By readings that changed at most twice: an update period is no longer than the longest that
    one of them stood, and each edge may be off by that much of all that they range over."""
    joules = held_energy(near, stretch.start_s, stretch.end_s, hold_shift_s(sensor))
    if joules is None:
        return None
    instants = (near.t_s[:1], change_instants(near).t_s, near.t_s[-1:])
    update_s = float(np.max(np.diff(np.concatenate(instants))))
    open_j = float(np.ptp(near.value)) * max(update_s, sensor.window_s or 0.0)
    return Reckoning(joules, math.sqrt(2) * open_j / UNIFORM, open_j / math.sqrt(3), update_s)
