"""Every code word by a case built for it, and what must not change the answer."""

import json
import re
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from bench.catalogue import load_asic, parse_asic
from bench.economics import exchange_usd_per_token
from bench.records.market import Decision, Flip, MarketProfile, ModelConfig, Option
from bench.records.run import Code, DeviceFacts, Idle, Validity, WorkloadRecord

Judge = Callable[..., Decision]
Measured = Callable[..., WorkloadRecord]


def option(decision: Decision, code: str) -> Option:
    return next(option for option in decision.options if option.code == code)


def flip(decision: Decision, **wanted: Any) -> Flip:
    return next(
        f for f in decision.flips if all(getattr(f, key) == value for key, value in wanted.items())
    )


# The code words


def test_serve(decide: Judge) -> None:
    decision = decide("token=5")
    assert (decision.code, decision.label) == ("SERVE", "robust")
    assert decision.sentence.startswith("SERVE (robust, P 1.00). One paid kWh earns $")
    assert "as 8b tokens (T1, bf16, b64, c1024)" in decision.sentence


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
    decision = decide("token=0.0001 rent=0.01", workloads=thrifty)
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
    assert "needs joules: no meter" in decision.sentence
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
    assert earned.mid == pytest.approx(asic.references[0].usd_per_kwh.mid)
    power = bare(f"token={flip(decision, loser='OFF', what='token price').at}")
    net = option(power, "SERVE").usd_per_kwh_net
    assert net is not None
    assert net.mid == pytest.approx(0, abs=1e-12)


def test_unpriced_tokens_beside_a_rent(decide: Judge, micro: ModelConfig) -> None:
    decision = decide(model=micro)
    assert decision.code == "RENT"
    assert "NO MARKET for micro tokens" in decision.sentence
    priced = decide(f"token={flip(decision, what='token price', loser='RENT').at}", model=micro)
    values = [option(priced, code).usd_per_kwh for code in ("SERVE", "RENT")]
    assert values[0] is not None
    assert values[1] is not None
    assert values[0].mid == pytest.approx(values[1].mid)


def test_hash_side_alone(bare: Judge, measured: Measured) -> None:
    alone = [measured("sha256d", 20e6, 40.0, "package")]
    assert bare(workloads=alone).code == "OFF"
    blind = bare(workloads=[measured("sha256d", 20e6, None, "package")])
    assert blind.code == "UNDECIDED"
    assert "MINE, no figure per kWh: no meter; SERVE, no token rate" in blind.sentence


# Joules, boundaries and hours


def test_without_joules_the_device_hour_stands(decide: Judge, measured: Measured) -> None:
    blind = [measured("sha256d", 7.1e9, None), measured("decode", 5893.0, None)]
    decision = decide("token=5", workloads=blind, idle=Idle(None, "no meter"))
    assert (decision.code, decision.basis, decision.label) == ("SERVE", "device-hour", "leaning")
    serve = option(decision, "SERVE")
    assert serve.usd_per_device_h is not None
    assert serve.usd_per_device_h.mid == pytest.approx(5893 * 5e-6 * 3600 * 0.5)
    assert serve.usd_per_kwh is serve.usd_per_kwh_net is serve.usd_per_device_h_net is None
    assert serve.reason == "no figure per kWh: no meter"
    assert "OFF may be better" in decision.sentence
    assert flip(decision, what="hours served").at == pytest.approx(
        0.5 * flip(decision, what="token price", winner="RENT").at / 5  # type: ignore[operator]
    )


def test_money_by_hand(decide: Judge) -> None:
    """0.5 of the hours at 560 W and the rest at 70, host 181 W, supply 0.94, PUE 1.2."""
    serve = option(decide(), "SERVE")
    assert serve.usd_per_kwh is not None
    assert serve.usd_per_device_h is not None
    assert serve.usd_per_device_h_net is not None
    usd_per_h = 5893 * 0.08e-6 * 3600 * 0.5
    kw = ((560 + 181) * 0.5 + (70 + 181) * 0.5) / 0.94 * 1.2 / 1000
    assert serve.usd_per_device_h.mid == pytest.approx(usd_per_h)
    assert serve.usd_per_kwh.mid == pytest.approx(usd_per_h / kw)
    assert serve.usd_per_device_h_net.mid == pytest.approx(usd_per_h - kw * 0.0929)
    assert serve.wall_factor == pytest.approx((560 + 181) / 0.94 / 560)
    assert serve.wall_factor_source is not None
    assert "DGX H100" in serve.wall_factor_source


def test_each_boundary_is_paid_at_the_facility(bare: Judge, measured: Measured) -> None:
    factors = {}
    for boundary in ("package", "node", "wall", "facility"):
        records = [measured("sha256d", 20e6, 40.0, boundary)]
        found = option(bare(workloads=records), "MINE")
        assert found.usd_per_kwh is not None
        factors[boundary] = (found.wall_factor, 1 / found.usd_per_kwh.mid)
    assert factors["package"][0] == pytest.approx((40 + 30) / 0.88 / 40)
    assert factors["node"][0] == pytest.approx(1 / 0.88)
    assert factors["wall"][0] == factors["facility"][0] == 1
    assert factors["wall"][1] / factors["facility"][1] == pytest.approx(1.2)
    assert factors["package"][1] / factors["wall"][1] == pytest.approx(70 / 0.88 / 40)


def test_a_card_without_a_profile_takes_the_markets_factor(decide: Judge) -> None:
    decision = decide("rent=20", gpu=None, device=DeviceFacts("gpu", "A new card"))
    assert option(decision, "SERVE").wall_factor == pytest.approx(1.35)
    assert decision.code == "RENT"


def test_unmeasured_idle_widens_the_money(decide: Judge) -> None:
    known, unknown = decide("rent=20"), decide("rent=20", idle=Idle(None, "not measured"))
    spans = []
    for decision in (known, unknown):
        money = option(decision, "RENT").usd_per_kwh
        assert money is not None
        spans.append((money.p90 - money.p10) / money.p50)
    assert spans[1] > spans[0]


def test_the_thriftiest_hash_kernel_is_priced(decide: Judge, measured: Measured) -> None:
    kernels = [measured("sha256d", 9e9, 690.0), measured("sha256d", 7e9, 400.0)]
    rate = option(decide(workloads=kernels), "MINE").units_per_s
    assert rate is not None
    assert rate.mid == 7e9


def test_a_request_mix_sells_its_prompt_tokens(decide: Judge, measured: Measured) -> None:
    mix = {"in_tokens": 2048, "out_tokens": 1024}
    both = [measured("decode", 10.0, 500.0), measured("serve", 1000.0, 500.0, mix=mix)]
    money = option(decide(workloads=both), "SERVE").usd_per_device_h
    assert money is not None
    assert money.mid == pytest.approx(1000 * (0.08 + 2 * 0.05) * 1e-6 * 3600 * 0.5)


def test_where_the_card_is_scarce_and_not_the_kwh(decide: Judge, measured: Measured) -> None:
    """Thrifty hashing wins per kWh, the hungry rent brings more per hour."""
    loads = [measured("sha256d", 1e14, 2.0), measured("decode", 5893.0, 700.0)]
    decision = decide("btc=500000", workloads=loads)
    assert decision.code == "MINE"
    assert "Per device-hour RENT is ahead." in decision.sentence
    assert "Per device-hour" not in decide("btc=5000000", workloads=loads).sentence


# References and flips


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
    assert at == pytest.approx(expected * 1e6)


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
    assert values[0].mid == pytest.approx(values[1].mid)
    assert found.ratio == pytest.approx(found.at / found.now)  # type: ignore[operator]


def test_at_its_flip_the_hours_equal_the_rival(decide: Judge, market: MarketProfile) -> None:
    found = flip(decide(), what="hours rented")
    assert found.at is not None
    share = replace(market.rent_utilisation, value=found.at, low=None, high=None)
    moved = decide(market=replace(market, rent_utilisation=share))
    values = [option(moved, name).usd_per_kwh for name in ("RENT", "SERVE")]
    assert values[0] is not None
    assert values[1] is not None
    assert values[0].mid == pytest.approx(values[1].mid)


def test_at_its_flip_power_costs_what_the_best_use_earns(decide: Judge) -> None:
    at = flip(decide(), what="power price").at
    net = option(decide(f"power={at}"), "RENT").usd_per_kwh_net
    assert net is not None
    assert net.mid == pytest.approx(0, abs=1e-9)


def test_a_flip_against_hashing_in_bitcoin_outlives_the_btc_price(bare: Judge) -> None:
    first, later = (flip(bare(f"btc={usd}"), loser="MINE") for usd in (60_000, 120_000))
    assert first.at is not None
    assert later.at == pytest.approx(2 * first.at)
    assert later.at_btc == pytest.approx(first.at_btc)


# Ages


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


# What must not change the answer


@settings(max_examples=15, deadline=None)
@given(factor=st.floats(1e-3, 1e3))
def test_scaling_every_price_scales_all_money(
    decide: Judge,
    market: MarketProfile,
    scaled: Callable[[MarketProfile, float], MarketProfile],
    factor: float,
) -> None:
    before, after = decide(), decide(market=scaled(market, factor))
    assert (after.code, after.label, after.probability) == (
        before.code,
        before.label,
        pytest.approx(before.probability),
    )
    for old, new in zip(before.options, after.options, strict=True):
        for name in ("usd_per_kwh", "usd_per_kwh_net", "usd_per_device_h", "usd_per_device_h_net"):
            was, now = getattr(old, name), getattr(new, name)
            assert (was is None) == (now is None)
            if was is not None:
                assert now.mid == pytest.approx(was.mid * factor, rel=1e-6)
                assert now.p90 == pytest.approx(was.p90 * factor, rel=1e-6)
    for old_flip, new_flip in zip(before.flips, after.flips, strict=True):
        assert new_flip.ratio == pytest.approx(old_flip.ratio)


@settings(max_examples=25, deadline=None)
@given(
    load=st.tuples(st.floats(1.0, 1e6), st.floats(10.0, 1000.0)),
    prices=st.tuples(st.floats(1e-4, 100.0), st.floats(1e-3, 100.0), st.floats(1e-3, 1.0)),
)
def test_any_card_in_any_market_has_an_orderly_answer(
    decide: Judge,
    measured: Measured,
    load: tuple[float, float],
    prices: tuple[float, float, float],
) -> None:
    (rate, watts), (token, rent, power) = load, prices
    loads = [measured("sha256d", 7e9, 480.0), measured("decode", rate, watts)]
    decision = decide(f"token={token} rent={rent} power={power}", workloads=loads)
    assert decision.probability is not None
    assert (decision.label is None) == (decision.probability < 0.8)
    for found in decision.options:
        for money in (found.usd_per_kwh, found.usd_per_device_h_net):
            if money is not None:
                assert money.p10 <= money.p50 <= money.p90
    gross = {o.code: o.usd_per_kwh.mid for o in decision.options if o.usd_per_kwh}
    assert decision.best == max(gross | {"OFF": power}, key=(gross | {"OFF": power}).__getitem__)
    assert "e-" not in decision.sentence


def test_the_seed_alone_moves_the_draws(decide: Judge) -> None:
    assert decide() == decide()
    assert decide(seed=8).probability != decide().probability
    assert decide(seed=8).flips == decide().flips


def test_a_common_gain_cancels_between_uses(
    decide: Judge, measured: Measured, market: MarketProfile
) -> None:
    """Hash against token on one meter: its 6.6 % is shared and does not blur the order."""
    always = replace(market.serve_utilisation, value=1.0, low=None, high=None)
    fee, power = (
        replace(v, low=None, high=None) for v in (market.pool_fee, market.power_usd_per_j)
    )
    plain = replace(market, serve_utilisation=always, pool_fee=fee, power_usd_per_j=power, rents=())
    loads = [measured("sha256d", 1e15, 500.0), measured("decode", 5893.0, 500.0)]
    first = decide("token=1", workloads=loads, market=plain)
    mined, sold = (option(first, code).usd_per_kwh for code in ("MINE", "SERVE"))
    assert mined is not None
    assert sold is not None
    assert (mined.p90 - mined.p10) / mined.p50 > 0.1
    equal = mined.mid / sold.mid
    better = decide(f"token={1.05 * equal}", workloads=loads, market=plain)
    assert (better.code, better.runner_up, better.label) == ("SERVE", "MINE", "robust")
    within_the_margin = decide(f"token={1.01 * equal}", workloads=loads, market=plain)
    assert (within_the_margin.code, within_the_margin.best) == ("TOO CLOSE", "SERVE")
    assert within_the_margin.probability is not None
    assert within_the_margin.probability < 0.2


def test_a_decision_is_json_and_comes_back(decide: Judge, market: MarketProfile) -> None:
    for kind, thing in ((Decision, decide()), (MarketProfile, market)):
        text = json.dumps(asdict(thing), allow_nan=False)  # type: ignore[call-overload]
        assert TypeAdapter(kind).validate_json(text) == thing


def test_no_asic_no_reference(decide: Judge) -> None:
    decision = decide(asics=())
    assert decision.references == ()
    assert "best ASIC" not in decision.sentence


def test_a_conflicting_source_yields_to_a_sound_one(decide: Judge) -> None:
    twins = tuple(map(load_asic, ("antminer-s23-hyd", "antminer-s23-hyd-3u")))
    assert decide(asics=twins).references[0].name == "antminer-s23-hyd-3u"
