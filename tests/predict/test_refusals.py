"""Rates and joules that cannot be, runs that say nothing, models that do not fit. About 2 s."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bench.predict.limits import most_rows, why_not
from bench.predict.measured import (
    LEAST_POWER_SHARE,
    Refused,
    check_decode_rate,
    check_hash_rate,
)
from bench.predict.point import Asked
from bench.records.market import GpuProfile
from bench.roofline import HashCounts

Cards = Callable[..., GpuProfile]
Points = Callable[..., Asked]


def test_a_web_pages_3090_is_refused_with_the_arithmetic(card: Cards) -> None:
    with pytest.raises(Refused, match=r"1.1e\+05 GH/s is above 1.02 × the audited ceiling") as why:
        check_hash_rate(card("rtx3090"), 110e12)
    assert "82 SMs × 64 lanes × 1695 MHz (boost)" in str(why.value)
    assert "\n" not in str(why.value)


def test_the_sampled_clock_moves_the_ceiling(card: Cards) -> None:
    gpu = card("rtx4090")
    real = 1.05 * 128 * 64 * 2.52e9 / 2262
    with pytest.raises(Refused):
        check_hash_rate(gpu, real)
    check_hash_rate(gpu, real, clock_hz=2.75e9)
    with pytest.raises(Refused, match="sampled"):
        check_hash_rate(gpu, real, clock_hz=2.3e9)


def test_the_tolerance_is_two_per_cent(card: Cards) -> None:
    gpu = card("h100")
    ceiling = 132 * 64 * 1.98e9 / 2262
    check_hash_rate(gpu, 1.0199 * ceiling)
    with pytest.raises(Refused):
        check_hash_rate(gpu, 1.0201 * ceiling)


def test_joules_below_the_floor_are_refused(card: Cards) -> None:
    gpu = card("h100")
    rate = 0.96 * 132 * 64 * 1.98e9 / 2262
    least_w = LEAST_POWER_SHARE * gpu.tdp_w.value
    check_hash_rate(gpu, rate, watts=least_w)
    with pytest.raises(Refused, match=r"below the floor of .*check the meter"):
        check_hash_rate(gpu, rate, watts=0.9 * least_w)


def test_a_decode_rate_above_its_roofline_is_refused(card: Cards, asked: Points) -> None:
    gpu = card("h200")
    point = asked(batch=1, tpot_s=None, context=512.0)
    check_decode_rate(gpu, point, 318.0)
    with pytest.raises(Refused, match="8b bf16 at batch 1, context 512 over 4800 GB/s"):
        check_decode_rate(gpu, point, 330.0)
    with pytest.raises(Refused, match="below the floor"):
        check_decode_rate(gpu, point, 318.0, watts=100.0)


def test_a_card_without_an_audit_is_not_judged(card: Cards) -> None:
    check_hash_rate(card("h100", compute_capability="gfx942"), 1e15)


def test_a_model_that_does_not_fit_is_refused_with_the_numbers(card: Cards, asked: Points) -> None:
    why = why_not(card("t4"), asked())
    assert why is not None
    assert "needs 16.1 GB of weights and 0.3 GB of KV at batch 1" in why
    assert "0.92 of the card's 16 GB (14.7)" in why
    assert why_not(card("t4"), asked(precision="int4")) is None


def test_the_cache_counts_too(card: Cards, asked: Points) -> None:
    gpu, point = card("rtx4090"), asked(batch=22, tpot_s=None)
    assert most_rows(gpu, point) == 22
    assert why_not(gpu, point) is None
    why = why_not(gpu, replace(point, batch=23))
    assert why is not None
    assert "of KV at batch 23" in why


def test_a_precision_that_the_card_lacks(card: Cards, asked: Points) -> None:
    assert why_not(card("a100"), asked(precision="fp8")) == "the card has no fp8 arithmetic"


@pytest.mark.parametrize("both", [{"batch": 4}, {"tpot_s": None}])
def test_a_point_has_a_batch_or_a_bound(asked: Points, both: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="a batch or a bound"):
        asked(**both)


def test_each_kernel_has_its_own_ceiling(card: Cards) -> None:
    """9.5 GH/s on an H200 are beyond the plain kernel and within the balanced one."""
    gpu = card("h200")
    with pytest.raises(Refused, match="count the hashes again"):
        check_hash_rate(gpu, 9.5e9)
    balanced = HashCounts(instructions=2888, alu=1627, fma_slots=1441)
    check_hash_rate(gpu, 9.5e9, counts=balanced)
    with pytest.raises(Refused, match="count the hashes again"):
        check_hash_rate(gpu, 11e9, counts=balanced)
