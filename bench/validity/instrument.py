"""The instrument itself: whether there is one, whose it is, how it sees and what is known of it."""

from __future__ import annotations

from collections.abc import Iterator

from bench.book import POWER_FIELDS, power_field
from bench.characterise import of_device
from bench.records.run import Code
from bench.validity.evidence import Evidence, Rule, fatal, label


def _meter_lost(e: Evidence) -> Iterator[Code]:
    """What the sampler said of itself, else that it was lost without a word."""
    troubles = e.events("meter_trouble")
    for trouble in troubles:
        name, text = str(trouble.get("code")), f"the power meter: {trouble.get('text')}"
        yield Code(name, text, name != "NO_ENERGY")
    for lost in () if troubles else e.events("meter_lost"):
        yield fatal("SAMPLER_HUNG", f"the power meter: {lost.get('text')}")


def _no_energy(e: Evidence) -> Iterator[Code]:
    if e.meter.source == "none":
        yield label("NO_ENERGY", f"no joules: {e.meter.reason}")
    elif e.meter.source == "assumed":
        text = f"the joules assume {e.meter.constant_w:g} W and were not measured; never rank them"
        yield label("ASSUMED_WATTS", text)


def _simulated(e: Evidence) -> Iterator[Code]:
    if e.device.kind == "sim" or e.meter.source == "sim":
        yield label("SIMULATED", "a simulated sensor: it proves the method, not a card")


def _mismatch(e: Evidence) -> Iterator[Code]:
    if e.meter.mismatch:
        text = f"{e.meter.name} reads another than {e.device.name}"
        yield label("METER_MISMATCH", f"the joules are not this device's: {text}")


def _module_scope(e: Evidence) -> Iterator[Code]:
    if e.meter.scope == "module":
        yield label("MODULE_SCOPE", "the sensor sees the whole module; compare with module scope")


def _uncalibrated(e: Evidence) -> Iterator[Code]:
    """A sensor of this device whose window and lag nobody knows."""
    if not e.meter.source.startswith("nvml") or e.meter.mismatch:
        return
    kind = e.meter.sensor.kind if e.meter.sensor is not None else "unknown"
    known = e.meter.calibration
    if known is None:
        text = "the sensor's window and lag were not characterised on this card"
        yield label("UNCALIBRATED", f"{text}: bench calibrate, or --grade standard")
    elif not of_device(known, e.device) or known.field != (power_field(e.book) or known.field):
        text = f"the calibration is of {known.field} on {known.device_uuid}, {known.driver}"
        yield label(
            "UNCALIBRATED", f"{text}, not of this reading, card and driver: bench calibrate"
        )
    elif kind == "filtered":
        text = f"a window and a lag miss the readings by {known.residual:.0%}"
        yield label("UNCALIBRATED", f"{text} of their swing: the sensor filters in its own way")
    elif kind == "unknown":
        text = "the calibration could not tell how the sensor sees"
        yield label("UNCALIBRATED", f"{text}: bench calibrate on an idle machine")


def _library(e: Evidence) -> Iterator[Code]:
    library = e.meter.library or e.device.nvml_library
    if library is not None and (library.get("fake") or not library.get("standard_path", True)):
        text = f"NVML came from {library.get('path')}, no driver's folder"
        yield label("FAKE_LIBRARY", f"{text}; look at LD_LIBRARY_PATH")


def _field_lost(e: Evidence) -> Iterator[Code]:
    """A reading of energy or power that vanished: what is left stands for it."""
    for lost in e.events("meter_field_lost"):
        field = lost.get("field")
        if field in ("energy_j", *POWER_FIELDS):
            text = f"{field} was given no longer ({lost.get('reason')}); what is left was used"
            yield label("FIELD_LOST", f"{text}: reload the driver, then run again")


RULES: tuple[Rule, ...] = (
    _meter_lost,
    _field_lost,
    _no_energy,
    _simulated,
    _mismatch,
    _module_scope,
    _uncalibrated,
    _library,
)
