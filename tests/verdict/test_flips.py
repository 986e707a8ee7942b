"""At its flip a use equals its rival; references beside the options."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from bench.catalogue import parse_asic
from bench.economics.card import exchange_usd_per_token
from bench.records.decision import Decision, Flip, Option
from bench.records.market import MarketProfile
from bench.records.run import WorkloadRecord

Judge = Callable[..., Decision]
Measured = Callable[..., WorkloadRecord]


def option(decision: Decision, code: str) -> Option:
    return next(option for option in decision.options if option.code == code)


def flip(decision: Decision, **wanted: Any) -> Flip:
    thresholds = (*decision.flips, *decision.break_evens)
    return next(
        f for f in thresholds if all(getattr(f, key) == value for key, value in wanted.items())
    )


def test_references(decide: Judge, today: date) -> None:
    mine = parse_asic("ths=200,watts=3500", today=today)
    decision = decide(user_asic=mine)
    assert [r.role for r in decision.references] == ["best", "median", "user"]
    best, median, user = decision.references
    assert best.joules_per_hash == pytest.approx(9.5e-12)
    assert median.joules_per_hash == pytest.approx(13.5e-12, rel=1e-3)
    assert user.joules_per_hash == pytest.approx(17.5e-12)
    expected = 28.68 * (1 - 0.019) / (24 * 9.5 * 1.03)
    assert best.usd_per_kwh.mid == pytest.approx(expected, rel=1e-4)
    assert best.source.startswith("nameplate: ")


def test_an_asic_is_a_reference_and_never_the_answer(decide: Judge) -> None:
    decision = decide("token=0.0001 rent=0.01 power=0.05")
    assert decision.references[0].usd_per_kwh_net.mid > 0
    assert decision.code == "OFF"


def test_the_token_price_that_equals_an_asic_is_the_exchange_rate(
    decide: Judge, market: MarketProfile
) -> None:
    always = replace(market.serve_utilisation, value=1.0, low=None, high=None)
    decision = decide(market=replace(market, serve_utilisation=always))
    at = flip(decision, what="token price", loser="SERVE", winner="Antminer S23 Hyd 3U").at
    joules = (560 + 181) / 0.94 * 1.2 / 5893
    expected = exchange_usd_per_token(
        joules, market.hashprice_usd_per_hash.value, 9.5e-12, pool_fee=0.019, pue_asic=1.03
    )
    assert at == pytest.approx(expected * 1e6, rel=0.05)
    assert decision.exchange is not None
    assert decision.exchange.joules_per_token == pytest.approx(joules)
    assert decision.exchange.usd_per_token == pytest.approx(expected)


@pytest.mark.parametrize(
    ("what", "code", "option_name"),
    [
        ("rent price", "RENT", "rent"),
        ("token price", "SERVE", "token"),
        ("BTC price", "MINE", "btc"),
    ],
)
def test_at_its_flip_a_use_equals_its_rival(
    decide: Judge, what: str, code: str, option_name: str
) -> None:
    found = flip(decide("token=0.08"), what=what)
    rival = found.loser if found.winner == code else found.winner
    moved = decide("token=0.08", f"{option_name}={found.at}")
    values = [option(moved, name).usd_per_kwh for name in (code, rival)]
    assert values[0] is not None
    assert values[1] is not None
    assert values[0].p50 == pytest.approx(values[1].p50)
    assert found.ratio == pytest.approx(found.at / found.now)  # type: ignore[operator]


def test_at_its_flip_the_hours_equal_the_rival(decide: Judge, market: MarketProfile) -> None:
    found = flip(decide(), what="hours rented")
    assert found.at is not None
    share = replace(market.rent_utilisation, value=found.at, low=None, high=None)
    moved = decide(market=replace(market, rent_utilisation=share))
    values = [option(moved, name).usd_per_kwh for name in ("RENT", "SERVE")]
    assert values[0] is not None
    assert values[1] is not None
    assert values[0].p50 == pytest.approx(values[1].p50, rel=1e-4)


def test_at_its_flip_power_costs_what_the_best_use_earns(decide: Judge) -> None:
    at = flip(decide(), what="power price").at
    net = option(decide(f"power={at}"), "RENT").usd_per_kwh_net
    assert net is not None
    assert net.p50 == pytest.approx(0, abs=1e-9)


def test_a_flip_against_hashing_in_bitcoin_outlives_the_btc_price(bare: Judge) -> None:
    first, later = (flip(bare(f"btc={usd}"), loser="MINE") for usd in (60_000, 120_000))
    assert first.at is not None
    assert later.at == pytest.approx(2 * first.at)
    assert later.at_btc == pytest.approx(first.at_btc)


SETS = {"rent price": "rent", "token price": "token", "BTC price": "btc", "power price": "power"}


@pytest.mark.parametrize("start", ["token=0.08", "token=5", "rent=20", "token=0.0001 rent=0.01"])
def test_every_flip_swaps_the_first_option_within_one_percent(
    decide: Judge, market: MarketProfile, start: str
) -> None:
    """Whatever leads: one percent before a flip it still does, one percent after it does not."""
    before = decide(start)
    assert {f.what for f in before.flips} >= {"rent price", "token price", "BTC price"}
    for found in before.flips:
        if found.at is None:
            continue
        firsts = []
        for factor in (0.99, 1.01):
            if found.what in SETS:
                moved = decide(start, f"{SETS[found.what]}={found.at * factor!r}")
            else:
                moved = decide(start, market=_sold(market, found.what, found.at * factor))
            firsts.append(moved.options[0].code)
        beyond = firsts[1] if found.direction == "above" else firsts[0]
        assert beyond == found.winner, found
        assert firsts[0] != firsts[1], found


def _sold(market: MarketProfile, what: str, share: float) -> MarketProfile:
    name = "serve_utilisation" if what == "hours served" else "rent_utilisation"
    exact = replace(getattr(market, name), value=share, low=None, high=None)
    return replace(market, **{name: exact})  # type: ignore[arg-type]


def test_the_options_stand_best_first(decide: Judge) -> None:
    for sets in ("token=5", "rent=20", "token=0.0001 rent=0.01", "btc=1e12"):
        decision = decide(sets)
        worth = [o.usd_per_kwh.p50 for o in decision.options if o.usd_per_kwh]
        assert worth == sorted(worth, reverse=True)
        assert decision.options[0].code == decision.best
