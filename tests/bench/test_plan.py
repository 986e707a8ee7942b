import pytest

from bench.plan import GRADES, block_order, block_seconds, steps, total_seconds
from bench.records.run import SensorFacts


def test_order_is_abba_and_gives_each_as_many():
    assert block_order(("a", "b"), 4) == ["a", "b", "b", "a", "a", "b", "b", "a"]


def test_linear_drift_cancels():
    order = block_order(("a", "b"), 10)
    places = {name: [i for i, each in enumerate(order) if each == name] for name in "ab"}
    assert sum(places["a"]) == sum(places["b"])


def test_a_window_is_divided_among_the_blocks():
    assert block_seconds(GRADES["standard"], 30.0, None) == pytest.approx(3.0)


def test_a_slow_sensor_stretches_the_blocks_of_ranked_grades_only():
    slow = SensorFacts(update_s=0.2, window_s=1.0, lag_s=2.0)
    assert block_seconds(GRADES["standard"], None, slow) == pytest.approx(15.0)
    assert block_seconds(GRADES["quick"], None, slow) == pytest.approx(2.5)


@pytest.mark.parametrize("metered", [True, False])
def test_steps_add_up_and_idle_needs_a_meter(metered):
    walk = steps(
        GRADES["standard"],
        ("a", "b"),
        block_s=6.0,
        metered=metered,
        setup_s={"a": 3.0, "b.verify": 1.0},
    )
    assert sum(step.name == "idle" for step in walk) == (2 if metered else 0)
    assert total_seconds(walk) == pytest.approx(3 + 1 + 30 + 20 * 8 + (60 if metered else 0))
    names = [step.name for step in walk]
    assert names.index("verify") < names.index("warmup") < names.index("block")
