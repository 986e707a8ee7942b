"""Full cost, the ladder, the exchange rate, swings and the grid: by hand and by their own rules."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bench.catalogue import apply_sets, load_asics, load_gpu, parse_asic
from bench.economics.capital import capital_recovery_factor
from bench.records.decision import Decision, Option, Swing
from bench.records.market import MarketProfile
from bench.records.run import DeviceFacts, Idle, Validity, WorkloadRecord
from bench.verdict.case import Case
from bench.verdict.grid import STEPS, flip_grid

Judge = Callable[..., Decision]
Measured = Callable[..., WorkloadRecord]


def option(decision: Decision, code: str) -> Option:
    return next(option for option in decision.options if option.code == code)


def swing(decision: Decision, what: str) -> Swing:
    return next(swing for swing in decision.swings if swing.what == what)


@pytest.fixture(scope="session")
def case(measured: Measured) -> Case:
    estimate = measured("sha256d", 7.1e9, 480.0).metrics.units_per_s
    assert estimate is not None
    return Case(
        DeviceFacts("gpu", "NVIDIA H100 80GB HBM3"),
        [measured("sha256d", 7.1e9, 480.0), measured("decode", 5893.0, 560.0, batch=64)],
        Idle(replace(estimate, mid=70.0, lo=69.0, hi=71.0)),
        None,
        load_gpu("h100"),
        7,
    )


def test_full_cost_by_hand(decide: Judge, market: MarketProfile) -> None:
    """Price × 1.4, carried for the lead time, 10 % a year over 4 years with a tenth left."""
    found = option(decide(), "RENT")
    card = load_gpu("h100").price_usd
    assert card is not None
    capital = card.value * 1.4 * 1.1**0.25
    lost = capital * (1 - 0.1 / 1.1**4)
    at_middle = 1.1**0.5  # income comes evenly over a year, not at its end
    yearly = lost * capital_recovery_factor(0.1, 4) / at_middle
    colocation = 163.44 * 12 / 8760 * (560 + 181) / 0.94 / 1000
    net = found.usd_per_device_h_net
    full = found.usd_per_device_h_full
    assert net is not None
    assert full is not None
    assert net.mid - full.mid == pytest.approx(yearly / 8760 + colocation, rel=1e-6)
    assert market.capital.node_factor.value == 1.4


def test_a_card_that_is_off_still_costs_its_capital(decide: Judge) -> None:
    decision = decide()
    off, rent = option(decision, "OFF"), option(decision, "RENT")
    assert off.usd_per_device_h_full is not None
    assert rent.usd_per_device_h_full is not None
    assert rent.usd_per_device_h_net is not None
    owning = rent.usd_per_device_h_net.mid - rent.usd_per_device_h_full.mid
    assert off.usd_per_device_h_full.mid == pytest.approx(-owning)
    assert "With its capital no use pays." in decision.sentence
    assert "With its capital" not in decide("rent=20").sentence


def test_full_cost_is_unknown_without_a_price(bare: Judge, decide: Judge) -> None:
    for decision in (bare("token=5"), decide(gpu=replace(load_gpu("h100"), price_usd=None))):
        serve = option(decision, "SERVE")
        assert serve.usd_per_device_h_full is None
        assert serve.full_reason == "what this device costs to buy is not known"
        assert not any(swing.full for swing in decision.swings)


def test_the_ladder_is_sorted_and_cut_by_the_power_price(decide: Judge) -> None:
    decision = decide()
    prices = [rung.break_even_usd_per_kwh.p50 for rung in decision.ladder]
    assert prices == sorted(prices, reverse=True)
    assert all(
        rung.runs == (price > 0.0929) for rung, price in zip(decision.ladder, prices, strict=True)
    )
    assert {rung.kind for rung in decision.ladder} == {"asic", "option"}
    cheap = decide("power=0.0000011")
    assert [rung.runs for rung in cheap.ladder].count(True) > [
        r.runs for r in decision.ladder
    ].count(True)


def test_a_machine_of_ones_own_is_on_the_ladder(decide: Judge, today: Any) -> None:
    own = parse_asic("ths=200,watts=3500", today=today)
    rung = next(r for r in decide(user_asic=own).ladder if "given" in r.name)
    assert rung.break_even_usd_per_kwh.mid == pytest.approx(
        28.68 * 0.981 / (24 * 17.5 * 1.03), rel=1e-4
    )
    assert rung.mark == "nameplate (G)"


def test_a_reference_pays_for_its_machine(decide: Judge) -> None:
    """16 USD/TH over four years, on 9.5 J/TH."""
    best = decide().references[0]
    assert best.usd_per_kwh_full is not None
    lost = 16 * 1.1**0.25 * (1 - 0.1 / 1.1**4)
    per_th_s = lost * capital_recovery_factor(0.1, 4) / 1.1**0.5 / (365 * 86400)
    per_kwh = per_th_s / 9.5 / 1.03 * 3.6e6
    assert best.usd_per_kwh_net.mid - best.usd_per_kwh_full.mid == pytest.approx(per_kwh, rel=1e-6)


def test_swings_are_sorted_and_name_what_they_move(decide: Judge) -> None:
    decision = decide()
    widths = [abs(s.at_high - s.at_low) for s in decision.swings]
    assert widths == sorted(widths, reverse=True)
    assert all(s.full for s in decision.swings)
    assert {"hours rented", "memory's price", "copper's price", "card's price"} <= {
        s.what for s in decision.swings
    }
    assert swing(decision, "memory's price").at_high < swing(decision, "memory's price").at_low
    assert swing(decision, "hours rented").best_at_low == "SERVE"


def test_a_swing_is_the_decision_at_that_value(decide: Judge) -> None:
    found = swing(decide(), "rent price")
    for at, usd in ((found.low, found.at_low), (found.high, found.at_high)):
        moved = option(decide(f"rent={at!r}"), "RENT").usd_per_device_h_full
        assert moved is not None
        assert moved.mid == pytest.approx(usd)


def test_an_input_that_moves_only_who_leads_is_shown(decide: Judge) -> None:
    """RENT does not feel the token price, which hands the lead to SERVE at its upper end."""
    found = swing(decide(), "token price")
    assert found.at_low == found.at_high
    assert (found.best_at_low, found.best_at_high) == ("RENT", "SERVE")


def test_what_nobody_measured_is_said(decide: Judge) -> None:
    plain = decide("rent=20").assumptions
    assert plain == ("a tenant is taken to draw what the busiest load measured here draws",)
    blind = decide("btc=60470", idle=Idle(None, "not measured")).assumptions
    assert blind[0].startswith("idle power was not measured")
    assert blind[-1] == "held at one value, without a range: BTC"


def test_an_input_without_a_range_has_no_swing(decide: Judge) -> None:
    assert "rent price" not in {s.what for s in decide("rent=20").swings}


def test_the_grid_agrees_with_the_decision_at_each_point(
    case: Case, market: MarketProfile, today: Any
) -> None:
    market = apply_sets(market, ["token=0.3"], today=today)
    found = flip_grid(case, market, "utilisation", "rent")
    assert (len(found.xs), len(found.ys)) == (STEPS, STEPS)
    assert {leader for row in found.leaders for leader in row} == {"SERVE", "RENT"}
    for row, column in ((0, 0), (4, 2), (8, 8)):
        sets = [f"rent={found.ys[row]!r} token=0.3"]
        share = replace(market.serve_utilisation, value=found.xs[column], low=None, high=None)
        there = replace(
            apply_sets(market, sets, today=today), serve_utilisation=share, rent_utilisation=share
        )
        standing = case.valued(there).standing
        assert standing is not None
        assert found.leaders[row][column] == standing.order[0]


@pytest.mark.parametrize(
    ("across", "down", "said"),
    [
        ("rent", "rent", "must differ"),
        ("rent", "weather", "no input is called weather"),
        ("token", "rent", "token price has no value here"),
        ("wall", "rent", "wall is not used"),
    ],
)
def test_a_grid_that_makes_no_sense_is_refused(
    case: Case, market: MarketProfile, across: str, down: str, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        flip_grid(case, replace(market, tokens=()), across, down)


def test_board_against_wall(decide: Judge, measured: Measured) -> None:
    """The same watts priced at the board and at the wall: the factor says which kWh are paid."""
    seen = {}
    for boundary in ("board", "wall"):
        loads = [measured("sha256d", 7.1e9, 480.0, boundary)]
        found = option(decide(workloads=loads), "MINE")
        assert found.usd_per_kwh is not None
        assert found.boundary == boundary
        seen[boundary] = (found.wall_factor, found.usd_per_kwh.mid)
    assert seen["wall"][0] == 1
    assert seen["board"][0] == pytest.approx((480 + 181) / 0.94 / 480)
    assert seen["wall"][1] / seen["board"][1] == pytest.approx(seen["board"][0])


def test_the_machines_on_sale_stand_on_the_ladder(decide: Judge, market: MarketProfile) -> None:
    names = {rung.name for rung in decide().ladder if rung.kind == "asic"}
    assert names == {asic.title for asic in load_asics(market)}


def test_an_invalid_run_has_no_ladder(decide: Judge) -> None:
    assert decide(validity=Validity("invalid", ())).ladder == ()
