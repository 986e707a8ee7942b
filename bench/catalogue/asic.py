"""Mining machines: TOML → ``AsicProfile``, and those on sale in a market."""

from __future__ import annotations

from bench.catalogue import units
from bench.catalogue.rooms import open_profile
from bench.economics import mining
from bench.records.market import AsicProfile, MarketProfile


def load_asic(name: str) -> AsicProfile:
    """A mining machine by shipped name or path."""
    table = open_profile("asics", name)
    asic = AsicProfile(
        name=table.text("name"),
        title=table.text("title"),
        cooling=table.text("cooling"),
        hashrate_hs=table.value("hashrate", units.HASHRATE),
        watts=table.value("watts", units.WATTS),
    )
    table.end()
    return asic


def load_asics(market: MarketProfile) -> tuple[AsicProfile, ...]:
    """The machines on sale in a market."""
    return tuple(map(load_asic, market.asics_on_sale))


def best_asic(market: MarketProfile) -> AsicProfile:
    """The machine on sale with the least J/TH."""
    return mining.best_asic(load_asics(market))


def median_asic(market: MarketProfile) -> AsicProfile:
    """The machine on sale in the middle by J/TH."""
    return mining.median_asic(load_asics(market))
