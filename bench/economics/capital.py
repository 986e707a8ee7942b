"""What money costs over years. Pure."""

from __future__ import annotations


def conversion_price_usd(shares_per_1000_usd: float) -> float:
    """The share price at which a convertible note converts: 1000/shares."""
    return 1000 / shares_per_1000_usd


def premium(price: float, reference: float) -> float:
    """How far ``price`` stands above ``reference``, as a share of it."""
    return price / reference - 1


def missing_power_w(demand_w: float, *supplies_w: float) -> float:
    """Demand that the named supplies leave open, W."""
    return demand_w - sum(supplies_w)
