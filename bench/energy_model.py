"""Where a step's joules go: E_step = P_static·t + e_B·bytes + e_F·FLOPs, fitted on own runs. Pure.

A card at its power limit follows the throttled branch instead: the step takes as long as the limit
needs to supply its energy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

LEAST_RUNS = 6
NAMES = ("static power", "energy per byte", "energy per FLOP")
LEAST_SINGULAR = 0.02
"""Columns of norm 1 whose smallest singular value is below this: measured to 0.5 %, the terms along
its vector are known to no better than a quarter. A bandwidth-bound sweep of the batch alone is such
a case, time and bytes rising as one: some runs must be bound by arithmetic."""


@dataclass(frozen=True, slots=True)
class Step:
    """One operating point as measured: a step's time and energy, the work in it, and its tokens.

    ``capped`` says that the power limit, not the work, may have set its length.
    """

    label: str
    seconds: float
    joules: float
    bytes: float
    flops: float
    tokens: float
    capped: bool = False


@dataclass(frozen=True, slots=True)
class Coefficients:
    """P_static in W, e_B in J/byte, e_F in J/FLOP; none is below 0."""

    static_w: float
    byte_j: float
    flop_j: float

    def joules(self, step: Step) -> float:
        """Energy of a step that takes the time it was measured to take."""
        return self.static_w * step.seconds + self.byte_j * step.bytes + self.flop_j * step.flops


@dataclass(frozen=True, slots=True)
class Fit:
    """Coefficients with the range they take when any one run is left out.

    ``residuals`` are (model − measured)/measured of each step given; ``left_out`` how far off the
    worst step is when the others predict it; ``unsure`` names terms that the runs do not separate.
    """

    mid: Coefficients
    lo: Coefficients
    hi: Coefficients
    residuals: tuple[float, ...]
    left_out: float
    unsure: tuple[str, ...]


def fit(steps: Sequence[Step]) -> Fit:
    """Least squares on relative errors, coefficients at least 0; ValueError below ``LEAST_RUNS``.

    The identity holds at the power limit too, with the time that was measured, but a card slows
    its clock and voltage there, so that e_B and e_F are others: capped steps are predicted only.
    """
    free = [step for step in steps if not step.capped]
    if len(free) < LEAST_RUNS:
        raise ValueError(
            f"{len(free)} runs below the power limit, an energy model needs {LEAST_RUNS}:"
            " measure more batch sizes or contexts"
        )
    if any(min(step.seconds, step.joules, step.bytes, step.flops) <= 0 for step in steps):
        raise ValueError("every step needs time, energy, bytes and FLOPs above 0")
    mid = _solve(free)
    without = [_solve([*free[:k], *free[k + 1 :]]) for k in range(len(free))]
    missed = [
        abs(each.joules(step) / step.joules - 1) for each, step in zip(without, free, strict=True)
    ]
    found = [astuple(each) for each in (mid, *without)]
    return Fit(
        mid=mid,
        lo=Coefficients(*np.min(found, axis=0).tolist()),
        hi=Coefficients(*np.max(found, axis=0).tolist()),
        residuals=tuple(mid.joules(step) / step.joules - 1 for step in steps),
        left_out=max(missed),
        unsure=_unsure(free),
    )


def predict(model: Coefficients, step: Step, limit_w: float | None = None) -> tuple[float, float]:
    """Seconds and joules of a step that takes ``step.seconds`` unless power limits it.

    Throttled: t' = (e_B·bytes + e_F·FLOPs)/(P_limit − P_static) and E = P_limit·t'. ValueError
    where the limit leaves nothing above the static power.
    """
    joules = model.joules(step)
    if limit_w is None or joules <= limit_w * step.seconds:
        return step.seconds, joules
    if limit_w <= model.static_w:
        raise ValueError(f"a limit of {limit_w:g} W is below the static {model.static_w:.0f} W")
    moved = model.byte_j * step.bytes + model.flop_j * step.flops
    seconds = moved / (limit_w - model.static_w)
    return seconds, limit_w * seconds


def _columns(steps: Sequence[Step]) -> NDArray[np.float64]:
    """[n, 3] time, bytes and FLOPs of each step over its energy."""
    return np.array([[s.seconds / s.joules, s.bytes / s.joules, s.flops / s.joules] for s in steps])


def _solve(steps: Sequence[Step]) -> Coefficients:
    """Columns are scaled to norm 1 first: seconds and FLOPs lie 15 orders of magnitude apart."""
    from scipy.optimize import nnls

    columns = _columns(steps)
    scale = np.linalg.norm(columns, axis=0)
    found, _ = nnls(columns / scale, np.ones(len(steps)))
    return Coefficients(*(found / scale).tolist())


def _unsure(steps: Sequence[Step]) -> tuple[str, ...]:
    columns = _columns(steps)
    _, singular, vectors = np.linalg.svd(columns / np.linalg.norm(columns, axis=0))
    if singular[-1] >= LEAST_SINGULAR:
        return ()
    return tuple(
        name for name, part in zip(NAMES, vectors[-1], strict=True) if abs(part) > LEAST_SINGULAR
    )
