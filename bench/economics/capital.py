"""What owning costs over years: present values, required rents, debt, notes and shells. Pure.

Rates and decays are per year of 365 days. Money comes in evenly over a year and is discounted at
its middle; of a life that is no whole number of years the last part counts by its length and is
discounted at its own middle. Functions of ``N`` take floats or equally long arrays unchecked;
those of floats refuse what is no quantity with a ValueError.
"""

from __future__ import annotations

import math

import numpy as np

from bench.economics.units import S_PER_YEAR, N, not_negative, positive

LEAST_DSCR = 1.25
"""Net income over debt service that lenders ask for; below it a loan is flagged."""
_RATES = (-0.99, 1e4)
_YEARS_LOOKED_AT = 1000


def capital_recovery_factor(rate: float, years: float) -> float:
    """The yearly payment, at each year's end, that repays 1 with interest: r/(1−(1+r)^−n)."""
    positive("the years", years)
    not_negative("the rate", rate)
    if rate == 0:
        return 1 / years
    return rate / -math.expm1(-years * math.log1p(rate))


def present_value_usd(amount_usd: N, rate: N, seconds: N) -> N:
    """What an amount paid once after ``seconds`` is worth now: a/(1+r)^n."""
    now: N = amount_usd * (1 + rate) ** (-seconds / S_PER_YEAR)
    return now


def value_at_start_usd(paid_usd: N, rate: N, lead_time_s: N) -> N:
    """What money paid ``lead_time_s`` before the first earning has cost by then: a·(1+r)^n."""
    return present_value_usd(paid_usd, rate, -lead_time_s)


def annuity_years(rate: N, life_s: N, decay: N) -> N:
    """The present value of 1 a year, falling by ``decay`` each year: A_x = Σ (1−x)^t/(1+r)^(t+½).

    t runs over the whole years of the life; a part f of a year after them adds
    f·(1−x)^t/(1+r)^(t+f/2).
    """
    years = life_s / S_PER_YEAR
    whole = years // 1
    part = years - whole
    growth = np.log1p(-decay) - np.log1p(rate)
    step = growth + (growth == 0) * 1e-300  # the sum of ``whole`` equal terms, without 0/0
    sum_of_whole: N = np.expm1(whole * step) / np.expm1(step) * (1 + rate) ** -0.5
    last: N = part * (1 - decay) ** whole * (1 + rate) ** -(whole + part / 2)
    return sum_of_whole + last


def capex_usd(  # noqa: PLR0917 - the order of a market's [capital]
    price_usd: N,
    node_factor: N,
    memory_share: N,
    memory_multiplier: N,
    copper_share: N,
    copper_multiplier: N,
) -> N:
    """A card's capital with its share of server and network, USD.

    Price × node factor × (1 + Σ share·(multiplier − 1)); the shares are parts of one whole.
    """
    dearer = memory_share * (memory_multiplier - 1) + copper_share * (copper_multiplier - 1)
    return price_usd * node_factor * (1 + dearer)


def npv_usd(
    capital_usd: N,
    residual: N,
    rate: N,
    life_s: N,
    *,
    revenue_usd_per_s: N,
    cost_usd_per_s: N,
    decay: N,
) -> N:
    """Net present value, USD, of capital that earns over its life; revenue falls by ``decay``.

    −I·(1 − res/(1+r)^n) + (revenue·Aδ − cost·A0)·year. Costs are electricity and all else that
    is paid while it runs, USD/s; ``residual`` is the share of the capital left in the end.
    """
    earned = revenue_usd_per_s * annuity_years(rate, life_s, decay)
    spent = cost_usd_per_s * annuity_years(rate, life_s, 0 * decay)
    return (earned - spent) * S_PER_YEAR - _lost_usd(capital_usd, residual, rate, life_s)


def required_revenue_usd_per_s(
    capital_usd: N,
    residual: N,
    rate: N,
    life_s: N,
    *,
    cost_usd_per_s: N,
    decay: N,
) -> N:
    """The first year's revenue, USD/s, at which ``npv_usd`` is 0."""
    lost = _lost_usd(capital_usd, residual, rate, life_s) / S_PER_YEAR
    spent = cost_usd_per_s * annuity_years(rate, life_s, 0 * decay)
    return (lost + spent) / annuity_years(rate, life_s, decay)


def required_rent_usd_per_s(
    capital_usd: N,
    residual: N,
    rate: N,
    life_s: N,
    *,
    mean_w: N,
    usd_per_j: N,
    other_usd_per_s: N,
    utilisation: N,
    cut: N,
    decay: N,
) -> N:
    """The rent of today, USD/s, that pays capital, power and all else over the life.

    p0 = [I(1−res/(1+r)^n) + (E·c+o)·year·A0]/(u(1−cut)·year·Aδ), E = W·(u+(1−u)κ): ``mean_w``
    at the facility over all hours (``card.mean_power_w``); ``other_usd_per_s`` is colocation and
    the like; rents fall by ``decay`` a year.
    """
    cost = mean_w * usd_per_j + other_usd_per_s
    required = required_revenue_usd_per_s(
        capital_usd, residual, rate, life_s, cost_usd_per_s=cost, decay=decay
    )
    return required / (utilisation * (1 - cut))


def capital_usd_per_s(capital_usd: N, residual: N, rate: N, life_s: N) -> N:
    """The level charge, USD/s, that pays for capital over its life and leaves its residual."""
    return _lost_usd(capital_usd, residual, rate, life_s) / (
        S_PER_YEAR * annuity_years(rate, life_s, 0 * rate)
    )


def irr(
    capital_usd: float,
    residual: float,
    life_s: float,
    *,
    revenue_usd_per_s: float,
    cost_usd_per_s: float,
    decay: float,
) -> float | None:
    """The yearly rate at which ``npv_usd`` is 0; None where no rate from −99 % to 10^4 does."""
    from scipy.optimize import brentq

    positive("the capital", capital_usd)
    positive("the life", life_s)
    not_negative("the revenue", revenue_usd_per_s)
    not_negative("the cost", cost_usd_per_s)

    def npv(rate: float) -> float:
        return npv_usd(
            capital_usd,
            residual,
            rate,
            life_s,
            revenue_usd_per_s=revenue_usd_per_s,
            cost_usd_per_s=cost_usd_per_s,
            decay=decay,
        )

    least, most = _RATES
    if npv(least) * npv(most) > 0:
        return None
    return float(brentq(npv, least, most, xtol=1e-12))


def payback_s(
    capital_usd: float, revenue_usd_per_s: float, cost_usd_per_s: float, decay: float
) -> float | None:
    """Seconds of earning, not discounted, until capital is back; None where it never is.

    Revenue falls by ``decay`` at the end of each year.
    """
    owed = positive("the capital", capital_usd)
    not_negative("the revenue", revenue_usd_per_s)
    not_negative("the cost", cost_usd_per_s)
    for year in range(_YEARS_LOOKED_AT):
        net = revenue_usd_per_s * (1 - decay) ** year - cost_usd_per_s
        if net <= 0:
            return None
        if owed <= net * S_PER_YEAR:
            return year * S_PER_YEAR + owed / net
        owed -= net * S_PER_YEAR
    return None


def dscr(net_income_usd: float, debt_usd: float, rate: float, years: float) -> float:
    """Yearly net operating income over the level yearly service of a debt."""
    service = positive("the debt", debt_usd) * capital_recovery_factor(rate, years)
    return net_income_usd / service


def is_thin(dscr: float) -> bool:
    """Whether net income covers its debt service by less than ``LEAST_DSCR``."""
    return dscr < LEAST_DSCR


def conversion_price_usd(shares_per_1000_usd: float) -> float:
    """The share price at which a convertible note converts: 1000/shares."""
    return 1000 / positive("the shares per 1000 USD", shares_per_1000_usd)


def premium(price: float, reference: float) -> float:
    """How far ``price`` stands above ``reference``, as a share of it."""
    return price / positive("the reference", reference) - 1


def bond_value_usd(face_usd: float, coupon: float, years: float, straight_yield: float) -> float:
    """A note without its conversion right, USD: coupons at each year's end, and the face.

    Discounted at the yield of the issuer's straight debt, whatever the coupon is: what a 0 %
    convertible raises above this is paid in shares.
    """
    coupons = coupon / capital_recovery_factor(straight_yield, years)
    return positive("the face", face_usd) * coupons + present_value_usd(
        face_usd, straight_yield, years * S_PER_YEAR
    )


def dilution_usd(
    share_usd: float, shares: float, conversion_usd: float, cap_usd: float | None = None
) -> float:
    """What conversion at ``share_usd`` takes from the holders of common shares, USD.

    ``shares``·(S − conversion); a capped call bought beside the note gives back all up to its cap.
    """
    least = conversion_usd if cap_usd is None else max(cap_usd, conversion_usd)
    return not_negative("the shares", shares) * max(share_usd - least, 0.0)


def shell_equity_usd_per_w(
    net_income_usd_per_w_year: float, cap_rate: float, build_usd_per_w: float
) -> float:
    """Equity of a leased powered shell, USD per W of IT load: NOI/cap rate − build cost."""
    value = not_negative("the net income", net_income_usd_per_w_year)
    return value / positive("the cap rate", cap_rate) - not_negative("the cost", build_usd_per_w)


def missing_power_w(demand_w: float, *supplies_w: float) -> float:
    """Demand that the named supplies leave open, W."""
    return demand_w - sum(supplies_w)


def _lost_usd(capital_usd: N, residual: N, rate: N, life_s: N) -> N:
    """Capital less the present value of what is left of it."""
    return capital_usd - present_value_usd(capital_usd * residual, rate, life_s)
