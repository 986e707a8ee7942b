"""What a calibration found, on the terminal: a picture, the figures, and what they mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.records.run import Calibration, Correction, MeterFacts, SensorKind
from bench.report.plot import lines
from bench.report.screen import say

if TYPE_CHECKING:
    from rich.console import Console

PLOT_HEIGHT = 12
MEANING: dict[SensorKind, str] = {
    "full-duty": "it sees all of the time",
    "part-time": "it sees a part of the time only: launches are grouped so that nothing hides",
    "averaged": "it shows a running average: blocks and settling are long enough for it",
    "filtered": "its readings are no plain average of the power: trust the energy counter",
    "unknown": "how it sees could not be told: joules are labelled UNCALIBRATED",
}


def show(meter: MeterFacts, console: Console) -> None:
    """Print a characterised meter."""
    found = meter.calibration
    assert found is not None, "only a calibrated meter is shown"
    for line in lines(found.plot, console.width, PLOT_HEIGHT, console.encoding):
        say(console, line)
    for line in (*_figures(found), *(_correction(meter.correction) if meter.correction else ())):
        say(console, line)


def _figures(found: Calibration) -> list[str]:
    sensor = found.sensor
    figures = [
        f"{found.field}: {sensor.kind}, {MEANING[sensor.kind]}",
        f"update period  {_ms(sensor.update_s)}",
        f"window         {_ms(sensor.window_s)}",
        f"lag            {_ms(sensor.lag_s)}",
        f"duty           {'unknown' if sensor.duty is None else f'{sensor.duty:.0%}'}",
        f"counter tick   {_ms(sensor.counter_tick_s)}",
        f"misfit         {found.residual:.1%} of a swing of {found.swing_w:.0f} W",
    ]
    if found.counter_ratio is not None:
        figures.append(f"counter over integral of the readings  {found.counter_ratio:.4f}")
    if found.steady_ratio is not None:
        figures.append(f"counter over integral, steady          {found.steady_ratio:.4f}")
    return figures


def _correction(found: Correction) -> list[str]:
    return [
        f"against {found.meter} over {found.span_s:.0f} s: reading ="
        f" {found.offset_w:+.2f} W (±{found.offset_u_w:.2f}) + {found.gain:.4f}"
        f" (±{found.gain_u:.4f}) × power, {1000 * found.lag_s:.0f} ms late,"
        f" misfit {found.residual_w:.2f} W"
    ]


def _ms(seconds: float | None) -> str:
    return "unknown" if seconds is None else f"{1000 * seconds:.1f} ms"
