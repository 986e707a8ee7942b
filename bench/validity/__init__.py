"""May one trust the run: small functions from evidence to codes, each saying what to do. Pure.

A fatal code makes the run invalid; the others label it. Where a threshold belongs to a grade it
is taken from ``LIMITS``: failing a row of a ranked grade spoils the run, while the quick grade
promises little and is checked for wrong work and wrong joules only.
"""

from __future__ import annotations

from bench.records.run import Validity
from bench.validity import (
    card,
    course,
    instrument,
    phases,
    planned,
    power,
    roofs,
    sensor,
    serving,
    sharing,
    work,
)
from bench.validity.evidence import Evidence

__all__ = ["Evidence", "judge"]

RULES = (
    *planned.RULES,
    *course.RULES,
    *work.RULES,
    *phases.RULES,
    *roofs.RULES,
    *instrument.RULES,
    *sensor.RULES,
    *power.RULES,
    *card.RULES,
    *sharing.RULES,
    *serving.RULES,
)


def judge(evidence: Evidence) -> Validity:
    """Every code that speaks of the run, and the status they add up to."""
    codes = tuple(code for rule in RULES for code in rule(evidence))
    missing = any(kind != "unverified" for kind, _ in evidence.failures.values())
    if evidence.interrupted or missing:
        return Validity("incomplete", codes)
    if any(code.fatal for code in codes):
        return Validity("invalid", codes)
    return Validity("labelled" if codes else "valid", codes)
