"""Sites: TOML → ``SiteProfile``. MW, GW, USD/W and EH/s of profiles stop here."""

from __future__ import annotations

from bench.catalogue import units
from bench.catalogue.rooms import open_profile
from bench.catalogue.tomlfile import Table, Unit
from bench.economics.units import J_PER_KWH, S_PER_DAY, S_PER_YEAR
from bench.records.market import Value
from bench.records.site import Deal, Lease, SiteProfile

_MW = Unit("MW", "W", 1e6, above=1e-6, most=1e5)
_GW = Unit("GW", "W", 1e9, above=1e-9, most=1e5)
_TWH_A_YEAR = Unit("TWh/year", "W", 1e9 * J_PER_KWH / S_PER_YEAR, above=1e-6, most=1e6)
_EHS = Unit("EH/s", "H/s", 1e18, above=1e-9, most=1e9)
_J_PER_TH = Unit("J/TH", "J/hash", 1e-12, above=1e-3, most=1e9)
_USD_PER_W = Unit("USD/W", "USD/W", above=1e-6, most=1e4)
_INCOME = Unit("MUSD/MW/year", "USD/J", 1 / S_PER_YEAR, above=1e-6, most=1e4)
_BUSD = Unit("BUSD", "USD", 1e9, above=1e-6, most=1e5)
_BTC_A_DAY = Unit("BTC/day", "BTC/s", 1 / S_PER_DAY, above=1e-8, most=1e4)
_DAYS = Unit("day", "s", S_PER_DAY, above=1e-3, most=1e4)
_PERCENT = Unit("%", "1", 0.01, above=-100.0, most=1e4)
_CAP_RATE = Unit("1/year", "1/year", above=1e-3, most=1.0)
_DEBT_RATE = Unit("1/year", "1/year", closed=True, most=1.0)

_PUBLISHED = {
    "network_energy": _TWH_A_YEAR,
    "network_power": _GW,
    "network_hashrate": _EHS,
    "network_difficulty": units.COUNT,
    "fleet_joules": _J_PER_TH,
    "demand": _GW,
    "grid": _GW,
    "building": _GW,
    "gap": _GW,
    "demand_2026": _GW,
    "gap_2026": _GW,
    "supply_2026": _GW,
    "issue_before": _BTC_A_DAY,
    "issue_after": _BTC_A_DAY,
    "difficulty_before": units.COUNT,
    "difficulty_after": units.COUNT,
    "difficulty_change": _PERCENT,
    "epoch_before": units.COUNT,
    "epoch_after": units.COUNT,
    "epoch": _DAYS,
    "quoted_difficulty": units.COUNT,
    "quoted_btc": units.USD,
    "hashprice": units.HASHPRICE,
    "shutdown_power": units.POWER_PRICE,
    "shutdown_s21": units.USD,
    "shutdown_s23_hyd": units.USD,
    "shutdown_m63s": units.USD,
    "break_even_hashprice": units.HASHPRICE,
    "break_even_s19_xp": units.POWER_PRICE,
    "shell_hyperscaler": _USD_PER_W,
    "shell_neocloud": _USD_PER_W,
    "note_shares": units.COUNT,
    "note_reference": units.USD,
    "note_conversion": units.USD,
    "note_premium": _PERCENT,
    "note_cap": units.USD,
}


def load_site(name: str) -> SiteProfile:
    """A site by shipped name or path.

    One that names no ``[[deals]]`` or no ``[published]`` has those of the shipped ``default``.
    """
    table = open_profile("sites", name)
    site, serve = table.table("site"), table.table("serve")
    profile = SiteProfile(
        name=table.text("name"),
        title=table.text("title"),
        it_w=site.value("it", _MW),
        pue=site.value("pue", units.FACTOR),
        power_usd_per_j=site.value("power", units.POWER_PRICE),
        idle_share=site.value("idle_share", units.SHARE),
        mine_usd_per_w=site.value("mine_build", _USD_PER_W),
        conversion_s=site.value("conversion", units.MONTHS),
        cards=serve.texts("cards"),
        lease=_lease(table.table("lease")),
        deals=tuple(map(_deal, table.tables("deals"))) or _shipped_deals(),
        published=_published(table.table_or_none("published")),
    )
    for part in (site, serve, table):
        part.end()
    return profile


def _lease(table: Table) -> Lease:
    lease = Lease(
        income_usd_per_j=table.value("income", _INCOME),
        net_income_usd_per_j=table.value("net_income", _INCOME),
        cap_rate=table.value("cap_rate", _CAP_RATE),
        build_usd_per_w=table.value("build", _USD_PER_W),
        build_now_usd_per_w=table.value("build_now", _USD_PER_W),
        loan_to_cost=table.value("loan_to_cost", units.UTILISATION),
        debt_rate=table.value("debt_rate", _DEBT_RATE),
        term_s=table.value("term", units.YEARS),
    )
    table.end()
    return lease


def _deal(table: Table) -> Deal:
    deal = Deal(
        title=table.text("title"),
        it_w=table.value("it", _MW),
        term_s=table.value("term", units.YEARS),
        contract_usd=table.value("contract", _BUSD),
        income_usd_per_j=table.value("income", _INCOME),
        net_income_usd_per_j=table.value_or_none("net_income", _INCOME),
    )
    table.end()
    return deal


def _shipped_deals() -> tuple[Deal, ...]:
    return tuple(map(_deal, open_profile("sites", "default").tables("deals")))


def _published(table: Table | None) -> dict[str, Value]:
    table = table or open_profile("sites", "default").table("published")
    found = {key: table.value(key, unit) for key, unit in _PUBLISHED.items()}
    table.end()
    return found
