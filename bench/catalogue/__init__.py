"""Profiles and what the user sets over them → records. kWh, TH/day, $/Mtok and MHz stop here.

A profile is a shipped name (``default``, ``h100``) or the path of a TOML file of the same shape.
Everything that cannot be used raises ``ProfileError``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date
from importlib.resources import files
from pathlib import Path

from bench.catalogue.tomlfile import ProfileError, Table, Unit, nearest, read_table
from bench.economics import chain, mining
from bench.economics.units import HASHES_PER_PHS_DAY, J_PER_KWH, S_PER_HOUR, S_PER_YEAR
from bench.records.journal import Field
from bench.records.market import (
    AsicProfile,
    Capital,
    GpuProfile,
    MarketProfile,
    ModelConfig,
    ReadingProfile,
    RentPrice,
    SensorProfile,
    SimulatedLoad,
    SimulationProfile,
    TokenPrice,
    Value,
)

__all__ = [
    "ProfileError",
    "apply_sets",
    "best_asic",
    "find_gpu",
    "load_asic",
    "load_asics",
    "load_gpu",
    "load_market",
    "load_model",
    "median_asic",
    "names",
    "parse_asic",
]

HASHPRICE_TOLERANCE = 0.03
REWARD_TOLERANCE = 0.03
HEIGHT_TOLERANCE = 0.05

# Bounds are far outside any market or machine, and well inside what arithmetic survives.
_COUNT = Unit("1", "1", most=1e24)
_GAIN = Unit("1", "1", above=0.1, most=10.0)
_SHARE = Unit("1", "1", closed=True, most=0.99)
_UTILISATION = Unit("1", "1", most=1.0)
_EFFICIENCY = Unit("1", "1", most=1.0)
_FACTOR = Unit("1", "1", above=1.0, closed=True, most=10.0)
_HEIGHT = Unit("1", "1", most=1e8)
_BTC = Unit("BTC", "BTC", above=1e-8, most=1e3)
_USD = Unit("USD", "USD", above=1e-3, most=1e12)
_HASHPRICE = Unit("USD/PH/day", "USD/hash", 1 / HASHES_PER_PHS_DAY, above=1e-9, most=1e9)
_POWER_PRICE = Unit("USD/kWh", "USD/J", 1 / J_PER_KWH, above=1e-6, most=1e3)
_TOKEN_PRICE = Unit("USD/Mtok", "USD/token", 1e-6, above=1e-9, most=1e9)
_RENT = Unit("USD/h", "USD/s", 1 / S_PER_HOUR, above=1e-6, most=1e6)
_HASHRATE = Unit("TH/s", "H/s", 1e12, above=1e-9, most=1e9)
_WATTS = Unit("W", "W", above=1e-3, most=1e6)
_OFFSET = Unit("W", "W", above=-1e4, most=1e4)
_SECONDS = Unit("s", "s", above=1e-3, closed=True, most=60.0)
_LAG = Unit("s", "s", closed=True, most=60.0)
_RATE = Unit("1/s", "1/s", above=1e-3, most=1e18)
_RATE_A_YEAR = Unit("1/year", "1/year", closed=True, most=1.0)
_YEARS = Unit("year", "s", S_PER_YEAR, above=0.1, most=50.0)
_MONTHS = Unit("month", "s", S_PER_YEAR / 12, closed=True, most=120.0)
_MULTIPLIER = Unit("1", "1", above=0.1, most=10.0)
_COLOCATION = Unit("USD/kW/month", "USD/J", 12 / S_PER_YEAR / 1e3, closed=True, most=1e5)
_HASHRATE_PRICE = Unit("USD/TH", "USD*s/hash", 1e-12, above=1e-6, most=1e6)
_MHZ = Unit("MHz", "Hz", 1e6)
_GB = Unit("GB", "B", 1e9)
_GB_PER_S = Unit("GB/s", "B/s", 1e9)
_TFLOPS = Unit("TFLOP/s", "FLOP/s", 1e12)

_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
_READINGS: dict[str, Field] = {
    "instant": "power_instant_w",
    "average": "power_average_w",
    "usage": "power_w",
}
_SETS = {"btc": _USD, "power": _POWER_PRICE, "token": _TOKEN_PRICE, "rent": _RENT}
_ASIC_SETS = {"ths": _HASHRATE, "watts": _WATTS}


def names(room: str) -> list[str]:
    """The shipped profiles of a room: ``gpus``, ``asics``, ``markets`` or ``models``."""
    return sorted(path.stem for path in (_profiles() / room).glob("*.toml"))


def load_market(name: str) -> MarketProfile:
    """A market by shipped name or path, its figures agreeing with each other.

    Hashprice is always that of difficulty, price and reward; one that is stated must agree.
    Refused: a missing, negative, zero or non-finite price; a stated hashprice more than 3 % off;
    a reward that is not the subsidy of its height plus fees; a height more than 5 % off its
    date; unknown machines and cards.
    """
    table = _open("markets", name)
    network, prices = table.table("network"), table.table("prices")
    site, use, asics = table.table("site"), table.table("use"), table.table("asics")
    capital = table.table("capital")
    difficulty = network.value("difficulty", _COUNT)
    reward = network.value("reward", _BTC)
    btc = prices.value("btc", _USD)
    market = MarketProfile(
        name=table.text("name"),
        title=table.text("title"),
        height=network.value("height", _HEIGHT),
        difficulty=difficulty,
        reward_btc=reward,
        fee_share=network.value("fee_share", _SHARE),
        btc_usd=btc,
        hashprice_usd_per_hash=_hashprice(difficulty, btc, reward),
        pool_fee=network.value("pool_fee", _SHARE),
        power_usd_per_j=prices.value("power", _POWER_PRICE),
        pue_gpu=site.value("pue_gpu", _FACTOR),
        pue_asic=site.value("pue_asic", _FACTOR),
        gpu_wall_factor=site.value("gpu_wall_factor", _FACTOR),
        cpu_host_w=site.value("cpu_host", _WATTS),
        cpu_psu_efficiency=site.value("cpu_psu_efficiency", _EFFICIENCY),
        serve_utilisation=use.value("serve_utilisation", _UTILISATION),
        rent_utilisation=use.value("rent_utilisation", _UTILISATION),
        rent_cut=use.value("rent_cut", _SHARE),
        capital=_capital(capital),
        tokens=tuple(map(_token_price, table.tables("tokens"))),
        rents=tuple(map(_rent_price, table.tables("rents"))),
        asics_on_sale=asics.texts("on_sale"),
    )
    stated = network.value_or_none("hashprice", _HASHPRICE)
    for part in (network, prices, site, use, asics, capital, table):
        part.end()
    if stated is not None:
        _check_hashprice(network, stated, market.hashprice_usd_per_hash)
    _check_height(network, market)
    _check_names(table, market)
    return market


def load_gpu(name: str) -> GpuProfile:
    """A card by shipped name or path."""
    table = _open("gpus", name)
    gpu = GpuProfile(
        name=table.text("name"),
        title=table.text("title"),
        match=table.texts("match"),
        architecture=table.text("architecture"),
        compute_capability=table.text("compute_capability"),
        sm=table.value("sm", _COUNT),
        boost_hz=table.value("boost", _MHZ),
        int32_lanes=table.value("int32_lanes", _COUNT),
        memory_bytes=table.value("memory", _GB),
        bandwidth_bytes_per_s=table.value("bandwidth", _GB_PER_S),
        fp32_flops=table.value("fp32", _TFLOPS),
        bf16_flops=table.value_or_none("bf16", _TFLOPS),
        fp16_flops=table.value_or_none("fp16", _TFLOPS),
        fp8_flops=table.value_or_none("fp8", _TFLOPS),
        price_usd=table.value_or_none("price", _USD),
        tdp_w=table.value("tdp", _WATTS),
        host_w=table.value("host", _WATTS),
        psu_efficiency=table.value("psu_efficiency", _EFFICIENCY),
        sensor=_sensor(table.table_or_none("sensor")),
        simulation=_simulation(table.table_or_none("simulation")),
    )
    table.end()
    return gpu


def find_gpu(nvml_name: str) -> GpuProfile | None:
    """The shipped profile of the card that NVML calls ``nvml_name``; null if there is none."""
    for name in names("gpus"):
        gpu = load_gpu(name)
        if nvml_name.strip() in gpu.match:
            return gpu
    return None


def load_asic(name: str) -> AsicProfile:
    """A mining machine by shipped name or path."""
    table = _open("asics", name)
    asic = AsicProfile(
        name=table.text("name"),
        title=table.text("title"),
        cooling=table.text("cooling"),
        hashrate_hs=table.value("hashrate", _HASHRATE),
        watts=table.value("watts", _WATTS),
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


def load_model(name: str) -> ModelConfig:
    """A model shape by shipped name or path; its ``config`` is read where the model is built."""
    table = _open("models", name)
    model = ModelConfig(
        name=table.text("name"),
        model_id=table.text_or_none("model_id"),
        weights=table.text_or_none("weights"),
        config=table.plain("config"),
        as_of=table.text("as_of"),
        source=table.text("source"),
    )
    table.end()
    return model


def apply_sets(market: MarketProfile, sets: Iterable[str], *, today: date) -> MarketProfile:
    """The market with ``--set`` values over it, dated today; the last of a key wins.

    ``btc`` (USD, hashprice is recomputed), ``power`` (USD/kWh), ``token`` (USD/Mtok in and out of
    this run's model), ``rent`` (USD/h of this device); several may share one string.
    """
    given = {
        key: Value(number, _SETS[key].inside, today.isoformat(), "given with --set", "G")
        for key, number in _pairs("--set", " ".join(sets).split(), _SETS).items()
    }
    if btc := given.get("btc"):
        hashprice = _hashprice(market.difficulty, btc, market.reward_btc)
        market = replace(market, btc_usd=btc, hashprice_usd_per_hash=hashprice)
    if power := given.get("power"):
        market = replace(market, power_usd_per_j=power)
    if token := given.get("token"):
        market = replace(market, tokens=(TokenPrice(None, token, token), *market.tokens))
    if rent := given.get("rent"):
        market = replace(market, rents=(RentPrice(None, "given", rent), *market.rents))
    return market


def parse_asic(text: str, *, today: date) -> AsicProfile:
    """The user's own machine from ``ths=…,watts=…`` (TH/s and W at the wall)."""
    found = _pairs("--asic", text.split(","), _ASIC_SETS)
    for key, unit in _ASIC_SETS.items():
        if key not in found:
            raise ProfileError("--asic", key, "is missing", f"add {key}=… in {unit.written}")
    hashrate, watts = (
        Value(found[key], _ASIC_SETS[key].inside, today.isoformat(), "given with --asic", "G")
        for key in ("ths", "watts")
    )
    return AsicProfile("given", "ASIC given with --asic", "unknown", hashrate, watts)


def _profiles() -> Path:
    return Path(str(files("bench.profiles")))


def _open(room: str, name: str) -> Table:
    if name.endswith(".toml") or "/" in name:
        return read_table(Path(name), name)
    known = names(room)
    if name not in known:
        cure = f"{nearest(name, known)}; or give the path of a .toml file"
        raise ProfileError(f"profiles/{room}", None, f"has no {name}", cure)
    return read_table(_profiles() / room / f"{name}.toml", f"{room}/{name}.toml")


def _pairs(option: str, words: Sequence[str], units: dict[str, Unit]) -> dict[str, float]:
    """``key=number`` words as SI numbers."""
    found: dict[str, float] = {}
    for word in words:
        key, equals, text = word.strip().partition("=")
        if not equals:
            raise ProfileError(option, None, f"{word} is not key=number", f"write {option} {key}=…")
        if key not in units:
            raise ProfileError(option, key, "is not a known key", nearest(key, units))
        unit = units[key]
        if not _NUMBER.fullmatch(text):
            cure = f"give the number in {unit.written}"
            raise ProfileError(option, key, f"{text} is not a number", cure)
        number = float(text)
        if complaint := unit.complaint(number):
            raise ProfileError(option, key, complaint, f"give the number in {unit.written}")
        found[key] = number * unit.factor
    return found


def _hashprice(difficulty: Value, btc: Value, reward: Value) -> Value:
    oldest = min(difficulty.as_of, btc.as_of, reward.as_of, key=chain.first_day)
    found = mining.usd_per_hash(difficulty.value, btc.value, reward.value)
    return Value(found, _HASHPRICE.inside, oldest, "from difficulty, BTC price and reward", "D")


def _token_price(table: Table) -> TokenPrice:
    price = TokenPrice(
        table.text("model_id"), table.value("in", _TOKEN_PRICE), table.value("out", _TOKEN_PRICE)
    )
    table.end()
    return price


def _rent_price(table: Table) -> RentPrice:
    price = RentPrice(table.text("gpu"), table.text("tier"), table.value("price", _RENT))
    table.end()
    return price


def _capital(table: Table) -> Capital:
    return Capital(
        discount_rate=table.value("discount_rate", _RATE_A_YEAR),
        card_life_s=table.value("card_life", _YEARS),
        asic_life_s=table.value("asic_life", _YEARS),
        residual=table.value("residual", _SHARE),
        node_factor=table.value("node_factor", _FACTOR),
        memory_share=table.value("memory_share", _SHARE),
        memory_multiplier=table.value("memory_multiplier", _MULTIPLIER),
        copper_share=table.value("copper_share", _SHARE),
        copper_multiplier=table.value("copper_multiplier", _MULTIPLIER),
        lead_time_s=table.value("lead_time", _MONTHS),
        colocation_usd_per_j=table.value("colocation", _COLOCATION),
        rent_decay=table.value("rent_decay", _SHARE),
        asic_usd_per_hs=table.value("asic", _HASHRATE_PRICE),
    )


def _sensor(table: Table | None) -> SensorProfile | None:
    if table is None:
        return None
    tick = table.value("counter_tick", _SECONDS)
    readings = {}
    for name, field in _READINGS.items():
        if (reading := table.table_or_none(name)) is not None:
            readings[field] = _reading(reading)
    table.end()
    if not readings:
        raise table.error("instant", "is missing", f"add one of: {', '.join(_READINGS)}")
    return SensorProfile(readings, tick)


def _reading(table: Table) -> ReadingProfile:
    reading = ReadingProfile(
        update_s=table.value("update", _SECONDS),
        window_s=table.value("window", _SECONDS),
        lag_s=table.value("lag", _LAG),
        gain=table.value("gain", _GAIN),
        offset_w=table.value("offset", _OFFSET),
    )
    table.end()
    return reading


def _simulation(table: Table | None) -> SimulationProfile | None:
    if table is None:
        return None
    idle = table.value("idle", _WATTS)
    loads = {}
    for name, load in table.named_tables():
        loads[name] = SimulatedLoad(
            load.value("units_per_s", _RATE), load.value("watts", _WATTS), load.plain("config")
        )
        load.end()
    for name in ("sha256d", "decode"):
        if name not in loads:
            raise table.error(name, "is missing", "a simulated card needs sha256d and decode")
    if not isinstance(loads["decode"].config.get("model"), str):
        raise table.error("decode.config.model", "is missing", "name the model it stands for")
    return SimulationProfile(idle, loads)


def _check_hashprice(network: Table, stated: Value, derived: Value) -> None:
    off = stated.value / derived.value - 1
    if abs(off) > HASHPRICE_TOLERANCE:
        shown = mining.hashprice_usd_per_phs_day(derived.value)
        why = f"is {off:+.1%} off the {shown:.2f} that difficulty, btc and reward give"
        raise network.error("hashprice", why, "take all four from one date, or leave it out")


def _check_height(network: Table, market: MarketProfile) -> None:
    """The height, its date, and the reward of a block there must agree."""
    height, reward = market.height.value, market.reward_btc.value
    if height % 1:
        raise network.error("height", "is not a whole number", "give a block height")
    subsidy = chain.subsidy_btc(int(height)) * (1 + market.fee_share.value)
    if abs(reward - subsidy) > REWARD_TOLERANCE * subsidy:
        why = f"is not the {subsidy:.4g} BTC of subsidy at its height plus fee_share"
        raise network.error("reward", why, "correct reward, height or fee_share")
    expected = chain.expected_height(chain.first_day(market.height.as_of))
    if abs(height - expected) > HEIGHT_TOLERANCE * expected:
        why = f"contradicts its date, when the chain was near {expected:.0f}"
        raise network.error("height", why, "correct height or as_of")


def _check_names(table: Table, market: MarketProfile) -> None:
    listed = {
        "asics.on_sale": (market.asics_on_sale, names("asics")),
        "rents.gpu": ([rent.gpu for rent in market.rents], names("gpus")),
    }
    for field, (used, known) in listed.items():
        for name in used:
            if name not in known:
                raise table.error(field, f"has no profile {name}", nearest(str(name), known))
    if not market.asics_on_sale:
        raise table.error("asics.on_sale", "is empty", "list at least one machine")
    once = {
        "tokens.model_id": [price.model_id for price in market.tokens],
        "rents.gpu": [rent.gpu for rent in market.rents],
    }
    for field, found in once.items():
        if twice := [name for name in found if found.count(name) > 1]:
            raise table.error(field, f"prices {twice[0]} twice", "keep one of them")
