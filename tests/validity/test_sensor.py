"""Codes of the sensor and of the joules it gives."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bench.derive import Raw, derive_raw
from bench.records.journal import Fact, Sample, Span
from bench.validity.sensor import in_step

Journal = list[Fact]
Run = Any  # the clean run of conftest


def test_too_few_updates_of_the_register(run: Run) -> None:
    ticks = [f.t_s for f in run.clean if getattr(f, "field", "") == "energy_j"]
    kept = set(ticks[::2])
    facts = run.without(lambda f: getattr(f, "field", "") != "energy_j" or f.t_s in kept)
    assert run.named(facts)["FEW_UPDATES"] is True
    assert "FEW_UPDATES" not in run.named(facts, grade="quick")
    assert run.named(grade="publish")["FEW_UPDATES"] is False, "the window is short, and told so"
    polled = run.without(lambda f: getattr(f, "field", "") != "energy_j")
    slow = replace(run.sensor, update_s=0.2)
    assert "FEW_UPDATES" not in run.named(polled)
    assert "FEW_UPDATES" in run.named(polled, meter=replace(run.meter, sensor=slow))
    assert "FEW_UPDATES" not in run.named(polled, meter=replace(run.meter, sensor=None))


@pytest.mark.parametrize(
    ("grade", "silence_s", "fires"),
    [
        ("standard", 0.9, False),
        ("standard", 1.2, True),
        ("publish", 0.4, False),
        ("publish", 0.7, True),
    ],
)
def test_a_silence(run: Run, grade: str, silence_s: float, fires: bool) -> None:
    facts = run.without(
        lambda f: (
            not (
                isinstance(f, Sample)
                and run.middle_s + 3 < f.t_s < run.middle_s + 3 + silence_s - 0.1
            )
        )
    )
    assert ("SAMPLING_GAPS" in run.named(facts, grade=grade)) is fires


@pytest.mark.parametrize(("share", "fires"), [(0.03, False), (0.2, True)])
def test_readings_that_cover_too_little(run: Run, share: float, fires: bool) -> None:
    """A hole of 0.7 s, of which 0.3 s are covered, in so many of the seconds."""
    facts = run.without(
        lambda f: (
            not (isinstance(f, Sample) and f.t_s % (0.4 / share) < 0.65 and f.t_s > run.first_s)
        )
    )
    assert ("SAMPLING_GAPS" in run.named(facts, grade="quick")) is fires


def test_edges_read_faster_are_no_gaps_between_them(run: Run) -> None:
    blocks = [f for f in run.clean if isinstance(f, Span) and f.phase == "block"]
    fast = [
        Sample(edge + k * 0.0015, "power_instant_w", float(run.watts[span.workload]))
        for span in blocks
        for edge in (span.start_s, span.end_s - 0.25)
        for k in range(1, 160)
    ]
    assert "SAMPLING_GAPS" not in run.named([*run.clean, *fast])


def test_a_sensor_that_stands_still_for_a_while(run: Run) -> None:
    def stands(t_s: float, watts: float) -> float:
        return 601.5 if run.first_s + 1 < t_s < run.first_s + 4 else watts

    frozen = run.readings("power_instant_w", stands)
    assert run.named(frozen)["POWER_FROZEN"] is True
    assert run.named(frozen, grade="quick")["POWER_FROZEN"] is True
    slow = replace(run.meter, sensor=replace(run.sensor, update_s=0.2))
    assert "POWER_FROZEN" not in run.named(frozen, meter=slow)
    rounded = run.readings("power_instant_w", lambda t, w: float(round(stands(t, w))))
    assert "POWER_FROZEN" not in run.named(rounded, grade="quick"), "it rounds, and does move"


@pytest.mark.parametrize(
    ("ratio", "said"),
    [(1.0, "1"), (1.019, "1"), (1.021, None), (0.509, "1/2"), (1.32, "4/3"), (0.12, None),
     (1.382, None), (1.618, None), (0.618, None)],
)  # fmt: skip
def test_ratios_in_step(ratio: float, said: str | None) -> None:
    found = in_step(ratio)
    assert (None if found is None else str(found)) == said


def test_launches_in_step_with_a_part_time_sensor(run: Run) -> None:
    def launched(launch_s: float | None) -> Journal:
        return run.events("prepared", lambda data: {**data, "details": {"launch_s": launch_s}})

    part = replace(
        run.meter, sensor=replace(run.sensor, duty=0.25, window_s=0.025, kind="part-time")
    )
    text = next(c.text for c in run.judged(launched(0.1), meter=part)[1] if c.name == "ALIASED")
    assert "100.0 ms" in text
    assert run.named(launched(0.1), meter=part)["ALIASED"] is False
    for launch_s in (0.1382, 0.012, 0.0157, None):
        assert "ALIASED" not in run.named(launched(launch_s), meter=part)
    for launch_s in (0.02, 0.05, 0.2):
        assert "ALIASED" in run.named(launched(launch_s), meter=part)
    longer = replace(run.meter, sensor=replace(run.sensor, duty=1.0, window_s=0.15))
    assert "ALIASED" in run.named(launched(0.1), meter=longer), "half of all phases count twice"
    assert "ALIASED" not in run.named(launched(0.1), meter=run.meter)
    assert "ALIASED" not in run.named(launched(0.1)), "a sensor that sees all the time"
    unknown = replace(run.meter, sensor=None)
    assert "ALIASED" in run.named(launched(0.1), meter=unknown), (
        "the period is guessed from changes"
    )
    assert "ALIASED" not in run.named(launched(0.1), meter=replace(unknown, mismatch=True))


@pytest.mark.parametrize(
    ("grade", "factor", "fires"),
    [("quick", 1.04, True), ("standard", 1.028, False), ("standard", 1.04, True),
     ("publish", 1.013, False), ("publish", 1.017, True)],
)  # fmt: skip
def test_counter_against_integral(run: Run, grade: str, factor: float, fires: bool) -> None:
    apart = run.readings("power_instant_w", lambda _, watts: watts * factor)
    assert (run.named(apart, grade=grade).get("ENERGY_DISAGREE", False)) is fires
    assert ("COUNTER_RATIO" in run.named(apart, grade=grade)) is (factor > 1.02)


def test_counter_and_integral_of_the_whole_run(run: Run) -> None:
    idle = run.readings("power_instant_w", lambda _, watts: watts * (20 if watts < 100 else 1))
    texts = [c.text for c in run.judged(idle)[1] if c.name == "ENERGY_DISAGREE"]
    assert len(texts) == 1
    assert "the whole run" in texts[0]


def test_a_steady_ratio_off_one_is_told_beside_the_calibrations(run: Run) -> None:
    apart = run.readings("power_instant_w", lambda _, watts: watts * 1.025)
    known = replace(run.meter, calibration=replace(run.calibration, counter_ratio=0.981))
    text = next(c.text for c in run.judged(apart, meter=known)[1] if c.name == "COUNTER_RATIO")
    assert "0.976" in text
    assert "0.981" in text
    assert "COUNTER_RATIO" not in run.named(meter=known)
    assert "COUNTER_RATIO" not in run.named(apart, meter=replace(run.meter, mismatch=True))


@pytest.mark.parametrize(
    ("at_j", "name"), [(2**32 / 1000, "COUNTER_WRAP"), (90_000, "COUNTER_RESET")]
)
def test_a_counter_that_falls(run: Run, at_j: float, name: str) -> None:
    last_j = max(f.value for f in run.clean if isinstance(f, Sample) and f.field == "energy_j")
    offset_j = at_j - last_j / 2
    facts = run.readings("energy_j", lambda _, joules: (joules + offset_j) % at_j)
    found = run.named(facts)
    assert found[name] is False
    assert {"COUNTER_WRAP", "COUNTER_RESET"} & set(found) == {name}
    raw = Raw(run.card, run.meter, "standard", (run.hashing, run.decoding), run.checks)
    joules = [w.metrics.joules_per_unit for w in derive_raw(raw, facts).workloads]
    assert all(j is not None and j.mid > 0 for j in joules)


@pytest.mark.parametrize(("kind", "made", "fires"), [
    ("full-duty", True, False), ("filtered", True, True), ("unknown", True, True),
    ("full-duty", False, True),
])  # fmt: skip
def test_sensors_nobody_characterised(run: Run, kind: Any, made: bool, fires: bool) -> None:
    sensor = replace(run.sensor, kind=kind)
    meter = replace(run.meter, sensor=sensor, calibration=run.calibration if made else None)
    assert ("UNCALIBRATED" in run.named(meter=meter)) is fires
    assert "UNCALIBRATED" not in run.named(meter=replace(meter, mismatch=True))
