"""What is remembered of a card's power sensor: its calibration and the user's correction.

One small file a card in the private cache, named by UUID, driver and VBIOS, since a new driver
may read the sensor differently.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path

from bench.characterise import of_device
from bench.records.run import Calibration, Correction, DeviceFacts, MeterFacts
from bench.store import cache_dir, cache_place

FOLDER = "calibrations"
"""The folder of those files within the cache."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """A file's content."""

    calibration: Calibration | None
    correction: Correction | None


def recall(meter: MeterFacts, device: DeviceFacts) -> MeterFacts:
    """The meter with what is remembered of its sensor, if it belongs to this very device."""
    path = _path(device)
    if path is None or meter.mismatch:
        return meter
    from pydantic import TypeAdapter, ValidationError

    try:
        known = TypeAdapter(Remembered).validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return meter
    if known.calibration is not None and not of_device(known.calibration, device):
        return meter
    sensor = meter.sensor if known.calibration is None else known.calibration.sensor
    return replace(meter, sensor=sensor, calibration=known.calibration, correction=known.correction)


def keep(meter: MeterFacts, device: DeviceFacts) -> Path | None:
    """Remember a meter's calibration and correction; None where there is nothing to remember.

    A cache that cannot be written is no error: the next run calibrates anew.
    """
    path = _path(device)
    remembered = Remembered(meter.calibration, meter.correction)
    if path is None or meter.mismatch or remembered == Remembered(None, None):
        return None
    from pydantic import TypeAdapter

    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    cache_dir()
    with contextlib.suppress(OSError):
        path.parent.mkdir(mode=0o700, exist_ok=True)
        temporary.write_bytes(TypeAdapter(Remembered).dump_json(remembered))
        temporary.replace(path)
        return path
    return None


def _path(device: DeviceFacts) -> Path | None:
    """None for a device whose sensor cannot be told from another's, or is made up."""
    if device.kind != "gpu" or device.uuid is None:
        return None
    identity = "\n".join((device.uuid, device.driver or "", device.vbios or ""))
    name = hashlib.sha256(identity.encode()).hexdigest()[:16]
    return cache_place() / FOLDER / f"{name}.json"
