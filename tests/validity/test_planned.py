"""A run that lacks a part of what was planned is no run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bench.records.journal import Event, Fact, Span

Journal = list[Fact]
Run = Any  # the clean run of conftest


def with_plan(run: Run) -> Journal:
    """The clean run with a plan of the very spans it has."""
    steps = [{"name": f.phase, "workload": f.workload} for f in run.clean if isinstance(f, Span)]
    return run.events("opened", lambda data: {**data, "plan": {"steps": steps}})  # type: ignore[no-any-return]


def without_one(facts: Journal, phase: str) -> Journal:
    gone = next(f for f in reversed(facts) if isinstance(f, Span) and f.phase == phase)
    return [f for f in facts if f is not gone]


def test_a_run_as_planned_has_no_code(run: Run) -> None:
    assert run.named(with_plan(run)) == {}


@pytest.mark.parametrize("phase", ["idle", "steady", "observer", "block"])
def test_a_missing_part_is_told(run: Run, phase: str) -> None:
    codes = run.judged(without_one(with_plan(run), phase))[1]
    (text,) = [code.text for code in codes if code.name == "NO_DATA" and code.fatal]
    assert phase in text


def test_what_ended_early_is_not_held_against_its_plan(run: Run) -> None:
    cut = without_one(with_plan(run), "block")
    assert "NO_DATA" not in run.named(cut, interrupted=True)


def test_no_workload_at_all(run: Run) -> None:
    assert run.named(with_plan(run), workloads=())["NO_DATA"] is True


def test_work_that_was_never_checked(run: Run) -> None:
    assert run.named(checks={})["NO_DATA"] is True
    failures = {"decode": ("unverified", "it checks nothing")}
    status, codes = run.judged(failures=failures)
    assert status == "invalid"
    assert any("decode was not timed" in code.text for code in codes)


@pytest.mark.parametrize("moved_s", [-3.0, -30.0])
def test_stretches_that_overlap_or_run_backwards(run: Run, moved_s: float) -> None:
    block = next(f for f in run.clean if isinstance(f, Span) and f.phase == "block")

    def move(span: Span) -> Span:
        if span is not block:
            return span
        end_s = span.end_s + (moved_s if moved_s < -10 else 0.0)
        return replace(
            span, start_s=span.start_s + (moved_s if moved_s > -10 else 0.0), end_s=end_s
        )

    assert run.named(run.spans(move))["NO_DATA"] is True


def test_the_events_of_a_hand_made_journal_may_lack_a_plan(run: Run) -> None:
    assert not any("plan" in f.data for f in run.clean if isinstance(f, Event))
    assert run.named() == {}
