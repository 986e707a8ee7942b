"""What the Bitcoin protocol fixes: subsidy, halvings, difficulty and their dates. Pure."""

from __future__ import annotations

import math
from datetime import date, datetime, timedelta

from bench.economics.units import S_PER_DAY

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


def first_day(as_of: str) -> date:
    """The first day that an ISO date, month or year may mean, so that ages never flatter."""
    year, month, day = f"{as_of}-01-01".split("-")[:3]
    return date(int(year), int(month), int(day))


def subsidy_satoshi(height: int) -> int:
    """New satoshi in the block at ``height``: 50·10^8 >> (height // 210000) (Bitcoin Core)."""
    if height < 0:
        raise ValueError(f"a height cannot be negative: {height}")
    return SUBSIDY_SATOSHI >> (height // HALVING_BLOCKS)


def subsidy_btc(height: int) -> float:
    """``subsidy_satoshi`` in BTC."""
    return subsidy_satoshi(height) / SATOSHI_PER_BTC


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
