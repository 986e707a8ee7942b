"""Published shells, contracts and figures as tables, ours beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bench.economics.printed import Shell, agreement
from bench.economics.site import income_usd_per_j
from bench.economics.span import Span
from bench.economics.units import HASHES_PER_PHS_DAY, J_PER_KWH, S_PER_DAY, S_PER_YEAR
from bench.records.market import Value
from bench.records.site import SiteProfile
from bench.report.sheet import Cell, Column, Sheet
from bench.report.sourced import Label, flags, noted, shown

TERA, EXA, MEGA, GIGA = 1e12, 1e18, 1e6, 1e9
PRINTED = {
    "network_power": Label("network power", "GW", 1 / GIGA),
    "network_hashrate": Label("network hash rate", "EH/s", 1 / EXA),
    "fleet_joules": Label("mean of the fleet", "J/TH", TERA),
    "gap": Label("power missing in the US by 2028", "GW", 1 / GIGA),
    "supply_2026": Label("power supplied, later note", "GW", 1 / GIGA),
    "issue_before": Label("new bitcoin before the halving", "BTC/day", S_PER_DAY),
    "issue_after": Label("new bitcoin after it", "BTC/day", S_PER_DAY),
    "difficulty_change": Label("retarget of February 2026", "%", 100),
    "epoch": Label("epoch before 2026-06-13", "day", 1 / S_PER_DAY),
    "hashprice": Label("hashprice", "USD/PH/day", HASHES_PER_PHS_DAY),
    "shutdown_s21": Label("shutdown price, S21", "USD"),
    "shutdown_s23_hyd": Label("shutdown price, S23 Hyd", "USD"),
    "shutdown_m63s": Label("shutdown price, M63S", "USD"),
    "break_even_s19_xp": Label("break-even power, S19 XP", "USD/kWh", J_PER_KWH),
    "shell_hyperscaler": Label("shell equity, hyperscaler", "USD/W"),
    "shell_neocloud": Label("shell equity, neocloud", "USD/W"),
    "note_conversion": Label("conversion price of a note", "USD"),
    "note_premium": Label("its premium", "%", 100),
    "note_cap": Label("its cap", "USD"),
}


def shell_sheet(site: SiteProfile, found: Iterable[Shell], printed: Iterable[Value]) -> Sheet:
    """Equity of a leased shell per watt of IT load, and the cap rates that others would need."""
    columns = (
        Column("shell", "shell"),
        Column("noi", "NOI", "USD/W/y"),
        Column("build", "build", "USD/W"),
        Column("equity", "equity", "USD/W"),
        Column("low", "low", "USD/W"),
        Column("high", "high", "USD/W"),
        Column("dscr", "DSCR"),
        Column("thin", "thin"),
        *(Column(f"cap_{value.value:g}", f"at {value.value:g}", "%") for value in printed),
    )
    lease = site.lease
    return Sheet(
        "Leased powered shell, per watt of IT load",
        "wall",
        columns,
        tuple(
            (
                each.what,
                each.net_income_usd_per_w_year,
                each.build.value,
                each.equity.mid,
                each.equity.low,
                each.equity.high,
                each.dscr,
                each.thin,
                *(rate * 100 for rate in each.implied_cap_rates),
            )
            for each in found
        ),
        (
            "equity = net operating income (NOI) / cap rate − build; low, high: all bad, all good",
            "thin: DSCR, the cover of debt service, below 1.25;"
            " at …: the cap rate that would give that equity",
            noted("cap rate", lease.cap_rate, shown(lease.cap_rate, "%", 100)),
            noted("net income", lease.net_income_usd_per_j),
            noted("build of the deals", lease.build_usd_per_w),
            noted("build of today", lease.build_now_usd_per_w),
            noted("debt over cost", lease.loan_to_cost),
            noted("debt rate", lease.debt_rate, shown(lease.debt_rate, "%", 100)),
            noted("term", lease.term_s, shown(lease.term_s, "years", 1 / S_PER_YEAR)),
        ),
    )


def deals(site: SiteProfile) -> Sheet:
    """Contracts of such sites: their income per watt and year computed, and as it was printed."""
    columns = (
        Column("deal", "deal"),
        Column("term", "term", "y"),
        Column("it", "IT", "MW"),
        Column("contract", "contract", "BUSD"),
        Column("ours", "income", "USD/W/y"),
        Column("printed", "printed", "USD/W/y"),
        Column("noi", "NOI", "USD/W/y"),
        Column("as_of", "as of"),
        Column("flag", "flag"),
    )
    return Sheet(
        "Published contracts, per watt of IT load",
        "wall",
        columns,
        tuple(
            (
                deal.title,
                deal.term_s.value / S_PER_YEAR,
                deal.it_w.value / MEGA,
                deal.contract_usd.value / GIGA,
                income_usd_per_j(deal) * S_PER_YEAR,
                deal.income_usd_per_j.value * S_PER_YEAR,
                None
                if deal.net_income_usd_per_j is None
                else deal.net_income_usd_per_j.value * S_PER_YEAR,
                deal.contract_usd.as_of,
                flags(deal.contract_usd, deal.it_w, deal.term_s),
            )
            for deal in site.deals
        ),
        tuple(
            noted(deal.title, deal.contract_usd, shown(deal.contract_usd, "BUSD", 1 / GIGA))
            for deal in site.deals
        ),
    )


def printed_beside(site: SiteProfile, ours: Mapping[str, Span]) -> Sheet:
    """What others printed and what the formulas give for the inputs they named."""
    columns = (
        Column("figure", "figure"),
        Column("unit", "unit"),
        Column("published", "published", digits=4),
        Column("ours", "ours", digits=4),
        Column("low", "low", digits=4),
        Column("high", "high", digits=4),
        Column("difference", "off", "%", 2),
        Column("agrees", "agrees"),
        Column("as_of", "as of", optional=True),
        Column("flag", "flag", optional=True),
    )
    rows = tuple(_beside(PRINTED[key], site.published[key], span) for key, span in ours.items())
    return Sheet(
        "Published figures beside ours",
        "wall",
        columns,
        rows,
        (
            "agrees: yes within 1 %, or within 10 % where the ranges meet; within range: only the"
            " ranges meet; implied: the published figure is itself computed back (flag D)",
            "low and high: ours with all inputs bad, all good",
            "the shell equities were printed without their inputs: ours has dated ones, and the"
            " table of shells the cap rates that would give the printed",
            *(
                noted(label.what, value, shown(value, label.unit, label.factor))
                for label, value in ((PRINTED[key], site.published[key]) for key in ours)
            ),
        ),
    )


def _beside(label: Label, published: Value, ours: Span) -> tuple[Cell, ...]:
    exact = ours.low == ours.high
    return (
        label.what,
        label.unit,
        published.value * label.factor,
        ours.mid * label.factor,
        None if exact else ours.low * label.factor,
        None if exact else ours.high * label.factor,
        (ours.mid / published.value - 1) * 100,
        agreement(published, ours),
        published.as_of,
        published.flag,
    )
