"""Markets: TOML → ``MarketProfile``, one consistent snapshot of prices, network and site."""

from __future__ import annotations

from bench.catalogue import units
from bench.catalogue.inherit import market_data
from bench.catalogue.rooms import locate, names
from bench.catalogue.tomlfile import Table, nearest
from bench.economics import chain, mining
from bench.records.market import Capital, MarketProfile, RentPrice, TokenPrice, Value

HASHPRICE_TOLERANCE = 0.03
REWARD_TOLERANCE = 0.03
HEIGHT_TOLERANCE = 0.05


def load_market(name: str) -> MarketProfile:
    """A market by shipped name or path, its figures agreeing with each other.

    Hashprice is always that of difficulty, price and reward; one that is stated must agree.
    Refused: a missing, negative, zero or non-finite price; a stated hashprice more than 3 % off;
    a reward that is not the subsidy of its height plus fees; a height more than 5 % off its
    date; unknown machines and cards; what is priced twice. A market may name another as its
    ``base`` and then says only what differs.
    """
    place = locate("markets", name)
    return _market(Table(place.file, "", market_data(place, _market)))


def _market(table: Table) -> MarketProfile:
    network, prices = table.table("network"), table.table("prices")
    site, use, asics = table.table("site"), table.table("use"), table.table("asics")
    capital = table.table("capital")
    difficulty = network.value("difficulty", units.DIFFICULTY)
    reward = network.value("reward", units.BTC)
    btc = prices.value("btc", units.USD)
    market = MarketProfile(
        name=table.text("name"),
        title=table.text("title"),
        height=network.value("height", units.HEIGHT),
        difficulty=difficulty,
        reward_btc=reward,
        fee_share=network.value("fee_share", units.SHARE),
        btc_usd=btc,
        hashprice_usd_per_hash=hashprice(difficulty, btc, reward),
        pool_fee=network.value("pool_fee", units.SHARE),
        power_usd_per_j=prices.value("power", units.POWER_PRICE),
        pue_gpu=site.value("pue_gpu", units.FACTOR),
        pue_asic=site.value("pue_asic", units.FACTOR),
        gpu_wall_factor=site.value("gpu_wall_factor", units.FACTOR),
        cpu_host_w=site.value("cpu_host", units.WATTS),
        cpu_psu_efficiency=site.value("cpu_psu_efficiency", units.EFFICIENCY),
        serve_utilisation=use.value("serve_utilisation", units.UTILISATION),
        rent_utilisation=use.value("rent_utilisation", units.UTILISATION),
        rent_cut=use.value("rent_cut", units.SHARE),
        capital=_capital(capital),
        tokens=tuple(map(_token_price, table.tables("tokens"))),
        rents=tuple(map(_rent_price, table.tables("rents"))),
        asics_on_sale=asics.texts("on_sale"),
    )
    stated = network.value_or_none("hashprice", units.HASHPRICE)
    for part in (network, prices, site, use, asics, capital, table):
        part.end()
    if stated is not None:
        _check_hashprice(network, stated, market.hashprice_usd_per_hash)
    _check_height(network, market)
    _check_names(table, market)
    return market


def hashprice(difficulty: Value, btc: Value, reward: Value) -> Value:
    """USD per hash as difficulty, BTC price and reward give it, as old as the oldest of them."""
    oldest = min(difficulty.as_of, btc.as_of, reward.as_of, key=chain.first_day)
    found = mining.usd_per_hash(difficulty.value, btc.value, reward.value)
    return Value(
        found, units.HASHPRICE.inside, oldest, "from difficulty, BTC price and reward", "D"
    )


def _token_price(table: Table) -> TokenPrice:
    price = TokenPrice(
        table.text("model_id"),
        table.value("in", units.TOKEN_PRICE),
        table.value("out", units.TOKEN_PRICE),
    )
    table.end()
    return price


def _rent_price(table: Table) -> RentPrice:
    price = RentPrice(table.text("gpu"), table.text("tier"), table.value("price", units.RENT))
    table.end()
    return price


def _capital(table: Table) -> Capital:
    return Capital(
        discount_rate=table.value("discount_rate", units.RATE_A_YEAR),
        card_life_s=table.value("card_life", units.YEARS),
        asic_life_s=table.value("asic_life", units.YEARS),
        residual=table.value("residual", units.SHARE),
        node_factor=table.value("node_factor", units.FACTOR),
        memory_share=table.value("memory_share", units.SHARE),
        memory_multiplier=table.value("memory_multiplier", units.MULTIPLIER),
        copper_share=table.value("copper_share", units.SHARE),
        copper_multiplier=table.value("copper_multiplier", units.MULTIPLIER),
        lead_time_s=table.value("lead_time", units.MONTHS),
        colocation_usd_per_j=table.value("colocation", units.COLOCATION),
        rent_decay=table.value("rent_decay", units.SHARE),
        asic_usd_per_hs=table.value("asic", units.HASHRATE_PRICE),
    )


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
    once: dict[str, list[str | None]] = {
        "tokens.model_id": [price.model_id for price in market.tokens],
        "rents.gpu": [f"{rent.gpu}, {rent.tier}," for rent in market.rents],
    }
    for field, found in once.items():
        if twice := [name for name in found if found.count(name) > 1]:
            raise table.error(field, f"prices {twice[0]} twice", "keep one of them")
