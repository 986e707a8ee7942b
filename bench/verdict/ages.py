"""How old the prices are, and from when on they are stale. Pure; power is a contract, not aged."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from bench.economics.chain import EPOCH_S, first_day
from bench.economics.units import S_PER_DAY
from bench.records.decision import Aged
from bench.records.market import GpuProfile, MarketProfile, ModelConfig, Value
from bench.records.run import WorkloadRecord
from bench.verdict.options import rent_price, token_price

PRICE_LIMIT_DAYS = 7
RENT_LIMIT_DAYS = 30
TOKEN_LIMIT_DAYS = 90
ASIC_LIMIT_DAYS = 90
DIFFICULTY_LIMIT_DAYS = int(EPOCH_S / S_PER_DAY)


def market_ages(market: MarketProfile, today: date) -> list[Aged]:
    """Every dated price of a market."""
    return [
        *_network(market, today),
        *(
            _aged(f"rent of {rent.gpu} ({rent.tier})", rent.usd_per_s, RENT_LIMIT_DAYS, today)
            for rent in market.rents
        ),
        *(
            _aged(f"tokens of {price.model_id}", price.out_usd_per_token, TOKEN_LIMIT_DAYS, today)
            for price in market.tokens
        ),
        _aged("ASICs", market.capital.asic_usd_per_hs, ASIC_LIMIT_DAYS, today),
    ]


def used_ages(
    market: MarketProfile,
    model: ModelConfig | None,
    gpu: GpuProfile | None,
    workloads: Sequence[WorkloadRecord],
    today: date,
) -> list[Aged]:
    """The prices that the decision on a run rests on."""
    ages = _network(market, today)
    if (rent := rent_price(market, gpu)) is not None:
        ages.append(_aged("rent", rent.usd_per_s, RENT_LIMIT_DAYS, today))
    sold = any(workload.unit == "token" for workload in workloads)
    if sold and (tokens := token_price(market, model)) is not None:
        ages.append(_aged("tokens", tokens.out_usd_per_token, TOKEN_LIMIT_DAYS, today))
    return ages


def _network(market: MarketProfile, today: date) -> list[Aged]:
    return [
        _aged("BTC", market.btc_usd, PRICE_LIMIT_DAYS, today),
        _aged("difficulty", market.difficulty, DIFFICULTY_LIMIT_DAYS, today),
    ]


def _aged(what: str, value: Value, limit_days: int, today: date) -> Aged:
    age_days = (today - first_day(value.as_of)).days
    return Aged(what, value.as_of, age_days, limit_days, age_days > limit_days)
