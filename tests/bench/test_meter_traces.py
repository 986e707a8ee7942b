"""Real cards beside an external meter: fit on one part of a trace, predict the energy of the rest.

The traces (converted from the data of arXiv 2312.02741) are in the folder that
``JOULEMARK_METER_TRACES`` names. Takes about 2 s.
"""

import gzip
import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from bench.budget import GAIN_U, OFFSET_U_W
from bench.characterise import sensor_kind, update_period
from bench.characterise.boxcar import Drawn
from bench.characterise.meter import against, align
from bench.energy import Series, held_energy, hold_shift_s, updates
from bench.meters.trace import read_table, read_trace
from bench.records.run import SensorFacts
from bench.stats import NORMAL_975

FIELDS = {
    "rtx3090-step": "instant_w",
    "rtx3090-square": "instant_w",
    "rtx4090-step": "power_draw_w",
    "a100-step": "instant_w",
}
FITTED = 0.6
AFTER_S = 0.5


@dataclass(frozen=True)
class Recording:
    """Meter and polled readings of one card, and from where to where the load was on; s, W."""

    card: str
    meter: Series
    polled: Series
    on_s: float
    off_s: float


@dataclass(frozen=True)
class Prediction:
    """Joules of the rest: the meter's, the readings' as they are, and corrected with its u."""

    meter_j: float
    raw_j: float
    corrected_j: float
    corrected_u_j: float
    seconds: float
    sensor: SensorFacts

    @property
    def error(self):
        return self.corrected_j / self.meter_j - 1


@pytest.fixture
def folder():
    named = os.environ.get("JOULEMARK_METER_TRACES")
    if not named:
        pytest.skip("JOULEMARK_METER_TRACES names no folder of meter traces")
    return Path(named)


@pytest.fixture(params=FIELDS)
def recording(request, folder):
    card = request.param
    column = FIELDS[card]
    table = read_table(folder / f"{card}.nvml.csv.gz", (column,))
    with gzip.open(folder / f"{card}.load.csv.gz", "rt", encoding="utf-8") as lines:
        edges = sorted({float(line) for line in lines.readlines()[1:]})
    meter = read_trace(folder / f"{card}.meter.csv.gz").series
    step = card.endswith("step")
    return Recording(
        card, meter, Series(table.t_s, table.columns[column]), edges[0], edges[1 if step else -1]
    )


def predict(recording, end_s):
    """Fit on the first 60 % of the meter's trace up to ``end_s``, predict the rest."""
    meter, polled = recording.meter, recording.polled
    start_s = float(meter.t_s[0])
    cut_s = start_s + FITTED * (end_s - start_s)
    seen = meter.between(start_s, cut_s), polled.between(start_s, cut_s)
    update_s = update_period(polled)
    window_s = align(*seen, None).window_s
    names = {"field": "power_instant_w", "name": "meter", "sha256": "", "made_at": ""}
    found = against(*seen, None, **names)
    duty = min(1.0, window_s / update_s)
    kind = sensor_kind(update_s, window_s, 0.0)
    sensor = SensorFacts(update_s, window_s, duty=duty, kind=kind)
    shift_s = found.lag_s + hold_shift_s(sensor)
    end_s = min(end_s, float(polled.t_s[-1]) - shift_s)
    seconds = end_s - cut_s
    raw_j = held_energy(updates(polled, update_s), cut_s, end_s, shift_s)
    corrected_j = (raw_j - found.offset_w * seconds) / found.gain
    drawn = Drawn.of(meter, float(meter.value[0]))
    meter_j = drawn_j(drawn, cut_s, end_s)
    print(
        f"{recording.card} to {end_s:.1f} s: update {1000 * update_s:.1f} ms,"
        f" window {1000 * window_s:.0f} ms, lag {1000 * found.lag_s:.0f} ms, gain {found.gain:.4f},"
        f" offset {found.offset_w:.1f} W, rest {corrected_j / meter_j - 1:+.2%}"
    )
    return Prediction(
        meter_j=meter_j,
        raw_j=raw_j,
        corrected_j=corrected_j,
        corrected_u_j=math.hypot(
            found.gain_u * corrected_j, found.offset_u_w * seconds / found.gain
        ),
        seconds=seconds,
        sensor=sensor,
    )


def drawn_j(drawn, start_s, end_s):
    return float(drawn.up_to(end_s) - drawn.up_to(start_s))


def test_energy_under_load_is_predicted(recording):
    """A second of idle and half the load are fitted; the rest of it and its fall are predicted."""
    found = predict(recording, recording.off_s + AFTER_S)
    assert abs(found.error) < (0.03 if recording.card.startswith("a100") else 0.005)


def test_energy_of_the_rest_of_the_whole_trace_is_predicted(recording):
    """After a step the rest is bare idle, where no line through idle and load is exact.

    The RTX 3090 shows 0.950 of the meter's watts at idle (134 W) and under load (440 W) but
    0.937 in the state right after it (160 W), so a line misses idle by 1.3 W: 0.3 % of the
    load's power, 0.9 % of idle's.
    """
    found = predict(recording, float(recording.meter.t_s[-1]))
    load_w = recording.meter.between(recording.on_s + 1, recording.off_s - 0.5).value.mean()
    assert abs(found.error) < 0.01
    assert abs(found.corrected_j - found.meter_j) / found.seconds < 0.005 * load_w
    assert abs(found.corrected_j - found.meter_j) < NORMAL_975 * found.corrected_u_j


def test_the_kind_of_sensor_is_found(recording):
    found = predict(recording, float(recording.meter.t_s[-1])).sensor
    assert found.update_s == pytest.approx(0.1, rel=0.03)
    if recording.card.startswith("a100"):
        assert found.kind == "part-time"
        assert 0.15 < found.duty < 0.45
    else:
        assert found.kind == "full-duty"
        assert found.window_s == pytest.approx(0.105, abs=0.006)


def test_before_calibration_the_absolute_interval_holds_the_meter(recording):
    polled = updates(recording.polled, 0.1)
    start_s, end_s = recording.on_s - 0.8, recording.off_s + AFTER_S
    seconds = end_s - start_s
    drawn = Drawn.of(recording.meter, float(recording.meter.value[0]))
    meter_j = drawn_j(drawn, start_s, end_s)
    raw_j = held_energy(polled, start_s, end_s)
    print(f"{recording.card}: readings as they are {raw_j / meter_j - 1:+.1%} off the meter")
    half_j = NORMAL_975 * math.hypot(GAIN_U * raw_j, OFFSET_U_W * seconds)
    assert abs(raw_j - meter_j) < half_j
    assert abs(raw_j / meter_j - 1) > 0.01, "else the sensor would need no calibration"


def test_the_published_offset_is_beyond_the_prior_at_idle(folder):
    """An RTX 4090 at idle reads 18 W too little: outside ±5 W, as the docs say."""
    meter = read_trace(folder / "rtx4090-step.meter.csv.gz").series.between(9, 12)
    table = read_table(folder / "rtx4090-step.nvml.csv.gz", ("power_draw_w",))
    idle_w = Series(table.t_s, table.columns["power_draw_w"]).between(9, 12).value.mean()
    half_w = NORMAL_975 * math.hypot(GAIN_U * idle_w, OFFSET_U_W)
    assert meter.value.mean() - idle_w == pytest.approx(18.5, abs=0.5)
    assert half_w < 9


def test_a_polled_average_is_an_average(folder):
    meter = read_trace(folder / "rtx3090-step.meter.csv.gz").series
    table = read_table(folder / "rtx3090-step.nvml.csv.gz", ("average_w",))
    readings = Series(table.t_s, table.columns["average_w"])
    update_s, window_s = update_period(readings), align(meter, readings, None).window_s
    assert window_s == pytest.approx(1.05, abs=0.08)
    assert sensor_kind(update_s, window_s, 0.0) == "averaged"
    assert np.isclose(update_s, 0.1, rtol=0.01)
