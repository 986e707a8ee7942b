"""A sensor as a window mean: fit window, lag, gain and offset to a known power. Pure.

The model is ``reading at t = offset + gain · mean(power over [t − lag − window, t − lag])``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.energy import Array, Series

FAR_S = 1e4


@dataclass(frozen=True, slots=True)
class Fit:
    """The best window (s) and lag (s), the line through them, and what it leaves unexplained.

    ``fitted`` are the model's values at the readings, ``residual`` their RMS misfit in the
    readings' unit, ``explained`` the share of the readings' variance (R²).
    """

    window_s: float
    lag_s: float
    gain: float
    offset: float
    residual: float
    explained: float
    fitted: Array


@dataclass(frozen=True, slots=True)
class Drawn:
    """The integral of a piecewise-constant power: knots in s and the integral up to each."""

    t_s: Array
    integral: Array

    @classmethod
    def of(cls, power: Series, before: float) -> Drawn:
        """``power`` holds from each of its times on; ``before`` is its level before the first."""
        t_s = np.concatenate(([power.t_s[0] - FAR_S], power.t_s, [power.t_s[-1] + FAR_S]))
        level = np.concatenate(([before], power.value))
        return cls(t_s, np.concatenate(([0.0], np.cumsum(level * np.diff(t_s)))))

    def up_to(self, t_s: Array) -> Array:
        """The integral up to each of ``t_s``, any shape."""
        integral: Array = np.interp(t_s, self.t_s, self.integral)
        return integral

    def mean(self, end_s: Array, window_s: float) -> Array:
        """The mean over [end − window, end]."""
        return np.subtract(self.up_to(end_s), self.up_to(end_s - window_s)) / window_s


def fit(readings: Series, power: Drawn, windows_s: Array, lags_s: Array) -> Fit:
    """Least squares over a grid of windows and lags, the line in closed form at each point."""
    best = (np.inf, 0.0, 0.0)
    y = readings.value - readings.value.mean()
    ends = readings.t_s[None, :] - lags_s[:, None]
    upper = power.up_to(ends)
    for window_s in windows_s:
        x = (upper - power.up_to(ends - window_s)) / window_s
        x = x - x.mean(axis=1, keepdims=True)
        spread = np.einsum("ln,ln->l", x, x)
        shared = x @ y
        left = y @ y - np.divide(shared**2, spread, out=np.zeros_like(spread), where=spread > 0)
        at = int(np.argmin(left))
        best = min(best, (float(left[at]), float(window_s), float(lags_s[at])))
    return line(readings, power, best[1], best[2])


def line(readings: Series, power: Drawn, window_s: float, lag_s: float) -> Fit:
    """The line through one window and lag; gain 0 where the power never moved."""
    x = power.mean(readings.t_s - lag_s, window_s)
    y = readings.value
    dx, dy = x - x.mean(), y - y.mean()
    spread, total = float(dx @ dx), float(dy @ dy)
    gain = float(dx @ dy) / spread if spread > 0 else 0.0
    offset = float(y.mean() - gain * x.mean())
    fitted = offset + gain * x
    left = float(np.sum((y - fitted) ** 2))
    explained = 1 - left / total if total > 0 else 0.0
    return Fit(window_s, lag_s, gain, offset, (left / len(y)) ** 0.5, explained, fitted)


def around(middle: float, reach: float, step: float, least: float = -np.inf) -> Array:
    """Multiples of ``step`` within ``reach`` of the middle, none below ``least``."""
    grid = np.arange(round((middle - reach) / step), round((middle + reach) / step) + 1) * step
    return np.asarray(grid[grid >= least - step / 2], np.float64)
