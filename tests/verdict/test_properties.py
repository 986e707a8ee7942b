"""What must hold in any market: order, symmetry, and that equals are never told apart."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.catalogue import load_gpu
from bench.records.decision import Decision, Money, Option
from bench.records.market import GpuProfile, MarketProfile, RentPrice, TokenPrice, Value
from bench.records.run import WorkloadRecord
from bench.verdict.inputs import given as given_price

Judge = Callable[..., Decision]
Measured = Callable[..., WorkloadRecord]


def net(decision: Decision, code: str) -> float:
    found = next(option for option in decision.options if option.code == code)
    assert found.usd_per_kwh_net is not None
    return found.usd_per_kwh_net.p50


@pytest.fixture(scope="session")
def plain(market: MarketProfile) -> MarketProfile:
    """Every hour sold, no fee, no range: a hash and a token differ by name alone."""

    def exact(value: Value, number: float | None = None) -> Value:
        number = value.value if number is None else number
        return replace(value, value=number, low=None, high=None)

    per_hash = exact(market.hashprice_usd_per_hash)
    return replace(
        market,
        tokens=(TokenPrice(None, per_hash, per_hash),),
        btc_usd=exact(market.btc_usd),
        difficulty=exact(market.difficulty),
        pool_fee=exact(market.pool_fee, 0.0),
        serve_utilisation=exact(market.serve_utilisation, 1.0),
        power_usd_per_j=exact(market.power_usd_per_j, 1e-12),
        pue_gpu=exact(market.pue_gpu),
        rents=(),
    )


@pytest.fixture(scope="session")
def exact_card() -> GpuProfile:
    card = load_gpu("h100")
    host, supply = (replace(v, low=None, high=None) for v in (card.host_w, card.psu_efficiency))
    return replace(card, host_w=host, psu_efficiency=supply)


@pytest.fixture(scope="session")
def alike(
    decide: Judge, measured: Measured, plain: MarketProfile, exact_card: GpuProfile
) -> Callable[..., Decision]:
    """Judge hashing and tokens, each (rate, watts), where a hash fetches what a token does."""

    def call(hashes: tuple[float, float], tokens: tuple[float, float], seed: int = 7) -> Decision:
        loads = [measured("sha256d", *hashes), measured("decode", *tokens)]
        return decide(workloads=loads, market=plain, gpu=exact_card, seed=seed)

    return call


@settings(max_examples=20, deadline=None)
@given(power=st.floats(0.01, 1.0), dearer=st.floats(1.001, 10.0))
def test_dearer_power_never_pays(decide: Judge, power: float, dearer: float) -> None:
    cheap, dear = decide(f"power={power}"), decide(f"power={power * dearer}")
    for code in ("MINE", "SERVE", "RENT"):
        assert net(dear, code) < net(cheap, code)


@settings(max_examples=20, deadline=None)
@given(
    key=st.sampled_from([("token", "SERVE", 0.1), ("rent", "RENT", 2.0), ("btc", "MINE", 6e4)]),
    price=st.floats(0.1, 10.0),
    better=st.floats(1.001, 10.0),
)
def test_a_better_price_pays_its_use_and_no_other(
    decide: Judge, key: tuple[str, str, float], price: float, better: float
) -> None:
    name, code, scale = key
    before = decide(f"{name}={price * scale}")
    after = decide(f"{name}={price * better * scale}")
    for other in ("MINE", "SERVE", "RENT"):
        if other == code:
            assert net(after, other) > net(before, other)
        else:
            assert net(after, other) == pytest.approx(net(before, other))
    if before.best == code:
        assert after.best == code


@settings(max_examples=20, deadline=None)
@given(lead=st.floats(0.9, 1.1), watts=st.floats(100.0, 600.0))
def test_swapped_workloads_swap_the_answer(
    alike: Callable[..., Decision], lead: float, watts: float
) -> None:
    """Where a hash fetches what a token does, exchanging their figures exchanges their places."""
    one, other = (lead * 1e15, watts), (1e15, watts)
    first, second = alike(one, other), alike(other, one)
    swap = {"MINE": "SERVE", "SERVE": "MINE", "OFF": "OFF"}
    assert first.best is not None
    if abs(lead - 1) > 0.003:
        assert second.best == swap[first.best]
    assert second.probability == pytest.approx(first.probability, abs=0.05)


def test_equal_workloads_are_too_close_to_call(alike: Callable[..., Decision]) -> None:
    """The same work measured twice, with half a percent of noise, under two names."""
    random = np.random.default_rng(11)
    codes = []
    for seed in range(100):
        rates, watts = np.exp(0.005 * random.standard_normal((2, 2)))
        runs = [(1e15 * rate, 500 * power) for rate, power in zip(rates, watts, strict=True)]
        codes.append(alike(*runs, seed=seed).code)
    assert codes.count("TOO CLOSE") >= 95


def _in_currency(decision: Decision) -> list[float]:
    """Every amount of money that a decision holds."""
    amounts: list[float] = []
    for option in decision.options:
        amounts += [m.p50 for m in _money_of(option)]
    amounts += [rung.break_even_usd_per_kwh.p50 for rung in decision.ladder]
    amounts += [usd for swing in decision.swings for usd in (swing.at_low, swing.at_high)]
    if decision.exchange is not None:
        amounts.append(decision.exchange.usd_per_token)
    return amounts


def _money_of(option: Option) -> list[Money]:
    names = [
        f"usd_per_{per}{kind}" for per in ("kwh", "device_h") for kind in ("", "_net", "_full")
    ]
    return [found for name in names if (found := getattr(option, name)) is not None]


def test_another_currency_changes_no_order(
    decide: Judge, market: MarketProfile, scaled: Callable[..., Any]
) -> None:
    """In a currency of which a dollar buys seven: every amount times seven, capital included."""
    card = load_gpu("h100")
    assert card.price_usd is not None
    capital = replace(
        market.capital,
        colocation_usd_per_j=_times(market.capital.colocation_usd_per_j, 7),
        asic_usd_per_hs=_times(market.capital.asic_usd_per_hs, 7),
    )
    before = decide()
    after = decide(
        market=replace(scaled(market, 7.0), capital=capital),
        gpu=replace(card, price_usd=_times(card.price_usd, 7)),
    )
    assert [o.code for o in after.options] == [o.code for o in before.options]
    assert [s.what for s in after.swings] == [s.what for s in before.swings]
    assert _in_currency(after) == pytest.approx([7 * usd for usd in _in_currency(before)])


def _times(value: Value, factor: float) -> Value:
    low, high = (None if end is None else end * factor for end in (value.low, value.high))
    return replace(value, value=value.value * factor, low=low, high=high)


def test_a_price_given_for_this_run_leaves_the_market_as_it_was(market: MarketProfile) -> None:
    price = Value(1e-6, "USD", "2026-11-22", "test", "G")
    assert given_price(market, "token", price).tokens == (
        TokenPrice(None, price, price),
        *market.tokens,
    )
    assert given_price(market, "rent", price).rents == (
        RentPrice(None, "given", price),
        *market.rents,
    )
