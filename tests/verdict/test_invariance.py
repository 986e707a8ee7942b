"""What must not change the answer."""

import json
import re
from collections.abc import Callable
from dataclasses import asdict, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from bench.catalogue import load_asic, load_gpu
from bench.records.decision import Decision, Option
from bench.records.market import MarketProfile
from bench.records.run import WorkloadRecord

Judge = Callable[..., Decision]
Measured = Callable[..., WorkloadRecord]


def option(decision: Decision, code: str) -> Option:
    return next(option for option in decision.options if option.code == code)


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
    assert not re.search(r"\de[-+]?\d", decision.sentence), "no exponents"


def test_the_seed_alone_moves_the_draws(decide: Judge) -> None:
    assert decide() == decide()
    assert decide(seed=8).probability != decide().probability
    for one, other in zip(decide().flips, decide(seed=8).flips, strict=True):
        assert (one.at is None) == (other.at is None)
        assert one.at is None or one.at == pytest.approx(other.at, rel=0.02)


def test_a_common_gain_cancels_between_uses(
    decide: Judge, measured: Measured, market: MarketProfile
) -> None:
    """Hash against token on one meter: its 6.6 % is shared and does not blur the order."""
    exact = {
        name: replace(getattr(market, name), low=None, high=None)
        for name in ("btc_usd", "difficulty", "pool_fee", "power_usd_per_j", "pue_gpu")
    }
    always = replace(market.serve_utilisation, value=1.0, low=None, high=None)
    plain = replace(market, serve_utilisation=always, rents=(), **exact)
    known = load_gpu("h100")
    host, supply = (replace(v, low=None, high=None) for v in (known.host_w, known.psu_efficiency))
    gpu = replace(known, host_w=host, psu_efficiency=supply)
    loads = [measured("sha256d", 1e15, 500.0), measured("decode", 5893.0, 500.0)]
    first = decide("token=1", workloads=loads, market=plain, gpu=gpu)
    mined, sold = (option(first, code).usd_per_kwh for code in ("MINE", "SERVE"))
    assert mined is not None
    assert sold is not None
    assert (mined.p90 - mined.p10) / mined.p50 > 0.1
    equal = mined.mid / sold.mid
    better = decide(f"token={1.05 * equal}", workloads=loads, market=plain, gpu=gpu)
    assert (better.code, better.runner_up, better.label) == ("SERVE", "MINE", "robust")
    within_the_margin = decide(f"token={1.01 * equal}", workloads=loads, market=plain, gpu=gpu)
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
