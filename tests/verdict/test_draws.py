"""What one meter gets wrong of both workloads: gain cancels between them, offset does not."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from bench.records.market import MarketProfile
from bench.records.run import DeviceFacts, Doubt, Idle, WorkloadRecord
from bench.verdict.draws import World, draw_idle_w, draw_load, draw_world

Measured = Callable[..., WorkloadRecord]
QUIET = Doubt("repeatability", 1e-6, "test")


@pytest.fixture
def world(market: MarketProfile) -> World:
    return draw_world(market, DeviceFacts("gpu", "a card"), None, 3)


def with_budget(record: WorkloadRecord, *lines: tuple[str, float]) -> WorkloadRecord:
    budget = (QUIET, *(Doubt(name, u, "test") for name, u in lines))
    figures = replace(record.metrics, budget=budget, units_per_s=exact(record))
    return replace(record, metrics=figures)


def exact(record: WorkloadRecord) -> object:
    rate = record.metrics.units_per_s
    assert rate is not None
    return replace(rate, lo=rate.mid, hi=rate.mid)


def watts(world: World, record: WorkloadRecord) -> np.ndarray:
    load = draw_load(world, record)
    assert load is not None
    assert load.watts is not None
    return load.watts


def test_a_gain_cancels_in_the_ratio_of_two_loads(world: World, measured: Measured) -> None:
    loads = [with_budget(measured("sha256d", 1e6, w), ("gain", 0.066)) for w in (447.2, 290.6)]
    hashing, tokens = (watts(world, load) for load in loads)
    assert np.std(hashing[1:]) / 447.2 == pytest.approx(0.066, rel=0.05)
    assert np.std(hashing[1:] / tokens[1:]) < 1e-4


def test_an_offset_does_not_cancel(world: World, measured: Measured) -> None:
    """RTX 4090, arXiv 2312.02741: −22.6 W and 1.044 make 450 W against 300 W look 2.6 % more."""
    shown = [1.044 * w - 22.6 for w in (450.0, 300.0)]
    assert shown[0] / shown[1] / 1.5 - 1 == pytest.approx(0.026, abs=5e-4)
    loads = [with_budget(measured("sha256d", 1e6, w), ("offset", 22.6 / w)) for w in shown]
    hashing, tokens = (watts(world, load) for load in loads)
    assert hashing[1:] - hashing[0] == pytest.approx(tokens[1:] - tokens[0], abs=0.02)
    at_one_sigma = np.interp(1.0, *sorted_by(-world.offset[1:], hashing[1:] / tokens[1:]))
    assert at_one_sigma / 1.5 - 1 == pytest.approx(0.0, abs=2e-3)


def sorted_by(key: np.ndarray, value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(key)
    return key[order], value[order]


def test_all_else_is_each_loads_own(world: World, measured: Measured) -> None:
    records = [with_budget(measured("sha256d", 1e6, 300.0), ("aliasing", 0.03)) for _ in "ab"]
    one, other = (watts(world, record) for record in records)
    assert np.std(one[1:]) / 300 == pytest.approx(0.03, rel=0.05)
    assert abs(np.corrcoef(one[1:], other[1:])[0, 1]) < 0.05


def test_idle_shares_gain_and_offset_and_stays_above_nothing(
    world: World, measured: Measured
) -> None:
    record = with_budget(measured("sha256d", 1e6, 300.0), ("gain", 0.05), ("offset", 0.05))
    load = draw_load(world, record)
    assert load is not None
    spread = record.metrics.units_per_s
    idle = draw_idle_w(world, Idle(replace(spread, mid=20.0, lo=20.0, hi=20.0)), load)
    assert idle is not None
    assert np.all(idle > 0)
    assert np.corrcoef(idle[1:], world.offset[1:])[0, 1] < -0.3


def test_a_record_without_a_budget_has_all_its_doubt_in_the_gain(
    world: World, measured: Measured
) -> None:
    one, other = (watts(world, measured("sha256d", 1e6, w)) for w in (450.0, 300.0))
    assert np.std(one[1:]) / 450 == pytest.approx(0.13 / 1.96, rel=0.06)
    assert np.std(one[1:] / other[1:]) / 1.5 < 0.01


def test_a_corrected_idle_is_the_one_that_is_paid(world: World, measured: Measured) -> None:
    load = draw_load(world, measured("sha256d", 1e6, 300.0))
    assert load is not None
    shown, true = (
        replace(load.record.metrics.units_per_s, mid=w, lo=w, hi=w) for w in (40.0, 60.0)
    )
    plain, corrected = (
        draw_idle_w(world, idle, load) for idle in (Idle(shown), Idle(shown, None, true))
    )
    assert plain is not None
    assert corrected is not None
    assert corrected[0] > plain[0]
