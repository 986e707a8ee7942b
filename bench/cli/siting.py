"""One ``bench site --facts`` from profiles to exit status: load, work out, show, write."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from bench.catalogue import (
    ProfileError,
    best_asic,
    load_gpu,
    median_asic,
)
from bench.catalogue.site import load_site
from bench.cli.exporting import Exports, check_outputs, write_exports
from bench.cli.output import open_console, write_json
from bench.cli.prices import open_prices
from bench.cli.refusal import OK, STORAGE, USAGE, Refusal
from bench.economics.printed import reproduced, shells
from bench.economics.site import halving, machines, network, uses
from bench.records.market import AsicProfile, GpuProfile, MarketProfile, RentPrice
from bench.records.site import SiteProfile
from bench.report.published import deals, printed_beside, shell_sheet
from bench.report.sheet import Sheet, terminal
from bench.report.site import capital_sheet, earnings, exchange, nameplates, network_sheet, values
from bench.store import StoreError
from bench.verdict.ages import market_ages

SCHEMA = "joulemark/site-facts/1"
SHELLS = ("shell_hyperscaler", "shell_neocloud")


@dataclass(frozen=True, slots=True)
class SiteRequest:
    """The options of ``bench site`` as given."""

    market: str
    sets: tuple[str, ...]
    site: str
    exports: Exports
    json_out: str | None
    no_color: bool


Cards = tuple[tuple[GpuProfile, RentPrice], ...]


@dataclass(frozen=True, slots=True)
class Place:
    """A site in a market, with the machines and cards that the market prices."""

    site: SiteProfile
    market: MarketProfile
    asics: tuple[AsicProfile, ...]
    cards: Cards
    best: AsicProfile
    median: AsicProfile
    warnings: tuple[str, ...]


def run_site(request: SiteRequest) -> int:
    """Everything ``bench site --facts`` does."""
    check_outputs(request.exports, request.json_out, (request.market, request.site))
    place = _open(request)
    found = sheets(place)
    console = open_console(request)
    for sheet in found:
        console.print(terminal(sheet, console.width), end="\n\n")
    _write(request, place, found)
    write_exports(request.exports, found, console)
    return OK


def sheets(place: Place) -> tuple[Sheet, ...]:
    """All tables of a site, what is nearest to it first."""
    site, market = place.site, place.market
    found = machines(site, market, place.asics)
    mined = (place.best, place.median) if place.best != place.median else (place.best,)
    printed = [site.published[key] for key in SHELLS]
    earning = uses(site, market, mined, place.cards)
    return (
        values(site, earning, place.warnings),
        capital_sheet(market, earning),
        earnings(site, market, found),
        nameplates(site, found),
        shell_sheet(site, shells(site, printed), printed),
        deals(site),
        exchange(market, {"best": place.best, "median": place.median}),
        network_sheet(
            site,
            market,
            network(site, market, place.median),
            halving(market).date().isoformat(),
            place.median,
        ),
        printed_beside(site, reproduced(site)),
    )


def _open(request: SiteRequest) -> Place:
    """Profiles and what was set over them; a power price that was set is the site's too."""
    prices = open_prices(request.market, request.sets)
    market, asics = prices.market, prices.asics
    try:
        site = load_site(request.site)
        _check_sets(market)
        if market.power_usd_per_j.flag == "G":
            site = replace(site, power_usd_per_j=market.power_usd_per_j)
        cards = _cards(site, market)
        warnings = (*_stale(market, cards, prices.today), *_unpriced(site, market, cards))
        return Place(site, market, asics, cards, best_asic(market), median_asic(market), warnings)
    except ProfileError as error:
        raise Refusal(USAGE, str(error)) from error


def _check_sets(market: MarketProfile) -> None:
    """Prices of one card or one model say nothing of a site."""
    if any(price.gpu is None for price in market.rents):
        raise ProfileError("--set", "rent", "belongs to one card", "leave it out here")
    if any(price.model_id is None for price in market.tokens):
        raise ProfileError("--set", "token", "belongs to one model", "leave it out here")


def _cards(site: SiteProfile, market: MarketProfile) -> Cards:
    """The site's cards that the market lets, each at the first of its tiers."""
    first: dict[str | None, RentPrice] = {}
    for rent in market.rents:
        first.setdefault(rent.gpu, rent)
    return tuple((load_gpu(name), first[name]) for name in site.cards if name in first)


def _stale(market: MarketProfile, cards: Cards, today: dt.date) -> Iterator[str]:
    """The prices used here that are older than their limit."""
    used = {"BTC", "difficulty", "ASICs"}
    used |= {f"rent of {rent.gpu} ({rent.tier})" for _, rent in cards}
    for aged in market_ages(market, today):
        if aged.stale and aged.what in used:
            limit = f"older than {aged.limit_days} days"
            yield f"STALE: {aged.what} of {aged.as_of}, {aged.age_days} days, {limit}"


def _unpriced(site: SiteProfile, market: MarketProfile, cards: Cards) -> Iterator[str]:
    let = {rent.gpu for _, rent in cards}
    for name in site.cards:
        if name not in let:
            yield f"{name} is left out: market {market.name} has no rent for it"
    for gpu, _ in cards:
        if gpu.price_usd is None:
            yield f"capital of {gpu.title} is unknown: its profile has no price"


def _write(request: SiteRequest, place: Place, found: Sequence[Sheet]) -> None:
    document = {
        "schema": SCHEMA,
        "site": place.site.name,
        "market": place.market.name,
        "tables": [_table(sheet) for sheet in found],
    }
    try:
        write_json(request, json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    except StoreError as error:
        raise Refusal(STORAGE, str(error)) from error


def _table(sheet: Sheet) -> dict[str, Any]:
    """A sheet as JSON: rows by column key, columns with heading and unit."""
    keys = [column.key for column in sheet.columns]
    return {
        "title": sheet.title,
        "boundary": sheet.boundary,
        "columns": [asdict(column) for column in sheet.columns],
        "rows": [dict(zip(keys, row, strict=True)) for row in sheet.rows],
        "notes": list(sheet.notes),
    }
