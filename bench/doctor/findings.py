"""How an item is found: well, doubtful or at fault, the latter two with their cure."""

from __future__ import annotations

from bench.records.check import Check


def ok(item: str, text: str) -> Check:
    """Nothing to do."""
    return Check(item, "OK", text)


def warn(item: str, text: str, cure: str) -> Check:
    """Runs go on, but know less or disturb themselves."""
    return Check(item, "WARN", text, cure)


def fail(item: str, text: str, cure: str) -> Check:
    """Something that was meant to work here cannot."""
    return Check(item, "FAIL", text, cure)
