"""Each rule fires when it must and is silent when it must not, against one clean run of a card."""

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.derive import Raw, derive_raw
from bench.plan import block_order
from bench.records.journal import ClockPair, Event, Fact, Field, Progress, Sample, Span
from bench.records.run import (
    Calibration,
    Check,
    Code,
    DeviceFacts,
    MeterFacts,
    SensorFacts,
    WorkloadFacts,
)
from bench.validity.evidence import LIMITS
from bench.validity.sensor import in_step

CARD = DeviceFacts(
    kind="gpu",
    name="card",
    uuid="GPU-1",
    power_limit_w=700.0,
    power_limit_default_w=700.0,
    power_limit_max_w=700.0,
    sm_clock_max_hz=2e9,
    temperature_slowdown_c=90.0,
)
SENSOR = SensorFacts(update_s=0.1, window_s=0.1, lag_s=0.0, duty=1.0, scope="gpu", kind="full-duty")
CALIBRATION = Calibration(SENSOR, "power_instant_w", "2026-11-22T00:00:00Z", 0.01, 500.0, 1.0)
METER = MeterFacts(
    source="nvml-counter",
    name="nvml:0",
    scope="gpu",
    sensor=SENSOR,
    device_uuid="GPU-1",
    library={"path": "/usr/lib/libnvidia-ml.so.1", "sha256": "0" * 64, "standard_path": True},
    calibration=CALIBRATION,
)
HASH = WorkloadFacts("sha256d", "cupy", "hash", None, {}, None, {"w.py": "1"}, {"launch_s": 0.012})
TOKEN = WorkloadFacts("decode", "torch", "token", "T0", {}, None, {"w.py": "1"}, {"launch_s": 0.02})
CHECKS = {name: (Check("known answers", True, "8 of 8"),) for name in ("sha256d", "decode")}
WATTS = {None: 60.0, "sha256d": 600.0, "decode": 400.0}
RATES = {"sha256d": 1e6, "decode": 2e3}
SETTLE_S = 1.0
Journal = list[Fact]
Change = Callable[[Journal], Iterable[Fact]]


def schedule(block_s: float) -> list[tuple[Any, str | None, float, float | None]]:
    """(phase, workload, seconds, polling period) of a standard run."""
    blocks = block_order(("sha256d", "decode"), 10)
    return [
        ("idle", None, 20.0, None),
        ("warmup", "sha256d", 20.0, None),
        ("warmup", "decode", 20.0, None),
        ("steady", "sha256d", 15.0, None),
        *(("observer", "sha256d", 5.0, poll_s) for poll_s in (0.0, 1.0, 0.05)),
        *(("block", name, block_s, None) for name in blocks),
        ("idle", None, 20.0, None),
    ]


def clean(block_s: float = 6.0) -> Journal:
    """A run without blemish: ticks and readings (of the 0.1 s before) every 0.1 s, marks too."""
    facts: Journal = [
        Event(0.0, "opened", {"software": {"git": "c0ffee"}}),
        Event(0.0, "prepared", {"name": "sha256d", "sources": {"w.py": "1"}, "details": {}}),
        Event(0.0, "prepared", {"name": "decode", "sources": {"w.py": "1"}, "details": {}}),
        Event(0.5, "own_processes", {"pids": [11, 12]}),
        Event(0.6, "processes", {"pids": [11, 12], "graphics": []}),
        Sample(0.0, "temperature_c", 60.0),
        Sample(0.0, "sm_clock_hz", 1.8e9),
        Sample(0.0, "power_limit_w", 700.0),
        Sample(0.0, "ecc_uncorrected", 3.0),
        Sample(0.0, "throttle_thermal_s", 5.0),
        Sample(0.0, "throttle_power_s", 5.0),
    ]
    now_s, joules, before_w = 1.0, 0.0, WATTS[None]
    units = dict.fromkeys(RATES, 0.0)
    for phase, workload, seconds, poll_s in schedule(block_s):
        facts.append(Span(phase, workload, now_s + SETTLE_S, now_s + SETTLE_S + seconds, poll_s))
        for k in range(round((SETTLE_S + seconds) * 10)):
            t_s = now_s + k / 10
            if workload is not None:
                facts.append(
                    Progress(t_s, round(units[workload] + k / 10 * RATES[workload]), workload)
                )
            wave = 1 + 0.002 * math.sin(1.7 * k)
            seen_w = WATTS[workload] if k > 0 else before_w
            facts.append(Sample(t_s, "energy_j", joules + WATTS[workload] * k / 10))
            facts.append(Sample(t_s, "power_instant_w", seen_w * wave))
        now_s += SETTLE_S + seconds
        joules += WATTS[workload] * (SETTLE_S + seconds)
        before_w = WATTS[workload]
        if workload is not None:
            units[workload] += (SETTLE_S + seconds) * RATES[workload]
    facts += [ClockPair(t, t + 1e9, t + 5.0) for t in range(0, int(now_s), 5)]
    return [*facts, Event(now_s, "processes", {"pids": [11, 12], "graphics": []})]


CLEAN = clean()
FIRST_S, LAST_S = (
    min(f.start_s for f in CLEAN if isinstance(f, Span) and f.phase == "block"),
    max(f.end_s for f in CLEAN if isinstance(f, Span) and f.phase == "block"),
)
MIDDLE_S = (FIRST_S + LAST_S) / 2


def judged(facts: Iterable[Fact] = CLEAN, **changes: Any) -> tuple[str, list[Code]]:
    base = Raw(CARD, METER, "standard", (HASH, TOKEN), CHECKS)
    validity = derive_raw(replace(base, **changes), list(facts)).validity
    return validity.status, list(validity.codes)


def named(facts: Iterable[Fact] = CLEAN, **changes: Any) -> dict[str, bool]:
    """The codes of a run: name → fatal."""
    return {code.name: code.fatal for code in judged(facts, **changes)[1]}


def readings(field: Field, change: Callable[[float, float], float]) -> Journal:
    """The clean run with every reading of a field changed: (s, value) → value."""
    return [
        replace(f, value=change(f.t_s, f.value))
        if isinstance(f, Sample) and f.field == field
        else f
        for f in CLEAN
    ]


def events(name: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Journal:
    return [
        replace(f, data=change(f.data)) if isinstance(f, Event) and f.name == name else f
        for f in CLEAN
    ]


def spans(change: Callable[[Span], Span | None]) -> Journal:
    changed = (change(f) if isinstance(f, Span) else f for f in CLEAN)
    return [f for f in changed if f is not None]


def without(keep: Callable[[Any], bool]) -> Journal:
    return [f for f in CLEAN if keep(f)]


def test_a_clean_run_has_no_code_at_all() -> None:
    assert judged() == ("valid", [])


def test_a_clean_run_for_publication_has_none_either() -> None:
    facts = clean(60.0)
    middle = Event(600.0, "processes", {"pids": [11, 12]})
    assert judged([*facts, middle], grade="publish") == ("valid", [])


def test_the_same_run_judged_as_a_first_look_is_only_unranked() -> None:
    status, codes = judged(grade="quick")
    assert status == "labelled"
    assert [code.name for code in codes] == ["UNRANKED"]


# --- before, around and between the blocks --------------------------------------------------


def test_power_that_does_not_settle() -> None:
    def drop(t_s: float, watts: float) -> float:
        return watts * (0.9 if steady.start_s + 7 < t_s < steady.end_s else 1.0)

    steady = next(f for f in CLEAN if isinstance(f, Span) and f.phase == "steady")
    unsettled = readings("power_instant_w", drop)
    assert named(unsettled)["NOT_STEADY"] is True
    assert "NOT_STEADY" not in named(unsettled, grade="quick")
    assert "NOT_STEADY" not in named(unsettled, meter=replace(METER, mismatch=True))
    alone = [f for f in unsettled if not (isinstance(f, Sample) and f.field == "energy_j")]
    assert "NOT_STEADY" in named(alone)


def test_for_publication_the_temperature_stands_still() -> None:
    steady = next(f for f in CLEAN if isinstance(f, Span) and f.phase == "steady")
    rise = [Sample(steady.start_s + 1 + k, "temperature_c", 61.0 + k) for k in range(2)]
    fall = Sample(steady.end_s, "temperature_c", 60.0)
    assert "NOT_STEADY" in named([*CLEAN, *rise], grade="publish")
    assert "NOT_STEADY" not in named([*CLEAN, rise[0]], grade="publish")
    assert "NOT_STEADY" not in named([*CLEAN, *rise, fall])


def test_a_warm_up_that_ends_too_soon() -> None:
    warm = [f for f in CLEAN if isinstance(f, Span) and f.phase == "warmup"]
    rise = [Sample(warm[-1].start_s + k, "temperature_c", 60.0 + k / 5) for k in range(1, 20)]
    found = named([*CLEAN, *rise])
    assert found["NOT_WARM"] is False
    assert "NOT_WARM" not in named([*CLEAN, *rise], grade="quick")


def test_blocks_out_of_order_are_told() -> None:
    def swapped(span: Span) -> Span:
        other = {"sha256d": "decode", "decode": "sha256d"}
        first = span.phase == "block" and span.start_s < FIRST_S + 15
        return replace(span, workload=other[str(span.workload)]) if first else span

    facts = spans(swapped)
    assert named(facts)["ORDER"] is True
    assert "ORDER" not in named(facts, grade="quick")
    assert "ORDER" not in named(facts, interrupted=True)


def test_what_a_ranked_run_does_not_show_is_listed() -> None:
    unseen = spans(lambda span: span if span.phase not in ("steady", "observer") else None)
    unseen = [f for f in unseen if getattr(f, "field", "") not in ("sm_clock_hz", "temperature_c")]
    text = next(code.text for code in judged(unseen)[1] if code.name == "UNCHECKED")
    for word in ("steady", "observer", "SM clock", "temperature"):
        assert word in text
    assert "UNCHECKED" not in named(unseen, grade="quick")
    unlimited = replace(CARD, power_limit_default_w=None)
    assert "UNCHECKED" not in named(device=unlimited)
    assert named(device=unlimited, grade="publish")["UNCHECKED"] is False


@pytest.mark.parametrize(("cost", "fires"), [(0.005, False), (0.02, True)])
def test_sampling_that_slows_the_work(cost: float, fires: bool) -> None:
    watched = [f for f in CLEAN if isinstance(f, Span) and f.phase == "observer"]
    slow = next(span for span in watched if span.poll_s == 0.05)
    facts = [
        replace(f, units=f.units - round(cost * 1e6 * (min(f.t_s, slow.end_s) - slow.start_s)))
        if isinstance(f, Progress) and f.workload == "sha256d" and f.t_s >= slow.start_s
        else f
        for f in CLEAN
    ]
    assert ("OBSERVER" in named(facts)) is fires
    assert named(facts).get("OBSERVER", True) is True
    assert "OBSERVER" not in named(facts, grade="quick")


def test_noise_between_blocks_is_not_the_samplers_cost() -> None:
    blocks = [f for f in CLEAN if isinstance(f, Span) and f.phase in ("block", "observer")]
    blocks = [span for span in blocks if span.workload == "sha256d"]
    slow = {id(span): 0.015 * (k % 2) for k, span in enumerate(blocks, 1)}

    def lost(t_s: float) -> float:
        return sum(
            slow[id(span)] * 1e6 * max(0.0, min(t_s, span.end_s) - span.start_s) for span in blocks
        )

    facts = [
        replace(f, units=f.units - round(lost(f.t_s)))
        if isinstance(f, Progress) and f.workload == "sha256d"
        else f
        for f in CLEAN
    ]
    assert "OBSERVER" not in named(facts)


# --- the sensor -----------------------------------------------------------------------------


def test_too_few_updates_of_the_register() -> None:
    kept = {f.t_s for k, f in enumerate(f for f in CLEAN if getattr(f, "field", "") == "energy_j")
            if k % 2 == 0}  # fmt: skip
    facts = without(lambda f: getattr(f, "field", "") != "energy_j" or f.t_s in kept)
    assert named(facts)["FEW_UPDATES"] is True
    assert "FEW_UPDATES" not in named(facts, grade="quick")
    assert named(grade="publish")["FEW_UPDATES"] is False, "the window is short, and told so"
    polled = without(lambda f: getattr(f, "field", "") != "energy_j")
    slow = replace(SENSOR, update_s=0.2)
    assert "FEW_UPDATES" not in named(polled)
    assert "FEW_UPDATES" in named(polled, meter=replace(METER, sensor=slow))
    assert "FEW_UPDATES" not in named(polled, meter=replace(METER, sensor=None))


@pytest.mark.parametrize(
    ("grade", "silence_s", "fires"),
    [
        ("standard", 0.9, False),
        ("standard", 1.2, True),
        ("publish", 0.4, False),
        ("publish", 0.7, True),
    ],
)
def test_a_silence(grade: str, silence_s: float, fires: bool) -> None:
    facts = without(
        lambda f: (
            not (isinstance(f, Sample) and MIDDLE_S + 3 < f.t_s < MIDDLE_S + 3 + silence_s - 0.1)
        )
    )
    assert ("SAMPLING_GAPS" in named(facts, grade=grade)) is fires


@pytest.mark.parametrize(("share", "fires"), [(0.03, False), (0.2, True)])
def test_readings_that_cover_too_little(share: float, fires: bool) -> None:
    """A hole of 0.7 s, of which 0.3 s are covered, in so many of the seconds."""
    facts = without(
        lambda f: not (isinstance(f, Sample) and f.t_s % (0.4 / share) < 0.65 and f.t_s > FIRST_S)
    )
    assert ("SAMPLING_GAPS" in named(facts, grade="quick")) is fires


def test_edges_read_faster_are_no_gaps_between_them() -> None:
    blocks = [f for f in CLEAN if isinstance(f, Span) and f.phase == "block"]
    fast = [
        Sample(edge + k * 0.0015, "power_instant_w", float(WATTS[span.workload]))
        for span in blocks
        for edge in (span.start_s, span.end_s - 0.25)
        for k in range(1, 160)
    ]
    assert "SAMPLING_GAPS" not in named([*CLEAN, *fast])


def test_a_sensor_that_stands_still_for_a_while() -> None:
    def stands(t_s: float, watts: float) -> float:
        return 601.5 if FIRST_S + 1 < t_s < FIRST_S + 4 else watts

    frozen = readings("power_instant_w", stands)
    assert named(frozen)["POWER_FROZEN"] is True
    assert named(frozen, grade="quick")["POWER_FROZEN"] is True
    slow = replace(METER, sensor=replace(SENSOR, update_s=0.2))
    assert "POWER_FROZEN" not in named(frozen, meter=slow)
    rounded = readings("power_instant_w", lambda t, w: float(round(stands(t, w))))
    assert "POWER_FROZEN" not in named(rounded, grade="quick"), "it rounds, and does move"


@pytest.mark.parametrize(
    ("ratio", "said"),
    [(1.0, "1"), (1.019, "1"), (1.021, None), (0.509, "1/2"), (1.32, "4/3"), (0.12, None),
     (1.382, None), (1.618, None), (0.618, None)],
)  # fmt: skip
def test_ratios_in_step(ratio: float, said: str | None) -> None:
    found = in_step(ratio)
    assert (None if found is None else str(found)) == said


def test_launches_in_step_with_a_part_time_sensor() -> None:
    def launched(launch_s: float | None) -> Journal:
        return events("prepared", lambda data: {**data, "details": {"launch_s": launch_s}})

    part = replace(METER, sensor=replace(SENSOR, duty=0.25, window_s=0.025, kind="part-time"))
    text = next(c.text for c in judged(launched(0.1), meter=part)[1] if c.name == "ALIASED")
    assert "100.0 ms" in text
    assert named(launched(0.1), meter=part)["ALIASED"] is False
    for launch_s in (0.1382, 0.012, None):
        assert "ALIASED" not in named(launched(launch_s), meter=part)
    assert "ALIASED" not in named(launched(0.1)), "a sensor that sees all the time"
    unknown = replace(METER, sensor=None)
    assert "ALIASED" in named(launched(0.1), meter=unknown), "the period is guessed from changes"
    assert "ALIASED" not in named(launched(0.1), meter=replace(unknown, mismatch=True))


# --- joules ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("grade", "factor", "fires"),
    [("quick", 1.04, True), ("standard", 1.028, False), ("standard", 1.04, True),
     ("publish", 1.013, False), ("publish", 1.017, True)],
)  # fmt: skip
def test_counter_against_integral(grade: str, factor: float, fires: bool) -> None:
    apart = readings("power_instant_w", lambda _, watts: watts * factor)
    assert (named(apart, grade=grade).get("ENERGY_DISAGREE", False)) is fires
    assert ("COUNTER_RATIO" in named(apart, grade=grade)) is (factor > 1.02)


def test_counter_and_integral_of_the_whole_run() -> None:
    idle = readings("power_instant_w", lambda _, watts: watts * (20 if watts < 100 else 1))
    texts = [c.text for c in judged(idle)[1] if c.name == "ENERGY_DISAGREE"]
    assert len(texts) == 1
    assert "the whole run" in texts[0]


def test_a_ratio_that_the_calibration_knew_is_no_surprise() -> None:
    apart = readings("power_instant_w", lambda _, watts: watts * 1.025)
    known = replace(METER, calibration=replace(CALIBRATION, counter_ratio=1 / 1.025))
    assert "COUNTER_RATIO" in named(apart)
    assert "COUNTER_RATIO" not in named(apart, meter=known)
    assert "COUNTER_RATIO" in named(meter=known)


@pytest.mark.parametrize(
    ("at_j", "name"), [(2**32 / 1000, "COUNTER_WRAP"), (90_000, "COUNTER_RESET")]
)
def test_a_counter_that_falls(at_j: float, name: str) -> None:
    last_j = max(f.value for f in CLEAN if isinstance(f, Sample) and f.field == "energy_j")
    offset_j = at_j - last_j / 2
    facts = readings("energy_j", lambda _, joules: (joules + offset_j) % at_j)
    found = named(facts)
    assert found[name] is False
    assert {"COUNTER_WRAP", "COUNTER_RESET"} & set(found) == {name}
    joules = [w.metrics.joules_per_unit for w in derive_raw(
        Raw(CARD, METER, "standard", (HASH, TOKEN), CHECKS), facts).workloads]  # fmt: skip
    assert all(j is not None and j.mid > 0 for j in joules)


@pytest.mark.parametrize(("kind", "made", "fires"), [
    ("full-duty", True, False), ("filtered", True, True), ("unknown", True, True),
    ("full-duty", False, True),
])  # fmt: skip
def test_sensors_nobody_characterised(kind: Any, made: bool, fires: bool) -> None:
    sensor = replace(SENSOR, kind=kind)
    meter = replace(METER, sensor=sensor, calibration=CALIBRATION if made else None)
    assert ("UNCALIBRATED" in named(meter=meter)) is fires
    assert "UNCALIBRATED" not in named(meter=replace(meter, mismatch=True))


# --- the card -------------------------------------------------------------------------------


def slowed_blocks(count: int) -> Journal:
    """The clean run with heat in the first blocks of sha256d: a tenth of their time throttled."""
    blocks = [f for f in CLEAN if isinstance(f, Span) and f.phase == "block"]
    hot = [span for span in blocks if span.workload == "sha256d"][:count]
    steps = ((span, k) for span in hot for k in range(1, 6))
    return [
        *CLEAN,
        *(
            Sample(span.start_s + k, "throttle_thermal_s", 5 + 0.6 * (hot.index(span) + k / 5))
            for span, k in steps
        ),
    ]


def test_throttle_time_of_accepted_blocks() -> None:
    rise = [
        Sample(t, "throttle_brake_s", 0.007 * (t - FIRST_S))
        for t in range(int(FIRST_S), int(LAST_S))
    ]
    assert named([*CLEAN, *rise])["THROTTLED"] is True
    assert "THROTTLED" not in named([*CLEAN, *rise], grade="quick")
    little = [replace(f, value=f.value / 10) for f in rise]
    assert "THROTTLED" not in named([*CLEAN, *little])
    assert "THROTTLED" in named([*CLEAN, *little], grade="publish")


def test_time_at_the_power_cap_is_reported() -> None:
    times = [FIRST_S + k / 10 for k in range(round(10 * (LAST_S - FIRST_S)))]
    rise = [Sample(t, "throttle_power_s", 0.3 * t) for t in times]
    status, codes = judged([*CLEAN, *rise])
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
def test_drift(field: Field, step: float, grade: str, fires: bool) -> None:
    base = 1.8e9 if field == "sm_clock_hz" else 60.0
    facts = [*CLEAN, Sample(MIDDLE_S, field, base + step)]
    assert (named(facts, grade=grade).get("DRIFT", False)) is fires


def test_too_near_to_slowing_down() -> None:
    hot = readings("temperature_c", lambda *_: 86.0)
    inside = [Sample(FIRST_S + 1, "temperature_c", 85.5)]
    assert named([*hot, *inside])["DRIFT"] is True
    assert "DRIFT" not in named([*hot, *inside], device=replace(CARD, temperature_slowdown_c=None))
    assert "DRIFT" not in named([*hot, *inside], grade="quick")


@pytest.mark.parametrize(("grade", "is_fatal"), [("standard", False), ("publish", True)])
def test_another_power_limit(grade: str, is_fatal: bool) -> None:
    assert (
        named(device=replace(CARD, power_limit_w=600.0), grade=grade)["LIMIT_NOT_DEFAULT"]
        is is_fatal
    )


def test_errors_of_the_card() -> None:
    found = judged([*CLEAN, Event(MIDDLE_S, "xid", {"code": 48})])
    assert found[0] == "invalid"
    assert "48" in found[1][0].text
    assert named([*CLEAN, Sample(MIDDLE_S, "ecc_uncorrected", 4.0)])["ECC"] is True


# --- alone on it ----------------------------------------------------------------------------


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
def test_processes(baseline: list[int], later: list[int], names: dict[str, bool]) -> None:
    lists = iter((baseline, later))
    facts = events("processes", lambda data: {**data, "pids": next(lists)})
    assert named(facts) == names


def test_processes_nobody_may_see() -> None:
    refused = events("processes", lambda data: {**data, "pids": [], "reason": "no permission"})
    text = next(code.text for code in judged(refused)[1] if code.name == "PROCESS_UNKNOWN")
    assert "no permission" in text
    unnoted = without(lambda f: getattr(f, "name", "") != "own_processes")
    assert named(unnoted) == {"PROCESS_UNKNOWN": False}
    assert named(unnoted, meter=replace(METER, mismatch=True)).keys() == {
        "METER_MISMATCH", "UNRANKED",
    }  # fmt: skip


@pytest.mark.parametrize(("field", "name"), [("mig", "MIG"), ("mps", "MPS"), ("vgpu", "VGPU")])
def test_a_part_of_a_card(field: str, name: str) -> None:
    part = replace(CARD, **{field: True})
    assert named(device=part) == {name: False, "UNRANKED": False}
    assert named(device=part, grade="publish")[name] is True


def test_a_display_counts_for_publication() -> None:
    assert named(device=replace(CARD, display=True)) == {}
    assert named(device=replace(CARD, display=True), grade="publish")["DISPLAY"] is True
    drawing = events("processes", lambda data: {**data, "graphics": [77]})
    assert named(drawing, grade="publish")["DISPLAY"] is True
    served = events("processes", lambda data: {**data, "mps": True})
    assert named(served)["MPS"] is False


# --- time and origin ------------------------------------------------------------------------


@pytest.mark.parametrize(("device_s", "fires"), [(59.8, False), (59.6, True), (60.4, True)])
def test_the_devices_time_against_the_hosts(device_s: float, fires: bool) -> None:
    data = {"workload": "decode", "device_s": device_s, "host_s": 60.0}
    assert ("CLOCK" in named([*CLEAN, Event(MIDDLE_S, "device_time", data)])) is fires


def test_a_clock_that_runs_wrong_and_one_that_is_set() -> None:
    fast = [replace(f, realtime_s=f.realtime_s + 0.006 * f.monotonic_s) if isinstance(f, ClockPair)
            else f for f in CLEAN]  # fmt: skip
    assert named(fast)["CLOCK"] is True
    stepped = [replace(f, realtime_s=f.realtime_s + 30 * (f.monotonic_s > MIDDLE_S))
               if isinstance(f, ClockPair) else f for f in CLEAN]  # fmt: skip
    assert "CLOCK" not in named(stepped)


def test_where_code_and_libraries_come_from() -> None:
    unhashed = events("prepared", lambda data: {**data, "sources": {}})
    assert named(unhashed) == {"PROVENANCE": False}
    assert named(unhashed, grade="publish")["PROVENANCE"] is True
    assert "PROVENANCE" not in named(unhashed, grade="quick")
    assert "PROVENANCE" in named(meter=replace(METER, library=None))
    for git in ("c0ffee+dirty", None):
        dirty = events("opened", lambda _, git=git: {"software": {"git": git}})  # type: ignore[misc]
        assert "PROVENANCE" not in named(dirty)
        assert named(dirty, grade="publish")["PROVENANCE"] is True


def test_a_simulator_is_no_card_and_a_cache_is_no_work() -> None:
    simulated = replace(HASH, config={"simulator": True})
    assert named(workloads=(simulated, TOKEN))["SIMULATOR"] is True
    cached = {**CHECKS, "decode": (Check("a repeated prompt is no faster", False, "60 %"),)}
    assert named(checks=cached)["INFER_CACHED"] is True


def test_for_publication_shares_are_due() -> None:
    sharing = (replace(HASH, config={"share_bits": 30}), TOKEN)
    assert named(workloads=sharing)["FEW_SHARES"] is False
    assert named(workloads=sharing, grade="publish")["FEW_SHARES"] is True


# --- all of them ----------------------------------------------------------------------------


def test_limits_only_tighten() -> None:
    quick, standard, publish = (LIMITS[name] for name in ("quick", "standard", "publish"))
    for name in ("window_s", "updates", "coverage", "margin_c", "shares"):
        assert getattr(quick, name) <= getattr(standard, name) <= getattr(publish, name)
    for name in set(type(quick).__slots__) - {
        "window_s",
        "updates",
        "coverage",
        "margin_c",
        "shares",
    }:
        assert getattr(quick, name) >= getattr(standard, name) >= getattr(publish, name)


THIN = [f for k, f in enumerate(CLEAN) if not isinstance(f, Sample | Progress) or k % 97 == 0]


@settings(max_examples=150, suppress_health_check=[HealthCheck.large_base_example])
@given(
    kept=st.sets(st.integers(0, len(THIN) - 1)),
    grade=st.sampled_from(sorted(LIMITS)),
    meter=st.sampled_from([METER, replace(METER, sensor=None, calibration=None)]),
)
def test_no_rule_raises_on_a_part_of_a_journal(
    kept: set[int], grade: Any, meter: MeterFacts
) -> None:
    status, codes = judged([THIN[k] for k in sorted(kept)], grade=grade, meter=meter)
    assert status in {"valid", "labelled", "invalid"}
    assert all(code.text and "\n" not in code.text for code in codes)
    assert (status == "invalid") == any(code.fatal for code in codes)


def test_an_empty_journal_is_judged() -> None:
    assert named([])["NO_DATA"] is True
