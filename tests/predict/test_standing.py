"""Ranks, fronts and groups by hand. < 1 s."""

import numpy as np
import pytest

from bench.predict.standing import SEPARABLE, Rank, front, inseparable, ranks


def test_ranks_by_hand() -> None:
    """Four draws behind the middle: a wins three of them, c never."""
    a = np.array([1.0, 1, 1, 1, 3])
    b = np.array([2.0, 2, 2, 2, 2])
    c = np.array([4.0, 4, 4, 4, 4])
    assert ranks([b, a, c]) == [
        Rank(mid=2, p10=1, p90=2, p_best=0.25),
        Rank(mid=1, p10=1, p90=2, p_best=0.75),
        Rank(mid=3, p10=3, p90=3, p_best=0.0),
    ]
    assert ranks([]) == []


def test_equal_costs_keep_their_order() -> None:
    same = np.ones(11)
    assert [rank.mid for rank in ranks([same, same])] == [1, 2]


def test_chances_of_being_first_add_up() -> None:
    random = np.random.default_rng(7)
    found = ranks([random.normal(i / 4, 1, 2001) for i in range(6)])
    assert sum(rank.p_best for rank in found) == pytest.approx(1)
    assert all(rank.p10 <= rank.p90 for rank in found)


def test_the_front_holds_what_nobody_beats_at_everything() -> None:
    points = [(1.0, 5.0), (2.0, 2.0), (3.0, 3.0), (5.0, 1.0), (2.0, 2.0)]
    assert front(points) == [True, True, False, True, True]
    assert front([]) == []


def test_groups_begin_at_their_least_and_do_not_chain() -> None:
    step = 1 + SEPARABLE
    joules = [1.0, 1.0 * step * 0.999, 1.0 * step * 1.001, 5.0]
    assert inseparable(joules) == ["a", "a", None, None]
    assert inseparable([2.0, 1.0, 1.0, 2.0]) == ["b", "a", "a", "b"]
    assert inseparable([]) == []


def test_separable_is_two_gains_combined() -> None:
    assert pytest.approx(0.0933, abs=1e-4) == SEPARABLE
