"""A number to so many figures, as all text shows it. Pure, and loaded in no time."""

from __future__ import annotations

import math


def figures(number: float, digits: int = 3) -> str:
    """A number that is not negative, to ``digits`` figures, without an exponent."""
    if number == 0:
        return "0"
    places = digits - 1 - math.floor(math.log10(float(f"{number:.{digits - 1}e}")))
    return f"{round(number, places):,.{max(places, 0)}f}"
