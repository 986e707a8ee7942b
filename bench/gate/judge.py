"""Two series of block values to a verdict, by the interval of their ratio. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bench.records.run import Estimate
from bench.stats import (
    coefficient_of_variation,
    correlation_of_neighbours,
    slow_error,
    standard_error,
)

Verdict = Literal["ok", "regression", "not comparable", "inconclusive"]
FEWEST_BLOCKS = 3
ALARM_SHARE = 5
"""Where the noise hides the limit, an alarm may be false this many times more rarely."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What is let pass: ``max_regress`` as a share, ``confidence`` one-sided, of ``figures``
    figures that are judged together. ``paired``: value k of one side was measured beside value k
    of the other."""

    max_regress: float
    confidence: float
    figures: int = 1
    paired: bool = False


@dataclass(frozen=True, slots=True)
class Judged:
    """``ratio``: later over earlier, its two bounds each at the confidence. ``finds``: the
    smallest loss (a share) that so much noise lets be found with the confidence's probability.
    ``spread``: variation between the blocks of either side. All null with fewer than three blocks.
    """

    verdict: Verdict
    ratio: Estimate | None
    finds: float | None
    spread: tuple[float | None, float | None]
    why: str | None = None


def judge(
    base: Sequence[float], head: Sequence[float], terms: Terms, *, more_is_worse: bool
) -> Judged:
    """The verdict on positive block values of both sides, each in time order.

    Welch's t on logarithms (Biometrika 34:28, 1947) with errors that slow drift does not fool, its
    correlation taken from both sides; of that error and s/√B the larger counts. Paired values are
    judged by Student's t on the logarithms of their ratios, n − 1 degrees of freedom: what both of
    a pair share cancels, and as a coin decides which of a pair comes first, drift from one to the
    other is noise of the pairs and no bias. With the bounds of the loss at ``confidence``: a
    regression where even the lower one is beyond the limit, ok
    where the upper one is within. Where an unchanged head could not have been told from the
    limit, that is where half the interval is over half the limit, nothing is ok, and a
    regression must hold at
    1 − (1 − confidence) / (5 · figures).
    """
    spread = (coefficient_of_variation(base), coefficient_of_variation(head))
    if min(len(base), len(head)) < FEWEST_BLOCKS:
        known = f"{len(base)} blocks before, {len(head)} now"
        known = f"{len(head)} pairs" if terms.paired else known
        why = f"{known}: {FEWEST_BLOCKS} tell how it varies"
        return Judged("inconclusive", None, None, spread, why)
    sign = 1 if more_is_worse else -1
    change, error, degrees = (_paired_change if terms.paired else _change)(base, head)
    loss, limit = sign * change, _in_logs(terms.max_regress, more_is_worse)
    half = _quantile(degrees, terms.confidence) * error
    hidden = 2 * half > limit
    strict = 1 - (1 - terms.confidence) / (ALARM_SHARE * terms.figures)
    alarm = _quantile(degrees, strict) * error if hidden else half
    blocks = len(head) if terms.paired else len(base) + len(head)
    low, high = math.exp(change - half), math.exp(change + half)
    ratio = Estimate(math.exp(change), low, high, blocks)
    finds = _as_share(limit + alarm + half, more_is_worse)
    if loss - alarm > limit:
        return Judged("regression", ratio, finds, spread)
    if loss + half <= limit and not hidden:
        return Judged("ok", ratio, finds, spread)
    why = "the noise hides the limit" if hidden else "the interval holds the limit"
    return Judged("inconclusive", ratio, finds, spread, why)


def _change(base: Sequence[float], head: Sequence[float]) -> tuple[float, float, float]:
    """Logarithm of head over base, its standard error, and the degrees of freedom."""
    sides = [[math.log(value) for value in values] for values in (base, head)]
    correlation = correlation_of_neighbours(*sides)
    means = [math.fsum(logs) / len(logs) for logs in sides]
    errors = [
        max(slow_error(logs, correlation), (standard_error(logs), len(logs) - 1)) for logs in sides
    ]
    variances, each = [error**2 for error, _ in errors], [degrees for _, degrees in errors]
    whole = math.fsum(variances)
    weights = [v * v / k for v, k in zip(variances, each, strict=True)]
    degrees_both = whole * whole / math.fsum(weights) if whole > 0 else float(sum(each))
    return means[1] - means[0], math.sqrt(whole), degrees_both


def _paired_change(base: Sequence[float], head: Sequence[float]) -> tuple[float, float, float]:
    """The same of pairs."""
    logs = [math.log(now / before) for before, now in zip(base, head, strict=True)]
    return math.fsum(logs) / len(logs), standard_error(logs), len(logs) - 1


def _in_logs(share: float, more_is_worse: bool) -> float:
    """A figure that may grow by a share, or one that may fall by it."""
    return math.log1p(share) if more_is_worse else -math.log1p(-share)


def _as_share(logs: float, more_is_worse: bool) -> float:
    return math.expm1(logs) if more_is_worse else -math.expm1(-logs)


def _quantile(degrees: float, probability: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(degrees, probability))
