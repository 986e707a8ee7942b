"""The values that a row rests on: which are in doubt, and which of the market are assumed. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from bench.predict.point import Asked
from bench.predict.row import Flags
from bench.records.market import GpuProfile, MarketProfile, RentPrice, TokenPrice, Value

WORST = "UCMA"
"""Flags that stay visible, worst first: unknown, conflicting, from memory, assumed."""


def row_flags(
    gpu: GpuProfile,
    asked: Asked,
    market: MarketProfile,
    price: TokenPrice | None,
    rent: RentPrice | None,
    *,
    serves: bool,
) -> Flags:
    """The doubtful flags behind each of a row's figures; money only of a card that serves."""
    work = _working(gpu, asked)
    energy = (*work, gpu.tdp_w, gpu.host_w, gpu.psu_efficiency, market.pue_gpu)
    if not serves:
        return Flags(doubts(work), doubts(energy))
    owned = None if gpu.price_usd is None else (*energy, gpu.price_usd, *owning(market).values())
    earned: list[Value] = []
    if price is not None:
        earned += [*energy, price.in_usd_per_token, price.out_usd_per_token]
        earned += [market.power_usd_per_j, market.serve_utilisation]
    if rent is not None:
        earned.append(rent.usd_per_s)
    if owned is not None:
        earned += [*owned, *letting(market).values()]
    return Flags(doubts(work), doubts(energy), doubts(owned or ()), doubts(earned))


def owning(market: MarketProfile) -> dict[str, Value]:
    """What the full cost of every card takes from the market, by name."""
    own = market.capital
    return {
        "discount rate": own.discount_rate,
        "life": own.card_life_s,
        "residual": own.residual,
        "node factor": own.node_factor,
        "memory share": own.memory_share,
        "memory multiplier": own.memory_multiplier,
        "copper share": own.copper_share,
        "copper multiplier": own.copper_multiplier,
        "lead time": own.lead_time_s,
        "colocation": own.colocation_usd_per_j,
        "fall of prices": own.rent_decay,
        "power price": market.power_usd_per_j,
        "PUE": market.pue_gpu,
        "hours served": market.serve_utilisation,
    }


def letting(market: MarketProfile) -> dict[str, Value]:
    """What the required rent takes from the market beside that."""
    return {"hours let": market.rent_utilisation, "the platform's cut": market.rent_cut}


def assumed(market: MarketProfile) -> tuple[str, ...]:
    """Names of the market's values that are nobody's figure but this program's (flag A)."""
    every = {**owning(market), **letting(market)}
    return tuple(name for name, value in every.items() if "A" in value.flag.split("/"))


def doubts(values: Iterable[Value]) -> str:
    """Their doubtful flags, worst first."""
    letters = {letter for value in values for letter in value.flag.split("/")}
    return "".join(letter for letter in WORST if letter in letters)


def _working(gpu: GpuProfile, asked: Asked) -> tuple[Value, ...]:
    peaks = {"fp32": gpu.fp32_flops, "fp8": gpu.fp8_flops}
    used = (
        gpu.sm,
        gpu.boost_hz,
        gpu.int32_lanes,
        gpu.memory_bytes,
        gpu.bandwidth_bytes_per_s,
        peaks.get(asked.precision, gpu.bf16_flops or gpu.fp16_flops),
    )
    return tuple(value for value in used if value is not None)
