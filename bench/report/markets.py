"""Markets side by side: what each says of the network, of power, and how old that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.economics.mining import hashprice_usd_per_phs_day
from bench.economics.units import J_PER_KWH
from bench.records.decision import Aged
from bench.records.market import FLAGS, MarketProfile
from bench.report.sheet import Column, Sheet

COLUMNS = (
    Column("name", "market"),
    Column("btc_usd", "BTC", "USD", 5),
    Column("difficulty_t", "difficulty", "T", 4),
    Column("hashprice", "hashprice", "USD/PH/day", 4),
    Column("power_usd_per_kwh", "power", "USD/kWh", 3),
    Column("oldest", "oldest"),
    Column("stale", "stale", None, 4),
    Column("flags", "flags"),
)

DOUBT = "MCUAG"
"""The letters shown: what is neither read in a source nor derived from one."""


@dataclass(frozen=True, slots=True)
class MarketRow:
    """One market with the ages of its prices and the letters its values bear."""

    market: MarketProfile
    ages: Sequence[Aged]
    flags: Mapping[str, int]


def market_sheet(rows: Sequence[MarketRow]) -> Sheet:
    """The table of ``bench market list``; money stands at the meter that is paid.

    What each market is stands below, and the letters of doubt with the number of their values.
    """
    letters = [letter for letter in DOUBT if any(letter in row.flags for row in rows)]
    return Sheet(
        title="Markets",
        boundary="facility",
        columns=COLUMNS,
        rows=tuple(map(_cells, rows)),
        notes=(
            *(f"{row.market.name}: {row.market.title}" for row in rows),
            f"Flags by number of values: {_legend(letters)}.",
        ),
    )


def _cells(row: MarketRow) -> tuple[str | float, ...]:
    market = row.market
    oldest = max(row.ages, key=lambda age: age.age_days)
    return (
        market.name,
        market.btc_usd.value,
        market.difficulty.value / 1e12,
        hashprice_usd_per_phs_day(market.hashprice_usd_per_hash.value),
        market.power_usd_per_j.value * J_PER_KWH,
        oldest.as_of,
        sum(age.stale for age in row.ages),
        " ".join(f"{flag}{row.flags[flag]}" for flag in DOUBT if flag in row.flags),
    )


def _legend(letters: Sequence[str]) -> str:
    return ", ".join(f"{letter} {FLAGS[letter]}" for letter in letters)
