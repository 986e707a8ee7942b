"""Mining and serving formulas: monotone, roots where a break-even is said. Takes two seconds."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.economics.card import (
    exchange_usd_per_token,
    rent_usd_per_j,
    tokens_usd_per_j,
    tokens_usd_per_s,
)
from bench.economics.mining import (
    anchor_usd_per_hash,
    blocks_expected,
    btc_per_hash,
    fleet_joules_per_hash,
    hashes_per_block,
    hashprice_usd_per_phs_day,
    implied_btc_usd,
    mining_usd_per_j,
    pays,
    shutdown_btc_usd,
    solo_probability,
    usd_per_hash,
    usd_per_hash_at,
)
from bench.economics.units import J_PER_KWH, J_PER_MWH, S_PER_HOUR

NOT_A_QUANTITY = [0.0, -1.0, math.nan, math.inf, 1e308]
joules = st.floats(5e-12, 1e-7)
prices = st.floats(1e-3, 1e3)
fees = st.floats(0, 0.5)
pues = st.floats(1, 2)
MORE = 1.01


@given(st.floats(1e9, 1e21), st.floats(1, 1e8), st.floats(1, 1e16))
def test_solo_chance_is_poisson(hashrate: float, seconds: float, difficulty: float) -> None:
    expected = blocks_expected(hashrate, seconds, difficulty)
    found = solo_probability(hashrate, seconds, difficulty)
    assert 0 <= found <= min(1.0, expected)
    assert found == pytest.approx(1 - math.exp(-expected), abs=1e-12)


def test_a_petahash_alone_for_a_year() -> None:
    """0.052 blocks expected, so a chance of 5.1 %."""
    expected = 1e15 * 365 * 86400 / hashes_per_block(140577680051919.6)
    assert expected == pytest.approx(0.0522, rel=1e-3)
    assert solo_probability(1e15, 365 * 86400, 140577680051919.6) == pytest.approx(0.0509, rel=1e-3)


@given(prices, joules, fees, pues)
def test_break_even_power_is_where_a_machine_stops(
    hashprice: float, e: float, fee: float, pue: float
) -> None:
    per_hash = usd_per_hash_at(hashprice)
    root = mining_usd_per_j(per_hash, e, fee, pue)
    assert pays(root / MORE, per_hash, e, fee, pue)
    assert not pays(root * MORE, per_hash, e, fee, pue)


@given(joules, st.floats(0.01, 0.5), fees, pues)
def test_shutdown_price_is_where_a_machine_stops(
    e: float, usd_per_kwh: float, fee: float, pue: float
) -> None:
    cost = usd_per_kwh / J_PER_KWH
    root = shutdown_btc_usd(e, cost, 1.4e14, 3.15, pool_fee=fee, pue=pue)
    assert pays(cost, usd_per_hash(1.4e14, root * MORE, 3.15), e, fee, pue)
    assert not pays(cost, usd_per_hash(1.4e14, root / MORE, 3.15), e, fee, pue)


@given(prices, joules, fees, pues)
def test_mining_rises_with_hashprice_and_falls_with_energy(
    hashprice: float, e: float, fee: float, pue: float
) -> None:
    def earned(hashprice: float, e: float, pue: float) -> float:
        return mining_usd_per_j(usd_per_hash_at(hashprice), e, fee, pue)

    here = earned(hashprice, e, pue)
    assert earned(hashprice * MORE, e, pue) > here
    assert earned(hashprice, e * MORE, pue) < here
    assert earned(hashprice, e, pue * MORE) < here


@given(prices, st.floats(1e-9, 1e-3), st.floats(1e-3, 1e3), st.floats(0.05, 1), fees)
def test_serving_and_renting_rise_with_their_price(
    rent: float, token: float, per_token_j: float, u: float, cut: float
) -> None:
    assert rent_usd_per_j(rent * MORE, 900.0, 0.3, u, cut) > rent_usd_per_j(
        rent, 900.0, 0.3, u, cut
    )
    assert tokens_usd_per_j(token * MORE, per_token_j) > tokens_usd_per_j(token, per_token_j)
    assert tokens_usd_per_s(1e4, 1.0, token, token * MORE, u) > tokens_usd_per_s(
        1e4, 1.0, token, token, u
    )


@given(st.floats(0.1, 10), prices, joules, fees, pues)
def test_money_scales_with_the_currency(
    k: float, price: float, e: float, fee: float, pue: float
) -> None:
    """k times every price is k times all money, and no decision changes."""
    one, other = usd_per_hash(1.4e14, price, 3.15), usd_per_hash(1.4e14, k * price, 3.15)
    assert mining_usd_per_j(other, e, fee, pue) == pytest.approx(
        k * mining_usd_per_j(one, e, fee, pue)
    )
    assert shutdown_btc_usd(e, k * 1e-8, 1.4e14, 3.15) == pytest.approx(
        k * shutdown_btc_usd(e, 1e-8, 1.4e14, 3.15)
    )
    assert exchange_usd_per_token(0.5, other, e) == pytest.approx(
        k * exchange_usd_per_token(0.5, one, e)
    )
    assert rent_usd_per_j(k * price, 900.0, 0.3, 0.5, fee) == pytest.approx(
        k * rent_usd_per_j(price, 900.0, 0.3, 0.5, fee)
    )
    cost = mining_usd_per_j(one, e, fee, pue) / 2
    assert pays(cost, one, e, fee, pue)
    assert pays(k * cost, other, e, fee, pue)


@given(prices, st.floats(1e-3, 1e3), joules)
def test_at_the_exchange_rate_a_token_earns_what_a_hash_does(
    hashprice: float, per_token_j: float, e: float
) -> None:
    per_hash = usd_per_hash_at(hashprice)
    token = exchange_usd_per_token(per_token_j, per_hash, e, pool_fee=0.02, pue_asic=1.03)
    assert tokens_usd_per_j(token, per_token_j) == pytest.approx(
        mining_usd_per_j(per_hash, e, 0.02, 1.03)
    )


def test_tokens_per_mwh_as_written() -> None:
    """3600·p/ε: one USD per Mtok at half a joule each is 7200 USD per MWh."""
    assert tokens_usd_per_j(1e-6, 0.5) * J_PER_MWH == pytest.approx(7200)


def test_rent_per_mwh_as_written() -> None:
    """1000·$/h·u(1−cut)/[kW·(u+(1−u)κ)]: 2 USD/h, half the hours, 1.1 kW, κ 0.3."""
    found = rent_usd_per_j(2 / S_PER_HOUR, 1100.0, 0.3, 0.5, 0.1) * J_PER_MWH
    assert found == pytest.approx(1000 * 2 * 0.5 * 0.9 / (1.1 * 0.65))
    many = rent_usd_per_j(*(np.full(3, x) for x in (2 / S_PER_HOUR, 1100.0, 0.3, 0.5, 0.1)))
    assert many * J_PER_MWH == pytest.approx(np.full(3, found))


def test_anchor_of_a_marginal_miner() -> None:
    """18 J/TH at 5.5 c/kWh: 23.8 USD per PH/s and day; such a miner just breaks even there."""
    per_hash = anchor_usd_per_hash(18e-12, 0.055 / J_PER_KWH)
    assert hashprice_usd_per_phs_day(per_hash) == pytest.approx(23.8, abs=0.05)
    assert mining_usd_per_j(per_hash, 18e-12, 0.0, 1.0) == pytest.approx(0.055 / J_PER_KWH)


@pytest.mark.parametrize("number", NOT_A_QUANTITY)
def test_what_is_no_quantity_is_refused(number: float) -> None:
    calls: list[Callable[[], float]] = [
        lambda: hashes_per_block(number),
        lambda: blocks_expected(number, 1.0, 1e14),
        lambda: blocks_expected(1e15, number, 1e14),
        lambda: solo_probability(1e15, 1.0, number),
        lambda: usd_per_hash(number, 1.0, 1.0),
        lambda: usd_per_hash(1e14, number, 1.0),
        lambda: usd_per_hash_at(number),
        lambda: implied_btc_usd(1e-19, 1e14, number),
        lambda: shutdown_btc_usd(number, 1e-8, 1e14, 3.0),
        lambda: shutdown_btc_usd(1e-11, number, 1e14, 3.0),
        lambda: shutdown_btc_usd(1e-11, 1e-8, 1e14, number),
        lambda: fleet_joules_per_hash(1.0, number, 1.0),
        lambda: fleet_joules_per_hash(1.0, 1.0, number),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="must lie above 0 and not above 1e\\+100"):
            call()


@pytest.mark.parametrize("number", NOT_A_QUANTITY[1:])
def test_a_reward_may_be_nothing_and_not_less(number: float) -> None:
    assert btc_per_hash(1e14, 0.0) == 0.0
    with pytest.raises(ValueError, match="must lie from 0"):
        btc_per_hash(1e14, number)
