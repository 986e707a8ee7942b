"""Numbers and foreign strings as text for a terminal."""

from __future__ import annotations

import math
import unicodedata

from bench.records.run import Estimate

PREFIXES = {-15: "f", -12: "p", -9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T"}
SYMBOL = {"hash": "H", "token": "tok"}


def clean(text: str) -> str:
    """Foreign text made safe for a terminal or log: no control, escape or bidi characters."""
    return "".join(" " if unicodedata.category(c) in {"Cc", "Cf", "Zl", "Zp"} else c for c in text)


def si(value: float, unit: str) -> str:
    """Three significant digits with an SI prefix: 0.0000000123, "J/hash" -> "12.3 nJ/hash"."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g} {unit}"
    power = 3 * math.floor(math.log10(abs(value)) / 3 + 1e-12)
    power = min(max(power, min(PREFIXES)), max(PREFIXES))
    return f"{significant(value / 10**power)} {PREFIXES[power]}{unit}"


def significant(value: float, digits: int = 3) -> str:
    """That many significant digits without an exponent where it is readable."""
    if value == 0:
        return "0"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{places}f}" if places <= 12 else f"{value:.{digits}g}"


def rate(value: float, unit: str) -> str:
    """Units per second in the field's own symbols: GH/s, tok/s."""
    if unit == "token":
        return f"{significant(value)} tok/s"
    return si(value, f"{SYMBOL.get(unit, unit)}/s")


def per_unit(value: float, unit: str) -> str:
    """Joules per unit with a prefix."""
    return si(value, f"J/{unit}")


def half_width(estimate: Estimate) -> str:
    """An interval as "± 0.4 %" of its middle."""
    if estimate.mid == 0:
        return "± ?"
    return f"± {significant(100 * (estimate.hi - estimate.lo) / 2 / abs(estimate.mid), 2)} %"


def usd(value: float) -> str:
    """Dollars: cents where they matter, significant digits below a cent."""
    sign = "-" if value < 0 else ""
    size = abs(value)
    if size == 0:
        return "$0"
    return f"{sign}${size:,.2f}" if size >= 1 else f"{sign}${significant(size)}"


def duration(seconds: float) -> str:
    """Minutes and seconds: 3:07."""
    whole = max(0, math.ceil(seconds - 1e-9))
    return f"{whole // 60}:{whole % 60:02d}"
