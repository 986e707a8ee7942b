"""How evenly a sensor sees the phases of a load in step with it, and how to break step. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.records.run import SensorFacts

EQUAL = 0.03
"""How unevenly a sensor may see the phases of a load in step with it before that counts."""
GOLDEN = 1.381966011250105
"""Launch groups of a sensor's update period times 1 + 1/φ² step through its phases by the golden
ratio, the most even way there is."""
PHASES = 512
MOST_LOOKS = 2048


def blind(sensor: SensorFacts | None) -> float | None:
    """The worst that a load in step with the sensor can make of what it sees, over the swing.

    A window of k + f update periods sees a share f of all phases once more than the rest: all but
    a window that is a whole number of updates misjudges such a load by up to f·(1−f)/(k+f) of its
    swing, a window of a quarter by 3/4. None while the sensor is not known.
    """
    if sensor is None or not sensor.update_s or not sensor.window_s:
        return None
    whole, part = divmod(sensor.window_s / sensor.update_s, 1.0)
    return part * (1 - part) / (whole + part)


def group_s(sensor: SensorFacts | None) -> float | None:
    """Length of a launch group that the sensor cannot lock to; None where it sees all alike."""
    if sensor is None or not sensor.update_s or (blind(sensor) or 0.0) < EQUAL:
        return None
    return sensor.update_s * GOLDEN


def unevenness(update_s: float, window_s: float, launch_s: float, seconds: float) -> float:
    """How unevenly a sensor's looks fell on the phases of a launch, 0 (evenly) … 1.

    The largest share by which any stretch of the launch period was seen too often or too seldom:
    the error over the swing of a load that differs in just that stretch; and the one look that
    the ends of the window may cut off.
    """
    looks = max(1, min(int(seconds / update_s), MOST_LOOKS))
    begun = np.mod(np.arange(looks) * update_s / launch_s, 1.0)[:, None]
    turns, part = divmod(window_s / launch_s, 1.0)
    phase = np.linspace(0.0, 1.0, PHASES + 1)

    def seen_since(offset: NDArray[np.float64]) -> NDArray[np.float64]:
        whole: NDArray[np.float64] = np.floor(offset)
        return whole * part + np.minimum(offset - whole, part)

    seen = np.mean(seen_since(phase - begun) - seen_since(-begun), axis=0)
    surplus = (turns * phase + seen) / (turns + part) - phase
    return min(float(np.max(surplus) - np.min(surplus)) + 1 / looks, 1.0)
