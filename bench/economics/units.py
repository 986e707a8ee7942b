"""The units and arrays that money is counted in: SI, USD and their quoted forms."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
N = TypeVar("N", float, Array)

J_PER_KWH = 3.6e6
J_PER_MWH = 3.6e9
S_PER_HOUR = 3600.0
S_PER_DAY = 86400.0
S_PER_YEAR = 365.0 * S_PER_DAY
HASHES_PER_PHS_DAY = 1e15 * S_PER_DAY

MOST = 1e100  # above 2^256 hashes and any sum of money, and its square is still a float


def positive(name: str, number: float) -> float:
    """``number``, if it is a quantity: above 0 and not above ``MOST``. Raises ValueError."""
    if 0 < number <= MOST:
        return number
    raise ValueError(f"{name} must lie above 0 and not above {MOST:g}, not {number:g}")


def not_negative(name: str, number: float) -> float:
    """``number``, if it lies from 0 to ``MOST``. Raises ValueError."""
    if 0 <= number <= MOST:
        return number
    raise ValueError(f"{name} must lie from 0 to {MOST:g}, not {number:g}")
