"""What measured cards teach about cards of their architecture, and how far that is off. Pure."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bench.predict.measured import Measured
from bench.predict.priors import KINDS, MOVED_HALF, PRIORS, Kind

LEAST_CARDS = 3
"""Cards of one architecture from which a leave-one-out error speaks."""
LEAST_HALF = 0.05
"""No prediction is narrower: a card is not the mean of its family."""


@dataclass(frozen=True, slots=True)
class Factor:
    """What multiplies a prior: the middle, its relative 95 % half-width, and whence.

    ``own`` is a figure measured on this very card, without a common part with its family;
    ``left_out`` is the leave-one-out RMS error, null below ``LEAST_CARDS`` cards.
    """

    mid: float
    half: float
    own: bool = False
    cards: tuple[str, ...] = ()
    left_out: float | None = None


Learned = Mapping[tuple[str, Kind], Factor]


def prior_factor(kind: Kind) -> Factor:
    """Nothing was measured: the prior as it stands."""
    return Factor(1.0, PRIORS[kind].half)


def learn(runs: Iterable[Measured], *, simulated: bool = False) -> Learned:
    """A factor per architecture and kind from ranked runs; runs of one card count once.

    Simulated runs teach nothing unless asked for. The interval stays the prior's until three
    cards were measured; then it is 1.96 times the leave-one-out error, wider or narrower.
    """
    seen: dict[tuple[str, Kind], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        usable = simulated if run.mark == "simulated" else run.ranked
        for kind, ratio in run.ratios.items() if usable else ():
            seen[run.gpu.architecture, kind][run.gpu.name].append(math.log(ratio.mid))
    return {key: _factor(key[1], cards) for key, cards in seen.items()}


def factor_for(learned: Learned, architecture: str, kind: Kind) -> Factor:
    """What the architecture taught, else the prior."""
    return learned.get((architecture, kind)) or prior_factor(kind)


def own_factors(run: Measured, learned: Learned) -> dict[Kind, Factor]:
    """The card's own figures first; those of its decode are moved to a point with prefill."""
    factors = {kind: factor_for(learned, run.gpu.architecture, kind) for kind in KINDS}
    for kind, ratio in run.ratios.items():
        far = MOVED_HALF if kind.startswith("decode") else 0.0
        factors[kind] = Factor(ratio.mid, math.hypot(ratio.half, far), True, (run.gpu.name,))
    return factors


def _factor(kind: Kind, cards: Mapping[str, list[float]]) -> Factor:
    logs = {name: sum(found) / len(found) for name, found in cards.items()}
    mid = math.exp(sum(logs.values()) / len(logs))
    names = tuple(sorted(logs))
    if len(logs) < LEAST_CARDS:
        return Factor(mid, PRIORS[kind].half, False, names)
    error = _left_out(list(logs.values()))
    return Factor(mid, max(LEAST_HALF, 1.96 * error), False, names, error)


def _left_out(logs: list[float]) -> float:
    """RMS relative error of each card as the others' mean predicts it."""
    total, others = sum(logs), len(logs) - 1
    errors = [math.expm1((total - log) / others - log) for log in logs]
    return math.sqrt(sum(error**2 for error in errors) / len(errors))
