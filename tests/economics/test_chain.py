"""The integers of the protocol: subsidies, targets, bits and halvings. Takes about three seconds.

Headers and heights are Bitcoin's main chain; cases of the retarget and of compact targets are
those of Bitcoin Core's own tests (pow_tests.cpp, arith_uint256_tests.cpp).
"""

from __future__ import annotations

import hashlib
import math
from datetime import date, datetime
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.economics.chain import (
    EPOCH_S,
    HALVING_BLOCKS,
    MOST_TARGET,
    UNIT_TARGET,
    bits_of_target,
    difficulty_of_bits,
    epoch_seconds,
    expected_height,
    next_bits,
    next_difficulty,
    next_halving,
    retarget,
    subsidy_satoshi,
    supply_satoshi,
    target_of_bits,
    work_of_bits,
)
from bench.economics.mining import hashes_per_block

LAST_HEIGHT = 33 * HALVING_BLOCKS
NOT_A_QUANTITY = [0.0, -1.0, math.nan, math.inf, 1e308]

# The first 80 bytes of blocks as mined: height (none is known for the last) and header.
HEADERS = [
    (
        0,
        "0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b2"
        "7ac72c3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4a29ab5f49ffff001d1dac2b7c",
    ),
    (
        100_000,
        "0100000050120119172a610421a6c3011dd330d9df07b63616c2cc1f1cd00200000000006657a9252aacd5c0"
        "b2940996ecff952228c3067cc38d4885efb5a4ac4247e9f337221b4d4c86041b0f2b5710",
    ),
    (
        125_552,
        "0100000081cd02ab7e569e8bcd9317e2fe99f2de44d49ab2b8851ba4a308000000000000e320b6c2fffc8d75"
        "0423db8b1eb942ae710e951ed797f7affc8892b0f1fc122bc7f5d74df2b9441a42a14695",
    ),
    (
        277_316,
        "0200000069054f28012b4474caa9e821102655cc74037c415ad2bba702000000000000002ecfc74ceb512c50"
        "55bcff7e57735f7323c32f8bbb48f5e96307e5268c001cc93a09be520ca3031988261c37",
    ),
    (
        624_958,
        "00e00020497f4c193dbb347c2ecfcf6169e64c7478778340a0cb13000000000000000000cb59b377938a5325"
        "25d52b8404390f17c35a50beb9d57292f3658cea34a386d7e4888d5e413b14174f045476",
    ),
    (
        956_479,
        "00200220d8483fbd5d624b2bc7e9fb2c1055d57b7b0e5853f70a00000000000000000000cf45ca87caf53f6c"
        "9569cfe58a1706d74690a1894dc1e21fe493e5fe62010eef517e476a421a02172a398bc2",
    ),
    (
        None,
        "0000cc20e74e69db30fe908461c810b9eba24151cef87e792bd401000000000000000000a01c882adabe4bbe"
        "c11589f2932c935899e43af3fa4b2027f9c4f63717b3cb5898755368043a02178c51f26f",
    ),
]


@pytest.mark.parametrize(
    ("height", "satoshi"),
    [
        (0, 5_000_000_000),
        (209_999, 5_000_000_000),
        (210_000, 2_500_000_000),
        (973_413, 312_500_000),
        (1_050_000, 156_250_000),
        (1_260_000, 78_125_000),
        (32 * 210_000, 1),
        (33 * 210_000, 0),
        (10**9, 0),
    ],
)
def test_subsidy_is_integer_satoshi(height: int, satoshi: int) -> None:
    assert subsidy_satoshi(height) == satoshi


def test_subsidy_and_supply_at_every_height() -> None:
    heights = np.arange(LAST_HEIGHT + 1, dtype=np.int64)
    subsidies = np.int64(50 * 10**8) >> heights // 210_000
    found = np.fromiter(map(subsidy_satoshi, range(LAST_HEIGHT + 1)), np.int64, LAST_HEIGHT + 1)
    assert np.array_equal(found, subsidies)
    supply = np.cumsum(subsidies)
    edges = [era * HALVING_BLOCKS + step for era in range(1, 34) for step in (-1, 0)]
    for height in [0, 1, 973_413, *edges]:
        assert supply_satoshi(height + 1) == supply[height]
    assert supply_satoshi(0) == 0
    assert supply_satoshi(LAST_HEIGHT) == supply_satoshi(10**9) == 2_099_999_997_690_000


@pytest.mark.parametrize("height", [-1, 10**9 + 1])
def test_a_height_that_no_chain_has_is_refused(height: int) -> None:
    with pytest.raises(ValueError, match="a height lies from 0 to"):
        subsidy_satoshi(height)


def test_blocks_before_the_first_are_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        supply_satoshi(-1)


@pytest.mark.parametrize(("height", "header_hex"), HEADERS)
def test_real_headers_meet_the_target_in_their_bits(height: int | None, header_hex: str) -> None:
    header = bytes.fromhex(header_hex)
    hashed = hashlib.sha256(hashlib.sha256(header).digest()).digest()
    bits = int.from_bytes(header[72:76], "little")
    target = target_of_bits(bits)
    assert int.from_bytes(hashed, "little") <= target
    assert bits_of_target(target) == bits
    if height == 0:
        assert difficulty_of_bits(bits) == 1
        assert work_of_bits(bits) == 0x100010001  # Core's chain work of the genesis block


@pytest.mark.parametrize(
    ("bits", "difficulty"),
    [
        (0x1B0404CB, 16307.420938523983),  # the worked example of the developer reference
        (0x17021A42, 133.87e12),  # header 956479; bt-miners.com prints 133.87 T on 2026-06-26
        (0x17020093, 140577680051919.6),  # solo-block-record, block 973413
    ],
)
def test_difficulty_of_bits_is_the_one_printed(bits: int, difficulty: float) -> None:
    assert float(difficulty_of_bits(bits)) == pytest.approx(difficulty, rel=1e-5)
    assert float(difficulty_of_bits(0x17020093)) == pytest.approx(140577680051919.6, rel=1e-15)


@pytest.mark.parametrize(
    ("bits", "first_s", "last_s", "expected"),
    [
        (0x1D00FFFF, 1261130161, 1262152739, 0x1D00D86A),  # block 32256, the first change
        (0x1D00FFFF, 1231006505, 1233061996, 0x1D00FFFF),  # held at the pow limit, block 2016
        (0x1C05A3F4, 1279008237, 1279297671, 0x1C0168FD),  # four times harder, block 68544
        (0x1C387F6F, 1263163443, 1269211443, 0x1D00E1FD),  # four times easier
        (0x1702355E, 1788640367, 1789801627, 0x17021EC5),  # block 967680, September 2026
    ],
)
def test_retarget_as_consensus_computes_it(
    bits: int, first_s: int, last_s: int, expected: int
) -> None:
    assert next_bits(bits, last_s - first_s) == expected
    near = retarget(float(difficulty_of_bits(bits)), last_s - first_s)
    assert max(near, 1.0) == pytest.approx(float(difficulty_of_bits(expected)), rel=3e-5)


@pytest.mark.parametrize(
    ("bits", "why"),
    [
        (0x00000000, "zero"),
        (0x01003456, "zero"),
        (0x04800000, "zero"),
        (0x04923456, "negative"),
        (0x01FE0000, "negative"),
        (0x1D010000, "above the pow limit"),
        (0xFF123456, "above the pow limit"),
        (0x23000001, "above the pow limit"),
        (-1, "32-bit"),
        (2**32, "32-bit"),
    ],
)
def test_bits_that_no_block_may_carry_are_refused(bits: int, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        target_of_bits(bits)


@pytest.mark.parametrize(
    ("target", "bits"),
    [
        (0x12, 0x01120000),
        (0x80, 0x02008000),  # its own top bit would read as a sign
        (0x1234, 0x02123400),
        (0x123456, 0x03123456),
        (0x12345600, 0x04123456),
        (0x92340000, 0x05009234),
        (MOST_TARGET, 0x1D00FFFF),
        (UNIT_TARGET, 0x1D00FFFF),
    ],
)
def test_compact_form_of_targets(target: int, bits: int) -> None:
    assert bits_of_target(target) == bits
    assert target_of_bits(bits) <= target


@pytest.mark.parametrize("target", [0, -1, MOST_TARGET + 1])
def test_targets_that_no_block_may_have_are_refused(target: int) -> None:
    with pytest.raises(ValueError, match="target"):
        bits_of_target(target)


targets = st.integers(1, MOST_TARGET)


@given(targets)
def test_the_compact_form_keeps_the_leading_bits(target: int) -> None:
    bits = bits_of_target(target)
    assert not bits & 0x800000
    kept = target_of_bits(bits)
    assert 0 <= target - kept < Fraction(target, 2**15)
    assert bits_of_target(kept) == bits


@given(targets)
def test_work_is_the_expected_number_of_hashes(target: int) -> None:
    bits = bits_of_target(target)
    exact = Fraction(2**256, target_of_bits(bits) + 1)
    assert exact - 1 < work_of_bits(bits) <= exact


@given(st.integers(2**190, MOST_TARGET))
def test_work_of_a_real_difficulty_is_that_of_the_formula(target: int) -> None:
    bits = bits_of_target(target)
    found = hashes_per_block(float(difficulty_of_bits(bits)))
    assert found == pytest.approx(work_of_bits(bits), rel=1e-9)


@given(st.integers(2**32, MOST_TARGET), st.integers(-(10**6), 10**8))
def test_difficulty_moves_by_a_factor_of_four_at_most(target: int, timespan_s: int) -> None:
    bits = bits_of_target(target)
    before, after = target_of_bits(bits), target_of_bits(next_bits(bits, timespan_s))
    assert before * (1 - 2**-15) < 4 * after
    assert after <= min(4 * before, MOST_TARGET)


@given(
    st.integers(2**32, MOST_TARGET),
    st.integers(302_400, 4_838_400),
    st.integers(302_400, 4_838_400),
)
def test_a_slower_epoch_makes_no_harder_target(target: int, one: int, other: int) -> None:
    bits = bits_of_target(target)
    fast, slow = sorted((one, other))
    assert target_of_bits(next_bits(bits, fast)) <= target_of_bits(next_bits(bits, slow))


@pytest.mark.parametrize(
    ("seconds", "factor"),
    [(EPOCH_S, 1.0), (EPOCH_S / 2, 2.0), (EPOCH_S / 9, 4.0), (EPOCH_S * 9, 0.25)],
)
def test_retarget_is_clamped(seconds: float, factor: float) -> None:
    assert retarget(1e14, seconds) == pytest.approx(1e14 * factor)


def test_estimate_of_the_next_difficulty() -> None:
    value, error = next_difficulty(1e14, 400, 400 * 590)
    assert value == pytest.approx(1e14 * 600 / 590)
    assert error == 0.05
    with pytest.raises(ValueError, match="at least one"):
        next_difficulty(1e14, 0, 1.0)


@pytest.mark.parametrize(
    ("block_s", "day"),
    [(590, date(2028, 4, 1)), (600, date(2028, 4, 10)), (610, date(2028, 4, 19))],
)
def test_next_halving(block_s: float, day: date) -> None:
    assert next_halving(973_413, datetime(2026, 10, 27), block_s).date() == day
    assert next_halving(1_050_000, datetime(2028, 4, 10)).year == 2032


@pytest.mark.parametrize("height", [210_000, 420_000, 630_000, 840_000, 1_050_000, 1_260_000])
def test_halvings_halve(height: int) -> None:
    assert subsidy_satoshi(height) * 2 == subsidy_satoshi(height - 1)
    start = datetime(2009, 1, 3)
    assert (next_halving(height - 1, start) - start).total_seconds() == 600


@pytest.mark.parametrize(
    ("day", "height"), [(date(2026, 6, 26), 955_584), (date(2026, 2, 7), 935_424)]
)
def test_expected_height_meets_public_blocks(day: date, height: int) -> None:
    assert expected_height(day) == pytest.approx(height, rel=0.002)


@pytest.mark.parametrize("number", NOT_A_QUANTITY)
def test_what_is_no_quantity_is_refused(number: float) -> None:
    for call in (
        lambda: retarget(number, EPOCH_S),
        lambda: retarget(1e14, number),
        lambda: epoch_seconds(number, 1e14),
        lambda: epoch_seconds(1e14, number),
        lambda: next_difficulty(number, 1, 600.0),
        lambda: next_difficulty(1e14, 1, number),
        lambda: next_halving(973_413, datetime(2026, 10, 27), number),
    ):
        with pytest.raises(ValueError, match="must lie above 0"):
            call()
