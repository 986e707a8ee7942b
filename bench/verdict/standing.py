"""Who leads: the uses that have a price, ranked by the median of what each is worth. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bench.economics.units import Array
from bench.records.decision import Basis, UseCode
from bench.verdict.draws import World, drawn_part, median
from bench.verdict.options import Use

WIN_MARGIN = 0.02  # without it two equal uses would be "leaning" 40 % of the time


@dataclass(frozen=True, slots=True)
class Standing:
    """The uses that have a price, best first, and what each is worth on ``basis``.

    Worth is gross USD per paid joule, OFF being worth the joule's price, or gross USD/s where
    joules are unknown. ``probability`` is that of the best beating the second by more than 2 %.
    """

    basis: Basis
    order: tuple[UseCode, ...]
    worth: Mapping[UseCode, Array]
    probability: float

    def median(self, code: UseCode) -> float:
        """The worth by which a use is ranked."""
        return median(self.worth[code])

    def rival(self, code: UseCode) -> UseCode:
        """Whom a use must beat, or who beats it."""
        return self.order[1] if code == self.order[0] else self.order[0]


def standing(uses: Mapping[UseCode, Use], world: World) -> Standing | None:
    """The order of what has a price; null where there is nothing to compare."""
    priced = {code: use for code, use in uses.items() if use.now is not None}
    per_j = {code: use.usd_per_j for code, use in priced.items() if use.usd_per_j is not None}
    worth: dict[UseCode, Array]
    basis: Basis
    if per_j and len(per_j) == len(priced):
        basis, worth = "kwh", {**per_j, "OFF": world.usd_per_j}
    else:
        basis, worth = "device-hour", {code: use.usd_per_s for code, use in priced.items()}
    if len(worth) < 2:
        return None
    order = tuple(sorted(worth, key=lambda code: -median(worth[code])))
    best, runner = (drawn_part(worth[code]) for code in order[:2])
    return Standing(basis, order, worth, float(np.mean(best > (1 + WIN_MARGIN) * runner)))
