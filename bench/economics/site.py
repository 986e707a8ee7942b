"""What a site earns in closed form: mine, lease the powered shell, or serve. Pure.

Figures per watt stand at the meter that is paid unless IT is said.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, time

from bench.economics.capital import capex_usd, capital_usd_per_s, value_at_start_usd
from bench.economics.card import mean_power_w, rent_usd_per_s, wall_w
from bench.economics.chain import BLOCK_S, HALVING_BLOCKS, first_day, next_halving, subsidy_btc
from bench.economics.mining import (
    anchor_usd_per_hash,
    asic_joules_per_hash,
    hashes_per_block,
    mining_usd_per_j,
    pays,
    shutdown_btc_usd,
)
from bench.economics.span import Span, ends, scaled
from bench.economics.units import J_PER_KWH
from bench.records.market import AsicProfile, GpuProfile, MarketProfile, RentPrice, Value
from bench.records.site import Deal, SiteProfile

Input = tuple[str, Value]


@dataclass(frozen=True, slots=True)
class Machine:
    """One mining machine at a site: hashes per joule of the meter, and what they earn.

    ``earned_usd_per_j`` is also its break-even power price; ``site_hs`` fills the site with it.
    """

    asic: AsicProfile
    joules_per_hash: float
    site_hs: float
    earned_usd_per_j: float
    shutdown_btc_usd: float
    runs: bool


@dataclass(frozen=True, slots=True)
class Use:
    """One use of the site per watt of the meter; money per joule of it, capital per watt.

    ``other`` are costs beside power and capital, null where unknown and then not counted;
    ``charge`` is the level cost of capital, null where a price is unknown. Inputs are named.
    """

    what: str
    revenue: Span
    power: float
    other: float | None
    net: Span
    capital_usd_per_w: float | None
    charge: float | None
    inputs: tuple[Input, ...]
    capital_inputs: tuple[Input, ...]

    @property
    def left(self) -> float | None:
        """Net less the charge of capital."""
        return None if self.charge is None else self.net.mid - self.charge


def facility_w(site: SiteProfile) -> float:
    """Watts at the meter with the whole IT load running: IT × PUE."""
    return site.it_w.value * site.pue.value


def machines(
    site: SiteProfile, market: MarketProfile, asics: Iterable[AsicProfile]
) -> tuple[Machine, ...]:
    """Every machine at this site's power price, the thriftiest first; it runs if it pays."""
    found = [_machine(site, market, asic) for asic in asics]
    return tuple(sorted(found, key=lambda each: (each.joules_per_hash, each.asic.name)))


def uses(
    site: SiteProfile,
    market: MarketProfile,
    asics: Iterable[AsicProfile],
    cards: Iterable[tuple[GpuProfile, RentPrice]],
) -> tuple[Use, ...]:
    """Mine with each machine given, lease the shell, colocate, and serve with each card let."""
    return (
        *(_mine(site, market, asic) for asic in asics),
        _lease(site, market),
        _colocate(site, market),
        *(_serve(site, market, gpu, rent) for gpu, rent in cards),
    )


def income_usd_per_j(deal: Deal) -> float:
    """Contract value over term and IT load, USD per joule of it."""
    return deal.contract_usd.value / deal.term_s.value / deal.it_w.value


def halving(market: MarketProfile) -> datetime:
    """When the next halving comes at 600 s a block from the market's height."""
    at = datetime.combine(first_day(market.height.as_of), time())
    return next_halving(int(market.height.value), at)


def network(site: SiteProfile, market: MarketProfile, median: AsicProfile) -> dict[str, float]:
    """The market's network in figures, by name, SI.

    ``marginal_joules`` is the J/hash that just pays this site's power, ``anchor`` the hashprice
    at which the median machine does after the pool fee, ``anchor_18`` e·c of 18 J/TH at 5.5 c/kWh.
    """
    power, pue = site.power_usd_per_j.value, market.pue_asic.value
    kept = 1 - market.pool_fee.value
    height = int(market.height.value)
    after = (height // HALVING_BLOCKS + 1) * HALVING_BLOCKS
    return {
        "hashrate": hashes_per_block(market.difficulty.value) / BLOCK_S,
        "work": hashes_per_block(market.difficulty.value),
        "hashprice": market.hashprice_usd_per_hash.value,
        "issue_now": subsidy_btc(height) / BLOCK_S,
        "issue_then": subsidy_btc(after) / BLOCK_S,
        "marginal_joules": market.hashprice_usd_per_hash.value * kept / (power * pue),
        "anchor": anchor_usd_per_hash(asic_joules_per_hash(median), power * pue) / kept,
        "anchor_18": anchor_usd_per_hash(18e-12, 0.055 / J_PER_KWH),
    }


def _machine(site: SiteProfile, market: MarketProfile, asic: AsicProfile) -> Machine:
    joules, pue, fee = asic_joules_per_hash(asic), market.pue_asic.value, market.pool_fee.value
    price, power = market.hashprice_usd_per_hash.value, site.power_usd_per_j.value
    return Machine(
        asic=asic,
        joules_per_hash=joules,
        site_hs=facility_w(site) / (joules * pue),
        earned_usd_per_j=mining_usd_per_j(price, joules, fee, pue),
        shutdown_btc_usd=shutdown_btc_usd(
            joules,
            power,
            market.difficulty.value,
            market.reward_btc.value,
            pool_fee=fee,
            pue=pue,
        ),
        runs=pays(power, price, joules, fee, pue),
    )


def _mine(site: SiteProfile, market: MarketProfile, asic: AsicProfile) -> Use:
    joules, price = asic_joules_per_hash(asic), market.hashprice_usd_per_hash.value
    fee, pue = ends(market.pool_fee), ends(market.pue_asic)
    capital = market.capital
    earned = Span(
        mining_usd_per_j(price, joules, fee.mid, pue.mid),
        mining_usd_per_j(price, joules, fee.high, pue.high),
        mining_usd_per_j(price, joules, fee.low, pue.low),
    )
    asics_usd = capital.asic_usd_per_hs.value / (joules * pue.mid)
    hall_usd = site.mine_usd_per_w.value / pue.mid
    lead_s, residual = capital.lead_time_s.value, capital.residual.value
    charge = _charge(market, asics_usd, residual, capital.asic_life_s.value, lead_s)
    charge += _charge(market, hall_usd, 0.0, site.lease.term_s.value, lead_s)
    return Use(
        what=f"mine: {asic.title}",
        revenue=earned,
        power=site.power_usd_per_j.value,
        other=None,
        net=_less_power(earned, ends(site.power_usd_per_j)),
        capital_usd_per_w=asics_usd + hall_usd,
        charge=charge,
        inputs=(
            (asic.title, asic.watts),
            ("hashprice", market.hashprice_usd_per_hash),
            ("pool fee", market.pool_fee),
            ("PUE of mining", market.pue_asic),
        ),
        capital_inputs=(
            ("price of machines", capital.asic_usd_per_hs),
            ("life of machines", capital.asic_life_s),
            ("mining hall", site.mine_usd_per_w),
            ("lease term", site.lease.term_s),
        ),
    )


def _lease(site: SiteProfile, market: MarketProfile) -> Use:
    """The tenant pays for power; what the landlord pays beside it is income less net income.

    The profile takes both from the same deals.
    """
    lease, pue = site.lease, site.pue.value
    income, net = ends(lease.income_usd_per_j), ends(lease.net_income_usd_per_j)
    hall_usd = lease.build_now_usd_per_w.value / pue
    return Use(
        what="lease: powered shell",
        revenue=scaled(income, 1 / pue),
        power=0.0,
        other=(income.mid - net.mid) / pue,
        net=scaled(net, 1 / pue),
        capital_usd_per_w=hall_usd,
        charge=_charge(market, hall_usd, 0.0, lease.term_s.value, site.conversion_s.value),
        inputs=(
            ("lease income", lease.income_usd_per_j),
            ("lease net income", lease.net_income_usd_per_j),
            ("PUE of computers", site.pue),
        ),
        capital_inputs=(
            ("data hall", lease.build_now_usd_per_w),
            ("lease term", lease.term_s),
            ("conversion", site.conversion_s),
        ),
    )


def _colocate(site: SiteProfile, market: MarketProfile) -> Use:
    """Space by the kW and month, tenants paying for power; running costs are not known."""
    pue, price = site.pue.value, market.capital.colocation_usd_per_j
    hall_usd = site.lease.build_now_usd_per_w.value / pue
    revenue = scaled(ends(price), 1 / pue)
    return Use(
        what="lease: colocation",
        revenue=revenue,
        power=0.0,
        other=None,
        net=revenue,
        capital_usd_per_w=hall_usd,
        charge=_charge(market, hall_usd, 0.0, site.lease.term_s.value, site.conversion_s.value),
        inputs=(
            ("colocation", price),
            ("PUE of computers", site.pue),
        ),
        capital_inputs=(
            ("data hall", site.lease.build_now_usd_per_w),
            ("lease term", site.lease.term_s),
            ("conversion", site.conversion_s),
        ),
    )


def _serve(site: SiteProfile, market: MarketProfile, gpu: GpuProfile, rent: RentPrice) -> Use:
    """Own cards let by the hour, at full board power while let; hall and cards are paid for."""
    busy_w = site.pue.value * wall_w(gpu.tdp_w.value, gpu.host_w.value, gpu.psu_efficiency.value)
    price, used, cut = (
        ends(value) for value in (rent.usd_per_s, market.rent_utilisation, market.rent_cut)
    )
    earned = Span(
        rent_usd_per_s(price.mid, used.mid, cut.mid) / busy_w,
        rent_usd_per_s(price.low, used.low, cut.high) / busy_w,
        rent_usd_per_s(price.high, used.high, cut.low) / busy_w,
    )
    drawn = mean_power_w(1.0, site.idle_share.value, used.mid)
    power = ends(site.power_usd_per_j)
    card_usd = _card_usd(market, gpu)
    hall_usd = site.lease.build_now_usd_per_w.value / site.pue.value
    charge = None
    if card_usd is not None:
        capital = market.capital
        charge = _charge(
            market,
            card_usd / busy_w,
            capital.residual.value,
            capital.card_life_s.value,
            capital.lead_time_s.value,
        )
        charge += _charge(market, hall_usd, 0.0, site.lease.term_s.value, site.conversion_s.value)
    return Use(
        what=f"let: {gpu.title}",
        revenue=earned,
        power=drawn * power.mid,
        other=None,
        net=_less_power(earned, scaled(power, drawn)),
        capital_usd_per_w=None if card_usd is None else card_usd / busy_w + hall_usd,
        charge=charge,
        inputs=(
            (f"{gpu.title}, {rent.tier}", rent.usd_per_s),
            (f"{gpu.title}, board power", gpu.tdp_w),
            (f"{gpu.title}, host", gpu.host_w),
            ("share of hours let", market.rent_utilisation),
            ("share of the platform", market.rent_cut),
            ("idle share of power", site.idle_share),
        ),
        capital_inputs=(
            *(() if gpu.price_usd is None else ((f"{gpu.title}, price", gpu.price_usd),)),
            ("life of cards", market.capital.card_life_s),
            ("data hall", site.lease.build_now_usd_per_w),
        ),
    )


def _card_usd(market: MarketProfile, gpu: GpuProfile) -> float | None:
    capital = market.capital
    if gpu.price_usd is None:
        return None
    return capex_usd(
        gpu.price_usd.value,
        capital.node_factor.value,
        capital.memory_share.value,
        capital.memory_multiplier.value,
        capital.copper_share.value,
        capital.copper_multiplier.value,
    )


def _charge(
    market: MarketProfile, usd: float, residual: float, life_s: float, lead_s: float
) -> float:
    """The level charge of capital that is paid the lead time before it earns."""
    rate = market.capital.discount_rate.value
    start = value_at_start_usd(usd, rate, lead_s)
    return float(capital_usd_per_s(start, residual, rate, life_s))


def _less_power(earned: Span, power: Span) -> Span:
    return Span(earned.mid - power.mid, earned.low - power.high, earned.high - power.low)
