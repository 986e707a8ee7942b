"""Published figures that the formulas must reproduce, each with its public source."""

import pytest

from bench.economics.capital import conversion_price_usd, missing_power_w, premium
from bench.economics.chain import difficulty_growth_for_hashprice, epoch_seconds, subsidy_btc
from bench.economics.mining import (
    blocks_expected,
    fleet_joules_per_hash,
    hashprice_usd_per_phs_day,
    implied_btc_usd,
    mining_usd_per_j,
    shutdown_btc_usd,
    usd_per_hash,
    usd_per_hash_at,
)
from bench.economics.units import J_PER_KWH, S_PER_DAY, S_PER_YEAR


@pytest.mark.parametrize(
    ("hashrate_hs", "difficulty", "days", "btc", "tol"),
    [
        (21990232555520, 47427554950.648, 30, 6.99542703277, 1e-9),
        (700e6, 908350862.437, 1, 0.00038755, 1e-4),
    ],
)
def test_expected_bitcoin_at_the_familiar_constant(
    hashrate_hs: float, difficulty: float, days: int, btc: float, tol: float
) -> None:
    """bitcoin.stackexchange.com/questions/18629 (D·2^32)."""
    found = blocks_expected(hashrate_hs, days * S_PER_DAY, difficulty, exact=False) * 25
    assert found == pytest.approx(btc, rel=tol)


def test_hashprice() -> None:
    """elektronics.dev/docs/hashprice (prints 62.81 after rounding 0.000201)."""
    found = hashprice_usd_per_phs_day(usd_per_hash(1e14, 100_000, 3.125))
    assert found == pytest.approx(62.86, rel=1e-3)


def test_hashprice_difficulty_and_price_of_june_2026_agree() -> None:
    """bt-miners 2026-06-26 (D, hashprice) against solana.garden 2026-06-07 (~60 000)."""
    found = implied_btc_usd(usd_per_hash_at(28.68), 133.87e12, 3.125 * 1.01)
    assert found == pytest.approx(60470, rel=0.02)
    assert found == pytest.approx(60000, rel=0.02)


@pytest.mark.parametrize(("j_per_th", "btc_usd"), [(17.5, 76353), (9.5, 41448), (18.5, 80716)])
def test_shutdown_price(j_per_th: float, btc_usd: float) -> None:
    """Antpool's list of 2026-01-31 (bitcoinsistemi), 8 c/kWh, without fees."""
    found = shutdown_btc_usd(j_per_th / 1e12, 0.08 / J_PER_KWH, 141.67e12, 3.125)
    assert found == pytest.approx(btc_usd, rel=0.01)


def test_break_even_power() -> None:
    """CoinShares Q1-26: at $30 an S19 XP is under water above 6 c/kWh."""
    found = mining_usd_per_j(usd_per_hash_at(30), 21.5e-12, 0.0, 1.0) * J_PER_KWH
    assert found == pytest.approx(0.0581, rel=0.01)


def test_retarget_of_february_2026() -> None:
    """News reports, 2026: 141.67 T to 125.86 T is −11.16 %."""
    assert premium(125.86e12, 141.67e12) == pytest.approx(-0.1116, abs=1e-4)


def test_epoch_of_june_2026() -> None:
    """Galaxy Research: the epoch took 15.6 days."""
    assert epoch_seconds(138.96e12, 124.93e12) / S_PER_DAY == pytest.approx(15.57, abs=0.05)


def test_daily_issue_before_and_after_the_halving() -> None:
    """News reports, 2026: 450 to 225 BTC a day."""
    assert 144 * subsidy_btc(1_049_999) == 450
    assert 144 * subsidy_btc(1_050_000) == 225


def test_missing_power() -> None:
    """News reports, 2025-11 and 2026: 65 − 15 − 6 = 44 GW; 74 − 49 = 25 GW."""
    assert missing_power_w(65, 15, 6) == 44
    assert missing_power_w(74, 49) == 25


def test_difficulty_growth_that_half_a_price_growth_carries() -> None:
    """50 % a year of price is what 26.1 % a year of difficulty demands."""
    assert difficulty_growth_for_hashprice(0.5) == pytest.approx(0.2613, abs=1e-3)


def test_convertible_note() -> None:
    """IREN 2031 notes (edgen, 2025-06): 73.3229 shares, 30 % premium on 10.49, cap 20.98."""
    assert conversion_price_usd(73.3229) == pytest.approx(13.638, rel=1e-3)
    assert premium(conversion_price_usd(73.3229), 10.49) == pytest.approx(0.30, rel=1e-3)
    assert premium(20.98, 10.49) == pytest.approx(1.0, rel=1e-3)


def test_fleet_efficiency() -> None:
    """150 TWh a year is 17.1 GW, 17.0 J/TH at 1006 EH/s."""
    energy_j = 150e12 * 3600
    assert energy_j / S_PER_YEAR == pytest.approx(17.12e9, rel=0.01)
    assert fleet_joules_per_hash(energy_j, S_PER_YEAR, 1006e18) == pytest.approx(17e-12, rel=0.01)
