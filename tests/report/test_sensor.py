"""What a calibration found, as a terminal shows it."""

import io

import pytest
from rich.console import Console

from bench.records.run import Calibration, MeterFacts, SensorFacts
from bench.report.sensor import show

FOUND = Calibration(
    sensor=SensorFacts(0.1, 0.025, 0.02, 0.25, "gpu", 0.1, "part-time"),
    field="power_instant_w",
    made_at="2026-11-22T10:00:00Z",
    residual=0.01,
    swing_w=300.0,
    counter_ratio=1.0012,
    plot=tuple((k / 10, 60.0 + k % 7 * 40, 60.0 + k % 5 * 50) for k in range(60)),
    steady_ratio=0.9987,
)


def shown(encoding):
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, errors="replace")
    console = Console(file=file, width=80)
    show(MeterFacts("nvml-counter", "a card", calibration=FOUND), console)
    file.flush()
    return raw.getvalue().decode(encoding)


@pytest.mark.parametrize(("encoding", "mark"), [("utf-8", "○ read"), ("ascii", "o read")])
def test_the_picture_is_drawn_in_characters_that_the_stream_has(encoding, mark):
    text = shown(encoding)
    assert mark in text
    assert "?" not in text


def test_both_comparisons_with_the_counter_are_told():
    lines = shown("utf-8").splitlines()
    assert "counter over integral of the readings  1.0012" in lines
    assert "counter over integral, steady          0.9987" in lines
