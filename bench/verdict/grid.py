"""Two inputs at once: which use leads where. Pure."""

from __future__ import annotations

import numpy as np

from bench.records.decision import FlipGrid, UseCode
from bench.records.market import MarketProfile, Value
from bench.verdict.case import Case, Valued
from bench.verdict.inputs import INPUTS, given, read

STEPS = 9
SPAN = 4.0
"""Without a range of its own an input is looked at from a quarter of its value to four times it."""
_PRICED: dict[str, UseCode] = {"token": "SERVE", "rent": "RENT"}


def flip_grid(case: Case, market: MarketProfile, across: str, down: str) -> FlipGrid:
    """The leader by median worth at ``STEPS`` × ``STEPS`` points.

    ValueError when an input is unknown, both are the same, or one has no value here.
    """
    middle = case.valued(market)
    xs, ys = (_points(name, market, middle) for name in (across, down))
    if across == down:
        raise ValueError(f"the two inputs must differ: {across}")
    if "wall" in (across, down) and middle.world.node.factor is None:
        raise ValueError("wall is not used: this device has a host share and a supply of its own")
    leaders = tuple(
        tuple(_leader(case, _set(_set(market, across, x), down, y)) for x in xs) for y in ys
    )
    a, b = INPUTS[across], INPUTS[down]
    return FlipGrid(a.what, a.shown, xs, b.what, b.shown, ys, leaders)


def _leader(case: Case, market: MarketProfile) -> UseCode | None:
    standing = case.valued(market).standing
    return None if standing is None else standing.order[0]


def _set(market: MarketProfile, name: str, shown: float) -> MarketProfile:
    held = INPUTS[name]
    value = Value(shown * held.factor, held.shown, market.btc_usd.as_of, "flip grid", "A")
    return given(market, name, value)


def _points(name: str, market: MarketProfile, middle: Valued) -> tuple[float, ...]:
    """Evenly over the input's range, geometrically where it has none; today's value is among them
    only by chance."""
    if name not in INPUTS:
        raise ValueError(f"no input is called {name}; known: {', '.join(INPUTS)}")
    held, value = INPUTS[name], read(market, name)
    if value is not None and value.low is not None and value.high is not None:
        ends = np.linspace(value.low / held.factor, value.high / held.factor, STEPS)
        return tuple(map(float, ends))
    use = middle.uses.get(_PRICED[name]) if name in _PRICED else None
    now = use.now if use is not None else None if value is None else value.value / held.factor
    if now is None:
        raise ValueError(f"{held.what} has no value here: set one with --set {name}=…")
    return tuple(map(float, np.geomspace(now / SPAN, now * SPAN, STEPS)))
