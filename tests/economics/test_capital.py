"""Capital over years: against sums written out, and against each other. Takes about two seconds."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bench.economics.capital import (
    annuity_years,
    bond_value_usd,
    capex_usd,
    capital_recovery_factor,
    capital_usd_per_s,
    conversion_price_usd,
    dilution_usd,
    dscr,
    irr,
    is_thin,
    npv_usd,
    payback_s,
    present_value_usd,
    required_rent_usd_per_s,
    required_revenue_usd_per_s,
    shell_equity_usd_per_w,
    value_at_start_usd,
)
from bench.economics.card import mean_power_w
from bench.economics.units import J_PER_KWH, S_PER_HOUR, S_PER_YEAR

NOT_A_QUANTITY = [0.0, -1.0, math.nan, math.inf, 1e308]
rates = st.floats(0, 0.5)
lives_s = st.floats(0.2, 20).map(lambda years: years * S_PER_YEAR)
shares = st.floats(0, 0.9)
use_shares = st.floats(0.05, 1)
money = st.floats(1, 1e6)


def written_out(rate: float, years: int, decay: float) -> float:
    return sum((1 - decay) ** t / (1 + rate) ** (t + 0.5) for t in range(years))


@pytest.mark.parametrize(("rate", "decay"), [(0.1, 0.15), (0.1, 0.0), (0.0, 0.15), (0.0, 0.0)])
def test_annuity_of_whole_years_is_the_sum(rate: float, decay: float) -> None:
    for years in (1, 4, 25):
        found = annuity_years(rate, years * S_PER_YEAR, decay)
        assert found == pytest.approx(written_out(rate, years, decay), rel=1e-12)


def test_part_of_a_year_counts_by_its_length() -> None:
    found = annuity_years(0.1, 2.5 * S_PER_YEAR, 0.2)
    assert found == pytest.approx(written_out(0.1, 2, 0.2) + 0.5 * 0.8**2 / 1.1**2.25)


@given(rates, st.integers(1, 10), shares)
def test_annuity_has_no_step_at_a_whole_year(rate: float, years: int, decay: float) -> None:
    at = annuity_years(rate, years * S_PER_YEAR, decay)
    before = annuity_years(rate, (years - 1e-9) * S_PER_YEAR, decay)
    assert before == pytest.approx(at, rel=1e-6)


def test_arrays_give_what_floats_give() -> None:
    rate, life_s, decay = np.array([0.1, 0.0]), np.array([4.0, 2.5]), np.array([0.15, 0.0])
    found = annuity_years(rate, life_s * S_PER_YEAR, decay)
    for index in range(2):
        one = annuity_years(float(rate[index]), float(life_s[index]) * S_PER_YEAR, decay[index])
        assert found[index] == pytest.approx(one, rel=1e-15)


@given(rates, st.integers(1, 30))
def test_recovery_factor_times_annuity_is_one(rate: float, years: int) -> None:
    in_arrears = sum((1 + rate) ** -t for t in range(1, years + 1))
    assert capital_recovery_factor(rate, years) * in_arrears == pytest.approx(1)


def test_level_charge_is_the_recovery_factor_paid_at_mid_year() -> None:
    yearly = capital_usd_per_s(1000.0, 0.0, 0.1, 4 * S_PER_YEAR) * S_PER_YEAR
    assert yearly == pytest.approx(1000 * capital_recovery_factor(0.1, 4) / 1.1**0.5)


def test_money_paid_before_the_start_has_cost_interest() -> None:
    assert value_at_start_usd(100.0, 0.21, S_PER_YEAR / 2) == pytest.approx(110)
    assert present_value_usd(121.0, 0.1, 2 * S_PER_YEAR) == pytest.approx(100)


def test_dearer_memory_and_copper_add_their_own_share() -> None:
    """A fifth of a node at +50 % and 3 % of it at +40 %."""
    found = capex_usd(30_000.0, 1.4, 0.2, 1.5, 0.03, 1.4)
    assert found == pytest.approx(42_000 * (1 + 0.1 + 0.012))


@given(money, shares, rates, lives_s, st.floats(0, 1), st.floats(0, 0.5), use_shares, shares)
def test_at_the_required_rent_nothing_is_gained_or_lost(  # noqa: PLR0917 - drawn by @given
    capital: float,
    residual: float,
    rate: float,
    life_s: float,
    usd_per_kwh: float,
    decay: float,
    utilisation: float,
    cut: float,
) -> None:
    mean_w, other = mean_power_w(1000.0, 300.0, utilisation), 0.05 / S_PER_HOUR
    rent = required_rent_usd_per_s(
        capital,
        residual,
        rate,
        life_s,
        mean_w=mean_w,
        usd_per_j=usd_per_kwh / J_PER_KWH,
        other_usd_per_s=other,
        utilisation=utilisation,
        cut=cut,
        decay=decay,
    )
    revenue = rent * utilisation * (1 - cut)
    cost = mean_w * usd_per_kwh / J_PER_KWH + other
    left = npv_usd(
        capital,
        residual,
        rate,
        life_s,
        revenue_usd_per_s=revenue,
        cost_usd_per_s=cost,
        decay=decay,
    )
    assert left == pytest.approx(0, abs=1e-9 * (capital + cost * life_s))


def test_required_rent_as_written() -> None:
    """p0 = [I(1−res/(1+r)^n) + (E·c+o)·8760·A0]/(u(1−cut)·8760·Aδ) in hours and kW."""
    energy_kw = 1.1 * (0.5 + 0.5 * 0.3)
    above = 42_000 * (1 - 0.1 / 1.1**4)
    above += (energy_kw * 0.09 + 0.25) * 8760 * written_out(0.1, 4, 0)
    written = above / (0.5 * 0.9 * 8760 * written_out(0.1, 4, 0.15))
    found = required_rent_usd_per_s(
        42_000.0,
        0.1,
        0.1,
        4 * S_PER_YEAR,
        mean_w=energy_kw * 1000,
        usd_per_j=0.09 / J_PER_KWH,
        other_usd_per_s=0.25 / S_PER_HOUR,
        utilisation=0.5,
        cut=0.1,
        decay=0.15,
    )
    assert found * S_PER_HOUR == pytest.approx(written, rel=1e-12)


@given(st.floats(0.1, 10), money, shares, rates, lives_s, st.floats(0, 0.5))
def test_money_scales_with_the_currency(  # noqa: PLR0917 - drawn by @given
    k: float, capital: float, residual: float, rate: float, life_s: float, decay: float
) -> None:
    """Prices in another currency change the money by the exchange rate and the IRR not at all."""
    flows = {"revenue_usd_per_s": 1e-3, "cost_usd_per_s": 2e-4, "decay": decay}
    scaled = {**flows, "revenue_usd_per_s": k * 1e-3, "cost_usd_per_s": k * 2e-4}
    one = npv_usd(capital, residual, rate, life_s, **flows)
    other = npv_usd(k * capital, residual, rate, life_s, **scaled)
    assert other == pytest.approx(k * one, rel=1e-9, abs=1e-6 * k * capital)
    needed = required_revenue_usd_per_s(
        capital, residual, rate, life_s, cost_usd_per_s=2e-4, decay=decay
    )
    needed_k = required_revenue_usd_per_s(
        k * capital, residual, rate, life_s, cost_usd_per_s=k * 2e-4, decay=decay
    )
    assert needed_k == pytest.approx(k * needed)


@given(money, shares, st.floats(0, 0.4), lives_s, st.floats(0, 0.5))
def test_irr_is_the_rate_at_which_nothing_is_left(
    capital: float, residual: float, rate: float, life_s: float, decay: float
) -> None:
    revenue = required_revenue_usd_per_s(
        capital, residual, rate, life_s, cost_usd_per_s=0.0, decay=decay
    )
    found = irr(
        capital, residual, life_s, revenue_usd_per_s=revenue, cost_usd_per_s=0.0, decay=decay
    )
    assert found == pytest.approx(rate, abs=1e-7)


def test_capital_that_only_loses_has_no_irr() -> None:
    lost = irr(100.0, 0.0, S_PER_YEAR, revenue_usd_per_s=0.0, cost_usd_per_s=1e-9, decay=0.0)
    assert lost is None


@given(money, st.floats(1e-6, 1), st.floats(0, 0.5))
def test_payback_returns_the_capital(capital: float, revenue: float, decay: float) -> None:
    found = payback_s(capital, revenue, 0.1 * revenue, decay)
    assume(found is not None)
    assert found is not None
    years, part_s = divmod(found, S_PER_YEAR)
    earned = sum(
        (revenue * (1 - decay) ** t - 0.1 * revenue) * S_PER_YEAR for t in range(int(years))
    )
    earned += (revenue * (1 - decay) ** years - 0.1 * revenue) * part_s
    assert earned == pytest.approx(capital)


def test_payback_without_decay_is_capital_over_net() -> None:
    assert payback_s(100.0, 5.0, 3.0, 0.0) == 50.0
    assert payback_s(100.0, 3.0, 3.0, 0.0) is None
    assert payback_s(1e15, 1e-3, 0.0, 0.5) is None  # falls faster than it earns
    assert payback_s(1e30, 1.0, 0.0, 0.0) is None  # longer than anybody looks


def test_debt_service_and_its_flag() -> None:
    """River Bend (Hut 8, 2025-12): 1.853 M USD per MW and year on 85 % of 9 M USD at 7.75 %."""
    found = dscr(1.853, 0.85 * 9, 0.0775, 15)
    assert found == pytest.approx(1.853 / (7.65 * 0.0775 / (1 - 1.0775**-15)))
    assert not is_thin(found)
    assert is_thin(1.2499)
    assert not is_thin(1.25)


def test_a_note_at_the_yield_of_straight_debt() -> None:
    """A 0 % note of six years is worth 639 of 1000 where straight debt yields 7.75 %."""
    assert bond_value_usd(1000, 0, 6, 0.0775) == pytest.approx(1000 / 1.0775**6)
    assert bond_value_usd(1000, 0.0775, 6, 0.0775) == pytest.approx(1000)
    assert bond_value_usd(1000, 0.05, 6, 0) == pytest.approx(1300)


def test_conversion_dilutes_above_the_cap() -> None:
    price = conversion_price_usd(73.3229)
    assert dilution_usd(price - 1, 73.3229, price) == 0
    assert dilution_usd(30, 73.3229, price) == pytest.approx(73.3229 * 30 - 1000)
    assert dilution_usd(20.98, 73.3229, price, 20.98) == 0
    assert dilution_usd(30, 73.3229, price, 20.98) == pytest.approx(73.3229 * 9.02)


def test_shell_equity() -> None:
    """1.575 M USD per MW and year at 7.5 % less 9 USD/W."""
    assert shell_equity_usd_per_w(1.575, 0.075, 9) == pytest.approx(12)


@given(st.floats(0.5, 3), st.floats(0.04, 0.15), st.floats(1, 20))
def test_shell_equity_falls_with_cap_rate_and_cost(noi: float, cap: float, build: float) -> None:
    here = shell_equity_usd_per_w(noi, cap, build)
    assert shell_equity_usd_per_w(noi, cap * 1.01, build) < here
    assert shell_equity_usd_per_w(noi, cap, build * 1.01) < here
    assert shell_equity_usd_per_w(noi * 1.01, cap, build) > here


@given(money, lives_s, st.floats(0.01, 0.5))
def test_required_rent_rises_with_power_and_capital(
    capital: float, life_s: float, usd_per_kwh: float
) -> None:
    def rent(capital: float, usd_per_kwh: float) -> float:
        return required_rent_usd_per_s(
            capital,
            0.1,
            0.1,
            life_s,
            mean_w=800.0,
            usd_per_j=usd_per_kwh / J_PER_KWH,
            other_usd_per_s=0.0,
            utilisation=0.5,
            cut=0.1,
            decay=0.15,
        )

    for low, high in pairwise([usd_per_kwh, usd_per_kwh * 1.5, usd_per_kwh * 2]):
        assert rent(capital, low) < rent(capital, high)
    assert rent(capital, usd_per_kwh) < rent(capital * 1.1, usd_per_kwh)


@pytest.mark.parametrize("number", NOT_A_QUANTITY)
def test_what_is_no_quantity_is_refused(number: float) -> None:
    flows = {"revenue_usd_per_s": 1.0, "cost_usd_per_s": 0.1, "decay": 0.0}
    for call in (
        lambda: capital_recovery_factor(0.1, number),
        lambda: irr(number, 0.1, S_PER_YEAR, **flows),
        lambda: irr(1.0, 0.1, number, **flows),
        lambda: payback_s(number, 1.0, 0.1, 0.0),
        lambda: dscr(1.0, number, 0.1, 5),
        lambda: conversion_price_usd(number),
        lambda: bond_value_usd(number, 0.0, 5, 0.1),
        lambda: shell_equity_usd_per_w(1.0, number, 1.0),
    ):
        with pytest.raises(ValueError, match="must lie above 0"):
            call()


@pytest.mark.parametrize("number", NOT_A_QUANTITY[1:])
def test_what_may_be_nothing_may_not_be_less(number: float) -> None:
    for call in (
        lambda: capital_recovery_factor(number, 5),
        lambda: irr(1.0, 0.1, 1.0, revenue_usd_per_s=number, cost_usd_per_s=0.0, decay=0.0),
        lambda: irr(1.0, 0.1, 1.0, revenue_usd_per_s=1.0, cost_usd_per_s=number, decay=0.0),
        lambda: payback_s(1.0, number, 0.0, 0.0),
        lambda: payback_s(1.0, 1.0, number, 0.0),
        lambda: dilution_usd(30.0, number, 13.6),
        lambda: shell_equity_usd_per_w(1.0, 0.1, number),
    ):
        with pytest.raises(ValueError, match="must lie from 0"):
            call()
