from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.kernels.decoder import search
from bench.kernels.decoder.requests import Mix
from bench.kernels.decoder.search import FINENESS, MOST, Point, Search, predict


def until(most: int, reason: str = "slo") -> Callable[[int], Point]:
    """Batches up to ``most`` will do."""
    return lambda batch: Point(batch, 1.0, 1.0, 1.0, None if batch <= most else reason)


@given(st.integers(1, MOST), st.integers(1, MOST))
@settings(max_examples=100, deadline=None)
def test_the_batch_found_is_the_largest_but_for_its_fineness(fits: int, keeps: int) -> None:
    found = Search(0.05)
    batch = found.find(fits, until(keeps))
    best = min(fits, keeps)
    assert batch <= best
    assert best - batch < max(1, batch // FINENESS)
    assert all(point.batch <= fits for point in found.points)
    assert len(found.points) <= 12 + 6
    tried = [point.batch for point in found.points]
    assert len(set(tried)) == len(tried)


@pytest.mark.parametrize(
    ("fits", "measure", "batch", "stopped_by"),
    [
        (MOST, until(MOST), MOST, "limit"),
        (300, until(MOST), 300, "memory"),
        (300, until(9), 9, "slo"),
        (300, until(9, "memory"), 9, "memory"),
        (300, until(0), 1, "slo"),
    ],
)
def test_why_it_grew_no_further_is_kept(
    fits: int, measure: Callable[[int], Point], batch: int, stopped_by: str
) -> None:
    found = Search(0.05)
    assert found.find(fits, measure) == batch
    facts = found.facts()
    assert facts["stopped_by"] == stopped_by
    assert facts["points"][0]["batch"] == 1


def test_no_batch_is_tried_after_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10_000, 25))
    monkeypatch.setattr(search.time, "monotonic", lambda: float(next(clock)))
    found = Search(0.05)
    assert found.find(MOST, until(MOST)) == 2
    assert found.stopped_by == "time"


def test_a_request_pays_for_the_prefills_of_the_others() -> None:
    alone = predict(Mix(64, 41, "fixed", 0), 1, 0.010, 0.2)
    assert alone == pytest.approx(0.010)
    eight = predict(Mix(64, 41, "fixed", 0), 8, 0.010, 0.2)
    assert eight == pytest.approx(0.010 + 7 * 0.2 / 40)
    ragged = predict(Mix(64, 41, "ragged", 0), 8, 0.010, 0.2)
    assert ragged > eight, "some meet more prefills than the mean"
