"""A figure with what the ranges of its inputs make of it, all bad or all good at once. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from bench.records.market import Value


@dataclass(frozen=True, slots=True)
class Span:
    """A figure as stated, and its lower and upper end within the ranges of its inputs."""

    mid: float
    low: float
    high: float


def ends(value: Value) -> Span:
    """A dated value and its range; one without is exact."""
    low = value.value if value.low is None else value.low
    high = value.value if value.high is None else value.high
    return Span(value.value, low, high)


def scaled(span: Span, factor: float) -> Span:
    """The same in another unit, or per something else."""
    return Span(span.mid * factor, span.low * factor, span.high * factor)
