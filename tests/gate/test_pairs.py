"""Runs laid out in pairs: what drift of the machine and lost runs do to an answer. About 3 s."""

import random
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from bench.gate.compare import compare
from bench.gate.pairs import BASE_FIRST, HEAD_FIRST, laid_out, orders, pair_of
from bench.gate.side import Gauge, Side

DEVICE = {"device kind": "cpu", "device": "A"}
FIGURES = (("sha256d", "units_per_s"), ("sha256d", "joules_per_unit"),
           ("decode", "units_per_s"), ("decode", "joules_per_unit"))  # fmt: skip


def run_of(*values, asked=None):
    """One run: a value of each figure, in three blocks that vary."""
    blocks = np.exp([-0.01, 0.0, 0.01])
    gauges = tuple(
        Gauge(*name, "hash", tuple((value * blocks).tolist()), asked or {})
        for name, value in zip(FIGURES, values, strict=False)
    )
    return Side(DEVICE, gauges, on_card=False, boundary="package")


def trial(rng, *, pairs=8, spread=0.005, loss=0.0, drift=0.3):
    """Pairs on a machine whose speed wanders by ``drift`` over the whole and by chance."""
    order = list(orders(pairs, random.Random(int(rng.integers(2**31)))))
    course = np.linspace(0, drift, 2 * pairs)
    found = []
    for k, first in enumerate(order):
        slow = {first[0]: course[2 * k], first[1]: course[2 * k + 1]}
        noise = {name: slow[name] + rng.normal(size=4) * spread for name in first}
        worse = np.log1p(loss) * np.array([-1, 1, -1, 1])
        base, head = np.exp(noise["base"]), np.exp(noise["head"] + worse)
        found.append(pair_of(run_of(*base), run_of(*head)))
    return laid_out(found)


def gate(base, head, limit=0.10):
    return compare(base, head, max_regress=limit, confidence=0.95, paired=True)


def verdicts(count, limit, **drawing):
    rng = np.random.default_rng(5)
    return Counter(gate(*trial(rng, **drawing), limit).verdict for _ in range(count))


@pytest.mark.parametrize(("spread", "limit"), [(0.005, 0.03), (0.03, 0.10), (0.3, 0.10)])
def test_equal_code_on_a_machine_that_slows_by_a_third_is_next_to_never_a_regression(spread, limit):
    found = verdicts(300, limit, spread=spread)
    assert found["regression"] <= 3
    if spread == 0.3:
        assert found["ok"] == 0


def test_equal_code_is_ok_though_the_machine_slows_by_a_third():
    assert verdicts(100, 0.10, spread=0.01)["ok"] >= 99


def test_a_planted_loss_of_six_percent_is_found_at_five_and_hidden_by_noise_is_never_ok():
    assert verdicts(200, 0.05, spread=0.003, loss=0.06, drift=0.01)["regression"] >= 190
    hidden = verdicts(200, 0.05, spread=0.05, loss=0.06)
    assert hidden["ok"] <= 2
    assert hidden["inconclusive"] >= 185


def test_either_side_is_first_equally_often_and_a_coin_decides():
    drawn = [tuple(orders(8, random.Random(seed))) for seed in range(40)]
    assert {order.count(BASE_FIRST) for order in drawn} == {4}
    assert {order[0] for order in drawn} == {BASE_FIRST, HEAD_FIRST}
    assert all(set(order[k : k + 2]) == {BASE_FIRST, HEAD_FIRST}
               for order in drawn for k in range(0, 8, 2))  # fmt: skip
    assert len(tuple(orders(3, random.Random(1)))) == 3


def test_a_run_counts_as_the_geometric_mean_of_its_blocks():
    base, head = laid_out([pair_of(run_of(2.0), run_of(4.0))] * 4)
    assert base.gauges[0].values == pytest.approx([2.0] * 4)
    (found,) = gate(base, head).figures
    assert found.ratio.mid == pytest.approx(2.0)
    assert found.blocks == (4, 4)


def test_two_pairs_tell_nothing():
    found = gate(*laid_out([pair_of(run_of(1.0), run_of(1.0))] * 2))
    assert found.verdict == "inconclusive"
    assert found.figures[0].why.startswith("2 pairs: ")


def test_a_pair_in_four_may_be_lost_and_no_more():
    good, spoilt = run_of(1.0), replace(run_of(1.0), spoilt="the run is invalid: THROTTLE")
    whole = [pair_of(good, good)] * 6
    found = gate(*laid_out([*whole, pair_of(good, "exit 6, gone"), pair_of(spoilt, good)]))
    assert (found.verdict, found.figures[0].blocks) == ("ok", (6, 6))
    base, head = laid_out([*whole, *[pair_of(good, "exit 6, gone")] * 3])
    assert head.spoilt == "3 of 9 pairs of runs were lost, the last as head failed: exit 6, gone"
    assert gate(base, head).verdict == "not comparable"


def test_without_a_whole_pair_nothing_is_comparable():
    base, head = laid_out([pair_of("exit 1, broken", run_of(1.0))] * 3)
    assert gate(base, head).verdict == "not comparable"
    assert "base failed: exit 1, broken" in head.spoilt


def test_runs_that_were_asked_different_things_are_kept_apart():
    one, other = run_of(1.0, asked={"batch": 8}), run_of(1.0, asked={"batch": 16})
    found = gate(*laid_out([pair_of(one, other)] * 4))
    assert found.figures[0].why == "batch 16 now, 8 before"
    mixed = gate(*laid_out([pair_of(one, one), pair_of(other, other)] * 2))
    assert mixed.verdict == "ok"
    few = gate(*laid_out([pair_of(one, one), *[pair_of(one, other)] * 3]))
    assert few.verdict == "not comparable"


def test_joules_that_head_lacks_are_told_those_that_base_lacks_are_not_gated():
    lacking = Gauge("sha256d", "joules_per_unit", "hash", (), {}, "no meter")
    whole = run_of(1.0, 2.0)
    poor = replace(whole, gauges=(whole.gauges[0], lacking))
    lost = gate(*laid_out([pair_of(whole, poor)] * 4))
    assert lost.figures[1].why == "unknown now: no meter; 0 of 4 pairs have it"
    fresh = gate(*laid_out([pair_of(poor, whole)] * 4))
    assert fresh.verdict == "ok"
    assert fresh.silent == ("sha256d joules_per_unit: no meter",)


def test_a_device_that_changed_in_one_pair_is_named():
    slow = replace(run_of(1.0), device={**DEVICE, "device": "B"})
    good = pair_of(run_of(1.0), run_of(1.0))
    found = gate(*laid_out([good, good, pair_of(run_of(1.0), slow)]))
    assert found.figures[0].why == "device B now, A before"
