"""The dated facts of the world: machines, cards, models and a market. SI and USD inside.

Every figure of a profile is a ``Value`` with its date, source and flag. All types here survive
``dataclasses.asdict`` followed by JSON.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from bench.records.journal import Field, JsonObject

FLAGS = {
    "S": "read in a source",
    "D": "derived",
    "P": "from a GPU database",
    "M": "from memory, needs a second source",
    "C": "sources conflict",
    "U": "unknown",
    "A": "assumption",
    "G": "given by the user",
}


@dataclass(frozen=True, slots=True)
class Value:
    """A dated fact: ``unit`` is SI or USD per SI, ``as_of`` an ISO date, month or year.

    ``flag`` is one or more letters of ``FLAGS`` joined by "/". ``low`` and ``high`` bound what
    the value may really be; without them it is taken as exact.
    """

    value: float
    unit: str
    as_of: str
    source: str
    flag: str
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise ValueError(f"a value must be finite: {self.value}")
        if (self.low is None) != (self.high is None):
            raise ValueError("a range needs both its ends")
        if self.low is not None and self.high is not None:
            if not self.low <= self.value <= self.high:
                raise ValueError(f"a range must hold its value: {self.low} {self.value}")
            if not math.isfinite(self.high - self.low):
                raise ValueError(f"a range must be finite: {self.low} {self.high}")


@dataclass(frozen=True, slots=True)
class ReadingProfile:
    """One power reading as published: ``offset_w + gain · mean power`` over the window."""

    update_s: Value
    window_s: Value
    lag_s: Value
    gain: Value
    offset_w: Value


@dataclass(frozen=True, slots=True)
class SensorProfile:
    """How a card's power can be read: each power field that is published, at least one."""

    readings: dict[Field, ReadingProfile]
    counter_tick_s: Value


@dataclass(frozen=True, slots=True)
class SimulatedLoad:
    """What a simulated device does under one workload; ``config`` is the point it stands for."""

    units_per_s: Value
    watts: Value
    config: JsonObject


@dataclass(frozen=True, slots=True)
class SimulationProfile:
    """A simulated device: its idle power and, per workload name, rate and power at the board."""

    idle_w: Value
    loads: dict[str, SimulatedLoad]


@dataclass(frozen=True, slots=True)
class GpuProfile:
    """One card model; ``match`` lists the names NVML reports for it, compared exactly.

    ``host_w`` is one card's share of its host (CPU, memory, fans, network) before the power
    supply; peaks are dense, without sparsity, null where the card has no such arithmetic.
    ``price_usd`` buys the bare card.
    """

    name: str
    title: str
    match: tuple[str, ...]
    architecture: str
    compute_capability: str
    sm: Value
    boost_hz: Value
    int32_lanes: Value
    memory_bytes: Value
    bandwidth_bytes_per_s: Value
    fp32_flops: Value
    bf16_flops: Value | None
    tdp_w: Value
    host_w: Value
    psu_efficiency: Value
    fp16_flops: Value | None = None
    fp8_flops: Value | None = None
    price_usd: Value | None = None
    sensor: SensorProfile | None = None
    simulation: SimulationProfile | None = None


@dataclass(frozen=True, slots=True)
class AsicProfile:
    """One mining machine by its nameplate, which is its power at the wall."""

    name: str
    title: str
    cooling: str
    hashrate_hs: Value
    watts: Value


@dataclass(frozen=True, slots=True)
class TokenPrice:
    """What tokens of one model sell for; ``model_id`` null means this run's model."""

    model_id: str | None
    in_usd_per_token: Value
    out_usd_per_token: Value


@dataclass(frozen=True, slots=True)
class RentPrice:
    """What a tenant pays for one card; ``gpu`` is a profile name, null means this device."""

    gpu: str | None
    tier: str
    usd_per_s: Value


@dataclass(frozen=True, slots=True)
class Capital:
    """What owning costs beside electricity; lives in seconds, rates a year.

    A card's capital is its price × ``node_factor`` (the rest of its server and network) × what
    dearer memory and copper make of it: 1 + Σ share·(multiplier − 1). ``residual`` is what is
    left of it after its life; ``colocation_usd_per_j`` is space, cooling and power infrastructure
    per watt of IT load and second; ``lead_time_s`` passes between paying and earning.
    """

    discount_rate: Value
    card_life_s: Value
    asic_life_s: Value
    residual: Value
    node_factor: Value
    memory_share: Value
    memory_multiplier: Value
    copper_share: Value
    copper_multiplier: Value
    lead_time_s: Value
    colocation_usd_per_j: Value
    rent_decay: Value
    asic_usd_per_hs: Value


@dataclass(frozen=True, slots=True)
class MarketProfile:
    """One consistent snapshot of prices, network and site.

    ``reward_btc`` is subsidy plus fees, ``fee_share`` fees over subsidy, ``hashprice`` USD per
    hash before pool fees, as difficulty, BTC price and reward give it. ``gpu_wall_factor`` (wall
    over board) stands in for cards without a profile. ``asics_on_sale`` names profiles.
    """

    name: str
    title: str
    height: Value
    difficulty: Value
    reward_btc: Value
    fee_share: Value
    btc_usd: Value
    hashprice_usd_per_hash: Value
    pool_fee: Value
    power_usd_per_j: Value
    pue_gpu: Value
    pue_asic: Value
    gpu_wall_factor: Value
    cpu_host_w: Value
    cpu_psu_efficiency: Value
    serve_utilisation: Value
    rent_utilisation: Value
    rent_cut: Value
    capital: Capital
    tokens: tuple[TokenPrice, ...]
    rents: tuple[RentPrice, ...]
    asics_on_sale: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """A model shape as data; ``model_id`` binds it to a token price, null has no market."""

    name: str
    model_id: str | None
    weights: str | None
    config: JsonObject
    as_of: str
    source: str
