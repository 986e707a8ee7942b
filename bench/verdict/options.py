"""The uses of one card, each priced as money per paid joule and per device-hour. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bench.economics.card import mean_power_w, rent_usd_per_s, tokens_usd_per_s, usd_per_joule
from bench.economics.units import J_PER_KWH, S_PER_HOUR, Array
from bench.records.decision import Basis, Money, Option, UseCode
from bench.records.journal import JsonObject
from bench.records.market import GpuProfile, MarketProfile, ModelConfig, RentPrice, TokenPrice
from bench.records.run import Idle, WorkloadRecord
from bench.verdict.draws import Load, World, draw_idle_w, draw_load, money, spread
from bench.verdict.inputs import INPUTS

NO_CAPITAL = "what this device costs to buy is not known"
SOLD_AS_TOKENS = ("endpoint", "serve", "decode")  # the first that was measured is priced


@dataclass(frozen=True, slots=True)
class Use:
    """A use of the card: what it earns while busy, for which share of hours, on what power.

    Watts are the facility's, ``wall_factor`` is wall over boundary. ``now`` is the price it rests
    on, in the unit that ``INPUTS[price]`` shows; null for tokens without one. ``busy_at_one`` is
    what it earns at a price of exactly one such unit, ``busy_usd_per_s`` at the drawn price.
    """

    code: UseCode
    what: str
    load: Load | None
    busy_usd_per_s: Array
    busy_at_one: Array
    utilisation: Array
    busy_w: Array | None
    idle_w: Array | None
    wall_factor: float | None
    price: str
    now: float | None

    @property
    def usd_per_s(self) -> Array:
        """Gross USD/s over all hours."""
        return self.busy_usd_per_s * self.utilisation

    @property
    def mean_w(self) -> Array | None:
        """Watts paid over all hours."""
        if self.busy_w is None or self.idle_w is None:
            return None
        return mean_power_w(self.busy_w, self.idle_w, self.utilisation)

    def owning_usd_per_s(self, world: World) -> Array | None:
        """Capital and colocation, USD/s, of a place that can feed this use; null if unknown."""
        owning = world.owning
        if self.busy_w is None or owning.card_usd_per_s is None:
            return None
        return owning.card_usd_per_s + owning.colocation_usd_per_j * self.busy_w / world.node.pue

    def full_usd_per_s(self, world: World) -> Array | None:
        """USD/s over all hours, net of electricity, capital and colocation; null if unknown."""
        owned = self.owning_usd_per_s(world)
        if self.mean_w is None or owned is None:
            return None
        return self.usd_per_s - self.mean_w * world.usd_per_j - owned

    @property
    def usd_per_j(self) -> Array | None:
        """Gross USD per joule paid."""
        return None if self.mean_w is None else usd_per_joule(self.usd_per_s, self.mean_w)

    def at_one(self, basis: Basis) -> Array:
        """What it is worth on ``basis`` at a price of exactly one unit."""
        earned = self.busy_at_one * self.utilisation
        if basis == "device-hour" or self.mean_w is None:
            return earned
        return usd_per_joule(earned, self.mean_w)


def price_uses(
    world: World,
    market: MarketProfile,
    *,
    workloads: Sequence[WorkloadRecord],
    idle: Idle,
    model: ModelConfig | None,
    gpu: GpuProfile | None,
) -> dict[UseCode, Use]:
    """The uses that were measured (MINE, SERVE) or have a price (RENT)."""
    hashing = draw_load(world, _thriftiest([w for w in workloads if w.unit == "hash"]))
    tokens = draw_load(world, _sold_as_tokens(workloads))
    loads = [load for load in (hashing, tokens) if load is not None]
    busiest = max(loads, key=_watts, default=None)
    idle_w = None if busiest is None else draw_idle_w(world, idle, busiest)
    uses: dict[UseCode, Use] = {}
    if hashing is not None:
        uses["MINE"] = _mine(world, market, hashing, idle_w)
    if tokens is not None:
        uses["SERVE"] = _serve(world, market, tokens, idle_w, model)
    if (rent := rent_price(market, gpu)) is not None:
        uses["RENT"] = _rent(world, rent, busiest, idle_w)
    return uses


def token_price(market: MarketProfile, model: ModelConfig | None) -> TokenPrice | None:
    """The price of this run's tokens: one that the user set, else that of the model's id."""
    for price in market.tokens:
        if price.model_id is None or (model is not None and price.model_id == model.model_id):
            return price
    return None


def rent_price(market: MarketProfile, gpu: GpuProfile | None) -> RentPrice | None:
    """The rent of this device: one that the user set, else that of the card's profile."""
    for price in market.rents:
        if price.gpu is None or (gpu is not None and price.gpu == gpu.name):
            return price
    return None


def off(uses: Mapping[UseCode, Use], world: World) -> Option:
    """The card switched off: the zero that every other use must beat.

    A card that is owned costs its capital, and a place that can feed its busiest use, also then.
    """
    nothing = Money(0.0, 0.0, 0.0, 0.0)
    places = [cost for use in uses.values() if (cost := use.owning_usd_per_s(world)) is not None]
    owned = max(places, key=lambda cost: float(cost[0]), default=None)
    return Option(
        code="OFF",
        what="off",
        usd_per_device_h=nothing,
        usd_per_device_h_net=nothing,
        reason="nothing runs, so no kWh is paid",
        usd_per_device_h_full=None if owned is None else money(-owned, S_PER_HOUR),
        full_reason=NO_CAPITAL if owned is None else None,
    )


def option(use: Use, world: World) -> Option:
    """A use as the record shows it; money is null without a price, per kWh null without joules."""
    load, per_j, mean_w = use.load, use.usd_per_j, use.mean_w
    metrics = None if load is None else load.record.metrics
    shown = Option(
        code=use.code,
        what=use.what,
        unit=None if load is None else load.record.unit,
        units_per_s=None if metrics is None else metrics.units_per_s,
        joules_per_unit=None if metrics is None else metrics.joules_per_unit,
        joules_per_unit_net=None if metrics is None else metrics.joules_per_unit_net,
        boundary=None if metrics is None else metrics.boundary,
        wall_factor=use.wall_factor,
        wall_factor_source=world.node.source,
        pue=float(world.node.pue[0]),
        utilisation=float(use.utilisation[0]),
    )
    if use.now is None:
        reason = "its tokens have no price in this market"
        return replace(shown, reason=reason, full_reason=reason)
    shown = replace(shown, usd_per_device_h=money(use.usd_per_s, S_PER_HOUR))
    if per_j is None or mean_w is None:
        reason = f"no figure per kWh: {why_no_joules(use)}"
        return replace(shown, reason=reason, full_reason=reason)
    full = use.full_usd_per_s(world)
    if full is None:
        shown = replace(shown, full_reason=NO_CAPITAL)
    else:
        shown = replace(
            shown,
            usd_per_kwh_full=money(full / mean_w, J_PER_KWH),
            usd_per_device_h_full=money(full, S_PER_HOUR),
        )
    return replace(
        shown,
        usd_per_kwh=money(per_j, J_PER_KWH),
        usd_per_kwh_net=money(per_j - world.usd_per_j, J_PER_KWH),
        usd_per_device_h_net=money(use.usd_per_s - mean_w * world.usd_per_j, S_PER_HOUR),
    )


def absent(code: UseCode, reason: str) -> Option:
    """A use that this run or this market knows nothing of."""
    return Option(code=code, what=code.lower(), reason=reason, full_reason=reason)


def why_no_joules(use: Use) -> str:
    """Why a use has no figures per joule."""
    reason = None if use.load is None else use.load.record.metrics.reason
    return reason or "no energy was measured"


def _mine(world: World, market: MarketProfile, load: Load, idle_w: Array | None) -> Use:
    return Use(
        code="MINE",
        what="hashed here",
        load=load,
        busy_usd_per_s=load.units_per_s * world.usd_per_hash * (1 - world.pool_fee),
        busy_at_one=load.units_per_s * world.usd_per_hash_per_btc * (1 - world.pool_fee),
        utilisation=world.constant(1.0),
        busy_w=load.facility_w,
        idle_w=idle_w,
        wall_factor=_wall_factor(load, world),
        price="btc",
        now=market.btc_usd.value,
    )


def _serve(
    world: World,
    market: MarketProfile,
    load: Load,
    idle_w: Array | None,
    model: ModelConfig | None,
) -> Use:
    price = token_price(market, model)
    inputs = in_per_out(load.record.config)
    one = world.constant(INPUTS["token"].factor)
    at_one = tokens_usd_per_s(load.units_per_s, inputs, one, one, world.constant(1.0))
    earned = at_one
    if price is not None:
        inward = spread(price.in_usd_per_token, world.token_draw)
        outward = spread(price.out_usd_per_token, world.token_draw)
        whole = world.constant(1.0)
        earned = tokens_usd_per_s(load.units_per_s, inputs, inward, outward, whole)
    return Use(
        code="SERVE",
        what=_as_tokens(load.record, model),
        load=load,
        busy_usd_per_s=earned,
        busy_at_one=at_one,
        utilisation=world.serve_utilisation,
        busy_w=load.facility_w,
        idle_w=idle_w,
        wall_factor=_wall_factor(load, world),
        price="token",
        now=None if price is None else _blended(price, inputs) / INPUTS["token"].factor,
    )


def _rent(world: World, rent: RentPrice, busiest: Load | None, idle_w: Array | None) -> Use:
    """A tenant may do anything: his power is taken as the highest that was measured."""
    price = spread(rent.usd_per_s, world.rent_draw)
    one = world.constant(INPUTS["rent"].factor)
    return Use(
        code="RENT",
        what=f"rented ({rent.tier})",
        load=None,
        busy_usd_per_s=rent_usd_per_s(price, world.constant(1.0), world.rent_cut),
        busy_at_one=rent_usd_per_s(one, world.constant(1.0), world.rent_cut),
        utilisation=world.rent_utilisation,
        busy_w=None if busiest is None else busiest.facility_w,
        idle_w=idle_w,
        wall_factor=_wall_factor(busiest, world),
        price="rent",
        now=rent.usd_per_s.value / INPUTS["rent"].factor,
    )


def _thriftiest(records: Sequence[WorkloadRecord]) -> WorkloadRecord | None:
    """Of several hash kernels that with the least J/hash, else the fastest."""

    def rank(record: WorkloadRecord) -> tuple[float, float]:
        joules, rate = record.metrics.joules_per_unit, record.metrics.units_per_s
        return (joules.mid if joules else math.inf, -rate.mid if rate else 0.0)

    return min(records, key=rank, default=None)


def _sold_as_tokens(records: Sequence[WorkloadRecord]) -> WorkloadRecord | None:
    for name in SOLD_AS_TOKENS:
        for record in records:
            if record.name == name and record.unit == "token":
                return record
    return None


def in_per_out(config: JsonObject) -> float:
    """Prompt tokens sold with each generated one: those of the request mix, else none."""
    mix = config.get("mix")
    return mix["in_tokens"] / mix["out_tokens"] if mix else 0.0


def _blended(price: TokenPrice, inputs: float) -> float:
    """USD per token, prompt and generated ones counted alike, as one price for both would be."""
    inward, outward = price.in_usd_per_token.value, price.out_usd_per_token.value
    return (inputs * inward + outward) / (inputs + 1)


def _as_tokens(record: WorkloadRecord, model: ModelConfig | None) -> str:
    """Whose tokens, and at which point: "as 8b tokens (T1, bf16, 1k/1k, b64, 50 ms)"."""
    name = record.config.get("model") if model is None else model.name
    return f"as {name or 'its'} tokens ({operating_point(record)})"


def operating_point(record: WorkloadRecord) -> str:
    """Tier, precision, request mix, batch, context and latency limit of a token workload."""
    config = record.config
    mix, limit_s = config.get("mix"), config.get("slo_tpot_s")
    marks = [
        record.tier,
        config.get("precision"),
        f"{_k(mix['in_tokens'])}/{_k(mix['out_tokens'])}" if mix else "decode only",
        f"b{config['batch']}" if config.get("batch") is not None else None,
        f"c{config['context']}" if config.get("context") is not None and not mix else None,
        f"{1000 * limit_s:g} ms" if limit_s else None,
    ]
    return ", ".join(str(mark) for mark in marks if mark)


def _k(tokens: float) -> str:
    return f"{tokens / 1024:g}k" if tokens % 1024 == 0 else f"{tokens:g}"


def _watts(load: Load) -> float:
    return 0.0 if load.watts is None else float(load.watts[0])


def _wall_factor(load: Load | None, world: World) -> float | None:
    if load is None or load.watts is None:
        return None
    wall = world.node.wall_w(load.watts, load.record.metrics.boundary)
    return float(wall[0] / load.watts[0])
