"""The market's inputs by the names a user gives them, and the market with one of them changed.

This is what ``--set`` does, what flips are exact for, and what swings and grids move.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from bench.economics.mining import usd_per_hash
from bench.economics.units import J_PER_KWH, S_PER_HOUR, S_PER_YEAR
from bench.records.market import MarketProfile, RentPrice, TokenPrice, Value

Change = Callable[[Value], Value]
TOKENS_PER_MTOK = 1e6


@dataclass(frozen=True, slots=True)
class Input:
    """``shown`` times ``factor`` is the unit inside; ``fields`` of ``room`` (the market itself,
    or its capital) hold it, none for prices that belong to a model or a card."""

    what: str
    shown: str
    factor: float = 1.0
    fields: tuple[str, ...] = ()
    capital: bool = False


INPUTS: dict[str, Input] = {
    "btc": Input("BTC price", "USD", fields=("btc_usd",)),
    "difficulty": Input("difficulty", "1", fields=("difficulty",)),
    "fee": Input("pool fee", "1", fields=("pool_fee",)),
    "power": Input("power price", "USD/kWh", 1 / J_PER_KWH, ("power_usd_per_j",)),
    "token": Input("token price", "USD/Mtok", 1 / TOKENS_PER_MTOK),
    "rent": Input("rent price", "USD/h", 1 / S_PER_HOUR),
    "utilisation": Input("hours sold", "1", fields=("serve_utilisation", "rent_utilisation")),
    "served": Input("hours served", "1", fields=("serve_utilisation",)),
    "rented": Input("hours rented", "1", fields=("rent_utilisation",)),
    "cut": Input("platform's cut", "1", fields=("rent_cut",)),
    "pue": Input("PUE", "1", fields=("pue_gpu",)),
    "asic_pue": Input("PUE of ASICs", "1", fields=("pue_asic",)),
    "wall": Input("wall over board", "1", fields=("gpu_wall_factor",)),
    "discount": Input("discount rate", "1/year", fields=("discount_rate",), capital=True),
    "life": Input("card's life", "year", S_PER_YEAR, ("card_life_s",), capital=True),
    "residual": Input("residual", "1", fields=("residual",), capital=True),
    "node": Input("node over card", "1", fields=("node_factor",), capital=True),
    "memory_share": Input("memory in capital", "1", fields=("memory_share",), capital=True),
    "memory": Input("memory's price", "×", fields=("memory_multiplier",), capital=True),
    "copper_share": Input("copper in capital", "1", fields=("copper_share",), capital=True),
    "copper": Input("copper's price", "×", fields=("copper_multiplier",), capital=True),
    "asic": Input("ASIC's price", "USD/TH", 1e-12, ("asic_usd_per_hs",), capital=True),
    "asic_life": Input("ASIC's life", "year", S_PER_YEAR, ("asic_life_s",), capital=True),
    "lead": Input("lead time", "month", S_PER_YEAR / 12, ("lead_time_s",), capital=True),
    "colocation": Input(
        "colocation", "USD/kW/month", 12 / S_PER_YEAR / 1e3, ("colocation_usd_per_j",), capital=True
    ),
}


def read(market: MarketProfile, name: str) -> Value | None:
    """The input's value; null for the prices of tokens and rents, which are many."""
    held = INPUTS[name]
    room = market.capital if held.capital else market
    return getattr(room, held.fields[0]) if held.fields else None


def changed(market: MarketProfile, name: str, change: Change) -> MarketProfile:
    """The market with every value of the input changed, hashprice following."""
    if name == "token":
        return replace(market, tokens=tuple(_token(price, change) for price in market.tokens))
    if name == "rent":
        rents = (replace(rent, usd_per_s=change(rent.usd_per_s)) for rent in market.rents)
        return replace(market, rents=tuple(rents))
    held = INPUTS[name]
    room = market.capital if held.capital else market
    values: dict[str, Any] = {field: change(getattr(room, field)) for field in held.fields}
    if held.capital:
        return replace(market, capital=replace(market.capital, **values))
    return _hashed(replace(market, **values))


def given(market: MarketProfile, name: str, value: Value) -> MarketProfile:
    """The market with the input set to one value: a token or rent price is this run's."""
    if name == "token":
        return replace(market, tokens=(TokenPrice(None, value, value), *market.tokens))
    if name == "rent":
        return replace(market, rents=(RentPrice(None, "given", value), *market.rents))
    return changed(market, name, lambda _: value)


def _token(price: TokenPrice, change: Change) -> TokenPrice:
    inward, outward = change(price.in_usd_per_token), change(price.out_usd_per_token)
    return replace(price, in_usd_per_token=inward, out_usd_per_token=outward)


def _hashed(market: MarketProfile) -> MarketProfile:
    """Hashprice follows from difficulty, price and reward."""
    found = usd_per_hash(market.difficulty.value, market.btc_usd.value, market.reward_btc.value)
    return replace(
        market, hashprice_usd_per_hash=replace(market.hashprice_usd_per_hash, value=found)
    )
