"""What widens an absolute interval, line by line, each with its source. Pure.

Every line is a relative standard uncertainty of the joules; they add in quadrature (GUM, JCGM
100:2008, 5.1.2) and the interval is 1.96 of their sum. How the joules were taken is the ledger's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bench.phases import EQUAL, blind, unevenness
from bench.records.run import Correction, Doubt, Estimate, MeterFacts, SensorFacts
from bench.stats import NORMAL_975

GAIN_U = 0.066
"""Relative standard uncertainty of a board sensor's gain: RMS of the nine Turing-or-newer cards
metered in arXiv 2312.02741, about 1: their mean, −3.1 %, is 1.6 of its own standard errors."""
OFFSET_U_W = 5 / math.sqrt(3)
"""Standard uncertainty of a sensor's offset in W: rectangular ±5 W, the accuracy that the help of
nvidia-smi states for power.draw."""
GAIN = "gain"
OFFSET = "offset"
AGREE = 0.02
"""Two instruments that differ by less say the same."""
PRIORS = frozenset(
    ("nvml-counter", "nvml-instant", "nvml-average", "nvml-power-usage", "sim", "replay")
)
"""Sources whose readings are a board sensor's, so that its published errors speak of them."""


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
    the sensor put it. No interval reaches below 0: a device at work gives nothing back. Where
    neither says anything of this instrument: the reason, in a sentence.
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
    return Absolute(Estimate(mid, max(mid - half, 0.0), mid + half, per_unit.n), budget)


def aliasing(
    sensor: SensorFacts | None, launch_s: float | None, seconds: float, swing: float
) -> Doubt | None:
    """What a sensor that sees phases unequally may have missed in ``seconds`` of launches.

    ``swing`` is the most that the power between its looks may differ, relative to the mean. With
    a known launch period the phases it saw are counted out; without, all that it does not see may
    be otherwise. A counter gets this line too: that one looks more often than the register it
    comes with is not published. None for a sensor that sees enough, or that is not known.
    """
    missed = blind(sensor)
    if sensor is None or missed is None or missed < EQUAL:
        return None
    assert sensor.update_s, "else it is not known"
    assert sensor.window_s
    seen = f"{sensor.window_s * 1e3:.0f} ms seen every {sensor.update_s * 1e3:.0f} ms"
    if launch_s is None:
        source = f"{seen}, the launch period is not known"
    else:
        missed = unevenness(sensor.update_s, sensor.window_s, launch_s, seconds)
        source = f"{seen} under launches of {launch_s * 1e3:.1f} ms: phases uneven by {missed:.2%}"
    return Doubt("aliasing", swing * missed / math.sqrt(3), source)


def cross_check(counter_j: float, integral_j: float, *, always: bool) -> Doubt | None:
    """Half of what counter and integral differ by, rectangular; None where they agree.

    ``always`` counts any difference, and all of it: when the one that was corrected is not the
    one that is reported.
    """
    if counter_j <= 0:
        return None
    gap = abs(integral_j / counter_j - 1)
    if gap <= AGREE and not always:
        return None
    source = f"counter {counter_j:.0f} J, readings {integral_j:.0f} J in the same windows"
    return Doubt("cross-check", gap / (1 if always else 2) / math.sqrt(3), source)


def _uncorrected(watts: float) -> tuple[Doubt, ...]:
    gain = Doubt(GAIN, GAIN_U, "RMS gain error of nine metered cards, arXiv 2312.02741")
    if watts <= 0:
        return (gain,)
    return gain, Doubt(
        OFFSET, OFFSET_U_W / watts, "±5 W, rectangular: the help of nvidia-smi, power.draw"
    )


def _corrected(correction: Correction, true_w: float) -> tuple[Doubt, ...]:
    source = f"fitted against {correction.meter} over {correction.span_s:.0f} s"
    gain = Doubt(GAIN, correction.gain_u, source)
    if true_w <= 0:
        return (gain,)
    return gain, Doubt(OFFSET, correction.offset_u_w / correction.gain / true_w, source)
