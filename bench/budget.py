"""What widens an absolute interval, line by line, each with its source. Pure.

Every line is a relative standard uncertainty of the joules; they add in quadrature (GUM, JCGM
100:2008, 5.1.2) and the interval is 1.96 of their sum. How the joules were taken is the ledger's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.records.run import Correction, Doubt, Estimate, MeterFacts, SensorFacts
from bench.stats import NORMAL_975

GAIN_U = 0.066
"""Relative standard uncertainty of a board sensor's gain: RMS of the nine Turing-or-newer cards
metered in arXiv 2312.02741, about 1: their mean, −3.1 %, is 1.6 of its own standard errors."""
OFFSET_U_W = 5 / math.sqrt(3)
"""Standard uncertainty of a sensor's offset in W: rectangular ±5 W."""
GAIN = "gain"
OFFSET = "offset"
AGREE = 0.02
"""Two instruments that differ by less say the same."""
FULL_DUTY = 0.8
"""A sensor that sees this share of the time cannot be fooled by much."""
PRIORS = frozenset(
    ("nvml-counter", "nvml-instant", "nvml-average", "nvml-power-usage", "sim", "replay")
)
"""Sources whose readings are a board sensor's, so that its published errors speak of them."""
PHASES = 512
MOST_LOOKS = 2048


@dataclass(frozen=True, slots=True)
class Absolute:
    """An absolute estimate and the budget that it adds up from."""

    estimate: Estimate
    budget: tuple[Doubt, ...]


def absolute(
    per_unit: Estimate, watts: Estimate, meter: MeterFacts, doubts: Sequence[Doubt]
) -> Absolute | str:
    """The joules per unit with what the sensor's own errors and ``doubts`` leave open.

    With the user's correction (``reading = offset + gain·power``) the estimate is moved to what
    his meter would show and its uncertainties stand for the sensor's; without, it stays where
    the sensor put it. Where neither says anything of this instrument: the reason, in a sentence.
    """
    if meter.source == "assumed":
        return "the watts are assumed: how far they are off is not known, so no absolute interval"
    if meter.correction is not None:
        true_w = (watts.mid - meter.correction.offset_w) / meter.correction.gain
        slope, lines = 1 / meter.correction.gain, _corrected(meter.correction, true_w)
    elif meter.source in PRIORS:
        true_w, slope, lines = watts.mid, 1.0, _uncorrected(watts.mid)
    else:
        return f"no published gain error for {meter.source} on this device: no absolute interval"
    if true_w <= 0 or watts.mid <= 0:
        return f"{watts.mid:.1f} W read leaves no power to speak of: no absolute interval"
    mid = per_unit.mid * true_w / watts.mid
    own_u = slope * (per_unit.hi - per_unit.lo) / 2 / NORMAL_975 / mid
    blocks = Doubt("repeatability", own_u, f"spread of {per_unit.n} block means")
    budget = (blocks, *lines, *doubts)
    half = NORMAL_975 * mid * math.hypot(*(line.relative_u for line in budget))
    return Absolute(Estimate(mid, mid - half, mid + half, per_unit.n), budget)


def aliasing(
    sensor: SensorFacts | None, launch_s: float | None, seconds: float, swing: float
) -> Doubt | None:
    """What a part-time sensor may have missed in ``seconds`` of work that comes in launches.

    ``swing`` is the most that the power between its looks may differ, relative to the mean. With
    a known launch period the phases it saw are counted out; without, all that it does not see may
    be otherwise. A counter gets this line too: that one looks more often than the register it
    comes with is not published. None for a sensor that sees enough, or that is not known.
    """
    if sensor is None or sensor.duty is None or sensor.duty >= FULL_DUTY:
        return None
    if sensor.update_s is None or launch_s is None:
        missed = 1 - sensor.duty
        source = f"the sensor sees {sensor.duty:.0%} of the time, the launch period is not known"
    else:
        missed = unevenness(sensor.update_s, sensor.duty * sensor.update_s, launch_s, seconds)
        source = (
            f"{sensor.duty:.0%} of every {sensor.update_s * 1e3:.0f} ms seen under launches of"
            f" {launch_s * 1e3:.1f} ms: phases uneven by {missed:.2%}"
        )
    return Doubt("aliasing", swing * missed / math.sqrt(3), source)


def cross_check(counter_j: float, integral_j: float, *, always: bool) -> Doubt | None:
    """Half of what counter and integral differ by, rectangular; None where they agree.

    ``always`` counts any difference: when one of them was corrected and the other is reported.
    """
    if counter_j <= 0:
        return None
    gap = abs(integral_j / counter_j - 1)
    if gap <= AGREE and not always:
        return None
    source = f"counter {counter_j:.0f} J, readings {integral_j:.0f} J in the same windows"
    return Doubt("cross-check", gap / 2 / math.sqrt(3), source)


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


def _uncorrected(watts: float) -> tuple[Doubt, ...]:
    gain = Doubt(GAIN, GAIN_U, "RMS gain error of nine metered cards, arXiv 2312.02741")
    if watts <= 0:
        return (gain,)
    return gain, Doubt(OFFSET, OFFSET_U_W / watts, "±5 W, rectangular: arXiv 2312.02741")


def _corrected(correction: Correction, true_w: float) -> tuple[Doubt, ...]:
    source = f"fitted against {correction.meter} over {correction.span_s:.0f} s"
    gain = Doubt(GAIN, correction.gain_u, source)
    if true_w <= 0:
        return (gain,)
    return gain, Doubt(OFFSET, correction.offset_u_w / correction.gain / true_w, source)
