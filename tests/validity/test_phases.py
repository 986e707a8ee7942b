"""A token workload that is not what it was set up to be: phases apart, a limit missed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.book import open_book
from bench.derive import Raw, derive_raw
from bench.plan import GRADES
from bench.records.journal import Event
from bench.validity import Evidence, judge

from .conftest import CleanRun

LATENCY = {"n": 100, "p50_s": 0.04, "p90_s": 0.045, "p99_s": 0.0501}


def of_phases(run: CleanRun, share: float | None, half: float) -> dict[str, bool]:
    """The clean run, its phases coming to ``share`` of the mix, each known within ``half``."""
    raw = Raw(run.card, run.meter, "standard", (run.hashing, run.decoding), run.checks)
    derived = derive_raw(raw, run.clean)
    hashing, decoding = derived.workloads
    part = {"joules_per_token": {"mid": 2.0, "lo": 2 - 2 * half, "hi": 2 + 2 * half, "n": 4}}
    metrics = replace(decoding.metrics, prefill=part, decode=part, phases_over_whole=share)
    both = (hashing, replace(decoding, metrics=metrics))
    book, grade = open_book(run.clean), GRADES["standard"]
    evidence = Evidence(run.card, run.meter, grade, book, derived.idle, both, {})
    return {code.name: code.fatal for code in judge(evidence).codes}


@pytest.mark.parametrize(
    ("share", "half", "apart"),
    [
        (None, 0.01, False), (1.14, 0.0, False), (0.86, 0.0, False),
        (1.17, 0.0, True), (0.83, 0.0, True),
        (1.25, 0.1, False), (1.4, 0.1, True),
    ],
)  # fmt: skip
def test_phases_have_to_add_up_as_far_as_they_are_known(
    run: CleanRun, share: float | None, half: float, apart: bool
) -> None:
    assert of_phases(run, share, half) == ({"PHASES_APART": False} if apart else {})


@pytest.mark.parametrize(
    ("limit_s", "missed"), [(0.05, True), (0.0501, False), (0.06, False), (None, False)]
)
def test_a_limit_that_was_looked_under_has_to_be_kept(
    run: CleanRun, limit_s: float | None, missed: bool
) -> None:
    said = Event(run.last_s + 30, "request_latency", {
        "workload": "decode", "ttft": {"n": 0}, "tpot": LATENCY,
    })  # fmt: skip
    served = replace(run.decoding, config={"slo_tpot_s": limit_s})
    named = run.named([*run.clean, said], workloads=(run.hashing, served))
    assert named == ({"SLO_MISSED": False} if missed else {})
