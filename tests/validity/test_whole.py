"""Clean runs have no code, parts of them never crash a rule, and limits only tighten."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bench.records.journal import Event, Fact, Progress, Sample
from bench.validity.evidence import LIMITS

Journal = list[Fact]
Run = Any  # the clean run of conftest


def test_a_clean_run_has_no_code_at_all(run: Run) -> None:
    assert run.judged() == ("valid", [])


def test_a_clean_run_for_publication_has_none_either(run: Run) -> None:
    facts = run.make(60.0)
    middle = Event(600.0, "processes", {"pids": [11, 12]})
    assert run.judged([*facts, middle], grade="publish") == ("valid", [])


def test_the_same_run_judged_as_a_first_look_is_only_unranked(run: Run) -> None:
    status, codes = run.judged(grade="quick")
    assert status == "labelled"
    assert [code.name for code in codes] == ["UNRANKED"]


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


@settings(max_examples=150)
@given(
    kept=st.sets(st.integers(0, 150)),
    grade=st.sampled_from(sorted(LIMITS)),
    known=st.booleans(),
)
def test_no_rule_raises_on_a_part_of_a_journal(
    run: Run, kept: set[int], grade: str, known: bool
) -> None:
    numerous = (Sample, Progress)
    thin = [f for k, f in enumerate(run.clean) if not isinstance(f, numerous) or k % 97 == 0]
    meter = run.meter if known else replace(run.meter, sensor=None, calibration=None)
    facts = [f for k, f in enumerate(thin) if k in kept]
    status, codes = run.judged(facts, grade=grade, meter=meter)
    assert status in {"valid", "labelled", "invalid"}
    assert all(code.text and "\n" not in code.text for code in codes)
    assert (status == "invalid") == any(code.fatal for code in codes)


def test_an_empty_journal_is_judged(run: Run) -> None:
    assert run.named([])["NO_DATA"] is True
