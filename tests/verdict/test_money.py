"""The money of each use: by hand, at every boundary, with and without joules."""

from collections.abc import Callable
from typing import Any

import pytest

from bench.records.decision import Decision, Flip, Option
from bench.records.run import DeviceFacts, Idle, WorkloadRecord

Judge = Callable[..., Decision]
Measured = Callable[..., WorkloadRecord]


def option(decision: Decision, code: str) -> Option:
    return next(option for option in decision.options if option.code == code)


def flip(decision: Decision, **wanted: Any) -> Flip:
    thresholds = (*decision.flips, *decision.break_evens)
    return next(
        f for f in thresholds if all(getattr(f, key) == value for key, value in wanted.items())
    )


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
        0.5 * flip(decision, what="token price", winner="RENT").at / 5,  # type: ignore[operator]
        rel=1e-3,
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


def test_hashing_and_rent_by_hand(decide: Judge) -> None:
    """Hashing pays the pool and never idles; a rent leaves its cut to the platform."""
    decision = decide()
    mined = option(decision, "MINE").usd_per_device_h
    let = option(decision, "RENT").usd_per_device_h
    assert mined is not None
    assert let is not None
    per_phs_day = 28.68 * (1 - 0.019)
    assert mined.mid == pytest.approx(7.1e9 / 1e15 * per_phs_day / 24, rel=1e-4)
    assert let.mid == pytest.approx(2.69 * 0.5 * (1 - 0.1))


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
