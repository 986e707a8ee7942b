"""Joules and prices into money: the formulas, in SI and USD, pure. No profile is read here.

Money functions that a Monte Carlo draws through take floats or equally long arrays. A hash and a
token are treated alike wherever the arithmetic is: USD per unit over joules per unit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from bench.records.market import AsicProfile

Array = NDArray[np.float64]
N = TypeVar("N", float, Array)

J_PER_KWH = 3.6e6
J_PER_MWH = 3.6e9
S_PER_HOUR = 3600.0
S_PER_DAY = 86400.0
S_PER_YEAR = 365.0 * S_PER_DAY
HASHES_PER_PHS_DAY = 1e15 * S_PER_DAY

SATOSHI_PER_BTC = 100_000_000
SUBSIDY_SATOSHI = 50 * SATOSHI_PER_BTC
HALVING_BLOCKS = 210_000
RETARGET_BLOCKS = 2016
BLOCK_S = 600.0
EPOCH_S = RETARGET_BLOCKS * BLOCK_S
RETARGET_CLAMP = 4.0

# A block whose height and date are public: mainnet 973413, mined on 2026-10-27.
ANCHOR_HEIGHT = 973_413
ANCHOR_DATE = date(2026, 10, 27)


# Mining


def hashes_per_block(difficulty: float, *, exact: bool = True) -> float:
    """Hashes expected per block: D·2^48/65535.

    Difficulty 1 is the target 0xffff·2^208 (Bitcoin Core, chainparams and pow.cpp).
    ``exact=False`` gives the familiar D·2^32, 15.26 ppm low, for published figures that use it.
    """
    return difficulty * (2.0**48 / 65535 if exact else 2.0**32)


def subsidy_satoshi(height: int) -> int:
    """New satoshi in the block at ``height``: 50·10^8 >> (height // 210000) (Bitcoin Core)."""
    if height < 0:
        raise ValueError(f"a height cannot be negative: {height}")
    return SUBSIDY_SATOSHI >> (height // HALVING_BLOCKS)


def subsidy_btc(height: int) -> float:
    """``subsidy_satoshi`` in BTC."""
    return subsidy_satoshi(height) / SATOSHI_PER_BTC


def blocks_expected(
    hashrate_hs: float, seconds: float, difficulty: float, *, exact: bool = True
) -> float:
    """Mean blocks found by ``hashrate_hs`` H/s in ``seconds``; solo mining is Poisson around it."""
    return hashrate_hs * seconds / hashes_per_block(difficulty, exact=exact)


def btc_per_hash(
    difficulty: float, reward_btc: float, pool_fee: float = 0.0, *, exact: bool = True
) -> float:
    """Expected BTC per hash after the pool's share: (S+F)(1−φ)/W."""
    return reward_btc * (1 - pool_fee) / hashes_per_block(difficulty, exact=exact)


def usd_per_hash(difficulty: float, btc_usd: float, reward_btc: float) -> float:
    """Hashprice in USD per hash, before pool fees: (S+F)·P/W."""
    return btc_per_hash(difficulty, reward_btc) * btc_usd


def hashprice_usd_per_phs_day(usd_per_hash: float) -> float:
    """Hashprice as it is quoted, USD per PH/s and day: 86400·10^15 × USD per hash."""
    return usd_per_hash * HASHES_PER_PHS_DAY


def usd_per_hash_at(hashprice: float) -> float:
    """USD per hash of a hashprice quoted in USD per PH/s and day."""
    return hashprice / HASHES_PER_PHS_DAY


def implied_btc_usd(usd_per_hash: float, difficulty: float, reward_btc: float) -> float:
    """The BTC price, USD, that a hashprice implies at a difficulty: HP·W/(S+F)."""
    return usd_per_hash * hashes_per_block(difficulty) / reward_btc


def mining_usd_per_j(usd_per_hash: N, joules_per_hash: N, pool_fee: N, pue: N) -> N:
    """USD earned per joule paid at the facility: HP(1−φ)/(e·PUE); e at the wall.

    It is also the break-even power price c* in USD/J: run only below it.
    """
    return usd_per_hash * (1 - pool_fee) / (joules_per_hash * pue)


def shutdown_btc_usd(
    joules_per_hash: float,
    usd_per_j: float,
    difficulty: float,
    reward_btc: float,
    *,
    pool_fee: float = 0.0,
    pue: float = 1.0,
) -> float:
    """The BTC price, USD, below which power at ``usd_per_j`` costs more than it mines.

    P* = e·c·PUE·W/((S+F)(1−φ)), e in J/hash at the wall.
    """
    return joules_per_hash * usd_per_j * pue / btc_per_hash(difficulty, reward_btc, pool_fee)


def fleet_joules_per_hash(energy_j: float, seconds: float, hashrate_hs: float) -> float:
    """Mean J/hash of a fleet that used ``energy_j`` in ``seconds`` at ``hashrate_hs``."""
    return energy_j / seconds / hashrate_hs


def asic_joules_per_hash(asic: AsicProfile) -> float:
    """J/hash at the wall by the nameplate: watts over H/s."""
    return asic.watts.value / asic.hashrate_hs.value


def best_asic(asics: Sequence[AsicProfile]) -> AsicProfile:
    """The machine with the least J/hash; among equals one whose sources agree, then by name."""
    return _by_joules(asics)[0]


def median_asic(asics: Sequence[AsicProfile]) -> AsicProfile:
    """The machine in the middle by J/hash; of an even number the thriftier of the two."""
    ranked = _by_joules(asics)
    return ranked[(len(ranked) - 1) // 2]


def _by_joules(asics: Sequence[AsicProfile]) -> list[AsicProfile]:
    return sorted(asics, key=lambda a: (asic_joules_per_hash(a), "C" in a.watts.flag, a.name))


# The chain's clock


def retarget(difficulty: float, timespan_s: float) -> float:
    """The next difficulty after an epoch whose 2015 timed intervals took ``timespan_s``.

    D·1209600/t, t clamped to a factor 4 either way (Bitcoin Core, pow.cpp).
    """
    clamped = min(max(timespan_s, EPOCH_S / RETARGET_CLAMP), EPOCH_S * RETARGET_CLAMP)
    return difficulty * EPOCH_S / clamped


def epoch_seconds(old_difficulty: float, new_difficulty: float) -> float:
    """How long the epoch took that moved difficulty from old to new, s."""
    return EPOCH_S * old_difficulty / new_difficulty


def next_difficulty(difficulty: float, blocks: int, elapsed_s: float) -> tuple[float, float]:
    """The next difficulty seen ``blocks`` into an epoch, and its relative error, about 1/√n."""
    if blocks < 1:
        raise ValueError(f"an estimate needs at least one block: {blocks}")
    return difficulty * BLOCK_S * blocks / elapsed_s, 1 / math.sqrt(blocks)


def next_halving(height: int, at: datetime, block_s: float = BLOCK_S) -> datetime:
    """When the next halving comes if blocks go on every ``block_s`` from ``height`` at ``at``."""
    blocks = HALVING_BLOCKS - height % HALVING_BLOCKS
    return at + timedelta(seconds=blocks * block_s)


def expected_height(day: date) -> float:
    """About the height of the chain on ``day``, at 600 s a block from a public anchor."""
    return ANCHOR_HEIGHT + (day - ANCHOR_DATE).days * S_PER_DAY / BLOCK_S


def price_growth_for_hashprice(difficulty_growth: float) -> float:
    """Yearly BTC price growth that keeps USD hashprice over a halving cycle of four years.

    1+g_P = 2^¼·(1+g_D); flat difficulty needs 18.9 % a year.
    """
    return float(2**0.25 * (1 + difficulty_growth) - 1)


def difficulty_growth_for_hashprice(price_growth: float) -> float:
    """The inverse: yearly difficulty growth that ``price_growth`` carries at constant hashprice."""
    return float((1 + price_growth) / 2**0.25 - 1)


def first_day(as_of: str) -> date:
    """The first day that an ISO date, month or year may mean, so that ages never flatter."""
    year, month, day = f"{as_of}-01-01".split("-")[:3]
    return date(int(year), int(month), int(day))


# A card


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


def break_even_utilisation(
    busy_usd_per_s: float, busy_w: float, idle_w: float, usd_per_j: float
) -> float | None:
    """The share of hours above which a use earns ``usd_per_j`` per joule paid.

    u·A = T·(P·u + I(1−u)) gives u = T·I/(A − T(P−I)); None where no share in (0, 1] does.
    """
    rest = busy_usd_per_s - usd_per_j * (busy_w - idle_w)
    if rest <= 0:
        return None
    share = usd_per_j * idle_w / rest
    return share if 0 < share <= 1 else None


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


# Capital and the grid


def conversion_price_usd(shares_per_1000_usd: float) -> float:
    """The share price at which a convertible note converts: 1000/shares."""
    return 1000 / shares_per_1000_usd


def premium(price: float, reference: float) -> float:
    """How far ``price`` stands above ``reference``, as a share of it."""
    return price / reference - 1


def missing_power_w(demand_w: float, *supplies_w: float) -> float:
    """Demand that the named supplies leave open, W."""
    return demand_w - sum(supplies_w)
