"""The GPUs: what the kernel shows of them on the bus, and what driver and CUDA tell when asked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from bench.calibrations import recall
from bench.catalogue import ProfileError, find_gpu
from bench.doctor.facts import CardFacts, CudaFacts, NvmlFacts, SensorLook
from bench.meters.apart import Apart, Told
from bench.meters.nvml import MASK
from bench.records.journal import JsonObject
from bench.records.run import DeviceFacts, MeterFacts

SYS, PROC = Path("/sys"), Path("/proc")
NVIDIA = "0x10de"
DISPLAYS = ("0x0300", "0x0302")
"""PCI classes of a GPU: with a display's outputs, and without."""
NVML_LOOK, CUDA_LOOK = "bench.meters.glance", "bench.meters.cuda_order"


class Glances:
    """Two processes that look at the GPUs, through NVML and through CUDA; none where one sleeps.

    As a context they have ended by its end, however that comes.
    """

    def __init__(self, sys_root: Path = SYS, proc_root: Path = PROC) -> None:
        self._bus = bus(sys_root, proc_root)
        asked = not self._bus.asleep
        self._nvml = Apart(NVML_LOOK) if asked else None
        self._cuda = Apart(CUDA_LOOK) if asked else None

    def __enter__(self) -> Glances:
        return self

    def __exit__(self, *_: object) -> None:
        for look in (self._nvml, self._cuda):
            if look is not None:
                look.close()

    def told(self) -> tuple[NvmlFacts, CudaFacts]:
        """What they saw, and what of it is known from before: profiles and calibrations."""
        if self._nvml is None or self._cuda is None:
            return self._bus, CudaFacts()
        return nvml_facts(self._nvml.told(), self._bus), cuda_facts(self._cuda.told())


def bus(sys_root: Path, proc_root: Path) -> NvmlFacts:
    """NVIDIA GPUs on the PCI bus, those of them that sleep, and whether a driver is loaded."""
    found = [
        device
        for device in sorted((sys_root / "bus/pci/devices").glob("*"))
        if _read(device / "vendor") == NVIDIA and _read(device / "class").startswith(DISPLAYS)
    ]
    asleep = [each.name for each in found if _read(each / "power/runtime_status") == "suspended"]
    loaded = (proc_root / "driver/nvidia/version").exists()
    return NvmlFacts(tuple(each.name for each in found), tuple(asleep), loaded)


def nvml_facts(told: Told, seen: NvmlFacts) -> NvmlFacts:
    """The lines of the look through NVML joined to what the bus showed."""
    facts = replace(seen, trouble=told.trouble)
    cards: dict[int, CardFacts] = {}
    for line in told.found:
        if "refused" in line:
            facts = replace(facts, refused=str(line["refused"]), code=line["code"])
        elif "system" in line:
            facts = replace(facts, **_system(line["system"]))
        elif "card" in line:
            cards[line["card"]["index"]] = _card(line["card"])
        else:
            index = line["index"]
            cards[index] = replace(cards[index], sensor=_sensor(line["sensor"]))
    return replace(facts, cards=tuple(map(_calibrated, cards.values())))


def cuda_facts(told: Told, environ: Mapping[str, str] = os.environ) -> CudaFacts:
    """The lines of the look through CUDA, with what its environment makes of them."""
    known: JsonObject = {key: value for line in told.found for key, value in line.items()}
    for name in ("version", "uuids"):
        if name in known:
            known[name] = tuple(known[name])
    return CudaFacts(**known, trouble=told.trouble, visible=environ.get(MASK))


def _system(line: JsonObject) -> JsonObject:
    cuda = line["cuda"]
    return {**line, "cuda": None if cuda is None else tuple(cuda)}


def _card(line: JsonObject) -> CardFacts:
    known = {**line}
    for name in ("pids", "graphics"):
        known[name] = None if known.get(name) is None else tuple(known[name])
    if (device := known.get("device")) is not None:
        named = {**device, "profile": _profile(device["name"])}
        known["device"] = DeviceFacts(**{**named, "features": tuple(device["features"])})
    return CardFacts(**known)


def _profile(name: str) -> str | None:
    """The profile that bears this name; the faults of profiles are told elsewhere."""
    try:
        profile = find_gpu(name)
    except ProfileError:
        return None
    return None if profile is None else profile.name


def _sensor(line: JsonObject) -> SensorLook:
    return SensorLook(**{**line, "capabilities": tuple(line.get("capabilities", ()))})


def _calibrated(card: CardFacts) -> CardFacts:
    """With the date of the calibration that a run would take from the cache."""
    if card.device is None:
        return card
    meter = recall(MeterFacts(source="nvml-counter", name=""), card.device)
    made_at = None if meter.calibration is None else meter.calibration.made_at
    return replace(card, calibrated_at=made_at)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
