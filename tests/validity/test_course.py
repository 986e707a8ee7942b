"""Codes of the course: settling, order, sampling's cost, clocks, origin."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bench.records.journal import ClockPair, Event, Fact, Progress, Sample, Span
from bench.records.run import Check

Journal = list[Fact]
Run = Any  # the clean run of conftest


def test_power_that_does_not_settle(run: Run) -> None:
    def drop(t_s: float, watts: float) -> float:
        return watts * (0.9 if steady.start_s + 7 < t_s < steady.end_s else 1.0)

    steady = next(f for f in run.clean if isinstance(f, Span) and f.phase == "steady")
    unsettled = run.readings("power_instant_w", drop)
    assert run.named(unsettled)["NOT_STEADY"] is True
    assert "NOT_STEADY" not in run.named(unsettled, grade="quick")
    assert "NOT_STEADY" not in run.named(unsettled, meter=replace(run.meter, mismatch=True))
    alone = [f for f in unsettled if not (isinstance(f, Sample) and f.field == "energy_j")]
    assert "NOT_STEADY" in run.named(alone)


def test_for_publication_the_temperature_stands_still(run: Run) -> None:
    steady = next(f for f in run.clean if isinstance(f, Span) and f.phase == "steady")
    rise = [Sample(steady.start_s + 1 + k, "temperature_c", 61.0 + k) for k in range(2)]
    fall = Sample(steady.end_s, "temperature_c", 60.0)
    assert "NOT_STEADY" in run.named([*run.clean, *rise], grade="publish")
    assert "NOT_STEADY" not in run.named([*run.clean, rise[0]], grade="publish")
    assert "NOT_STEADY" not in run.named([*run.clean, *rise, fall], grade="publish")
    assert "NOT_STEADY" not in run.named([*run.clean, *rise])


def test_a_load_is_compared_with_itself_when_loads_heat_differently(run: Run) -> None:
    warm = [f for f in run.clean if isinstance(f, Span) and f.phase == "warmup"]
    steady = next(f for f in run.clean if isinstance(f, Span) and f.phase == "steady")
    swing = [
        Sample(warm[1].start_s + 5, "temperature_c", 50.0),
        Sample(steady.start_s + 5, "temperature_c", 60.0),
    ]
    assert "NOT_STEADY" not in run.named([*run.clean, *swing], grade="publish")


def test_a_warm_up_that_ends_too_soon(run: Run) -> None:
    warm = [f for f in run.clean if isinstance(f, Span) and f.phase == "warmup"]
    rise = [Sample(warm[-1].start_s + k, "temperature_c", 60.0 + k / 5) for k in range(1, 20)]
    found = run.named([*run.clean, *rise])
    assert found["NOT_WARM"] is False
    assert "NOT_WARM" not in run.named([*run.clean, *rise], grade="quick")


def test_blocks_out_of_order_are_told(run: Run) -> None:
    def swapped(span: Span) -> Span:
        other = {"sha256d": "decode", "decode": "sha256d"}
        first = span.phase == "block" and span.start_s < run.first_s + 15
        return replace(span, workload=other[str(span.workload)]) if first else span

    facts = run.spans(swapped)
    assert run.named(facts)["ORDER"] is True
    assert "ORDER" not in run.named(facts, grade="quick")
    assert "ORDER" not in run.named(facts, interrupted=True)


def test_what_a_ranked_run_does_not_show_is_listed(run: Run) -> None:
    unseen = run.spans(lambda span: span if span.phase not in ("steady", "observer") else None)
    unseen = [f for f in unseen if getattr(f, "field", "") not in ("sm_clock_hz", "temperature_c")]
    text = next(code.text for code in run.judged(unseen)[1] if code.name == "UNCHECKED")
    for word in ("steady", "observer", "SM clock", "temperature"):
        assert word in text
    assert "UNCHECKED" not in run.named(unseen, grade="quick")
    unlimited = replace(run.card, power_limit_default_w=None)
    assert "UNCHECKED" not in run.named(device=unlimited)
    assert run.named(device=unlimited, grade="publish")["UNCHECKED"] is False


@pytest.mark.parametrize(("cost", "fires"), [(0.005, False), (0.02, True)])
def test_sampling_that_slows_the_work(run: Run, cost: float, fires: bool) -> None:
    watched = [f for f in run.clean if isinstance(f, Span) and f.phase == "observer"]
    slow = next(span for span in watched if span.poll_s == 0.05)
    facts = [
        replace(f, units=f.units - round(cost * 1e6 * (min(f.t_s, slow.end_s) - slow.start_s)))
        if isinstance(f, Progress) and f.workload == "sha256d" and f.t_s >= slow.start_s
        else f
        for f in run.clean
    ]
    assert ("OBSERVER" in run.named(facts)) is fires
    assert run.named(facts).get("OBSERVER", True) is True
    assert "OBSERVER" not in run.named(facts, grade="quick")


def test_noise_between_blocks_is_not_the_samplers_cost(run: Run) -> None:
    blocks = [f for f in run.clean if isinstance(f, Span) and f.phase in ("block", "observer")]
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
        for f in run.clean
    ]
    assert "OBSERVER" not in run.named(facts)


@pytest.mark.parametrize(("device_s", "fires"), [(59.8, False), (59.6, True), (60.4, True)])
def test_the_devices_time_against_the_hosts(run: Run, device_s: float, fires: bool) -> None:
    data = {"workload": "decode", "device_s": device_s, "host_s": 60.0}
    assert ("CLOCK" in run.named([*run.clean, Event(run.middle_s, "device_time", data)])) is fires


def test_a_clock_that_runs_wrong_and_one_that_is_set(run: Run) -> None:
    fast = [replace(f, realtime_s=f.realtime_s + 0.006 * f.monotonic_s) if isinstance(f, ClockPair)
            else f for f in run.clean]  # fmt: skip
    assert run.named(fast)["CLOCK"] is True
    stepped = [replace(f, realtime_s=f.realtime_s + 30 * (f.monotonic_s > run.middle_s))
               if isinstance(f, ClockPair) else f for f in run.clean]  # fmt: skip
    assert "CLOCK" not in run.named(stepped)


def test_where_code_and_libraries_come_from(run: Run) -> None:
    unhashed = run.events("prepared", lambda data: {**data, "sources": {}})
    assert run.named(unhashed) == {"PROVENANCE": False}
    assert run.named(unhashed, grade="publish")["PROVENANCE"] is True
    assert "PROVENANCE" not in run.named(unhashed, grade="quick")
    assert "PROVENANCE" in run.named(meter=replace(run.meter, library=None))
    for git in ("c0ffee+dirty", None):
        dirty = run.events("opened", lambda _, git=git: {"software": {"git": git}})  # type: ignore[misc]
        assert "PROVENANCE" not in run.named(dirty)
        assert run.named(dirty, grade="publish")["PROVENANCE"] is True


def test_a_simulator_is_no_card_and_a_cache_is_no_work(run: Run) -> None:
    simulated = replace(run.hashing, config={"simulator": True})
    assert run.named(workloads=(simulated, run.decoding))["SIMULATOR"] is False
    cached = {**run.checks, "decode": (Check("a repeated prompt is no faster", False, "60 %"),)}
    assert run.named(checks=cached)["INFER_CACHED"] is True


def test_for_publication_shares_are_due(run: Run) -> None:
    sharing = (replace(run.hashing, config={"share_bits": 30}), run.decoding)
    assert run.named(workloads=sharing)["FEW_SHARES"] is False
    assert run.named(workloads=sharing, grade="publish")["FEW_SHARES"] is True
