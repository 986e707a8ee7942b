"""Codes of the card: heat, clocks, limits, errors, and who else was on it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bench.records.journal import Event, Fact, Field, Sample, Span

Journal = list[Fact]
Run = Any  # the clean run of conftest


def slowed_blocks(run: Run, count: int) -> Journal:
    """The clean run with heat in the first blocks of sha256d: a tenth of their time throttled."""
    blocks = [f for f in run.clean if isinstance(f, Span) and f.phase == "block"]
    hot = [span for span in blocks if span.workload == "sha256d"][:count]
    steps = ((span, k) for span in hot for k in range(1, 6))
    return [
        *run.clean,
        *(
            Sample(span.start_s + k, "throttle_thermal_s", 5 + 0.6 * (hot.index(span) + k / 5))
            for span, k in steps
        ),
    ]


def test_slowed_blocks_are_left_out_aloud(run: Run) -> None:
    one = run.named(slowed_blocks(run, 1))
    assert one == {"DISCARDED": False}
    three = run.named(slowed_blocks(run, 3))
    assert three["DISCARDED"] is False
    assert three["TOO_FEW_BLOCKS"] is True
    assert three["SHORT_WINDOW"] is False
    quick = run.named(slowed_blocks(run, 3), grade="quick")
    assert quick == {"UNRANKED": False, "DISCARDED": False}
    assert run.named(slowed_blocks(run, 10)) == {"THROTTLED": True}
    assert run.left(run.clean, lambda _: False) == {"NO_DATA": True}


def test_a_block_at_a_low_clock_is_slowed(run: Run) -> None:
    block = next(f for f in run.clean if isinstance(f, Span) and f.phase == "block")
    low = [
        Sample(block.start_s - 0.5, "sm_clock_hz", 1.4e9),
        Sample(block.end_s + 0.5, "sm_clock_hz", 1.8e9),
    ]
    assert "DISCARDED" in run.named([*run.clean, *low], grade="quick")
    assert "DISCARDED" not in run.named(run.clean, grade="quick")


def test_throttle_time_of_accepted_blocks(run: Run) -> None:
    rise = [
        Sample(t, "throttle_brake_s", 0.007 * (t - run.first_s))
        for t in range(int(run.first_s), int(run.last_s))
    ]
    assert run.named([*run.clean, *rise])["THROTTLED"] is True
    assert "THROTTLED" not in run.named([*run.clean, *rise], grade="quick")
    little = [replace(f, value=f.value / 10) for f in rise]
    assert "THROTTLED" not in run.named([*run.clean, *little])
    assert "THROTTLED" in run.named([*run.clean, *little], grade="publish")


def test_time_at_the_power_cap_is_reported(run: Run) -> None:
    times = [run.first_s + k / 10 for k in range(round(10 * (run.last_s - run.first_s)))]
    rise = [Sample(t, "throttle_power_s", 0.3 * t) for t in times]
    status, codes = run.judged([*run.clean, *rise])
    assert status == "labelled"
    assert {code.name for code in codes} == {"POWER_CAPPED"}
    assert all("30%" in code.text for code in codes)


@pytest.mark.parametrize(
    ("field", "step", "grade", "fires"),
    [
        ("sm_clock_hz", -0.02 * 1.8e9, "standard", False),
        ("sm_clock_hz", -0.04 * 1.8e9, "standard", True),
        ("sm_clock_hz", -0.02 * 1.8e9, "publish", True),
        ("sm_clock_hz", -0.04 * 1.8e9, "quick", False),
        ("temperature_c", 4.0, "standard", False),
        ("temperature_c", 6.0, "standard", True),
        ("temperature_c", 3.0, "publish", True),
        ("temperature_c", 28.0, "quick", False),
    ],
)
def test_drift(run: Run, field: Field, step: float, grade: str, fires: bool) -> None:
    base = 1.8e9 if field == "sm_clock_hz" else 60.0
    facts = [*run.clean, Sample(run.middle_s, field, base + step)]
    assert (run.named(facts, grade=grade).get("DRIFT", False)) is fires


def test_too_near_to_slowing_down(run: Run) -> None:
    hot = run.readings("temperature_c", lambda *_: 86.0)
    inside = [Sample(run.first_s + 1, "temperature_c", 85.5)]
    assert run.named([*hot, *inside])["DRIFT"] is True
    assert "DRIFT" not in run.named(
        [*hot, *inside], device=replace(run.card, temperature_slowdown_c=None)
    )
    assert "DRIFT" not in run.named([*hot, *inside], grade="quick")


@pytest.mark.parametrize(("grade", "is_fatal"), [("standard", False), ("publish", True)])
def test_another_power_limit(run: Run, grade: str, is_fatal: bool) -> None:
    assert (
        run.named(device=replace(run.card, power_limit_w=600.0), grade=grade)["LIMIT_NOT_DEFAULT"]
        is is_fatal
    )


def test_errors_of_the_card(run: Run) -> None:
    found = run.judged([*run.clean, Event(run.middle_s, "xid", {"code": 48})])
    assert found[0] == "invalid"
    assert "48" in found[1][0].text
    assert run.named([*run.clean, Sample(run.middle_s, "ecc_uncorrected", 4.0)])["ECC"] is True


@pytest.mark.parametrize(
    ("baseline", "later", "names"),
    [
        ([11, 12], [11, 12], {}),
        ([11], [11, 12], {}),
        ([11, 12, 99], [11, 12, 99], {"FOREIGN_PROCESS": True}),
        ([11, 12], [11, 12, 99], {"FOREIGN_PROCESS": True}),
        ([4011, 4012], [4011, 4012], {"PROCESS_UNKNOWN": False}),
        ([], [], {"PROCESS_UNKNOWN": False}),
        ([4011], [4011, 99], {"PROCESS_UNKNOWN": False, "FOREIGN_PROCESS": True}),
    ],
)
def test_processes(run: Run, baseline: list[int], later: list[int], names: dict[str, bool]) -> None:
    lists = iter((baseline, later))
    facts = run.events("processes", lambda data: {**data, "pids": next(lists)})
    assert run.named(facts) == names


def test_processes_nobody_may_see(run: Run) -> None:
    refused = run.events("processes", lambda data: {**data, "pids": [], "reason": "no permission"})
    text = next(code.text for code in run.judged(refused)[1] if code.name == "PROCESS_UNKNOWN")
    assert "no permission" in text
    unnoted = run.without(lambda f: getattr(f, "name", "") != "own_processes")
    assert run.named(unnoted) == {"PROCESS_UNKNOWN": False}
    assert run.named(unnoted, meter=replace(run.meter, mismatch=True)).keys() == {
        "METER_MISMATCH", "UNRANKED",
    }  # fmt: skip


@pytest.mark.parametrize(("field", "name"), [("mig", "MIG"), ("mps", "MPS"), ("vgpu", "VGPU")])
def test_a_part_of_a_card(run: Run, field: str, name: str) -> None:
    part = replace(run.card, **{field: True})
    assert run.named(device=part) == {name: False, "UNRANKED": False}
    assert run.named(device=part, grade="publish")[name] is True


def test_a_display_counts_for_publication(run: Run) -> None:
    assert run.named(device=replace(run.card, display=True)) == {}
    assert run.named(device=replace(run.card, display=True), grade="publish")["DISPLAY"] is True
    drawing = run.events("processes", lambda data: {**data, "graphics": [77]})
    assert run.named(drawing, grade="publish")["DISPLAY"] is True
    served = run.events("processes", lambda data: {**data, "mps": True})
    assert run.named(served)["MPS"] is False
