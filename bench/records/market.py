"""The dated facts of the world and the decision drawn from them and a run. SI and USD inside.

Every figure of a profile is a ``Value`` with its date, source and flag. All types here survive
``dataclasses.asdict`` followed by JSON.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from bench.records.journal import Field, JsonObject
from bench.records.run import Boundary, Estimate

VerdictCode = Literal["SERVE", "MINE", "RENT", "OFF", "TOO CLOSE", "NO MARKET", "UNDECIDED"]
UseCode = Literal["OFF", "MINE", "SERVE", "RENT"]
Label = Literal["robust", "leaning"]
Basis = Literal["kwh", "device-hour"]
FlipWhat = Literal[
    "token price", "rent price", "BTC price", "power price", "hours served", "hours rented"
]

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
    """

    name: str
    title: str
    match: tuple[str, ...]
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
    fp8_flops: Value | None = None
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


@dataclass(frozen=True, slots=True)
class Money:
    """An amount at the stated inputs (``mid``) and the percentiles of the Monte Carlo."""

    mid: float
    p10: float
    p50: float
    p90: float


@dataclass(frozen=True, slots=True)
class Option:
    """One use of the card. kWh are those paid at the facility, idle share included.

    ``joules_per_unit`` and ``joules_per_unit_net`` stand at ``boundary``; ``wall_factor`` is
    wall over boundary under this load, ``utilisation`` the share of hours that earn. ``_net``
    money is net of electricity. Null money has its ``reason``.
    """

    code: UseCode
    what: str
    unit: str | None = None
    units_per_s: Estimate | None = None
    joules_per_unit: Estimate | None = None
    joules_per_unit_net: Estimate | None = None
    boundary: Boundary | None = None
    wall_factor: float | None = None
    wall_factor_source: str | None = None
    pue: float | None = None
    utilisation: float | None = None
    usd_per_kwh: Money | None = None
    usd_per_kwh_net: Money | None = None
    usd_per_device_h: Money | None = None
    usd_per_device_h_net: Money | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Reference:
    """The same paid kWh in a machine that is not this card: nameplate, never an option."""

    role: Literal["best", "median", "user"]
    name: str
    title: str
    joules_per_hash: float
    pue: float
    usd_per_kwh: Money
    usd_per_kwh_net: Money
    source: str


@dataclass(frozen=True, slots=True)
class Flip:
    """Where the answer changes: ``winner`` beats ``loser`` once ``what`` is beyond ``at``.

    ``at`` and ``now`` are in ``unit``; ``ratio`` is at over now; ``at_btc`` is the same threshold
    in bitcoin instead of dollars. Null ``at`` has its ``reason``.
    """

    what: FlipWhat
    winner: str
    loser: str
    direction: Literal["above", "below"]
    unit: str
    now: float | None
    at: float | None
    ratio: float | None
    at_btc: float | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Aged:
    """A dated price that the decision used, and how old it may be before it is stale."""

    what: str
    as_of: str
    age_days: int
    limit_days: int
    stale: bool


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer: a code word for machines, a sentence for people, and what it rests on.

    ``probability`` is that of the best option beating ``runner_up`` by more than 2 % of its
    worth on ``basis``. ``oldest`` is the oldest price used; ``stale`` is true if any is.
    """

    code: VerdictCode
    label: Label | None
    sentence: str
    options: tuple[Option, ...]
    references: tuple[Reference, ...]
    flips: tuple[Flip, ...]
    probability: float | None
    best: UseCode | None
    runner_up: UseCode | None
    basis: Basis | None
    oldest: Aged | None
    stale: bool
    seed: int
