"""What owning a card or a machine costs beside electricity, as drawn. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.economics.capital import capex_usd, capital_usd_per_s, value_at_start_usd
from bench.economics.units import Array
from bench.records.market import Capital, GpuProfile, Value


@dataclass(frozen=True, slots=True)
class Owning:
    """Level charges over a life: of this card (null without a price), and of 1 H/s of ASIC.

    ``colocation_usd_per_j`` is paid for each watt of IT load at the wall, busy or not.
    """

    card_usd_per_s: Array | None
    asic_usd_per_hash: Array
    colocation_usd_per_j: Array


def draw_owning(
    capital: Capital, gpu: GpuProfile | None, drawn: Callable[[Value], Array]
) -> Owning:
    """Capital is paid the lead time before the first earning, and leaves its residual."""
    rate, residual = drawn(capital.discount_rate), drawn(capital.residual)
    lead_s = drawn(capital.lead_time_s)
    card_life_s, asic_life_s = drawn(capital.card_life_s), drawn(capital.asic_life_s)
    dearer = {
        "node_factor": drawn(capital.node_factor),
        "memory_share": drawn(capital.memory_share),
        "memory_multiplier": drawn(capital.memory_multiplier),
        "copper_share": drawn(capital.copper_share),
        "copper_multiplier": drawn(capital.copper_multiplier),
    }
    asic_usd, colocation = drawn(capital.asic_usd_per_hs), drawn(capital.colocation_usd_per_j)
    asic = value_at_start_usd(asic_usd, rate, lead_s)
    card = None
    if gpu is not None and gpu.price_usd is not None:
        price = drawn(gpu.price_usd)
        paid = capex_usd(price, **dearer)
        start = value_at_start_usd(paid, rate, lead_s)
        card = capital_usd_per_s(start, residual, rate, card_life_s)
    return Owning(card, capital_usd_per_s(asic, residual, rate, asic_life_s), colocation)
