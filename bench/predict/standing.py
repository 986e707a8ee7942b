"""Who is ahead of whom over the draws, and who cannot be told apart. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.budget import GAIN_U
from bench.economics.units import Array

SEPARABLE = math.sqrt(2) * GAIN_U
"""Two board sensors' gain errors combined, 1σ: closer cards need a wall meter."""


@dataclass(frozen=True, slots=True)
class Rank:
    """A place among all, 1 the best: at the middle, P10 and P90 of the draws, and P(first)."""

    mid: int
    p10: int
    p90: int
    p_best: float


def ranks(costs: Sequence[Array]) -> list[Rank]:
    """The place of each by its cost, lowest first; arrays hold the middle and then the draws."""
    if not costs:
        return []
    table = np.vstack(costs)
    places = np.empty(table.shape, dtype=np.int64)
    np.put_along_axis(
        places, np.argsort(table, axis=0, kind="stable"), np.arange(len(costs))[:, None], axis=0
    )
    places += 1
    low, high = np.percentile(places[:, 1:], [10, 90], axis=1, method="inverted_cdf")
    first = (places[:, 1:] == 1).mean(axis=1)
    return [
        Rank(int(places[i, 0]), int(low[i]), int(high[i]), float(first[i]))
        for i in range(len(costs))
    ]


def front(points: Sequence[tuple[float, ...]]) -> list[bool]:
    """Which points no other beats in every coordinate at once, lower being better."""

    def beaten(one: tuple[float, ...]) -> bool:
        return any(
            other != one and all(o <= mine for o, mine in zip(other, one, strict=True))
            for other in points
        )

    return [not beaten(point) for point in points]


def separable(one: float, other: float, one_u: float, other_u: float) -> bool:
    """Whether two J/unit differ by more than the gain errors of their meters combined, 1σ."""
    return max(one, other) > min(one, other) * (1 + math.hypot(one_u, other_u))


def inseparable(joules: Sequence[float], gains: Sequence[float] | None = None) -> list[str | None]:
    """A letter for cards whose J/unit lie within the combined gain error of their group's least.

    ``gains`` are each card's own relative standard uncertainty; without, a board sensor's. Null
    for a card that stands alone.
    """
    own = [GAIN_U] * len(joules) if gains is None else gains
    groups: list[list[int]] = []
    for index in sorted(range(len(joules)), key=joules.__getitem__):
        least = groups[-1][0] if groups else index
        if groups and not separable(joules[index], joules[least], own[index], own[least]):
            groups[-1].append(index)
        else:
            groups.append([index])
    letters: list[str | None] = [None] * len(joules)
    for number, group in enumerate(group for group in groups if len(group) > 1):
        for index in group:
            letters[index] = _letters(number)
    return letters


def _letters(number: int) -> str:
    """a, b … z, aa, ab …"""
    above = _letters(number // 26 - 1) if number >= 26 else ""
    return above + chr(ord("a") + number % 26)
