"""The energy model finds the truth it was made from, and says what it cannot know. < 1 s."""

from dataclasses import astuple, replace

import numpy as np
import pytest

from bench.energy_model import Coefficients, Step, fit, predict
from bench.report.energy_model import notes, sheet

TRUTH = Coefficients(static_w=180.0, byte_j=55e-12, flop_j=0.45e-12)


POINTS = [(1, 1), (64, 1), (512, 1), (1, 32), (16, 32), (32, 8), (256, 1 / 4), (1024, 1 / 8)]


def steps(noise: float = 0.0, points: list = POINTS) -> list[Step]:
    """Decode of an 8B-like model at (batch, thousands of tokens): 15 GB of weights, 134 MB of KV
    a thousand tokens."""
    random = np.random.default_rng(5)
    found = []
    for batch, context in points:
        moved, flops = 15e9 + batch * context * 134e6, batch * (15e9 + context * 0.5e9)
        seconds = 1.35 * max(moved / 4.8e12, flops / 900e12) + 4e-4
        step = Step(f"B={batch} c={context}k", seconds, 1.0, moved, flops, batch)
        joules = TRUTH.joules(step) * (1 + noise * random.standard_normal())
        found.append(replace(step, joules=joules))
    return found


def test_exact_data_give_the_truth_back():
    found = fit(steps())
    assert astuple(found.mid) == pytest.approx(astuple(TRUTH), rel=1e-6)
    assert max(map(abs, found.residuals)) < 1e-9
    assert found.left_out < 1e-6


def test_noisy_data_give_it_within_what_leaving_one_out_shows():
    found = fit(steps(noise=0.005))
    assert found.mid.byte_j == pytest.approx(TRUTH.byte_j, rel=0.2)
    assert found.lo.flop_j <= found.mid.flop_j <= found.hi.flop_j
    assert found.lo.static_w < found.hi.static_w
    assert 0.001 < found.left_out < 0.05


def test_no_coefficient_is_below_zero():
    """Joules that fall with the bytes moved would want e_B < 0."""
    odd = [replace(step, joules=200 * step.seconds) for step in steps()]
    found = fit(odd)
    assert min(astuple(found.mid)) >= 0
    assert found.mid.static_w == pytest.approx(200, rel=1e-3)


def test_runs_at_the_power_limit_are_predicted_and_not_fitted():
    free = steps()
    capped = replace(free[2], label="capped", joules=free[2].joules * 0.8, capped=True)
    found = fit([*free, capped])
    assert astuple(found.mid) == pytest.approx(astuple(TRUTH), rel=1e-6)
    assert found.residuals[-1] == pytest.approx(0.25)
    with pytest.raises(ValueError, match="5 runs below the power limit"):
        fit([*free[3:], capped])


def test_a_step_without_work_is_refused():
    with pytest.raises(ValueError, match="above 0"):
        fit([*steps(), replace(steps()[0], flops=0.0)])


def test_the_throttled_branch_takes_as_long_as_the_limit_needs():
    step = steps()[2]
    free_w = TRUTH.joules(step) / step.seconds
    assert predict(TRUTH, step) == (step.seconds, TRUTH.joules(step))
    assert predict(TRUTH, step, free_w * 1.01)[0] == step.seconds
    seconds, joules = predict(TRUTH, step, 400.0)
    assert seconds > step.seconds
    assert joules == pytest.approx(400.0 * seconds)
    assert TRUTH.joules(replace(step, seconds=seconds)) == pytest.approx(joules)
    with pytest.raises(ValueError, match="below the static"):
        predict(TRUTH, step, 150.0)


def test_runs_that_differ_in_nothing_leave_terms_unknown():
    """Bound by bandwidth throughout, a sweep of the batch alone: time and bytes rise as one."""
    batch_alone = steps(points=[(2**k, 1) for k in range(8)])
    assert fit(batch_alone).unsure == ("static power", "energy per byte")
    assert fit(steps()).unsure == ()


def test_the_sheet_shows_shares_that_sum_to_the_model_and_its_notes():
    found = fit(steps(noise=0.005))
    table = sheet(steps(noise=0.005), found, "board")
    rows = [dict(zip((c.key for c in table.columns), row, strict=True)) for row in table.rows]
    for row, residual in zip(rows, found.residuals, strict=True):
        shares = row["static_percent"] + row["bytes_percent"] + row["flops_percent"]
        assert shares == pytest.approx(100)
        assert row["off_percent"] == pytest.approx(100 * residual)
        assert row["model_joules_per_token"] / row["joules_per_token"] == pytest.approx(
            1 + residual
        )
    assert rows[0]["point"] == "B=1 c=1k"
    assert "energy per byte" in table.notes[0]
    assert "do not separate" in notes(fit([steps()[0]] * 6))[-1]


def test_a_term_that_is_not_told_from_another_has_no_figure():
    batch_alone = steps(points=[(2**k, 1) for k in range(8)])
    table = sheet(batch_alone, fit(batch_alone), "board")
    row = dict(zip((c.key for c in table.columns), table.rows[-1], strict=True))
    assert row["static_percent"] is row["bytes_percent"] is None
    assert row["flops_percent"] > 0
    assert table.notes[0].startswith("energy per FLOP")
