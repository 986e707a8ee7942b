"""Warm and settled, by hand-made journals; what nobody reads counts as steady."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.book import open_book
from bench.energy import Series, held, held_mean
from bench.records.journal import Fact, Progress, Sample, Span
from bench.records.run import SensorFacts
from bench.steadiness import settled, slope, warm


def stretch(
    start_s: float, seconds: float, *, workload: str = "w", drift: float = 0.0, noise: float = 0.0
) -> list[Fact]:
    """A warm-up whose rate changes by ``drift`` (relative) from its start to its end."""
    draw = random.Random(1)
    facts: list[Fact] = [Span("warmup", workload, start_s, start_s + seconds)]
    units = 0.0
    for k in range(int(seconds * 20) + 1):
        facts.append(Progress(start_s + k / 20, int(units), workload))
        units += 5e4 * (1 + drift * k / (seconds * 20)) * (1 + noise * draw.gauss(0, 1))
    return facts


def warmth(facts: list[Fact]) -> str | None:
    return warm(open_book(facts))


@pytest.mark.parametrize(
    ("drift", "is_warm"),
    [(0.0, True), (0.004, True), (-0.004, True), (0.02, False), (-0.02, False)],
)
def test_throughput_that_still_moves(drift: float, is_warm: bool) -> None:
    reason = warmth(stretch(0.0, 20.0, drift=drift))
    assert (reason is None) is is_warm
    assert reason is None or f"{0.9 * drift:+.1%}"[:4] in reason


def test_noise_is_not_drift() -> None:
    assert warmth(stretch(0.0, 20.0, noise=0.5)) is None
    assert warmth(stretch(0.0, 20.0, noise=0.02, drift=0.05)) is not None


def test_the_last_stretch_of_each_workload_counts() -> None:
    cold = stretch(0.0, 15.0, drift=0.1)
    assert warmth(cold) is not None
    later = [
        Progress(f.t_s, f.units + 10**9, "w") if isinstance(f, Progress) else f
        for f in stretch(20.0, 15.0)
    ]
    assert warmth([*cold, *later]) is None
    other = stretch(15.0, 5.0, workload="v", drift=0.1)
    assert "v:" in str(warmth([*cold, *later, *other]))


@pytest.mark.parametrize(("rise_c", "is_warm"), [(1.0, True), (2.0, False), (-3.0, False)])
def test_heat_within_the_only_stretch(rise_c: float, is_warm: bool) -> None:
    facts = [
        *stretch(0.0, 40.0),
        Sample(0.0, "temperature_c", 40.0),
        Sample(18.0, "temperature_c", 60.0),
        Sample(39.0, "temperature_c", 60.0 + rise_c),
    ]
    reason = warmth(facts)
    assert (reason is None) is is_warm
    assert reason is None or "60 to" in reason


def test_loads_in_turn_are_warm_when_each_round_ends_as_the_last() -> None:
    """The card swings between 70 and 60 °C as the loads change, and does so every round alike."""
    facts: list[Fact] = []
    for turn, name in enumerate("abab"):
        facts += [Span("warmup", name, 10.0 * turn, 10.0 * turn + 10)]
        facts += [Sample(10.0 * turn + 9, "temperature_c", 70.0 if name == "a" else 60.0)]
    assert warmth(facts) is None
    assert warmth(facts[:2]) is None
    hotter = [*facts, Sample(39.5, "temperature_c", 62.0)]
    assert "b: from 60 to 62" in str(warmth(hotter))


def test_what_nobody_reads_counts_as_warm_and_settled() -> None:
    assert warmth([]) is None
    assert warmth([Span("warmup", "w", 0.0, 20.0)]) is None
    assert warmth([Span("warmup", "w", 0.0, 20.0), Progress(1.0, 5, "w")]) is None
    assert settled(open_book([]), 0.0, 15.0) is None


def powered(watts: list[float], field: str = "power_instant_w") -> list[Fact]:
    """One reading every 0.1 s."""
    return [Sample(k / 10, field, w) for k, w in enumerate(watts)]  # type: ignore[arg-type]


def test_settled_power_stays_within_its_band() -> None:
    calm = [300 + 3 * math.sin(k) for k in range(150)]
    assert settled(open_book(powered(calm)), 0.0, 15.0) is None
    dip = [*calm[:70], *(270.0 for _ in range(20)), *calm[90:]]
    reason = settled(open_book(powered(dip)), 0.0, 15.0)
    assert reason is not None
    assert "270" in reason


def test_single_readings_of_a_part_time_sensor_are_no_unrest() -> None:
    flicker = [200.0 if k % 2 else 600.0 for k in range(150)]
    assert settled(open_book(powered(flicker)), 0.0, 15.0) is None


def test_a_part_time_sensor_is_given_five_seconds() -> None:
    rare = [600.0 if k % 10 in (0, 3) and k % 20 != 3 else 200.0 for k in range(150)]
    assert settled(open_book(powered(rare)), 0.0, 15.0) is not None
    part_time = SensorFacts(update_s=0.1, duty=0.25)
    assert settled(open_book(powered(rare)), 0.0, 15.0, part_time) is None
    fall = [400.0] * 75 + [300.0] * 75
    assert settled(open_book(powered(fall)), 0.0, 15.0, part_time) is not None


def test_a_counter_alone_will_do() -> None:
    def ticks(watts: list[float]) -> list[Fact]:
        joules = [0.0]
        for w in watts:
            joules.append(joules[-1] + w / 10)
        return [Sample(k / 10, "energy_j", j) for k, j in enumerate(joules)]

    assert settled(open_book(ticks([300.0] * 150)), 0.0, 15.0) is None
    assert settled(open_book(ticks([300.0] * 100 + [200.0] * 50)), 0.0, 15.0) is not None


def test_too_short_to_tell() -> None:
    assert settled(open_book(powered([100.0, 900.0] * 7)), 0.0, 1.5) is None
    assert slope(open_book(stretch(0.0, 0.5)), Span("warmup", "w", 0.0, 0.5)) is None


def test_what_is_journalled_on_change_stands_until_the_next() -> None:
    series = Series.of([(10.0, 1.0), (20.0, 3.0)])
    assert [held(series, t_s) for t_s in (0.0, 10.0, 19.9, 20.0, 99.0)] == [1, 1, 1, 3, 3]
    assert held(Series.of([]), 1.0) is None
    assert held_mean(series, [(10.0, 30.0)]) == pytest.approx(2.0)
    assert held_mean(series, [(0.0, 10.0), (20.0, 30.0)]) == pytest.approx(2.0)
    assert held_mean(series, []) is None


@given(
    st.lists(st.tuples(st.floats(0, 100), st.floats(0, 1000)), min_size=1, max_size=20),
    st.floats(0, 40), st.floats(1, 40), st.floats(1, 40),
)  # fmt: skip
def test_parts_of_a_held_mean_sum_to_the_whole(
    points: list[tuple[float, float]], start_s: float, first_s: float, second_s: float
) -> None:
    series = Series.of(points)
    middle_s, end_s = start_s + first_s, start_s + first_s + second_s
    whole = held_mean(series, [(start_s, end_s)])
    parts = held_mean(series, [(start_s, middle_s), (middle_s, end_s)])
    assert whole == pytest.approx(parts, rel=1e-9, abs=1e-9)
