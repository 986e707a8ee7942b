"""``bench market list`` and ``check``: load every market, age its prices, say what is wrong."""

from __future__ import annotations

import datetime as dt
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.catalogue import ProfileError, load_asics, load_market, names
from bench.catalogue.values import flag_counts, values_of
from bench.cli.exporting import Exports, check_outputs
from bench.cli.output import open_console, write_json
from bench.cli.refusal import INVALID, OK, STORAGE, USAGE, Refusal
from bench.economics.mining import hashprice_usd_per_phs_day
from bench.economics.units import J_PER_KWH
from bench.records.decision import Aged
from bench.records.market import MarketProfile
from bench.report.markets import MarketRow, market_sheet
from bench.report.screen import say
from bench.report.sheet import terminal
from bench.store import StoreError
from bench.verdict.ages import market_ages

SCHEMA = "joulemark/markets/1"


@dataclass(frozen=True, slots=True)
class MarketRequest:
    """The options of ``bench market list`` and ``check`` as given; no markets are all that ship."""

    markets: tuple[str, ...] = ()
    strict: bool = False
    json_out: str | None = None
    no_color: bool = False


@dataclass(frozen=True, slots=True)
class Checked:
    """One market asked for: what it holds, or why it cannot be used."""

    asked: str
    market: MarketProfile | None = None
    ages: tuple[Aged, ...] = ()
    error: str | None = None

    @property
    def stale(self) -> list[Aged]:
        """Its stale prices, oldest first."""
        return sorted((age for age in self.ages if age.stale), key=lambda age: -age.age_days)


def run_list(request: MarketRequest) -> int:
    """Everything ``bench market list`` does; a market that cannot be used leaves the others be."""
    check_outputs(Exports(), request.json_out, ())
    console = open_console(request)
    found = look(names("markets"), today())
    rows = [
        MarketRow(each.market, each.ages, flag_counts(each.market))
        for each in found
        if each.market is not None
    ]
    if rows:
        console.print(terminal(market_sheet(rows), console.width))
    for each in found:
        if each.error is not None:
            say(console, f"bad: {each.error}")
    _write(request, {"schema": SCHEMA, "markets": [_listed(each) for each in found]})
    return USAGE if any(each.error for each in found) else OK


def run_check(request: MarketRequest) -> int:
    """Everything ``bench market check`` does; every market is looked at, whatever others hold."""
    check_outputs(Exports(), request.json_out, ())
    console = open_console(request)
    found = look(request.markets or names("markets"), today())
    for each in found:
        for line in _lines(each):
            say(console, line)
    _write(request, {"schema": SCHEMA, "markets": [_checked(each) for each in found]})
    if any(each.error for each in found):
        return USAGE
    return INVALID if request.strict and any(each.stale for each in found) else OK


def look(asked: Sequence[str], day: dt.date) -> list[Checked]:
    """Every market with its machines, its prices aged as of ``day``."""
    return [_look(name, day) for name in asked]


def today() -> dt.date:
    """The day that ages are counted to, UTC."""
    return dt.datetime.now(dt.UTC).date()


def _look(name: str, day: dt.date) -> Checked:
    try:
        market = load_market(name)
        load_asics(market)
    except ProfileError as error:
        return Checked(name, error=str(error))
    return Checked(name, market, tuple(market_ages(market, day)))


def _lines(each: Checked) -> Iterator[str]:
    if each.market is None:
        yield f"bad: {each.error}"
        return
    count = sum(1 for _ in values_of(each.market))
    yield f"ok: {each.asked}: {count} values, {len(each.stale)} of {len(each.ages)} prices stale"
    by_limit: defaultdict[int, list[str]] = defaultdict(list)
    for age in each.stale:
        by_limit[age.limit_days].append(f"{age.what} {age.age_days}")
    for limit, whats in sorted(by_limit.items()):
        yield f"  stale, days old (limit {limit}): {'; '.join(whats)}"


def _listed(each: Checked) -> dict[str, Any]:
    market = each.market
    if market is None:
        return {"name": each.asked, "error": each.error}
    return {
        "name": market.name,
        "title": market.title,
        "btc_usd": market.btc_usd.value,
        "difficulty": market.difficulty.value,
        "hashprice_usd_per_ph_day": hashprice_usd_per_phs_day(market.hashprice_usd_per_hash.value),
        "power_usd_per_kwh": market.power_usd_per_j.value * J_PER_KWH,
        "oldest": asdict(max(each.ages, key=lambda age: age.age_days)),
        "stale": len(each.stale),
        "flags": flag_counts(market),
        "error": None,
    }


def _checked(each: Checked) -> dict[str, Any]:
    status = "bad" if each.market is None else "stale" if each.stale else "ok"
    return {
        "market": each.asked,
        "status": status,
        "error": each.error,
        "ages": [asdict(age) for age in each.ages],
    }


def _write(request: MarketRequest, document: dict[str, Any]) -> None:
    try:
        write_json(request, json.dumps(document, indent=2) + "\n")
    except StoreError as error:
        raise Refusal(STORAGE, str(error)) from error
