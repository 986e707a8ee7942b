"""The formulas against their own identities and the worked figures beside them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.economics.card import (
    break_even_utilisation,
    exchange_usd_per_token,
    mean_power_w,
    rent_usd_per_s,
    tokens_usd_per_s,
    usd_per_joule,
    wall_w,
)
from bench.economics.chain import price_growth_for_hashprice
from bench.economics.mining import (
    blocks_expected,
    hashes_per_block,
    hashprice_usd_per_phs_day,
    implied_btc_usd,
    mining_usd_per_j,
    shutdown_btc_usd,
    usd_per_hash,
    usd_per_hash_at,
)
from bench.economics.units import J_PER_KWH, J_PER_MWH, S_PER_HOUR

positive = st.floats(1e-3, 1e3)
difficulties = st.floats(1, 1e16)


def test_the_familiar_work_is_15_ppm_low() -> None:
    exact, familiar = hashes_per_block(1e14), hashes_per_block(1e14, exact=False)
    assert 1 - familiar / exact == pytest.approx(15.26e-6, rel=1e-3)
    assert hashes_per_block(1.0) == 2**256 / (0xFFFF * 2**208)


@given(difficulties, positive, positive)
def test_hashprice_identity_goes_round(difficulty: float, btc: float, reward: float) -> None:
    per_hash = usd_per_hash(difficulty, btc, reward)
    assert implied_btc_usd(per_hash, difficulty, reward) == pytest.approx(btc)
    assert usd_per_hash_at(hashprice_usd_per_phs_day(per_hash)) == pytest.approx(per_hash)


@given(difficulties, positive, st.floats(0, 0.5), st.floats(1, 2))
def test_at_the_shutdown_price_power_earns_what_it_costs(
    difficulty: float, reward: float, fee: float, pue: float
) -> None:
    cost, joules = 0.05 / J_PER_KWH, 15e-12
    btc = shutdown_btc_usd(joules, cost, difficulty, reward, pool_fee=fee, pue=pue)
    earned = mining_usd_per_j(usd_per_hash(difficulty, btc, reward), joules, fee, pue)
    assert earned == pytest.approx(cost)


@pytest.mark.parametrize(("j_per_th", "usd_per_mwh"), [(9.5, 125.8), (17.5, 68.3)])
def test_revenue_per_mwh_is_41_667_hashprice_over_j_per_th(
    j_per_th: float, usd_per_mwh: float
) -> None:
    found = mining_usd_per_j(usd_per_hash_at(28.68), j_per_th / 1e12, 0.0, 1.0) * J_PER_MWH
    assert found == pytest.approx(41.6667 * 28.68 / j_per_th, rel=1e-6)
    assert found == pytest.approx(usd_per_mwh, abs=0.1)


@pytest.mark.parametrize(("joules", "usd_per_mtok"), [(0.1, 0.0025), (0.5, 0.0123), (2.0, 0.049)])
def test_exchange_rate(joules: float, usd_per_mtok: float) -> None:
    found = exchange_usd_per_token(joules, usd_per_hash_at(28.68), 13.5e-12) * 1e6
    assert found == pytest.approx(usd_per_mtok, rel=0.02)


def test_flat_difficulty_needs_19_percent_a_year() -> None:
    assert price_growth_for_hashprice(0.0) == pytest.approx(0.189, abs=1e-3)
    assert price_growth_for_hashprice(0.261) == pytest.approx(0.5, abs=1e-3)


def test_solo_blocks_of_a_petahash() -> None:
    assert blocks_expected(1e15, 86400, 1e14) == pytest.approx(86400e15 / hashes_per_block(1e14))


def test_tokens_per_device_hour() -> None:
    """8B tokens at 20 k tok/s and half the hours: $1.1–2.3 per hour."""
    low = tokens_usd_per_s(20_000.0, 0.0, 0.0, 0.03e-6, 0.5) * S_PER_HOUR
    high = tokens_usd_per_s(20_000.0, 1.0, 0.015e-6, 0.05e-6, 0.5) * S_PER_HOUR
    assert low == pytest.approx(1.08)
    assert high == pytest.approx(2.34)


@given(positive, positive, st.floats(0.01, 1), st.floats(0, 1))
def test_rent_per_mwh_as_written_with_an_idle_share(
    usd_per_h: float, kw: float, u: float, kappa: float
) -> None:
    mean = mean_power_w(1000 * kw, 1000 * kw * kappa, u)
    per_j = usd_per_joule(rent_usd_per_s(usd_per_h / S_PER_HOUR, u, 0.1), mean)
    written = 1000 * usd_per_h * u * 0.9 / (kw * (u + (1 - u) * kappa))
    assert per_j * J_PER_MWH == pytest.approx(written)


@given(positive, st.floats(1, 1000), st.floats(0.01, 1), st.floats(0.01, 0.99))
def test_break_even_utilisation_earns_the_asked_price(
    busy_usd: float, busy_w: float, idle_share: float, u: float
) -> None:
    idle_w = busy_w * idle_share
    asked = busy_usd * u / mean_power_w(busy_w, idle_w, u)
    found = break_even_utilisation(*map(np.atleast_1d, (busy_usd, busy_w, idle_w)), asked)
    assert found == pytest.approx([u], rel=1e-6)


def test_no_utilisation_earns_more_than_full_use() -> None:
    busy_usd, busy_w, idle_w = np.array([1.0, 1.0]), np.array([100.0, 100.0]), np.array([10.0, 1.0])
    over, never = break_even_utilisation(busy_usd, busy_w, idle_w, 0.0105)
    assert over > 1
    assert never > 1
    assert np.isinf(break_even_utilisation(busy_usd, busy_w, idle_w, 0.02)).all()


def test_wall_power_of_a_server() -> None:
    """8 boards of 700 W and 1450 W of host behind supplies of 94 %: 7.5 kW."""
    assert wall_w(5600.0, 1450.0, 0.94) == pytest.approx(7500)
