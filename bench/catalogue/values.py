"""Every dated value of a profile, by the name of its field: for counts, ages and checks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from datetime import date

from bench.economics.chain import first_day
from bench.records.market import FLAGS, RentPrice, TokenPrice, Value

MOST_AHEAD_DAYS = 3653
"""A scenario looks ahead by ten years at most; beyond that a year is mistyped."""


def values_of(record: object, where: str = "") -> Iterator[tuple[str, Value]]:
    """``("tdp_w", Value)`` of each value anywhere in a record, in the order of its fields."""
    if isinstance(record, Value):
        yield where, record
    elif isinstance(record, dict):
        for key, inner in record.items():
            yield from values_of(inner, f"{where}.{key}" if where else str(key))
    elif isinstance(record, tuple):
        for index, inner in enumerate(record):
            yield from values_of(inner, f"{where}[{_name(inner, index)}]")
    elif is_dataclass(record):
        for field in fields(record):
            inner = getattr(record, field.name)
            yield from values_of(inner, f"{where}.{field.name}" if where else field.name)


def misdated(record: object, today: date) -> Iterator[tuple[str, Value]]:
    """Values dated ahead though they are not assumed, nor derived from what is, or too far ahead.

    A day's grace is for time zones.
    """
    for where, value in values_of(record):
        ahead_days = (first_day(value.as_of) - today).days
        assumed = not {"A", "D"}.isdisjoint(value.flag.split("/"))
        if ahead_days > (MOST_AHEAD_DAYS if assumed else 1):
            yield where, value


def flag_counts(record: object) -> dict[str, int]:
    """How many values bear each letter of ``FLAGS``, those that occur, in that order."""
    found = Counter(flag for _, value in values_of(record) for flag in value.flag.split("/"))
    return {letter: found[letter] for letter in FLAGS if found[letter]}


def _name(inner: object, index: int) -> str:
    """What an entry of a list is told apart by."""
    if isinstance(inner, RentPrice):
        return f"{inner.gpu}, {inner.tier}"
    return str(inner.model_id) if isinstance(inner, TokenPrice) else str(index)
