"""A site's machines, network and value per MW as tables, in the units of the trade."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from bench.economics.card import exchange_usd_per_token, tokens_usd_per_j
from bench.economics.mining import asic_joules_per_hash
from bench.economics.site import Input, Machine, Use, facility_w
from bench.economics.units import HASHES_PER_PHS_DAY, J_PER_KWH, J_PER_MWH, S_PER_DAY, S_PER_YEAR
from bench.records.market import AsicProfile, MarketProfile
from bench.records.site import SiteProfile
from bench.report.sheet import Cell, Column, Sheet
from bench.report.sourced import Label, flags, noted, shown

TERA, EXA, MEGA = 1e12, 1e18, 1e6
HUNDRED_MW = 1e8
YEARLY = "USD/W/y"
JOULES_PER_TOKEN = (0.1, 0.5, 2.0)


NETWORK = {
    "hashrate": Label("hash rate, from difficulty", "EH/s", 1 / EXA),
    "work": Label("hashes per block, D·2^48/65535", "hash"),
    "hashprice": Label("hashprice", "USD/PH/day", HASHES_PER_PHS_DAY),
    "issue_now": Label("new bitcoin at 600 s a block", "BTC/day", S_PER_DAY),
    "issue_then": Label("after the next halving", "BTC/day", S_PER_DAY),
    "marginal_joules": Label("machine that just pays this site's power", "J/TH", TERA),
    "anchor": Label(
        "hashprice that just pays the median machine", "USD/PH/day", HASHES_PER_PHS_DAY
    ),
    "anchor_18": Label("e·c of 18 J/TH at 0.055 USD/kWh", "USD/PH/day", HASHES_PER_PHS_DAY),
}


def nameplates(site: SiteProfile, found: Iterable[Machine]) -> Sheet:
    """EH/s against MW of each machine, and of the network's mean machine."""
    columns = (
        Column("machine", "machine"),
        Column("j_per_th", "energy", "J/TH"),
        Column("mw_per_ehs", "power of 1 EH/s", "MW"),
        Column("ehs_per_100mw", "hash rate of 100 MW", "EH/s"),
        Column("as_of", "as of"),
        Column("flag", "flag"),
    )
    fleet = site.published["fleet_joules"]
    rows = [
        (each.joules_per_hash, each.asic.title, each.asic.watts, each.asic.hashrate_hs)
        for each in found
    ]
    rows.append((fleet.value, "the network's fleet, implied", fleet, fleet))
    rows.sort(key=lambda row: row[:2])
    notes = [noted(title, value) for _, title, value, _ in rows]
    return Sheet(
        "Machines by nameplate",
        "wall",
        columns,
        tuple(
            (
                title,
                joules * TERA,
                joules * EXA / MEGA,
                HUNDRED_MW / joules / EXA,
                watts.as_of,
                flags(watts, hashrate),
            )
            for joules, title, watts, hashrate in rows
        ),
        tuple(notes),
    )


def earnings(site: SiteProfile, market: MarketProfile, found: Iterable[Machine]) -> Sheet:
    """What each machine earns at this site, and where it stops paying."""
    columns = (
        Column("machine", "machine"),
        Column("ehs", "fills the site", "EH/s"),
        Column("usd_per_mwh", "earns", "USD/MWh"),
        Column("break_even", "break-even power", "USD/kWh"),
        Column("shutdown", "shutdown BTC price", "USD"),
        Column("runs", "pays now"),
        Column("flag", "flag"),
    )
    return Sheet(
        f"Mining at {site.name}: {facility_w(site) / MEGA:.4g} MW at the meter",
        "facility",
        columns,
        tuple(
            (
                each.asic.title,
                each.site_hs / EXA,
                each.earned_usd_per_j * J_PER_MWH,
                each.earned_usd_per_j * J_PER_KWH,
                each.shutdown_btc_usd,
                each.runs,
                flags(each.asic.watts, each.asic.hashrate_hs),
            )
            for each in found
        ),
        (
            _power_note(site),
            noted("BTC", market.btc_usd),
            noted("difficulty", market.difficulty, shown(market.difficulty, "T", 1 / TERA)),
            *_mining_notes(market),
            noted("IT load", site.it_w, shown(site.it_w, "MW", 1 / MEGA)),
            noted("PUE of computers", site.pue),
        ),
    )


def network_sheet(
    site: SiteProfile,
    market: MarketProfile,
    figures: Mapping[str, float],
    halving: str,
    median: AsicProfile,
) -> Sheet:
    """The market's network, the next halving, and hashprice in the long run."""
    rows: list[tuple[Cell, ...]] = [
        (label.what, figures[key] * label.factor, label.unit) for key, label in NETWORK.items()
    ]
    rows.append(("next halving at 600 s a block", halving, "date"))
    return Sheet(
        f"Network of {market.name}",
        "wall",
        (Column("what", "figure"), Column("value", "value", digits=4), Column("unit", "unit")),
        tuple(rows),
        (
            noted("height", market.height),
            noted("difficulty", market.difficulty, shown(market.difficulty, "T", 1 / TERA)),
            noted("BTC", market.btc_usd),
            noted("reward", market.reward_btc),
            noted(f"{median.title} (median)", median.watts),
            *_mining_notes(market),
            _power_note(site),
            "what just pays is after pool fee and PUE",
            "the long-run hashprice is an anchor, no forecast: power of the marginal machine, e·c",
        ),
    )


def values(site: SiteProfile, found: Iterable[Use], warnings: Iterable[str]) -> Sheet:
    """Mine, lease and serve: income per watt of the meter and year, before capital."""
    found = tuple(found)
    return Sheet(
        "Value per watt at the meter (1 USD/W is 1 MUSD/MW)",
        "facility",
        (
            Column("use", "use"),
            Column("revenue", "revenue", YEARLY),
            Column("power", "power", YEARLY),
            Column("other", "other", YEARLY),
            Column("net", "net", YEARLY),
            Column("net_low", "all bad", YEARLY),
            Column("net_high", "all good", YEARLY),
            Column("flag", "flag"),
        ),
        tuple(
            (
                use.what,
                use.revenue.mid * S_PER_YEAR,
                use.power * S_PER_YEAR,
                _yearly(use.other),
                use.net.mid * S_PER_YEAR,
                use.net.low * S_PER_YEAR,
                use.net.high * S_PER_YEAR,
                flags(*(value for _, value in use.inputs)),
            )
            for use in found
        ),
        (
            *warnings,
            "other: costs beside power; where none is shown they are unknown and not counted;"
            " what tokens earn needs measured joules: bench verdict",
            _power_note(site),
            *_noted_once(pair for use in found for pair in use.inputs),
        ),
    )


def capital_sheet(market: MarketProfile, found: Iterable[Use]) -> Sheet:
    """Capital of each use per watt of the meter, its level charge, and what that leaves of net."""
    found = tuple(found)
    capital = market.capital
    return Sheet(
        "Capital per watt at the meter (1 USD/W is 1 MUSD/MW)",
        "facility",
        (
            Column("use", "use"),
            Column("net", "net", YEARLY),
            Column("capital", "capital", "USD/W"),
            Column("charge", "its charge", YEARLY),
            Column("left", "left", YEARLY),
            Column("flag", "flag"),
        ),
        tuple(
            (
                use.what,
                use.net.mid * S_PER_YEAR,
                use.capital_usd_per_w,
                _yearly(use.charge),
                _yearly(use.left),
                flags(*(value for _, value in use.capital_inputs)),
            )
            for use in found
        ),
        (
            "the charge is level over each life at the discount rate, paid a lead time ahead",
            "mining holds today's hashprice through the life, a halving included;"
            " rents fall in no year",
            "left of a lease counts nothing after its term, at the discount rate; equity in the"
            " table of shells is net income for ever at the cap rate: one can be below 0, the other"
            " above",
            noted("discount rate", capital.discount_rate),
            noted("node factor", capital.node_factor),
            noted("residual", capital.residual),
            noted("lead time", capital.lead_time_s),
            *_noted_once(pair for use in found for pair in use.capital_inputs),
        ),
    )


def exchange(market: MarketProfile, asics: Mapping[str, AsicProfile]) -> Sheet:
    """The token price at which a joule of the meter earns the same as a token or in a machine."""
    fee, pue = market.pool_fee.value, market.pue_asic.value
    price = market.hashprice_usd_per_hash.value
    return Sheet(
        "Exchange rate of joules: tokens for hashes",
        "facility",
        (
            Column("joules", "energy", "J/token"),
            *(Column(role, f"price equal to the {role} ASIC", "USD/Mtok", 3) for role in asics),
            Column("usd_per_mwh", "earned at 1 USD/Mtok", "USD/MWh"),
        ),
        tuple(
            (
                joules,
                *(
                    exchange_usd_per_token(
                        joules, price, asic_joules_per_hash(asic), pool_fee=fee, pue_asic=pue
                    )
                    * MEGA
                    for asic in asics.values()
                ),
                tokens_usd_per_j(1 / MEGA, joules) * J_PER_MWH,
            )
            for joules in JOULES_PER_TOKEN
        ),
        (
            *(noted(f"{role}: {asic.title}", asic.watts) for role, asic in asics.items()),
            noted("hashprice", market.hashprice_usd_per_hash),
            *_mining_notes(market),
        ),
    )


def _yearly(usd_per_j: float | None) -> float | None:
    return None if usd_per_j is None else usd_per_j * S_PER_YEAR


def _power_note(site: SiteProfile) -> str:
    power = site.power_usd_per_j
    return noted("power", power, shown(power, "USD/kWh", J_PER_KWH))


def _mining_notes(market: MarketProfile) -> tuple[str, ...]:
    """What stands between the hashprice and what a machine earns at the meter."""
    return (
        noted("pool fee", market.pool_fee, shown(market.pool_fee, "%", 100)),
        noted("PUE of mining", market.pue_asic),
    )


def _noted_once(inputs: Iterable[Input]) -> Iterator[str]:
    """Each input once, by its name."""
    return (noted(name, value) for name, value in dict(inputs).items())
