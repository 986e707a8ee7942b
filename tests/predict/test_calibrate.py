"""What measured cards teach: by hand, and what they may not. < 1 s."""

import math
from collections.abc import Callable
from typing import Any

import pytest

from bench.predict.calibrate import factor_for, learn, own_factors, prior_factor
from bench.predict.priors import MOVED_HALF, PRIORS
from bench.records.market import GpuProfile

Cards = Callable[..., GpuProfile]
Runs = Callable[..., Any]


def test_one_card_moves_the_middle_and_leaves_the_interval(card: Cards, run: Runs) -> None:
    learned = learn([run(card("h100"), decode_rate=1.2)])
    factor = factor_for(learned, "hopper", "decode rate")
    assert factor.mid == pytest.approx(1.2)
    assert factor.half == PRIORS["decode rate"].half
    assert factor.left_out is None
    assert factor.cards == ("h100",)
    assert factor_for(learned, "ada", "decode rate") == prior_factor("decode rate")
    assert factor_for(learned, "hopper", "hash rate") == prior_factor("hash rate")


def test_leave_one_out_by_hand(card: Cards, run: Runs) -> None:
    """Ratios 1, 1 and 1.1: the pair of others gives sqrt(1.1), sqrt(1.1) and 1."""
    runs = [
        run(card("h100"), hash_rate=1.0),
        run(card("h200"), hash_rate=1.0),
        run(card("h100-pcie"), hash_rate=1.1),
    ]
    factor = factor_for(learn(runs), "hopper", "hash rate")
    errors = [math.sqrt(1.1) - 1, math.sqrt(1.1) - 1, 1 / 1.1 - 1]
    expected = math.sqrt(sum(error**2 for error in errors) / 3)
    assert factor.left_out == pytest.approx(expected)
    assert factor.half == pytest.approx(1.96 * expected)
    assert factor.mid == pytest.approx(1.1 ** (1 / 3))


def test_leave_one_out_may_widen_and_never_vanishes(card: Cards, run: Runs) -> None:
    names = ("h100", "h200", "h100-pcie")
    wild = learn([run(card(n), hash_rate=r) for n, r in zip(names, (0.5, 1, 2), strict=True)])
    assert factor_for(wild, "hopper", "hash rate").half > PRIORS["hash rate"].half
    same = learn([run(card(name), hash_rate=1.0) for name in names])
    assert factor_for(same, "hopper", "hash rate").half == 0.05


def test_runs_of_one_card_count_once(card: Cards, run: Runs) -> None:
    runs = [run(card("h100"), hash_rate=0.9), run(card("h100"), hash_rate=1.0)]
    runs.append(run(card("h200"), hash_rate=1.0))
    factor = factor_for(learn(runs), "hopper", "hash rate")
    assert factor.mid == pytest.approx(math.exp((math.log(0.9) / 2) / 2))
    assert factor.left_out is None


@pytest.mark.parametrize("kind", [{"mark": "simulated", "ranked": False}, {"ranked": False}])
def test_simulated_and_unranked_runs_teach_nothing(card: Cards, run: Runs, kind: Any) -> None:
    assert learn([run(card("h100"), hash_rate=2.0, **kind)]) == {}


def test_simulated_runs_teach_when_asked(card: Cards, run: Runs) -> None:
    runs = [run(card("h100"), hash_rate=1.1, mark="simulated", ranked=False)]
    assert factor_for(learn(runs, simulated=True), "hopper", "hash rate").mid == pytest.approx(1.1)


def test_a_card_is_first_of_all_itself(card: Cards, run: Runs) -> None:
    own = run(card("h100"), hash_rate=1.1, decode_rate=0.9)
    factors = own_factors(own, learn([run(card("h200"), hash_power=0.8)]))
    assert factors["hash rate"].own
    assert factors["hash rate"].half == pytest.approx(0.02)
    assert factors["decode rate"].half == pytest.approx(math.hypot(0.02, MOVED_HALF))
    assert not factors["hash power"].own
    assert factors["hash power"].mid == pytest.approx(0.8)
