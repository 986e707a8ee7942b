"""A sensor against another meter that watched the same card: gain, offset and time shift. Pure.

The meter has a clock and a pace of its own. It may be hours off; whatever is slower, meter or
sensor, is what the other is averaged to.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from bench.budget import GAIN_U, OFFSET_U_W
from bench.characterise.boxcar import Drawn, Fit, around, fit
from bench.characterise.changes import changes, update_period
from bench.energy import Array, Series, updates
from bench.records.journal import Field
from bench.records.run import Correction, SensorFacts

MOST_BINS = 2**19
BIN_S = 0.05
LEAST_OVERLAP_S = 3.0
LEAST_SHARED = 0.5
"""Share of the shorter recording over which both must have looked."""
ALIKE = 0.5
"""Share of the readings' variance that the meter must explain (R²)."""
FEWEST_POINTS = 20
MOST_POINTS = 1500
FINE_UPDATE, FINE_WINDOW = 8, 20
"""Values a meter must give in an update, or in a window, to be laid over each single reading."""
STEPS = 20
"""Grid points to the period of the slower instrument where both are blurred."""
BLUR = 5
"""Periods of the slower instrument that both are blurred by in addition."""
GROUPS = 10
"""Contiguous groups of the jackknife: long against the misfit's memory, enough to count."""
LINE_U = 0.005
"""Relative standard uncertainty that a line leaves on one card: comparisons on one card are good
to about 0.5 % (arXiv 2312.02741), for idle, busy and just-stopped share no one gain exactly."""
FEW_GROUPS = 2.262 / 1.960
"""Student's t at 97.5 % with nine degrees of freedom over the normal's: ten groups are few."""
IDLE_LOAD = (0.05, 0.95)
"""Quantiles of the meter's watts that stand for idle and load."""


@dataclass(frozen=True, slots=True)
class Shift:
    """How far the readings trail the meter, known to about a bin; s."""

    lag_s: float
    bin_s: float


@dataclass(frozen=True, slots=True)
class Pairs:
    """Readings and the meter's means that belong to them (W), and how they were paired (s)."""

    readings: Array
    meter: Array
    window_s: float
    lag_s: float
    span_s: float


def against(
    meter: Series,
    readings: Series,
    sensor: SensorFacts | None,
    *,
    field: Field,
    name: str,
    sha256: str,
    made_at: str,
) -> Correction:
    """``reading = offset + gain · true power`` and how well both are known.

    ``meter`` and ``readings`` are (s, W), each on a clock of its own; ``readings`` are all polls
    of ``field``, on a load that moves. A window of ``sensor`` that is known is kept. ``lag_s``
    is how far the readings trail the meter, the difference of the clocks included. ValueError
    says in one sentence why the two cannot be brought together.
    """
    pairs = align(meter, readings, sensor)
    gain, offset_w = _line(pairs.meter, pairs.readings)
    gain_u, offset_u_w = _jackknife(pairs.meter, pairs.readings)
    misfit = pairs.readings - offset_w - gain * pairs.meter
    found = Correction(
        gain=gain,
        offset_w=offset_w,
        gain_u=math.hypot(gain_u / gain, LINE_U),
        offset_u_w=offset_u_w,
        lag_s=pairs.lag_s,
        residual_w=float(np.sqrt(np.mean(misfit**2))),
        span_s=pairs.span_s,
        field=field,
        meter=name,
        meter_sha256=sha256,
        made_at=made_at,
    )
    start_s, end_s = (float(t_s) - pairs.lag_s for t_s in (readings.t_s[0], readings.t_s[-1]))
    for watts in np.quantile(meter.between(start_s, end_s).value, IDLE_LOAD):
        _require_narrower(found, float(watts))
    return found


def _require_narrower(found: Correction, watts: float) -> None:
    """ValueError unless it tells the true power better than what is published of board sensors.

    Both as the budget of an absolute interval has them, gain and offset in quadrature.
    """
    known_w = math.hypot(found.gain_u * watts, found.offset_u_w / found.gain)
    published_w = math.hypot(GAIN_U * watts, OFFSET_U_W)
    if known_w > published_w:
        raise ValueError(
            f"{found.meter}: over {found.span_s:.0f} s it fixes {watts:.0f} W only to"
            f" ±{known_w:.1f} W, where ±{published_w:.1f} W are granted without any meter: record"
            " for longer, or with a faster meter"
        )


def align(meter: Series, readings: Series, sensor: SensorFacts | None) -> Pairs:
    """Find the time shift by cross-correlation, refine it, and pair what belongs together."""
    if min(len(meter), len(readings)) < FEWEST_POINTS:
        raise ValueError(
            f"the meter gave {len(meter)} values and the sensor {len(readings)}: "
            f"at least {FEWEST_POINTS} of each are needed, so record for longer or faster"
        )
    update_s = update_period(readings) or float(np.median(np.diff(readings.t_s)))
    pace_s = float(np.median(np.diff(meter.t_s)))
    shift, window_s = _shift(meter, readings), sensor.window_s if sensor else None
    if pace_s > max(update_s / FINE_UPDATE, (window_s or 0.0) / FINE_WINDOW):
        return _blurred(meter, readings, (window_s or update_s, update_s, pace_s), shift)
    windows = [window_s] if window_s else np.geomspace(update_s / 20, 15 * update_s, 48)
    return _pairs(changes(readings), meter, np.asarray(windows), update_s, shift)


def _blurred(
    meter: Series, readings: Series, paces: tuple[float, float, float], shift: Shift
) -> Pairs:
    """Each blurred as the other one is, and both a little more, so that edges weigh alike.

    A reading is the mean of its window and stands for an update period; a meter's value is the
    mean of its period and stands for the next. Compared as they are, the coarser of the two
    shows less of each swing: a meter of 10 Hz would bend the gain by 5 %.
    """
    window_s, update_s, pace_s = paces
    slower_s = max(pace_s, update_s)
    step_s, more_s = slower_s / STEPS, BLUR * slower_s
    ours = _blur(updates(readings, update_s), (pace_s, pace_s, more_s), step_s)
    theirs = _blur(meter, (window_s, update_s, more_s), step_s)
    every = Series(ours.t_s[::STEPS], ours.value[::STEPS])
    even = Shift(shift.lag_s - (window_s + update_s) / 2 + pace_s, shift.bin_s)
    return _pairs(every, theirs, np.array([step_s]), slower_s, even)


def _blur(series: Series, widths_s: tuple[float, ...], step_s: float) -> Series:
    """Running means over each of the widths in turn, on a grid of ``step_s``."""
    t_s = np.arange(series.t_s[0] + step_s, series.t_s[-1], step_s)
    value = Drawn.of(series, before=float(series.value[0])).mean(t_s, step_s)
    for width_s in widths_s:
        count = min(max(1, round(width_s / step_s)), len(value))
        total = np.append(0.0, np.cumsum(value))
        value = (total[count:] - total[:-count]) / count
    return Series(t_s[len(t_s) - len(value) :], value)


def _pairs(seen: Series, truth: Series, windows: Array, pace_s: float, shift: Shift) -> Pairs:
    """Fit ``seen`` (the slower) as window means of ``truth``, coarse then fine around the shift.

    Correlation finds the middle of the window, so the lag may be less by half of it. ``readings``
    of the pairs is what was seen, ``meter`` the truth's mean.
    """
    inner = _thinned(_shared(seen, truth, shift.lag_s, 0.0))
    drawn = Drawn.of(truth, before=float(truth.value[0]))
    margin_s = 2 * shift.bin_s + pace_s
    first_s, last_s = shift.lag_s - windows[-1] / 2 - margin_s, shift.lag_s + margin_s
    found = fit(inner, drawn, windows, np.arange(first_s, last_s, pace_s / 10))
    if len(windows) > 1:
        step_s = pace_s / 50
        windows = around(found.window_s, 0.15 * found.window_s + step_s, step_s, least=step_s)
    found = fit(inner, drawn, windows, around(found.lag_s, pace_s / 5, pace_s / 100))
    if found.explained < ALIKE or found.gain <= 0:
        raise _unlike(found)
    shared = _shared(seen, truth, found.lag_s, found.window_s)
    mean = drawn.mean(shared.t_s - found.lag_s, found.window_s)
    span_s = float(shared.t_s[-1] - shared.t_s[0])
    return Pairs(shared.value, mean, found.window_s, found.lag_s, span_s)


def _shared(seen: Series, truth: Series, lag_s: float, window_s: float) -> Series:
    """What was seen of the time for which the truth is known."""
    first_s = float(truth.t_s[0]) + lag_s + window_s
    shared = seen.between(first_s, float(truth.t_s[-1]) + lag_s)
    if len(shared) < FEWEST_POINTS:
        raise ValueError(
            f"only {len(shared)} values of the slower instrument fall into the time both looked; "
            f"at least {FEWEST_POINTS} are needed, so record for longer or with a faster meter"
        )
    return shared


def _thinned(seen: Series) -> Series:
    """Every nth point, so that a long recording costs the grid no more than a short one."""
    every = slice(None, None, -(-len(seen) // MOST_POINTS))
    return Series(seen.t_s[every], seen.value[every])


def _unlike(found: Fit) -> ValueError:
    return ValueError(
        "meter and sensor do not move together at any shift of their clocks (the best explains "
        f"{max(found.explained, 0):.0%} of the readings' changes): was the meter on this card, "
        "and recording meanwhile?"
    )


def _shift(meter: Series, readings: Series) -> Shift:
    """How far the readings trail the meter, to a bin, by correlation at every overlap."""
    spans = [float(s.t_s[-1] - s.t_s[0]) for s in (meter, readings)]
    paces = [float(np.median(np.diff(s.t_s))) for s in (meter, readings)]
    bin_s = max(BIN_S, sum(spans) / MOST_BINS, max(paces) / 2)
    least = max(LEAST_OVERLAP_S, LEAST_SHARED * min(spans)) / bin_s
    theirs, ours = _binned(meter, bin_s), _binned(readings, bin_s)
    alike = _correlations(theirs, ours, least)
    if not np.any(np.isfinite(alike)):
        raise ValueError(
            f"meter ({spans[0]:.1f} s) and sensor ({spans[1]:.1f} s) have too little to compare: "
            f"at least {LEAST_OVERLAP_S:g} s are needed in which both looked and both moved"
        )
    ahead = int(np.nanargmax(alike)) - (len(ours) - 1)
    return Shift(float(readings.t_s[0] - meter.t_s[0]) - ahead * bin_s, bin_s)


def _binned(series: Series, bin_s: float) -> Array:
    """Means over consecutive bins from the first point on."""
    ends = np.arange(series.t_s[0] + bin_s, series.t_s[-1], bin_s)
    return Drawn.of(series, before=float(series.value[0])).mean(ends, bin_s)


def _correlations(theirs: Array, ours: Array, least: float) -> Array:
    """Pearson's r of ours laid over theirs at every shift; NaN at overlaps below ``least`` bins.

    Entry j lays ``ours[0]`` upon ``theirs[j − (len(ours) − 1)]``.
    """
    size = len(theirs) + len(ours) - 1
    theirs, ours = theirs - theirs.mean(), ours - ours.mean()
    ones_x, ones_y = np.ones_like(theirs), np.ones_like(ours)

    def slide(x: Array, y: Array) -> Array:
        product = np.fft.rfft(x, size) * np.fft.rfft(y[::-1], size)
        return np.fft.irfft(product, size)

    n = np.rint(slide(ones_x, ones_y))
    x, y = slide(theirs, ones_y), slide(ones_x, ours)
    moved_x = n * slide(theirs**2, ones_y) - x**2
    moved_y = n * slide(ones_x, ours**2) - y**2
    floor = 0.01 * n**2 * np.array([[theirs.var()], [ours.var()]])
    usable = (n >= least) & (moved_x > floor[0]) & (moved_y > floor[1])
    r = np.full(size, np.nan)
    spread = np.sqrt(moved_x[usable] * moved_y[usable])
    r[usable] = (n * slide(theirs, ours) - x * y)[usable] / spread
    return r


def _line(x: Array, y: Array) -> tuple[float, float]:
    """Slope and intercept of y over x by least squares."""
    dx = x - x.mean()
    spread = float(dx @ dx)
    slope = float(dx @ y) / spread if spread > 0 else 0.0
    return slope, float(y.mean() - slope * x.mean())


def _jackknife(x: Array, y: Array) -> tuple[float, float]:
    """Standard uncertainties of slope and intercept: a tenth of the time left out at a time.

    Contiguous groups keep what misfits together together, so slow misfits are not averaged away
    (delete-a-group jackknife, Kott 2001).
    """
    group = np.arange(len(x)) * GROUPS // len(x)
    lines = np.array([_line(x[group != k], y[group != k]) for k in range(GROUPS)])
    spread = np.sum((lines - lines.mean(axis=0)) ** 2, axis=0)
    slope_u, intercept_u = FEW_GROUPS * np.sqrt(spread * (GROUPS - 1) / GROUPS)
    return float(slope_u), float(intercept_u)
