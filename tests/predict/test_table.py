"""The table as a whole: money by hand, batches, marks, refusals, draws. About 5 s."""

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bench.catalogue import apply_sets, load_model
from bench.economics import capital
from bench.economics.card import mean_power_w
from bench.predict import STANDS_STILL, table
from bench.predict.ages import PriceKind, stale_prices
from bench.predict.calibrate import Factor, prior_factor
from bench.predict.card import Card, Subject, at_work, tpot_p99_s
from bench.predict.draws import Dice, Stage, draw_stage
from bench.predict.limits import most_rows
from bench.predict.owner import costs, earned, returned
from bench.predict.point import Asked
from bench.predict.priors import KINDS
from bench.predict.row import Row, Table
from bench.records.market import GpuProfile, MarketProfile, TokenPrice, Value

Cards = Callable[..., GpuProfile]
Points = Callable[..., Asked]
DRAWS = 400


@pytest.fixture(scope="module")
def price(market: MarketProfile) -> TokenPrice:
    return next(each for each in market.tokens if each.model_id == "Llama-3.1-8B")


@pytest.fixture
def tabled(market: MarketProfile, price: TokenPrice, asked: Points, card: Cards) -> Any:
    rents = {rent.gpu: rent for rent in market.rents if rent.gpu is not None}

    def made(names: tuple[str, ...] = (), runs: Any = (), **changes: Any) -> Table:
        point = {key: changes.pop(key) for key in ("batch", "tpot_s") if key in changes}
        gpus = [each if isinstance(each, GpuProfile) else card(each) for each in names]
        given: dict[str, Any] = {
            "price": price,
            "rents": rents,
            "seed": 3,
            "draws": DRAWS,
            **changes,
        }
        return table(asked(**point), gpus, runs, market, **given)

    return made


def row_of(found: Table, name: str) -> Row:
    return next(row for row in found.rows if row.name == name)


def staged(card_of: Cards, market: MarketProfile, price: TokenPrice) -> tuple[Card, Stage]:
    gpu = card_of("h100")
    stage = draw_stage(market, price, Dice(1, DRAWS))
    subject = Subject("h100", gpu, {kind: prior_factor(kind) for kind in KINDS})
    found = at_work(subject, Asked(load_model("8b"), "bf16", 1024, 1024, 64, None), stage, None)
    assert found is not None
    return found, stage


def test_return_and_rent_are_those_of_the_formulas_draw_by_draw(
    card: Cards, market: MarketProfile, price: TokenPrice
) -> None:
    """The annuities are drawn once a table; a card at a time they must give the same."""
    found, stage = staged(card, market, price)
    assert found.subject.gpu.price_usd is not None
    income, owned = earned(found, stage), costs(found, found.subject.gpu.price_usd, stage)
    assert income is not None
    back = returned(found, income, owned, stage)
    owner, dice, chosen = market.capital, stage.dice, found.serving.power
    rate, life = dice.value(owner.discount_rate, "rate"), dice.value(owner.card_life_s, "life")
    residual, decay = dice.value(owner.residual, "residual"), dice.value(owner.rent_decay, "decay")
    space = stage.owning.colocation_usd_per_j
    mean = mean_power_w(chosen.facility_w, found.idle.facility_w, stage.serve_utilisation)
    npv = capital.npv_usd(
        owned.capital_usd,
        residual,
        rate,
        life,
        revenue_usd_per_s=income.usd_per_s,
        cost_usd_per_s=mean * stage.usd_per_j + space * chosen.wall_w,
        decay=decay,
    )
    stopped = capital.npv_usd(
        owned.capital_usd, residual, rate, life, revenue_usd_per_s=0, cost_usd_per_s=0, decay=decay
    )
    kept = np.maximum(npv, stopped)
    assert np.any(npv < stopped)
    np.testing.assert_allclose(back.npv_per_usd * owned.capital_usd, kept, rtol=1e-9, atol=1e-6)
    rent = capital.required_rent_usd_per_s(
        owned.capital_usd,
        residual,
        rate,
        life,
        mean_w=mean_power_w(
            found.busiest.facility_w, found.idle.facility_w, stage.rent_utilisation
        ),
        usd_per_j=stage.usd_per_j,
        other_usd_per_s=space * found.busiest.wall_w,
        utilisation=stage.rent_utilisation,
        cut=stage.rent_cut,
        decay=decay,
    )
    np.testing.assert_allclose(owned.required_rent_usd_per_s, rent, rtol=1e-9)


def test_at_its_break_even_price_a_card_returns_nothing(tabled: Any, market: MarketProfile) -> None:
    first = row_of(tabled(("h100",)), "h100")
    assert first.money.token_price_usd is not None
    at = Value(first.money.token_price_usd.mid, "USD/token", "2026-11", "test", "G")
    again = row_of(tabled(("h100",), price=TokenPrice(None, at, at)), "h100")
    assert again.money.npv_per_usd is not None
    assert again.money.npv_per_usd.mid == pytest.approx(0, abs=1e-9)
    assert again.money.strike_usd_per_j is not None
    assert again.money.strike_usd_per_j.mid == pytest.approx(market.power_usd_per_j.value)


def test_board_wall_and_facility(tabled: Any, card: Cards, market: MarketProfile) -> None:
    gpu, row = card("h100"), row_of(tabled(("h100",), batch=64, tpot_s=None), "h100")
    assert row.board_joules_per_token
    assert row.joules_per_token
    assert row.tokens_per_s
    board_w = row.board_joules_per_token.mid * row.tokens_per_s.mid
    paid_w = (board_w + gpu.host_w.value) / gpu.psu_efficiency.value * market.pue_gpu.value
    assert row.joules_per_token.mid * row.tokens_per_s.mid == pytest.approx(paid_w)
    assert row.facility_over_board == pytest.approx(paid_w / board_w)


def test_each_card_runs_its_largest_batch_under_the_bound(
    asked: Points, card: Cards, market: MarketProfile
) -> None:
    point, stage = asked(), draw_stage(market, None, Dice(1, 100))
    for name in ("h200", "a100", "rtx4090"):
        subject = Subject(name, card(name), {kind: prior_factor(kind) for kind in KINDS})
        found = at_work(subject, point, stage, None)
        assert found is not None
        batch = found.serving.batch
        assert tpot_p99_s(subject, point, batch) <= 0.05
        fits = most_rows(subject.gpu, point)
        assert batch == fits or tpot_p99_s(subject, point, batch + 1) > 0.05


def test_what_cannot_serve_stays_in_the_table(tabled: Any) -> None:
    found = tabled(("t4", "l4", "h100"))
    assert len(found.rows) == 3
    t4, l4 = row_of(found, "t4"), row_of(found, "l4")
    assert "needs 16.1 GB of weights" in str(t4.why_not)
    assert l4.why_not == "even batch 1 takes longer than 50 ms per token (p99)"
    assert t4.hashes_per_s is not None
    assert (t4.tokens_per_s, t4.rank, t4.money.usd_per_token) == (None, None, None)
    assert found.rows[0].name == "h100"


def test_no_market_leaves_costs_and_break_evens(tabled: Any) -> None:
    found = tabled(("h100", "a100"), price=None)
    row = row_of(found, "h100")
    assert found.price is None
    assert row.money.usd_per_token
    assert row.money.token_price_usd
    assert row.rank is not None
    assert row.money.revenue_usd_per_j is None
    assert (row.money.npv_per_usd, row.money.p_loss, row.money.payback_s) == (None, None, None)


def test_a_card_without_price_or_rent_says_so(tabled: Any, card: Cards) -> None:
    bare = card("h100", price_usd=None)
    row = row_of(tabled((bare,), rents={}), "h100")
    assert row.money.usd_per_token is None
    assert row.money.revenue_usd_per_j is not None
    assert row.rank is None
    assert "no buy price: no cost, return or rank" in row.notes
    assert "no rent in this market" in row.notes


def test_marks_and_who_is_ranked(tabled: Any, card: Cards, run: Any) -> None:
    runs = [
        run(card("h200"), hash_rate=1.0, decode_rate=1.0, hash_power=1.0, decode_power=1.0),
        run(card("a100"), hash_rate=1.0),
        run(card("rtx4090"), hash_rate=1.0, decode_rate=1.0, mark="simulated", ranked=False),
    ]
    found = tabled(("h100", "h200", "a100", "rtx4090"), runs)
    assert {row.name: row.mark for row in found.rows} == {
        "h100": "predicted",
        "h200": "measured",
        "a100": "hash measured, tokens predicted",
        "rtx4090": "simulated",
    }
    assert row_of(found, "h200").rank is not None
    assert row_of(found, "rtx4090").rank is None
    assert "the run is UNRANKED: no rank" in row_of(found, "rtx4090").notes
    assert {kind for _, kind in found.learned} == set(KINDS) - {"prefill rate"}
    assert not any(family == "ada" for family, _ in found.learned)


def test_a_measured_card_calibrates_its_family_visibly(tabled: Any, card: Cards, run: Any) -> None:
    prior = row_of(tabled(("h100",)), "h100")
    taught = row_of(tabled(("h100",), [run(card("h200"), hash_rate=1.1)]), "h100")
    assert prior.hashes_per_s
    assert taught.hashes_per_s
    assert taught.hashes_per_s.mid == pytest.approx(1.1 * prior.hashes_per_s.mid)


def test_two_runs_of_one_card_are_two_rows(tabled: Any, card: Cards, run: Any) -> None:
    one = run(card("h100"), hash_rate=1.0)
    found = tabled(("h100",), [one, replace(one, run_id="run-h100-0001")])
    names = [row.name for row in found.rows]
    assert names == ["h100 run-h100-0000", "h100 run-h100-0001"]


def test_intervals_are_as_wide_as_stated() -> None:
    dice = Dice(5, 20_000)
    drawn = dice.factor(Factor(2.0, 0.3), "h100", "hopper", "rate")[1:]
    low, high = np.percentile(drawn, [2.5, 97.5])
    assert low == pytest.approx(2.0 / 1.3, rel=0.02)
    assert high == pytest.approx(2.0 * 1.3, rel=0.02)
    other = dice.factor(Factor(2.0, 0.3), "h200", "hopper", "rate")[1:]
    assert np.corrcoef(np.log(drawn), np.log(other))[0, 1] == pytest.approx(0.5, abs=0.03)
    own = dice.factor(Factor(2.0, 0.3, own=True), "h200", "hopper", "rate")[1:]
    assert abs(np.corrcoef(np.log(drawn), np.log(own))[0, 1]) < 0.8


def test_a_row_does_not_depend_on_its_neighbours(tabled: Any) -> None:
    alone, among = row_of(tabled(("a100",)), "a100"), row_of(tabled(("h100", "a100")), "a100")
    same = ("tokens_per_s", "joules_per_hash", "joules_per_token", "money")
    assert all(getattr(alone, field) == getattr(among, field) for field in same)


def test_dearer_power_costs_more_and_returns_less(
    tabled: Any, market: MarketProfile, asked: Points, card: Cards, price: TokenPrice
) -> None:
    dear = apply_sets(market, ["power=0.5"], today=dt.date(2026, 11, 22))
    cheap = row_of(tabled(("h100",)), "h100")
    found = table(
        asked(), [card("h100")], [], dear, price=price, rents={}, seed=3, draws=DRAWS
    ).rows[0]
    assert found.money.usd_per_token
    assert cheap.money.usd_per_token
    assert found.money.npv_per_usd
    assert cheap.money.npv_per_usd
    assert found.money.usd_per_token.mid > cheap.money.usd_per_token.mid
    assert found.money.npv_per_usd.mid < cheap.money.npv_per_usd.mid


def test_no_owner_runs_a_card_at_a_loss(tabled: Any) -> None:
    """However little tokens fetch, the loss is the capital less what is left of it."""
    losses = []
    for usd in (1e-9, 1e-12):
        at = Value(usd, "USD/token", "2026-11", "test", "G")
        row = row_of(tabled(("h100",), price=TokenPrice(None, at, at)), "h100")
        assert row.money.npv_per_usd
        assert row.money.stands_still
        assert STANDS_STILL in row.notes
        losses.append(row.money.npv_per_usd.mid)
        assert -1 < row.money.npv_per_usd.p2 < row.money.npv_per_usd.p97 < 0
        assert row.money.p_loss == 1
    assert losses[0] == losses[1]
    assert not row_of(tabled(("b200",)), "b200").money.stands_still


def test_prices_behind_the_rows_age_by_their_kind(tabled: Any, card: Cards) -> None:
    old = Value(1599.0, "USD", "2022-10", "launch", "S")
    found = tabled((card("rtx4090", price_usd=old), "t4", "h100"))
    limits: dict[PriceKind, int] = {"card": 90, "rent": 30, "token": 90}
    (stale,) = (
        each for each in stale_prices(found, dt.date(2022, 12, 31), limits) if each.of == "rtx4090"
    )
    assert (stale.kind, stale.value, stale.age_days, stale.limit_days) == ("card", old, 91, 90)
    assert not stale_prices(found, dt.date(2022, 12, 30), limits)
    late = stale_prices(found, dt.date(2100, 1, 1), limits)
    assert {(each.kind, each.of) for each in late} == {
        ("card", "rtx4090"),
        ("card", "h100"),
        ("rent", "rtx4090"),
        ("rent", "h100"),
        ("token", "8b, in"),
        ("token", "8b, out"),
    }  # the t4 cannot serve: its prices are behind no figure


def test_a_doubtful_price_without_a_range_is_spread() -> None:
    dice = Dice(1, 4000)
    known = Value(1000.0, "USD", "2026", "list", "S")
    doubted = replace(known, flag="S/M")
    assert np.ptp(dice.price(known, "x")) == 0
    low, high = np.percentile(dice.price(doubted, "x")[1:], [2.5, 97.5])
    assert (low, high) == (pytest.approx(1000 / 1.3, rel=0.05), pytest.approx(1300, rel=0.05))


def test_flags_show_worst_first(tabled: Any) -> None:
    found = tabled(("b200", "h200"))
    assert row_of(found, "b200").flags.work.startswith("U")
    assert "U" not in row_of(found, "h200").flags.work


def test_flags_are_those_of_the_values_behind_each_part(tabled: Any, card: Cards) -> None:
    known = card("h100")
    priced = known.price_usd
    assert priced is not None
    doubted = replace(known, price_usd=replace(priced, flag="S/U"))
    plain, marked = (row_of(tabled((gpu,)), "h100").flags for gpu in (known, doubted))
    assert (marked.work, marked.energy) == (plain.work, plain.energy)
    assert (marked.cost, marked.earned) == (f"U{plain.cost}", f"U{plain.earned}")
    assert "A" in plain.cost  # the discount rate, for one
    unpriced = row_of(tabled((replace(known, price_usd=None),)), "h100").flags
    assert unpriced.cost == ""
    assert unpriced.earned
    refused = row_of(tabled(("t4",)), "t4").flags
    assert (refused.cost, refused.earned) == ("", "")
    assert refused.energy
