"""What the Bitcoin protocol fixes: subsidy, halvings, difficulty and their dates. Pure.

Where the protocol has integers, these are its integers: satoshi, heights, targets and their
compact form (nBits), as Bitcoin Core computes them (validation.cpp, pow.cpp, arith_uint256.cpp).
"""

from __future__ import annotations

import math
from datetime import date, datetime, timedelta
from fractions import Fraction

from bench.economics.units import S_PER_DAY, positive

SATOSHI_PER_BTC = 100_000_000
SUBSIDY_SATOSHI = 50 * SATOSHI_PER_BTC
HALVING_BLOCKS = 210_000
RETARGET_BLOCKS = 2016
BLOCK_S = 600.0
EPOCH_S = RETARGET_BLOCKS * BLOCK_S
RETARGET_CLAMP = 4

MOST_HEIGHT = 10**9
MOST_TARGET = 2**224 - 1  # the pow limit of mainnet (chainparams.cpp)
UNIT_TARGET = 0xFFFF << 208  # the target of difficulty 1

# A block whose height and date are public: mainnet 973413, mined on 2026-10-27.
ANCHOR_HEIGHT = 973_413
ANCHOR_DATE = date(2026, 10, 27)


def first_day(as_of: str) -> date:
    """The first day that an ISO date, month or year may mean, so that ages never flatter."""
    year, month, day = f"{as_of}-01-01".split("-")[:3]
    return date(int(year), int(month), int(day))


def subsidy_satoshi(height: int) -> int:
    """New satoshi in the block at ``height``: 50·10^8 >> (height // 210000) (Bitcoin Core)."""
    if not 0 <= height <= MOST_HEIGHT:
        raise ValueError(f"a height lies from 0 to {MOST_HEIGHT}: {height}")
    return SUBSIDY_SATOSHI >> (height // HALVING_BLOCKS)


def supply_satoshi(blocks: int) -> int:
    """All subsidies of the first ``blocks`` blocks; 2 099 999 997 690 000 in the end."""
    if blocks < 0:
        raise ValueError(f"blocks cannot be negative: {blocks}")
    supply, subsidy = 0, SUBSIDY_SATOSHI
    while blocks and subsidy:
        supply += min(blocks, HALVING_BLOCKS) * subsidy
        blocks -= min(blocks, HALVING_BLOCKS)
        subsidy >>= 1
    return supply


def subsidy_btc(height: int) -> float:
    """``subsidy_satoshi`` in BTC."""
    return subsidy_satoshi(height) / SATOSHI_PER_BTC


def target_of_bits(bits: int) -> int:
    """The target, a 256-bit integer, that a header's compact ``bits`` stand for.

    The top byte counts bytes, the lower 23 bits are the leading ones, bit 23 is a sign. Raises
    ValueError for what no block may carry: zero, a sign, more than 256 bits, above the pow limit.
    """
    if not 0 <= bits < 2**32:
        raise ValueError(f"bits are a 32-bit number: {bits:#x}")
    size, word = bits >> 24, bits & 0x7FFFFF
    target = word >> 8 * (3 - size) if size <= 3 else word << 8 * (size - 3)
    if target == 0:
        raise ValueError(f"the target of bits {bits:#010x} is zero")
    if bits & 0x800000:
        raise ValueError(f"the target of bits {bits:#010x} is negative")
    if target > MOST_TARGET:
        raise ValueError(f"the target of bits {bits:#010x} is above the pow limit")
    return target


def bits_of_target(target: int) -> int:
    """The compact form of a target, which keeps its leading 16 to 23 bits."""
    if not 0 < target <= MOST_TARGET:
        raise ValueError(f"a target lies above 0 and not above the pow limit: {target:#x}")
    size = (target.bit_length() + 7) // 8
    word = target << 8 * (3 - size) if size <= 3 else target >> 8 * (size - 3)
    if word & 0x800000:
        word >>= 8
        size += 1
    return size << 24 | word


def next_bits(bits: int, timespan_s: int) -> int:
    """The bits of the next epoch, exactly as consensus has them.

    ``timespan_s`` is the time of an epoch's last header less that of its first: 2015 intervals for
    2016 blocks. Target·t // 1209600, t clamped to a factor 4 either way, capped at the pow limit
    and encoded again.
    """
    epoch_s = int(EPOCH_S)
    clamped = min(max(timespan_s, epoch_s // RETARGET_CLAMP), epoch_s * RETARGET_CLAMP)
    return bits_of_target(min(target_of_bits(bits) * clamped // epoch_s, MOST_TARGET))


def difficulty_of_bits(bits: int) -> Fraction:
    """Difficulty, exact: the target of difficulty 1, 0xffff·2^208, over the target."""
    return Fraction(UNIT_TARGET, target_of_bits(bits))


def work_of_bits(bits: int) -> int:
    """Hashes that a block proves, exact: 2^256 // (target+1) (Core's GetBlockProof).

    ``mining.hashes_per_block``, D·2^48/65535, is 2^256/target.
    """
    return 2**256 // (target_of_bits(bits) + 1)


def retarget(difficulty: float, timespan_s: float) -> float:
    """The next difficulty after an epoch whose 2015 timed intervals took ``timespan_s``.

    D·1209600/t, t clamped to a factor 4 either way; ``next_bits`` without the rounding to bits.
    """
    positive("the timespan", timespan_s)
    clamped = min(max(timespan_s, EPOCH_S / RETARGET_CLAMP), EPOCH_S * RETARGET_CLAMP)
    return positive("the difficulty", difficulty) * EPOCH_S / clamped


def epoch_seconds(old_difficulty: float, new_difficulty: float) -> float:
    """How long the epoch took that moved difficulty from old to new, s."""
    positive("the old difficulty", old_difficulty)
    return EPOCH_S * old_difficulty / positive("the new difficulty", new_difficulty)


def next_difficulty(difficulty: float, blocks: int, elapsed_s: float) -> tuple[float, float]:
    """The next difficulty seen ``blocks`` into an epoch, and its relative error, about 1/√n."""
    if blocks < 1:
        raise ValueError(f"an estimate needs at least one block: {blocks}")
    positive("the difficulty", difficulty)
    return difficulty * BLOCK_S * blocks / positive("the time", elapsed_s), 1 / math.sqrt(blocks)


def next_halving(height: int, at: datetime, block_s: float = BLOCK_S) -> datetime:
    """When the next halving comes if blocks go on every ``block_s`` from ``height`` at ``at``."""
    blocks = HALVING_BLOCKS - height % HALVING_BLOCKS
    return at + timedelta(seconds=blocks * positive("the block time", block_s))


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
