"""Pairs of runs, one of either side in turn: their order, and each run as one value. Pure."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from bench.gate.compare import differing
from bench.gate.side import Gauge, Side

Name = Literal["base", "head"]
BASE_FIRST: tuple[Name, Name] = ("base", "head")
HEAD_FIRST: tuple[Name, Name] = ("head", "base")
MOST_LOST = 0.25
"""The share of pairs that may be lost: what goes wrong more often may hide what it should show."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two runs beside each other. ``lost`` says why they tell nothing, with the side at fault."""

    base: Side | None
    head: Side | None
    lost: tuple[Name, str] | None = None


def orders(pairs: int, draw: random.Random) -> Iterator[tuple[Name, Name]]:
    """Which side of each pair runs first: ABBA or BAAB, by a coin for every two pairs.

    Either side is first equally often, so a linear drift of the machine cancels, and nothing that
    recurs can keep step with the order.
    """
    for _ in range((pairs + 1) // 2):
        first, second = draw.sample((BASE_FIRST, HEAD_FIRST), 2)
        yield from (first, second)[:pairs]
        pairs -= 2


def pair_of(base: Side | str, head: Side | str) -> Pair:
    """Two runs; lost where one failed (its text) or is not to be believed."""
    sides: tuple[tuple[Name, Side | str], ...] = (("base", base), ("head", head))
    for name, side in sides:
        why = side if isinstance(side, str) else side.spoilt
        if why is not None:
            return Pair(None, None, (name, why))
    assert isinstance(base, Side), "not lost"
    assert isinstance(head, Side), "not lost"
    return Pair(base, head)


def laid_out(pairs: Sequence[Pair]) -> tuple[Side, Side]:
    """Either side as a whole: value k of a figure is that of run k, so they may be compared paired.

    A run's value is the geometric mean of its blocks. A pair counts for a figure where both runs
    have it and were asked the same; where no pair does, the first tells what keeps them apart.
    """
    whole = [(pair.base, pair.head) for pair in pairs if pair.base and pair.head]
    bases, heads = [base for base, _ in whole], [head for _, head in whole]
    if not whole:
        nothing = Side({}, (), on_card=False, boundary="package")
        return nothing, replace(nothing, spoilt=_spoilt(pairs))
    names = {gauge.name: gauge for side in (*bases, *heads) for gauge in side.gauges}
    both = [_figure(name, bases, heads) for name in names]
    apart = next((k for k, (a, b) in enumerate(whole) if a.device != b.device), 0)
    base, head = whole[apart]
    return (
        replace(base, gauges=tuple(before for before, _ in both if before)),
        replace(head, gauges=tuple(now for _, now in both if now), spoilt=_spoilt(pairs)),
    )


def run_value(gauge: Gauge) -> float:
    """What one run says of a figure."""
    return math.exp(math.fsum(map(math.log, gauge.values)) / len(gauge.values))


def _figure(
    name: str, bases: Sequence[Side], heads: Sequence[Side]
) -> tuple[Gauge | None, Gauge | None]:
    """One figure of both sides; None where no run of a side has heard of it."""
    before, now = _named(name, bases), _named(name, heads)
    both = [(a, b) for a, b in zip(before, now, strict=True) if a and b]
    alike = [(a, b) for a, b in both if a.values and b.values and _unlike(a, b) is None]
    if alike and len(alike) >= (1 - MOST_LOST) * len(bases):
        firsts, seconds = zip(*alike, strict=True)
        return _joined(firsts), _joined(seconds)
    base, head = _joined(before), _joined(now)
    if base is None or head is None:
        return base, head
    apart = next(((a, b) for a, b in both if _unlike(a, b)), None)
    if apart is not None:
        return replace(base, asked=apart[0].asked), replace(head, asked=apart[1].asked)
    reasons = [each.reason for each in (*now, *before) if each and each.reason]
    counted = f"{len(alike)} of {len(bases)} pairs have it"
    return base, replace(head, values=(), reason="; ".join([*reasons[:1], counted]))


def _unlike(before: Gauge, now: Gauge) -> str | None:
    return differing(before.asked, now.asked)


def _named(name: str, sides: Sequence[Side]) -> list[Gauge | None]:
    return [next((g for g in side.gauges if g.name == name), None) for side in sides]


def _joined(gauges: Sequence[Gauge | None]) -> Gauge | None:
    """The runs of one side that have the figure as one, else the first that knows why not."""
    heard = [each for each in gauges if each]
    known = [each for each in heard if each.values]
    if not known:
        return heard[0] if heard else None
    return replace(known[0], values=tuple(map(run_value, known)))


def _spoilt(pairs: Sequence[Pair]) -> str | None:
    """Why nothing may be judged, where too many pairs were lost."""
    lost = [pair.lost for pair in pairs if pair.lost]
    if len(lost) <= MOST_LOST * len(pairs):
        return None
    side, why = lost[-1]
    return f"{len(lost)} of {len(pairs)} pairs of runs were lost, the last as {side} failed: {why}"
