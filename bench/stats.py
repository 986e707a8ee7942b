"""Numbers to estimates: t-intervals on block means. Pure; nothing here knows what was measured."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bench.records.run import Estimate

NORMAL_975 = 1.959963984540054


def t_quantile(degrees: int) -> float:
    """The 0.975 quantile of Student's t for ``degrees`` ≥ 1 degrees of freedom."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, 0.975))


def mean_interval(values: Sequence[float]) -> Estimate | None:
    """Mean of block means with its 95 % t-interval, t(0.975, B−1)·s/√B.

    One block has no spread to speak of: None, as for no block at all.
    """
    count = len(values)
    if count < 2:
        return None
    mean = math.fsum(values) / count
    half = t_quantile(count - 1) * standard_error(values)
    return Estimate(mean, mean - half, mean + half, count)


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


def coefficient_of_variation(values: Sequence[float]) -> float | None:
    """Standard deviation over mean of at least two values; None for fewer or a mean of zero."""
    if len(values) < 2:
        return None
    mean = math.fsum(values) / len(values)
    if mean == 0:
        return None
    return standard_error(values) * math.sqrt(len(values)) / abs(mean)
