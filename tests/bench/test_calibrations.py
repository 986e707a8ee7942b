"""What is remembered of a sensor: by card, driver and VBIOS, and never of another device."""

from dataclasses import replace

import pytest

from bench.calibrations import keep, recall
from bench.records.run import Calibration, Correction, DeviceFacts, MeterFacts, SensorFacts

CARD = DeviceFacts(kind="gpu", name="card", uuid="GPU-1", driver="535.1", vbios="96.00")
SENSOR = SensorFacts(0.1, 0.025, 0.02, 0.25, "gpu", 0.1, "part-time")
FOUND = Calibration(
    sensor=SENSOR,
    field="power_instant_w",
    made_at="2026-11-22T10:00:00Z",
    residual=0.01,
    swing_w=300.0,
    counter_ratio=1.001,
    device_uuid="GPU-1",
    driver="535.1",
    vbios="96.00",
    plot=((0.0, 60.0, 61.0), (0.1, 300.0, 299.0)),
)
AGAINST = Correction(
    1.04, -22.6, 0.003, 0.4, 0.1, 2.0, 300.0, "power_instant_w", "pmd.csv", "ab" * 32, "2026-11-22"
)
OPENED = MeterFacts("nvml-counter", "NVML of card", device_uuid="GPU-1")
KNOWN = replace(OPENED, sensor=SENSOR, calibration=FOUND, correction=AGAINST)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def test_what_was_found_is_known_the_next_time():
    path = keep(KNOWN, CARD)
    assert path is not None
    assert path.parent.stat().st_mode & 0o077 == 0
    assert recall(OPENED, CARD) == KNOWN


@pytest.mark.parametrize("other", [{"uuid": "GPU-2"}, {"driver": "550.1"}, {"vbios": "97.00"}])
def test_another_card_driver_or_vbios_is_not_taken_for_it(other):
    keep(KNOWN, CARD)
    assert recall(OPENED, replace(CARD, **other)) == OPENED


def test_a_foreign_meter_and_a_made_up_one_are_neither_kept_nor_recalled():
    assert keep(replace(KNOWN, mismatch=True), CARD) is None
    assert keep(KNOWN, replace(CARD, kind="sim")) is None
    assert keep(KNOWN, replace(CARD, uuid=None)) is None
    keep(KNOWN, CARD)
    foreign = replace(OPENED, mismatch=True)
    assert recall(foreign, CARD) == foreign


def test_a_correction_outlives_a_new_calibration_and_nothing_is_written_for_nothing():
    assert keep(OPENED, CARD) is None
    assert recall(OPENED, CARD) == OPENED
    keep(replace(KNOWN, calibration=None), CARD)
    assert recall(OPENED, CARD) == replace(OPENED, correction=AGAINST)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"calibration": {"field": "x"}}', "\x00" * 99])
def test_a_damaged_file_is_as_good_as_none(text):
    path = keep(KNOWN, CARD)
    assert path is not None
    path.write_text(text)
    assert recall(OPENED, CARD) == OPENED


def test_a_cache_that_cannot_be_written_is_no_error(cache):
    (cache / "joulemark").mkdir()
    (cache / "joulemark" / "calibrations").write_text("in the way")
    assert keep(KNOWN, CARD) is None
