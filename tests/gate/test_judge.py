"""How often the gate cries wolf, finds what was planted, and owns that it cannot tell. About 4 s.

Block values are drawn: normal logarithms, alone or with AR(1) correlation.
"""

from collections import Counter

import numpy as np
import pytest

from bench.gate.compare import compare
from bench.gate.judge import Terms, judge
from bench.gate.side import Gauge, Side

FIGURES = (("sha256d", "units_per_s"), ("sha256d", "joules_per_unit"),
           ("serve", "units_per_s"), ("serve", "joules_per_unit"))  # fmt: skip


def drawn(rng, spread, *, blocks=10, correlation=0.0, worse=0.0):
    """Block values around 1 + ``worse``."""
    steps = rng.normal(size=blocks + 30) * np.sqrt(1 - correlation**2)
    course = [0.0]
    for step in steps:
        course.append(correlation * course[-1] + step)
    return tuple(((1 + worse) * np.exp(spread * np.array(course[-blocks:]))).tolist())


def side(rng, spread, **drawing):
    """A run of two workloads, each with a rate and its joules."""
    gauges = tuple(Gauge(*name, "hash", drawn(rng, spread, **drawing), {}) for name in FIGURES)
    return Side({"device": "x"}, gauges, on_card=True, boundary="board")


def verdicts(pairs, spread, *, worse=0.0, figures=1, more_is_worse=True, **drawing):
    rng = np.random.default_rng(7)
    terms = Terms(max_regress=0.05, confidence=0.95, figures=figures)
    return Counter(
        judge(
            drawn(rng, spread, **drawing),
            drawn(rng, spread, worse=worse, **drawing),
            terms,
            more_is_worse=more_is_worse,
        ).verdict
        for _ in range(pairs)
    )


@pytest.mark.parametrize(("spread", "limit"), [(0.005, 0.03), (0.02, 0.05), (0.3, 0.10)])
def test_of_a_thousand_pairs_of_equal_runs_at_most_ten_are_called_regressions(spread, limit):
    """Runs of four figures, at the noise of a card, of a busy machine, and of a broken one."""
    rng = np.random.default_rng(11)
    found = Counter(
        compare(side(rng, spread), side(rng, spread), max_regress=limit, confidence=0.95).verdict
        for _ in range(1000)
    )
    assert found["regression"] <= 10
    if spread == 0.005:
        assert found["ok"] >= 950
    if spread == 0.3:
        assert found["ok"] == 0


@pytest.mark.parametrize("more_is_worse", [True, False])
def test_a_planted_loss_of_six_percent_is_found_at_five(more_is_worse):
    worse = 0.06 if more_is_worse else -0.06
    found = verdicts(1000, 0.005, worse=worse, figures=4, more_is_worse=more_is_worse)
    assert found["regression"] >= 950
    assert found["ok"] == 0


@pytest.mark.parametrize("blocks", [4, 10])
@pytest.mark.parametrize("spread", [0.02, 0.04, 0.1, 0.5])
def test_where_noise_hides_a_loss_nothing_is_ok(spread, blocks):
    found = verdicts(500, spread, worse=0.06, blocks=blocks)
    assert found["ok"] <= (2 if blocks == 10 else 10)  # four blocks tell the noise itself badly
    assert found["inconclusive"] >= 400 or spread == 0.02


def test_drift_from_block_to_block_is_not_taken_for_precision():
    found = verdicts(1000, 0.02, correlation=0.6, figures=4)
    assert found["regression"] <= 10


def test_a_large_loss_is_found_under_any_noise_that_lets_it_stand_out():
    assert verdicts(200, 0.05, worse=0.5)["regression"] >= 190


def test_what_the_noise_lets_be_found_is_found():
    """``finds`` of a typical draw, planted, is found about as often as the confidence says."""
    rng = np.random.default_rng(3)
    terms = Terms(max_regress=0.05, confidence=0.95)
    finds = np.median([
        judge(drawn(rng, 0.005), drawn(rng, 0.005), terms, more_is_worse=True).finds
        for _ in range(300)
    ])  # fmt: skip
    assert 0.05 < finds < 0.07
    assert verdicts(500, 0.005, worse=finds)["regression"] >= 450


def test_a_gain_is_ok_and_the_ratio_is_of_the_figure_itself():
    found = judge((100.0, 101.0, 99.0, 100.0), (200.0, 202.0, 198.0, 200.0),
                  Terms(max_regress=0.05, confidence=0.95), more_is_worse=False)  # fmt: skip
    assert found.verdict == "ok"
    assert found.ratio.lo < 2.0 < found.ratio.hi
    assert found.ratio.mid == pytest.approx(2.0)


def test_two_blocks_tell_nothing():
    terms = Terms(max_regress=0.05, confidence=0.95)
    found = judge((1.0, 1.0), (2.0,) * 9, terms, more_is_worse=True)
    assert (found.verdict, found.ratio) == ("inconclusive", None)
    assert "2 blocks before, 9 now" in found.why


def test_values_without_any_noise_are_judged_by_the_limit():
    terms = Terms(max_regress=0.05, confidence=0.95)
    ones = (1.0,) * 4
    assert judge(ones, (1.04,) * 4, terms, more_is_worse=True).verdict == "ok"
    assert judge(ones, (1.06,) * 4, terms, more_is_worse=True).verdict == "regression"
    assert judge(ones, (0.96,) * 4, terms, more_is_worse=False).verdict == "ok"
    assert judge(ones, (0.94,) * 4, terms, more_is_worse=False).verdict == "regression"
