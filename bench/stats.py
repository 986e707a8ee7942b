"""Numbers to estimates: t-intervals on block means. Pure; nothing here knows what was measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.records.run import Estimate

NORMAL_975 = 1.959963984540054
LEAST_COSINES = 3
COSINES_PER_BLOCK = 0.4
MOST_CORRELATION = 0.9


def t_quantile(degrees: int) -> float:
    """The 0.975 quantile of Student's t for ``degrees`` ≥ 1 degrees of freedom."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, 0.975))


def series_interval(values: Sequence[float]) -> Estimate | None:
    """Mean of block means **in time order** with a 95 % interval that slow drift does not fool.

    t times the error of ``slow_error``; None for fewer than two values.
    """
    if len(values) < 2:
        return None
    mean = math.fsum(values) / len(values)
    error, degrees = slow_error(values)
    half = t_quantile(degrees) * error
    return Estimate(mean, mean - half, mean + half, len(values))


def slow_error(values: Sequence[float], correlation: float | None = None) -> tuple[float, int]:
    """Standard error of the mean of at least two values in time order, and its degrees of freedom.

    Blocks of one workload drift together (temperature, fan, clocks), so s/√B is too small. The
    variance of the mean is taken from the K slowest cosines of the series instead, with t(K)
    (the equal-weighted cosine estimate of Lazarus, Lewis, Stock and Watson, J. Business & Economic
    Statistics 36:541, 2018), each scaled by what it would be under the AR(1) correlation that the
    series shows (lag 1, corrected for its bias, (1+3r)/B: Kendall, Biometrika 41:403, 1954;
    negative values count as none). K is 0.4·B and at least 3: over all B−1 cosines and without
    correlation an interval would be t(0.975, B−1)·s/√B exactly. ``correlation`` (lag 1) is given
    where more than this series tells of it.
    """
    count = len(values)
    mean = math.fsum(values) / count
    off = np.asarray(values, float) - mean
    kept = min(count - 1, max(LEAST_COSINES, round(COSINES_PER_BLOCK * count)))
    place = np.outer(np.arange(1, kept + 1), np.arange(count) + 0.5)
    cosines = np.sqrt(2 / count) * np.cos(np.pi / count * place)
    apart = np.abs(np.subtract.outer(np.arange(count), np.arange(count)))
    lag_1 = correlation_of_neighbours(values) if correlation is None else correlation
    alike = lag_1**apart
    expected = np.sum((cosines @ alike) * cosines) / (np.sum(alike) / count)
    variance = float(np.sum((cosines @ off) ** 2) / expected)
    return math.sqrt(variance / count), kept


def correlation_of_neighbours(*series: Sequence[float]) -> float:
    """Lag-1 autocorrelation of short series that behave alike, bias corrected, within 0 … 0.9."""
    return min(max(sum(map(_lag_1, series)) / len(series), 0.0), MOST_CORRELATION)


def _lag_1(values: Sequence[float]) -> float:
    count = len(values)
    off = np.asarray(values, float) - math.fsum(values) / count
    spread = float(off @ off)
    if spread == 0:
        return 0.0
    seen = float(off[1:] @ off[:-1]) / spread
    return seen + (1 + 3 * seen) / count


def standard_error(values: Sequence[float]) -> float:
    """s/√B of at least two values, s with Bessel's correction."""
    count = len(values)
    mean = math.fsum(values) / count
    variance = math.fsum((value - mean) ** 2 for value in values) / (count - 1)
    return math.sqrt(variance / count)


def widen(estimate: Estimate, uncertainties: Sequence[float]) -> Estimate:
    """Add independent standard uncertainties (same unit as the estimate) to its interval.

    Half-widths add in quadrature, each standard uncertainty expanded by the normal 0.975
    quantile (GUM, JCGM 100:2008, 5.1.2 and 6.2).
    """
    own = (estimate.hi - estimate.lo) / 2
    half = math.hypot(own, *(NORMAL_975 * u for u in uncertainties))
    return Estimate(estimate.mid, estimate.mid - half, estimate.mid + half, estimate.n)


def ratio_interval(over: Estimate, under: Estimate) -> Estimate | None:
    """The ratio of two independent estimates above 0 with its 95 % interval.

    On logarithms, from the limits of the two t-intervals alone: the variance of each is recovered
    from how far its own limit lies (Zou & Donner, Statistics in Medicine 27:1693, 2008). ``n`` is
    the smaller of theirs. None where an estimate is not above 0; a limit that is not leaves the
    interval open, which is None too.
    """
    if min(over.lo, under.lo) <= 0:
        return None
    mid = over.mid / under.mid
    below = math.hypot(math.log(over.mid / over.lo), math.log(under.hi / under.mid))
    above = math.hypot(math.log(over.hi / over.mid), math.log(under.mid / under.lo))
    return Estimate(mid, mid * math.exp(-below), mid * math.exp(above), min(over.n, under.n))


def coefficient_of_variation(values: Sequence[float]) -> float | None:
    """Standard deviation over mean of at least two values; None for fewer or a mean of zero."""
    if len(values) < 2:
        return None
    mean = math.fsum(values) / len(values)
    if mean == 0:
        return None
    return standard_error(values) * math.sqrt(len(values)) / abs(mean)


@dataclass(frozen=True, slots=True)
class Best:
    """The best of several by its middle; ``alike`` are those its interval does not tell from it."""

    name: str
    alike: tuple[str, ...]


def best_of(found: Mapping[str, Estimate], *, least: bool) -> Best | None:
    """The least or the greatest of what is known; None where nothing is.

    Two cannot be told apart when their 95 % intervals overlap.
    """
    sign = 1 if least else -1
    name = min(found, key=lambda each: sign * found[each].mid, default=None)
    if name is None:
        return None
    best = found[name]
    alike = (n for n, e in found.items() if n != name and e.lo <= best.hi and best.lo <= e.hi)
    return Best(name, tuple(alike))
