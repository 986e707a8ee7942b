import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.records.run import Estimate
from bench.stats import (
    coefficient_of_variation,
    correlation_of_neighbours,
    series_interval,
    standard_error,
    t_quantile,
    widen,
)


def test_quantile_agrees_with_the_printed_table():
    assert t_quantile(1) == pytest.approx(12.706, abs=5e-4)
    assert t_quantile(9) == pytest.approx(2.262, abs=5e-4)


def textbook(values):
    """The half-width t(0.975, B−1)·s/√B of blocks that know nothing of each other."""
    return t_quantile(len(values) - 1) * standard_error(values)


def test_interval_covers_the_mean_as_often_as_it_says():
    random = np.random.default_rng(7)
    hits = 0
    for row in random.normal(5.0, 1.0, size=(4000, 10)):
        found = series_interval(list(row))
        assert found is not None
        hits += found.lo <= 5.0 <= found.hi
    assert 0.94 <= hits / 4000 <= 0.96


@given(st.lists(st.floats(0.1, 1e6), min_size=2, max_size=20), st.floats(0.1, 10))
def test_interval_scales_with_its_unit(values, factor):
    one, other = series_interval(values), series_interval([v * factor for v in values])
    assert one is not None
    assert other is not None
    assert other.mid == pytest.approx(one.mid * factor)
    assert other.hi - other.lo == pytest.approx((one.hi - one.lo) * factor, abs=1e-6)


def test_widening_adds_in_quadrature_and_never_narrows():
    narrow = Estimate(10.0, 9.0, 11.0, 5)
    wide = widen(narrow, [1.0])
    assert wide.hi - wide.mid == pytest.approx(math.hypot(1.0, 1.959964))
    assert widen(narrow, []) == narrow


def test_spread():
    assert standard_error([1.0, 3.0]) == pytest.approx(1.0)
    assert coefficient_of_variation([1.0, 3.0]) == pytest.approx(math.sqrt(2) / 2)
    assert coefficient_of_variation([1.0]) is None
    assert coefficient_of_variation([0.0, 0.0]) is None


@pytest.mark.parametrize("bad", [(1, 2, 3), (3, 1, 2), (math.nan, 0, 1), (1, 0, math.inf)])
def test_an_estimate_that_cannot_be_is_refused(bad):
    with pytest.raises(ValueError, match="must"):
        Estimate(*map(float, bad), n=2)


def test_three_blocks_without_correlation_have_the_plain_interval():
    """Three cosines of four blocks are all there are: t(3)·s/√4 where neighbours do not agree."""
    values = [10.0, 14.0, 10.0, 14.0]
    assert correlation_of_neighbours(values) == 0.0
    slow = series_interval(values)
    assert (slow.mid, slow.n) == (12.0, 4)
    assert slow.hi - 12.0 == pytest.approx(textbook(values))


def test_a_drift_widens_the_interval_and_an_alternation_does_not():
    rising, swapped = [1.0, 2, 3, 4, 5, 6, 7, 8, 9, 10], [1.0, 10, 2, 9, 3, 8, 4, 7, 5, 6]
    plain = textbook(rising)
    assert series_interval(rising).hi - 5.5 > 1.5 * plain
    assert series_interval(swapped).hi - 5.5 < plain


def test_equal_blocks_have_no_width_and_one_block_no_interval():
    assert series_interval([3.0] * 10) == Estimate(3.0, 3.0, 3.0, 10)
    assert series_interval([3.0]) is None
    assert series_interval([]) is None
    assert correlation_of_neighbours([3.0, 3.0]) == 0.0


def test_correlation_is_the_kendall_corrected_lag_one():
    values = [1.0, 2.0, 3.0, 2.0]
    off = np.array(values) - 2.0
    lag = float(off[1:] @ off[:-1] / (off @ off))
    assert correlation_of_neighbours(values) == pytest.approx(max(lag + (1 + 3 * lag) / 4, 0))
