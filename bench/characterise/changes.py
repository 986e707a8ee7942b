"""When a sensor changes its value: change times, update period, counter tick. Pure.

A poll carries the last value again until the sensor updates, so a change is seen up to one poll
late; a value may also happen to stay the same, and an update may be missed.
"""

from __future__ import annotations

import numpy as np

from bench.energy import Array, Series

FEWEST_CHANGES = 20
"""Changes needed before a period is claimed."""
QUANTILES = (0.5, 0.25, 0.1)
"""Where to look for a single period among the intervals: plateaus and misses lengthen them."""
DIVISORS = range(1, 9)
"""What part of such an interval the period may be."""
NEAR = 4.0
"""Gaps of up to so many periods are judged: over longer ones the seed is not known well enough."""
OFF_BEAT = 0.3
"""An interval this far (in periods) from a whole number of periods speaks against the period."""
OFF_BEAT_SHARE = 0.1
"""Share of such intervals that is put down to jitter and stalls."""
REACHES = (1.5, 4.0, 16.0, 64.0, 256.0)
"""Gaps bridged step by step, in periods: the better the period is known, the longer."""


def changes(polled: Series) -> Series:
    """The polls that showed a new value, at the middle between the two polls around the change."""
    new = np.flatnonzero(np.diff(polled.value) != 0) + 1
    return Series((polled.t_s[new] + polled.t_s[new - 1]) / 2, polled.value[new])


def update_period(polled: Series) -> float | None:
    """Seconds between a polled sensor's updates; None with fewer than 20 changes.

    None too when it changes at nearly every poll: then the polls are too slow to tell.
    """
    changed = changes(polled)
    period_s = beat(changed.t_s)
    if period_s is None or period_s < 1.5 * float(np.median(np.diff(polled.t_s))):
        return None
    return period_s


def counter_tick(on_change: Series) -> float | None:
    """Seconds between the ticks of a counter journalled on change; None with too few of them."""
    return beat(on_change.t_s)


def beat(times: Array) -> float | None:
    """The period of events of which some are missing, from their times in s (increasing).

    The median interval, or what it is a multiple of, is the seed; then the slope of time over
    rounded index, across ever longer gaps, for a median of quantised intervals may be 8 % off.
    """
    gaps = np.diff(times)
    if len(times) < FEWEST_CHANGES:
        return None
    seed_s = _seed(gaps)
    if seed_s is None:
        return None
    period_s = seed_s
    for reach in REACHES:
        period_s = _slope(times, gaps, period_s, reach)
    return period_s


def _seed(gaps: Array) -> float | None:
    """The longest interval of which nearly all others are whole multiples; never the shortest.

    A late poll makes one interval short, so a minimum is 6 ms on a true 20 ms sensor.
    """
    found = (float(np.quantile(gaps, q)) / part for q in QUANTILES for part in DIVISORS)
    longest_first = sorted(found, reverse=True)
    return next((period_s for period_s in longest_first if _on_beat(gaps, period_s)), None)


def _on_beat(gaps: Array, period_s: float) -> bool:
    beats = gaps[gaps < (NEAR + 0.5) * period_s] / period_s
    if len(beats) < max(len(gaps) / 4, FEWEST_CHANGES / 2):
        return False
    off = np.abs(beats - np.maximum(np.rint(beats), 1)) > OFF_BEAT
    return bool(np.mean(off) <= OFF_BEAT_SHARE)


def _slope(times: Array, gaps: Array, period_s: float, reach: float) -> float:
    """Least squares of time over index within stretches that no gap beyond ``reach`` breaks."""
    stretch = np.concatenate(([0], np.cumsum(gaps > reach * period_s)))
    index = np.concatenate(([0.0], np.cumsum(np.rint(gaps / period_s))))
    size = np.bincount(stretch)
    x = index - (np.bincount(stretch, index) / size)[stretch]
    y = times - (np.bincount(stretch, times) / size)[stretch]
    spread = float(x @ x)
    return float(x @ y) / spread if spread > 0 else period_s
