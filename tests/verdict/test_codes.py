"""Every code word by a case built for it, and the age of what it rests on."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from bench.records.decision import Decision, Flip, Option
from bench.records.market import MarketProfile, ModelConfig
from bench.records.run import Code, Validity, WorkloadRecord

Judge = Callable[..., Decision]
Measured = Callable[..., WorkloadRecord]


def option(decision: Decision, code: str) -> Option:
    return next(option for option in decision.options if option.code == code)


def flip(decision: Decision, **wanted: Any) -> Flip:
    thresholds = (*decision.flips, *decision.break_evens)
    return next(
        f for f in thresholds if all(getattr(f, key) == value for key, value in wanted.items())
    )


def test_serve(decide: Judge) -> None:
    decision = decide("token=5")
    assert (decision.code, decision.label) == ("SERVE", "robust")
    assert decision.sentence.startswith("SERVE (robust, P 1.00). One paid kWh earns $")
    assert "as 8b tokens (T1, bf16, decode only, b64, c1024)" in decision.sentence


def test_rent(decide: Judge) -> None:
    decision = decide("rent=20")
    assert (decision.code, decision.label) == ("RENT", "robust")
    assert decision.runner_up == "SERVE"


def test_off(decide: Judge) -> None:
    decision = decide("token=0.0001 rent=0.01")
    assert (decision.code, decision.label) == ("OFF", "robust")
    assert "with power below" in decision.sentence


def test_mine(decide: Judge, measured: Measured) -> None:
    """A card that hashes like a machine made for it, and tokens that nobody pays."""
    thrifty = [measured("sha256d", 100e12, 500.0), measured("decode", 5893.0, 560.0)]
    known = "btc=60470 difficulty=133.87e12"
    decision = decide(f"token=0.0001 rent=0.01 {known}", workloads=thrifty)
    assert (decision.code, decision.label) == ("MINE", "robust")
    assert "Runner-up OFF wins" in decision.sentence
    assert "with BTC below" in decision.sentence


def test_too_close(decide: Judge) -> None:
    decision = decide()
    assert (decision.code, decision.label) == ("TOO CLOSE", None)
    assert decision.probability is not None
    assert decision.probability < 0.8
    assert "that RENT beats SERVE by more than 2 %" in decision.sentence


def test_leaning(decide: Judge) -> None:
    decision = decide("rent=5.5")
    assert (decision.code, decision.label) == ("RENT", "leaning")
    assert decision.probability is not None
    assert 0.8 <= decision.probability < 0.95


def test_equal_uses_are_never_a_win(decide: Judge) -> None:
    """At the flip itself the two are worth the same."""
    at = flip(decide(), winner="SERVE", loser="RENT", what="rent price").at
    decision = decide(f"rent={at}")
    assert decision.code == "TOO CLOSE"


@pytest.mark.parametrize("status", ["invalid", "incomplete"])
def test_undecided(decide: Judge, status: Any) -> None:
    codes = (Code("SPREAD", "Wide.", False), Code("THROTTLED", "Too hot: cool it.", True))
    decision = decide(validity=Validity(status, codes))
    assert decision.code == "UNDECIDED"
    assert decision.sentence == f"UNDECIDED: the run is {status}. THROTTLED: Too hot: cool it."
    assert decision.options == ()
    assert decision.references


def test_no_market_names_break_evens_and_no_dollars(bare: Judge) -> None:
    decision = bare()
    assert decision.code == "NO MARKET"
    number = r"\$[0-9.]+/Mtok"
    assert re.match(
        rf"NO MARKET for micro: its tokens must fetch > {number} to beat hashing here, "
        rf"> {number} to beat the best ASIC \(Antminer S23 Hyd 3U\), "
        rf"> {number} to pay for their power\. Oldest price: BTC, 149 days \(STALE\)\.$",
        decision.sentence,
    )
    serve = option(decision, "SERVE")
    assert serve.usd_per_kwh is serve.usd_per_device_h is None
    assert serve.reason == "its tokens have no price in this market"
    assert option(decision, "RENT").reason == "no rent price for a CPU"


def test_no_market_without_joules(bare: Judge) -> None:
    decision = bare(watts=None)
    assert "to beat hashing here. What would beat the best ASIC" in decision.sentence
    assert "needs joules, and this run has none" in decision.sentence
    assert flip(decision, loser="MINE").at is not None
    asic = flip(decision, loser="Antminer S23 Hyd 3U")
    assert asic.at is None
    assert asic.reason == "needs joules: no meter"


def test_break_evens_hold_when_they_are_paid(bare: Judge) -> None:
    """At its break-even price a token earns what the rival's kWh earns."""
    decision = bare()
    asic = bare(f"token={flip(decision, loser='Antminer S23 Hyd 3U').at}")
    earned = option(asic, "SERVE").usd_per_kwh
    assert earned is not None
    assert earned.p50 == pytest.approx(asic.references[0].usd_per_kwh.p50)
    power = bare(f"token={flip(decision, loser='OFF', what='token price').at}")
    paid = option(power, "SERVE").usd_per_kwh
    assert paid is not None
    assert paid.p50 == pytest.approx(0.0929)


def test_unpriced_tokens_beside_a_rent(decide: Judge, micro: ModelConfig) -> None:
    decision = decide(model=micro)
    assert decision.code == "RENT"
    assert "NO MARKET for micro tokens" in decision.sentence
    priced = decide(f"token={flip(decision, what='token price', loser='RENT').at}", model=micro)
    values = [option(priced, code).usd_per_kwh for code in ("SERVE", "RENT")]
    assert values[0] is not None
    assert values[1] is not None
    assert values[0].p50 == pytest.approx(values[1].p50)


def test_hash_side_alone(bare: Judge, measured: Measured) -> None:
    alone = [measured("sha256d", 20e6, 40.0, "package")]
    assert bare(workloads=alone).code == "OFF"
    blind = bare(workloads=[measured("sha256d", 20e6, None, "package")])
    assert blind.code == "UNDECIDED"
    assert "MINE, no figure per kWh: no meter; SERVE, no token rate" in blind.sentence


def test_the_oldest_price_is_named(decide: Judge) -> None:
    decision = decide()
    assert decision.oldest is not None
    assert (decision.oldest.what, decision.oldest.age_days) == ("BTC", 149)
    assert decision.stale
    assert decision.sentence.endswith("Oldest price: BTC, 149 days (STALE).")


def test_a_fresh_market_is_not_stale(decide: Judge) -> None:
    network_day = date(2026, 6, 26)
    decision = decide("rent=3 token=0.1", today=network_day + timedelta(days=7))
    assert not decision.stale
    assert decision.sentence.endswith("days.")
    assert decide("rent=3 token=0.1", today=network_day + timedelta(days=8)).stale


def test_an_overdue_price_is_named_beside_an_older_one(
    decide: Judge, market: MarketProfile
) -> None:
    """Tokens of 80 days are within their limit, a BTC price of 10 days is not."""

    def dated(value: Any, as_of: str) -> Any:
        return replace(value, as_of=as_of)

    tokens = tuple(
        replace(t, out_usd_per_token=dated(t.out_usd_per_token, "2026-09-03"))
        for t in market.tokens
    )
    recent = replace(
        market,
        btc_usd=dated(market.btc_usd, "2026-11-12"),
        difficulty=dated(market.difficulty, "2026-11-20"),
        tokens=tokens,
    )
    decision = decide(market=recent)
    assert decision.stale
    assert decision.sentence.endswith("Oldest price: tokens, 80 days; BTC, 10 days (STALE).")
