"""Numbers as text for a terminal."""

from __future__ import annotations

import math

from bench.figures import figures
from bench.records.run import Estimate

PREFIXES = {-15: "f", -12: "p", -9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T"}
SYMBOL = {"hash": "H", "token": "tok"}


def si(value: float, unit: str) -> str:
    """Three figures and an SI prefix: 0.0000000123, "J/hash" -> "12.3 nJ/hash"; value ≥ 0."""
    if value == 0:
        return f"0 {unit}"
    power = thousands(value)
    return f"{figures(value / 10**power)} {PREFIXES[power]}{unit}"


def thousands(value: float) -> int:
    """The power of ten whose SI prefix suits a value above 0: 0.0000000123 -> -9."""
    power = 3 * math.floor(math.log10(float(f"{value:.2e}")) / 3)
    return min(max(power, min(PREFIXES)), max(PREFIXES))


def rate(value: float, unit: str) -> str:
    """Units per second in the field's own symbols: GH/s, tok/s."""
    if unit == "token":
        return f"{figures(value)} tok/s"
    return si(value, f"{SYMBOL.get(unit, unit)}/s")


def per_unit(value: float, unit: str) -> str:
    """Joules per unit with a prefix."""
    return si(value, f"J/{unit}")


def half_width(estimate: Estimate) -> str:
    """An interval as "± 0.4 %" of its middle."""
    if estimate.mid == 0:
        return "± ?"
    return f"± {figures(50 * (estimate.hi - estimate.lo) / abs(estimate.mid), 2)} %"


def duration(seconds: float) -> str:
    """Minutes and seconds: 3:07."""
    whole = max(0, math.ceil(seconds - 1e-9))
    return f"{whole // 60}:{whole % 60:02d}"
