"""What each uncertain input does to the best use's money, all others in the middle. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from bench.economics.units import S_PER_HOUR
from bench.records.decision import Swing, UseCode
from bench.records.market import GpuProfile, MarketProfile, Value
from bench.verdict.case import Case, Valued
from bench.verdict.draws import spread
from bench.verdict.inputs import INPUTS, changed, read

TAILS = (0.1, 0.9)
Z90 = 1.2816
"""Standard deviations from the middle of a normal distribution to its 90th percentile."""
_CARD = {"price_usd": ("card's price", "USD"), "host_w": ("host's share", "W")}
_PRICED: dict[str, UseCode] = {"token": "SERVE", "rent": "RENT"}
_LEFT_OUT = ("utilisation", "asic", "asic_life", "asic_pue")
"""Served and rented say more apart; what ASICs cost moves no use of the card."""

_End = tuple[float, Valued]


def swings(case: Case, market: MarketProfile, best: UseCode) -> tuple[Swing, ...]:
    """The widest first; inputs that move neither it nor who leads are left out."""
    middle = case.valued(market, draws=0)
    full = _usd_per_h(middle, best, full=True) is not None
    leader = None if middle.standing is None else middle.standing.order[0]
    found = []
    for what, unit, low, high in (*_of_market(case, market), *_of_card(case, market)):
        swing = _swing(what, unit, low, high, best, full=full)
        if swing is not None and _tells(swing, leader):
            found.append(swing)
    return tuple(sorted(found, key=lambda swing: -abs(swing.at_high - swing.at_low)))


def _tells(swing: Swing, leader: UseCode | None) -> bool:
    """Whether the input moves the best use's money, or who leads."""
    leads = {swing.best_at_low, swing.best_at_high} == {leader}
    return swing.at_low != swing.at_high or not leads


def _swing(
    what: str, unit: str, low: _End, high: _End, best: UseCode, *, full: bool
) -> Swing | None:
    usd = [_usd_per_h(valued, best, full=full) for _, valued in (low, high)]
    leaders = [valued.standing for _, valued in (low, high)]
    if usd[0] is None or usd[1] is None or leaders[0] is None or leaders[1] is None:
        return None
    return Swing(
        what=what,
        unit=unit,
        low=low[0],
        high=high[0],
        at_low=usd[0],
        at_high=usd[1],
        full=full,
        best_at_low=leaders[0].order[0],
        best_at_high=leaders[1].order[0],
    )


def _of_market(case: Case, market: MarketProfile) -> Iterator[tuple[str, str, _End, _End]]:
    for name, held in INPUTS.items():
        if name in _LEFT_OUT or (name == "wall" and case.gpu is not None):
            continue
        ends = []
        for tail in TAILS:
            moved = changed(market, name, partial(_at, tail=tail))
            valued = case.valued(moved, draws=0)
            shown = _shown(name, moved, valued)
            if shown is not None:
                ends.append((shown, valued))
        if len(ends) == 2:
            yield held.what, held.shown, ends[0], ends[1]


def _of_card(case: Case, market: MarketProfile) -> Iterator[tuple[str, str, _End, _End]]:
    """The card's price and host, and the meter's gain, in standard deviations."""
    for field, (what, unit) in _CARD.items():
        value: Value | None = getattr(case.gpu, field, None)
        if value is not None and case.gpu is not None:
            ends = [_with_card(case, market, case.gpu, field, _at(value, tail)) for tail in TAILS]
            yield what, unit, ends[0], ends[1]
    low, high = ((z, case.valued(market, draws=0, gain_z=z)) for z in (-Z90, Z90))
    yield "meter's gain", "σ", low, high


def _with_card(
    case: Case, market: MarketProfile, gpu: GpuProfile, field: str, value: Value
) -> _End:
    moved_field: dict[str, Any] = {field: value}
    moved = replace(case, gpu=replace(gpu, **moved_field))
    return value.value, moved.valued(market, draws=0)


def _at(value: Value, tail: float) -> Value:
    """The value at one percentile of its range, and no more doubt."""
    found = float(spread(value, np.array([tail]))[1])
    return replace(value, value=found, low=None, high=None)


def _shown(name: str, market: MarketProfile, valued: Valued) -> float | None:
    if name in _PRICED:
        use = valued.uses.get(_PRICED[name])
        return None if use is None else use.now
    value = read(market, name)
    return None if value is None else value.value / INPUTS[name].factor


def _usd_per_h(valued: Valued, code: UseCode, *, full: bool) -> float | None:
    """USD per device-hour in the middle: of full cost, or net of electricity where known."""
    if code == "OFF":
        return 0.0
    use, world = valued.uses[code], valued.world
    if full:
        found = use.full_usd_per_s(world)
    elif use.mean_w is not None:
        found = use.usd_per_s - use.mean_w * world.usd_per_j
    else:
        found = use.usd_per_s
    return None if found is None else float(found[0]) * S_PER_HOUR
