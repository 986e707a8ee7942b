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
