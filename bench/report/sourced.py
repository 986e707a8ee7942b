"""Dated values in words: figure, source, date and flag, for columns and notes of tables."""

from __future__ import annotations

from dataclasses import dataclass

from bench.economics.units import HASHES_PER_PHS_DAY, S_PER_HOUR, S_PER_YEAR
from bench.records.market import Value

TRADE = {
    "1/year": ("a year", 1.0),
    "H/s": ("TH/s", 1e-12),
    "J/hash": ("J/TH", 1e12),
    "USD*s/hash": ("USD/TH", 1e12),
    "USD/J": ("USD/W/y", S_PER_YEAR),
    "USD/hash": ("USD/PH/day", HASHES_PER_PHS_DAY),
    "USD/s": ("USD/h", S_PER_HOUR),
    "s": ("months", 12 / S_PER_YEAR),
    "1": ("", 1.0),
}
"""What a value of an SI unit is shown in, and the factor; others stand as they are."""


@dataclass(frozen=True, slots=True)
class Label:
    """How a figure is called and shown: ``shown = SI · factor`` in ``unit``."""

    what: str
    unit: str
    factor: float = 1.0


def noted(name: str, value: Value, written: str | None = None) -> str:
    """One line of a table's notes: name, figure (``written``, or as ``TRADE`` has it), source."""
    figure = shown(value, *TRADE.get(value.unit, (value.unit, 1.0))) if written is None else written
    return f"{name} {figure}: {value.source} ({value.as_of}, {value.flag})"


def shown(value: Value, unit: str, factor: float = 1.0) -> str:
    """The value and its range in ``unit``, which is SI times ``factor``."""
    text = f"{value.value * factor:.6g}"
    if value.low is not None and value.high is not None:
        text += f" ({value.low * factor:.6g} to {value.high * factor:.6g})"
    return f"{text} {unit}".rstrip()


def flags(*values: Value) -> str:
    """All their letters, each once."""
    return "/".join(sorted({letter for value in values for letter in value.flag.split("/")}))
