"""The rows of the table: what is said of one card at one point. SI and USD inside. Pure.

All types here survive ``dataclasses.asdict`` followed by JSON.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.economics.units import Array
from bench.predict.calibrate import Learned
from bench.predict.point import Asked
from bench.predict.standing import Rank
from bench.records.market import MarketProfile, TokenPrice, Value


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure at the stated inputs (``mid``) and the percentiles of the draws."""

    mid: float
    p2: float
    p10: float
    p50: float
    p90: float
    p97: float


@dataclass(frozen=True, slots=True)
class Money:
    """What owning the card at the point comes to, SI and USD at the facility.

    Null revenue, return and strike belong to tokens without a price; null costs to a card
    without one. ``stands_still``: power and space cost more than its tokens fetch.
    """

    usd_per_token: Spread | None = None
    token_price_usd: Spread | None = None
    revenue_usd_per_j: Spread | None = None
    margin_usd_per_j: Spread | None = None
    rent_usd_per_s: float | None = None
    required_rent_usd_per_s: Spread | None = None
    payback_s: float | None = None
    npv_per_usd: Spread | None = None
    npv_per_w: Spread | None = None
    strike_usd_per_j: Spread | None = None
    p_loss: float | None = None
    stands_still: bool | None = None


@dataclass(frozen=True, slots=True)
class Flags:
    """Doubtful flags of the values behind a row, worst first, by what is said of the card."""

    work: str = ""
    energy: str = ""
    cost: str = ""
    earned: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One card. Joules and rates per watt stand at the facility; ``board_`` ones at the board.

    ``mark`` says whether it was measured, simulated or predicted; ``why_not`` why it cannot
    serve the point. ``rank`` orders by full cost per token, ``front`` is the Pareto front of
    J/token, cost and tok/s, ``group`` joins cards that only a wall meter could tell apart.
    ``price`` and ``rent`` are those its money rests on, USD and USD/s, null without one.
    """

    name: str
    title: str
    mark: str
    run_id: str | None
    flags: Flags
    why_not: str | None = None
    batch: int | None = None
    tpot_s: float | None = None
    hashes_per_s: Spread | None = None
    joules_per_hash: Spread | None = None
    board_joules_per_hash: Spread | None = None
    tokens_per_s: Spread | None = None
    joules_per_token: Spread | None = None
    board_joules_per_token: Spread | None = None
    tokens_per_j: Spread | None = None
    facility_over_board: float | None = None
    price: Value | None = None
    rent: Value | None = None
    money: Money = Money()
    rank: Rank | None = None
    front: bool | None = None
    group: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """All rows, best first, with what measured cards taught; null ``price``: tokens have none."""

    asked: Asked
    rows: tuple[Row, ...]
    learned: Learned
    market: MarketProfile
    price: TokenPrice | None
    seed: int
    draws: int


def spread(values: Array) -> Spread:
    """The middle and the percentiles of the draws."""
    drawn = np.sort(values[1:])
    places = np.array([0.025, 0.1, 0.5, 0.9, 0.975]) * (drawn.size - 1)
    return Spread(float(values[0]), *map(float, np.interp(places, np.arange(drawn.size), drawn)))
