"""The inputs of the table as a Monte Carlo sees them. Pure, deterministic in its seed.

Arrays hold the stated middle first and then the draws. What all cards share (prices, PUE, rates)
is drawn once; what is a card's own is drawn from its name, so that adding a card moves no other.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from bench.economics.capital import annuity_years, capital_usd_per_s
from bench.economics.units import S_PER_YEAR, Array
from bench.predict.calibrate import Factor
from bench.predict.priors import COMMON_SHARE
from bench.records.market import Capital, MarketProfile, TokenPrice, Value

Z95 = 1.96
DOUBTFUL_HALF = 0.30
"""Relative 95 % half-width of a card's price that is in doubt and states no range: street prices
were within 20 to 40 % of each other in mid-2026 (aiinframap.com)."""
DOUBTFUL = frozenset("MCUA")
KEPT = 16
"""Named draws that are kept for the next card of the family, or the next figure of the card."""


@lru_cache(maxsize=KEPT)
def _uniform(seed: int, draws: int, name: str) -> Array:
    return _fixed(_generator(seed, name).random(draws))


@lru_cache(maxsize=KEPT)
def _normal(seed: int, draws: int, name: str) -> Array:
    """Draws behind a middle of 0."""
    return _fixed(np.concatenate(([0.0], _generator(seed, name).standard_normal(draws))))


def _generator(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def _fixed(values: Array) -> Array:
    """The same, as nobody can change it who shares it."""
    values.flags.writeable = False
    return values


@dataclass(frozen=True, slots=True)
class Dice:
    """Where the draws come from: ``draws`` of them, from ``seed`` and a name."""

    seed: int
    draws: int

    def value(self, value: Value, name: str) -> Array:
        """Half the draws below the value, half above, evenly out to the ends of its range."""
        if value.low is None or value.high is None:
            return np.full(self.draws + 1, value.value)
        ends = [value.low, value.value, value.high]
        drawn = np.interp(_uniform(self.seed, self.draws, name), [0.0, 0.5, 1.0], ends)
        return np.concatenate(([value.value], drawn))

    def price(self, price: Value, card: str) -> Array:
        """A card's price, as drawn; in doubt even without a range where its flags say so."""
        if price.low is not None or not DOUBTFUL & set(price.flag):
            return self.value(price, f"{card}: price")
        return price.value * self.spread(DOUBTFUL_HALF, f"{card}: price")

    def spread(self, half: float, name: str) -> Array:
        """Lognormal about 1, 95 % of it within the relative ``half``."""
        return np.exp(math.log1p(half) / Z95 * self.normal(name))

    def normal(self, name: str) -> Array:
        """Standard normal draws behind a middle of 0."""
        return _normal(self.seed, self.draws, name)

    def factor(self, factor: Factor, card: str, family: str, what: str) -> Array:
        """A calibration factor, lognormal; unless it is the card's own, part of its error is the
        family's."""
        own = self.normal(f"{card}: {what}")
        if not factor.own:
            common = self.normal(f"family {family}: {what}")
            own = math.sqrt(COMMON_SHARE) * common + math.sqrt(1 - COMMON_SHARE) * own
        return factor.mid * np.exp(math.log1p(factor.half) / Z95 * own)


@dataclass(frozen=True, slots=True)
class Owning:
    """What capital costs, as drawn: shares, rates a year, seconds; see ``records.market``."""

    rate: Array
    node: Array
    memory_share: Array
    memory: Array
    copper_share: Array
    copper: Array
    lead_s: Array
    colocation_usd_per_j: Array
    decay: float
    """How much prices fall a year, at the middle."""
    charge_per_usd: Array
    """USD/s that a dollar of capital costs, level over its life."""
    level: Array
    """A0/Aδ: what an income must begin at, if it falls by ``decay``, to be worth 1 a year."""
    worth_s: Array
    """Seconds of level income that its whole life is worth today."""


@dataclass(frozen=True, slots=True)
class Stage:
    """The market as drawn, the same for every card; token prices null where there is no market."""

    dice: Dice
    usd_per_j: Array
    pue: Array
    serve_utilisation: Array
    rent_utilisation: Array
    rent_cut: Array
    in_usd_per_token: Array | None
    out_usd_per_token: Array | None
    owning: Owning


def draw_stage(market: MarketProfile, price: TokenPrice | None, dice: Dice) -> Stage:
    """Every uncertain input of the market; one place in the range for both token prices."""

    def tokens(value: Value) -> Array:
        return dice.value(value, "tokens")

    return Stage(
        dice=dice,
        usd_per_j=dice.value(market.power_usd_per_j, "power"),
        pue=dice.value(market.pue_gpu, "pue"),
        serve_utilisation=dice.value(market.serve_utilisation, "hours served"),
        rent_utilisation=dice.value(market.rent_utilisation, "hours rented"),
        rent_cut=dice.value(market.rent_cut, "cut"),
        in_usd_per_token=None if price is None else tokens(price.in_usd_per_token),
        out_usd_per_token=None if price is None else tokens(price.out_usd_per_token),
        owning=_owning(market.capital, dice),
    )


def _owning(capital: Capital, dice: Dice) -> Owning:
    rate, life_s = (
        dice.value(capital.discount_rate, "rate"),
        dice.value(capital.card_life_s, "life"),
    )
    residual, decay = (
        dice.value(capital.residual, "residual"),
        dice.value(capital.rent_decay, "decay"),
    )
    worth_years = annuity_years(rate, life_s, 0 * decay)
    one = np.ones_like(rate)
    return Owning(
        rate=rate,
        node=dice.value(capital.node_factor, "node"),
        memory_share=dice.value(capital.memory_share, "memory share"),
        memory=dice.value(capital.memory_multiplier, "memory"),
        copper_share=dice.value(capital.copper_share, "copper share"),
        copper=dice.value(capital.copper_multiplier, "copper"),
        lead_s=dice.value(capital.lead_time_s, "lead"),
        colocation_usd_per_j=dice.value(capital.colocation_usd_per_j, "colocation"),
        decay=float(decay[0]),
        charge_per_usd=capital_usd_per_s(one, residual, rate, life_s),
        level=worth_years / annuity_years(rate, life_s, decay),
        worth_s=worth_years * S_PER_YEAR,
    )
