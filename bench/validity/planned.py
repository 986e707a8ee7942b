"""What was set out to be done against what the journal shows: a run that lacks a part is no run."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator

from bench.records.journal import JsonObject
from bench.records.run import Code
from bench.validity.evidence import Evidence, Rule, fatal

Part = tuple[str, str | None]
COUNTED = frozenset({"idle", "steady", "observer", "block"})
"""Phases are not: a plan only expects them, the prepared workload says which it has."""
OVERLAP_S = 1e-6
EDITED = "the journal is not whole; run again"


def _nothing(e: Evidence) -> Iterator[Code]:
    if e.whole and not e.workloads:
        yield fatal("NO_DATA", "no workload was prepared; run again")


def _unverified(e: Evidence) -> Iterator[Code]:
    """What may not be timed, where no failed check of its own says so already."""
    for name, (kind, text) in e.failures.items():
        checks = [c for w in e.workloads if w.name == name for c in w.verified.checks]
        if kind == "unverified" and all(check.passed for check in checks):
            yield fatal("NO_DATA", f"{name} was not timed: {text}")


def _unchecked(e: Evidence) -> Iterator[Code]:
    for w in e.workloads:
        if w.windows and not w.verified.checks:
            yield fatal("NO_DATA", f"{w.name} was timed though nothing was checked; run again")


def _parts(e: Evidence) -> Iterator[Code]:
    """As many spans of each kind as the plan had steps, unless the run ended early."""
    if not e.whole:
        return
    spans: list[Part] = [(span.phase, span.workload) for span in e.book.spans]
    done = Counter(spans)
    for (phase, workload), planned in Counter(_planned(e)).items():
        if done[phase, workload] < planned:
            what = f"{phase} {workload or ''}".strip()
            yield fatal("NO_DATA", f"{what}: {done[phase, workload]} of {planned} there; {EDITED}")


def _planned(e: Evidence) -> Iterator[Part]:
    steps: list[JsonObject] = [
        step for data in e.events("opened") for step in data.get("plan", {}).get("steps", ())
    ]
    for step in steps:
        if step["name"] in COUNTED:
            yield step["name"], step.get("workload")


def _overlaps(e: Evidence) -> Iterator[Code]:
    """One thing at a time: no span begins before the one before it has ended."""
    spans = sorted(e.book.spans, key=lambda span: (span.start_s, span.end_s))
    backwards = any(span.end_s <= span.start_s for span in spans)
    if backwards or any(b.start_s < a.end_s - OVERLAP_S for a, b in itertools.pairwise(spans)):
        yield fatal("NO_DATA", f"stretches of the run overlap or run backwards; {EDITED}")


RULES: tuple[Rule, ...] = (_nothing, _unverified, _unchecked, _parts, _overlaps)
