"""What a hash earns: work, hashprice, break-even and shutdown prices, machines. Pure.

Money functions that a Monte Carlo draws through take floats or equally long arrays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from bench.economics.units import HASHES_PER_PHS_DAY, N, not_negative, positive
from bench.records.market import AsicProfile


def hashes_per_block(difficulty: float, *, exact: bool = True) -> float:
    """Hashes expected per block: D·2^48/65535.

    Difficulty 1 is the target 0xffff·2^208 (Bitcoin Core, chainparams and pow.cpp).
    ``exact=False`` gives the familiar D·2^32, 15.26 ppm low, for published figures that use it.
    """
    return positive("the difficulty", difficulty) * (2.0**48 / 65535 if exact else 2.0**32)


def blocks_expected(
    hashrate_hs: float, seconds: float, difficulty: float, *, exact: bool = True
) -> float:
    """Mean blocks found by ``hashrate_hs`` H/s in ``seconds``; solo mining is Poisson around it."""
    hashes = positive("the hash rate", hashrate_hs) * positive("the time", seconds)
    return hashes / hashes_per_block(difficulty, exact=exact)


def solo_probability(hashrate_hs: float, seconds: float, difficulty: float) -> float:
    """The chance that a solo miner finds at least one block: 1 − exp(−H·t/W), Poisson."""
    return -math.expm1(-blocks_expected(hashrate_hs, seconds, difficulty))


def btc_per_hash(
    difficulty: float, reward_btc: float, pool_fee: float = 0.0, *, exact: bool = True
) -> float:
    """Expected BTC per hash after the pool's share: (S+F)(1−φ)/W."""
    work = hashes_per_block(difficulty, exact=exact)
    return not_negative("the reward", reward_btc) * (1 - pool_fee) / work


def usd_per_hash(difficulty: float, btc_usd: float, reward_btc: float) -> float:
    """Hashprice in USD per hash, before pool fees: (S+F)·P/W."""
    return btc_per_hash(difficulty, reward_btc) * positive("the BTC price", btc_usd)


def hashprice_usd_per_phs_day(usd_per_hash: float) -> float:
    """Hashprice as it is quoted, USD per PH/s and day: 86400·10^15 × USD per hash."""
    return usd_per_hash * HASHES_PER_PHS_DAY


def usd_per_hash_at(hashprice: float) -> float:
    """USD per hash of a hashprice quoted in USD per PH/s and day."""
    return positive("the hashprice", hashprice) / HASHES_PER_PHS_DAY


def implied_btc_usd(usd_per_hash: float, difficulty: float, reward_btc: float) -> float:
    """The BTC price, USD, that a hashprice implies at a difficulty: HP·W/(S+F)."""
    return usd_per_hash * hashes_per_block(difficulty) / positive("the reward", reward_btc)


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
    positive("the joules per hash", joules_per_hash)
    positive("the reward", reward_btc)
    positive("the power price", usd_per_j)
    return joules_per_hash * usd_per_j * pue / btc_per_hash(difficulty, reward_btc, pool_fee)


def pays(
    usd_per_j: float, usd_per_hash: float, joules_per_hash: float, pool_fee: float, pue: float
) -> bool:
    """Whether a machine should run: power price × PUE below what a joule at its wall earns."""
    return usd_per_j * pue < mining_usd_per_j(usd_per_hash, joules_per_hash, pool_fee, 1.0)


def anchor_usd_per_hash(joules_per_hash: float, usd_per_j: float) -> float:
    """Hashprice in the long run, USD per hash: what power costs the marginal machine, e·c.

    In USD per PH/s and day 24·e·c, e in J/TH and c in USD/kWh: 18 J/TH at 5.5 c give 23.8.
    """
    return joules_per_hash * usd_per_j


def fleet_joules_per_hash(energy_j: float, seconds: float, hashrate_hs: float) -> float:
    """Mean J/hash of a fleet that used ``energy_j`` in ``seconds`` at ``hashrate_hs``."""
    return energy_j / positive("the time", seconds) / positive("the hash rate", hashrate_hs)


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
