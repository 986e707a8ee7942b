"""What a card earns by tokens or rent, and on what power. Pure.

Money functions that a Monte Carlo draws through take floats or equally long arrays. A hash and a
token are treated alike wherever the arithmetic is: USD per unit over joules per unit.
"""

from __future__ import annotations

import numpy as np

from bench.economics.mining import mining_usd_per_j
from bench.economics.units import Array, N


def wall_w(node_w: N, host_w: N, psu_efficiency: N) -> N:
    """Watts at the socket of a device that draws ``node_w``: (P + host)/η."""
    return (node_w + host_w) / psu_efficiency


def mean_power_w(busy_w: N, idle_w: N, utilisation: N) -> N:
    """Mean watts over all hours: P·u + idle·(1−u)."""
    return busy_w * utilisation + idle_w * (1 - utilisation)


def usd_per_joule(usd_per_s: N, mean_w: N) -> N:
    """USD earned per joule paid. With rent $/s·u(1−cut) over ``mean_power_w``: rent per joule."""
    return usd_per_s / mean_w


def tokens_usd_per_s(
    out_per_s: N, in_per_out: float, in_usd_per_token: N, out_usd_per_token: N, utilisation: N
) -> N:
    """USD/s of selling tokens: u·(r_in·p_in + r_out·p_out), prices in USD per token."""
    return utilisation * out_per_s * (in_per_out * in_usd_per_token + out_usd_per_token)


def rent_usd_per_s(usd_per_s: N, utilisation: N, cut: N) -> N:
    """USD/s that reach the owner of a card let at ``usd_per_s``: price·u·(1−cut)."""
    return usd_per_s * utilisation * (1 - cut)


def tokens_usd_per_j(usd_per_token: N, joules_per_token: N) -> N:
    """USD per joule of selling tokens: p/ε, that is 3600·p/ε USD per MWh of USD per Mtok.

    The price is that of the token the joules are counted for, blended with its share of input.
    """
    return usd_per_token / joules_per_token


def rent_usd_per_j(usd_per_s: N, busy_w: N, idle_share: N, utilisation: N, cut: N) -> N:
    """USD per joule of a card let by the hour: p·u(1−cut)/(W·(u+(1−u)κ)), W at the facility.

    In USD per MWh: 1000·$/h·u(1−cut)/[kW·(u+(1−u)κ)]; κ is the measured idle share of power.
    """
    mean_w = mean_power_w(busy_w, busy_w * idle_share, utilisation)
    return usd_per_joule(rent_usd_per_s(usd_per_s, utilisation, cut), mean_w)


def break_even_utilisation(
    busy_usd_per_s: Array, busy_w: Array, idle_w: Array, usd_per_j: float
) -> Array:
    """The shares of hours above which a use earns ``usd_per_j`` per joule paid.

    u·A = T·(P·u + I(1−u)) gives u = T·I/(A − T(P−I)); infinite where no share does, above 1
    where there are not hours enough.
    """
    rest = busy_usd_per_s - usd_per_j * (busy_w - idle_w)
    shares = usd_per_j * idle_w / np.where(rest > 0, rest, np.nan)
    return np.where(rest > 0, shares, np.inf)


def exchange_usd_per_token(
    joules_per_token: float,
    usd_per_hash: float,
    asic_joules_per_hash: float,
    *,
    pool_fee: float = 0.0,
    pue_asic: float = 1.0,
) -> float:
    """The token price, USD, at which a facility joule earns the same in an ASIC.

    p* = ε·HP(1−φ)/(e·PUE_asic), ε in J/token at the facility, e in J/hash at the wall.
    """
    per_j = mining_usd_per_j(usd_per_hash, asic_joules_per_hash, pool_fee, pue_asic)
    return joules_per_token * per_j
