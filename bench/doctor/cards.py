"""Each GPU: what its sensor gives, how it is set, and who else is on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from bench.doctor.facts import CardFacts, Facts, SensorLook
from bench.doctor.findings import fail, ok, warn
from bench.records.check import Check
from bench.records.run import DeviceFacts

LIMIT_STEP_W = 1.0
"""Limits closer than this are the same: NVML rounds them."""
EXCLUSIVE_PROCESS, PROHIBITED = 3, 2  # nvmlComputeMode_t
THROTTLE = ("throttle_power_s", "throttle_thermal_s", "throttle_brake_s")


def card_checks(facts: Facts) -> Iterator[Check]:
    """Every item of every card, ``gpu N: ITEM``."""
    for card in facts.nvml.cards:
        for check in _of(card):
            yield replace(check, item=f"{card.title}: {check.item}")


def _of(card: CardFacts) -> Iterator[Check]:
    device = card.device
    if device is None:
        cure = f"nvidia-smi -i {card.index} -q"
        yield fail("identity", card.error or "it does not answer", cure)
        return
    yield _identity(device)
    yield from _sensor(card)
    for judge in SETTINGS:
        yield judge(card, device)


def _identity(device: DeviceFacts) -> Check:
    text = f"{device.name}, {device.uuid}, VBIOS {device.vbios}"
    if device.uuid is None:
        cure = "update the driver: a card is told from another by its UUID alone"
        return fail("identity", f"{device.name} tells no UUID", cure)
    if device.profile is None:
        cure = "describe it in profiles/gpus (docs/profiles.md): rooflines and rents need it"
        return warn("identity", f"{text}; no profile bears this name", cure)
    return ok("identity", f"{text}, profile {device.profile}")


def _sensor(card: CardFacts) -> Iterator[Check]:
    look = card.sensor
    if look is None or look.error is not None:
        why = "it was not read" if look is None else look.error or ""
        yield fail("power reading", why, f"bench all --gpu {card.index} --assume-watts W")
        return
    of = "its module, processor included" if look.scope == "module" else "the GPU alone"
    yield ok("power reading", f"{look.source} of {of}; it gives {', '.join(look.capabilities)}")
    yield _counter(card, look)
    yield _clocks(card, look)
    yield _throttling(look)


def _counter(card: CardFacts, look: SensorLook) -> Check:
    if "energy_j" not in look.capabilities:
        text = "none: joules are sums of polled power"
        cure = f"bench calibrate --gpu {card.index} (and a driver of today, if this one is old)"
        return warn("energy counter", text, cure)
    if look.ticks == 0:
        text = f"did not move in {look.polled_s:.1f} s"
        return warn("energy counter", text, f"bench calibrate --gpu {card.index}")
    if look.tick_s is None:
        return ok("energy counter", f"moved once in {look.polled_s:.1f} s")
    text = f"ticks every {1000 * look.tick_s:.3g} ms (median of {look.ticks - 1} intervals)"
    return ok("energy counter", text)


def _clocks(card: CardFacts, look: SensorLook) -> Check:
    if "sm_clock_hz" in look.capabilities:
        return ok("clocks", "can be read")
    text = f"cannot be read: {look.reason}"
    return warn("clocks", text, f"nvidia-smi -i {card.index} -q -d CLOCK")


def _throttling(look: SensorLook) -> Check:
    lacking = [name for name in THROTTLE if name not in look.capabilities]
    if not lacking:
        return ok("throttle counters", "power, thermal and brake, in ns")
    text = f"{', '.join(lacking)} cannot be had: throttling between two polls goes unseen"
    return warn("throttle counters", text, "update the driver")


def _persistence(card: CardFacts, device: DeviceFacts) -> Check:
    if device.persistence_mode is False:
        text = "off: the driver unloads between runs, and its counters start anew"
        return warn("persistence mode", text, f"sudo nvidia-smi -i {card.index} -pm 1")
    return ok("persistence mode", "on" if device.persistence_mode else "not told by this card")


def _power_limit(card: CardFacts, device: DeviceFacts) -> Check:
    now_w, default_w = device.power_limit_w, device.power_limit_default_w
    if now_w is None or default_w is None:
        return ok("power limit", "not told by this card")
    if abs(now_w - default_w) > LIMIT_STEP_W:
        text = f"{now_w:g} W, the default is {default_w:g} W: runs bear LIMIT_NOT_DEFAULT"
        return warn("power limit", text, f"sudo nvidia-smi -i {card.index} -pl {default_w:g}")
    return ok("power limit", f"{now_w:g} W, the default")


def _compute_mode(card: CardFacts, _: DeviceFacts) -> Check:
    cure = f"sudo nvidia-smi -i {card.index} -c DEFAULT"
    if card.compute_mode == PROHIBITED:
        return fail("compute mode", "prohibited: CUDA may not use this card", cure)
    if card.compute_mode == EXCLUSIVE_PROCESS:
        text = "exclusive: the two workloads hold the card at once, and only one may"
        return fail("compute mode", text, cure)
    return ok("compute mode", "default" if card.compute_mode == 0 else "not told by this card")


def _sharing(card: CardFacts, device: DeviceFacts) -> Check:
    if device.mig:
        text = "MIG is on: power is known of the whole card only"
        return warn("sharing", text, f"sudo nvidia-smi -i {card.index} -mig 0")
    if device.mps:
        text = "an MPS server shares the card among processes"
        return warn("sharing", text, "echo quit | nvidia-cuda-mps-control")
    if device.vgpu:
        text = "a virtual GPU: its power is the whole card's, or made up"
        return warn("sharing", text, "measure on the host, or on a GPU passed through whole")
    return ok("sharing", "no MIG, no MPS, no vGPU")


def _display(_: CardFacts, device: DeviceFacts) -> Check:
    if device.display:
        text = "a display is on this card: it draws and costs power"
        return warn("display", text, "sudo systemctl isolate multi-user.target")
    return ok("display", "none" if device.display is False else "not told by this card")


def _processes(card: CardFacts, _: DeviceFacts) -> Check:
    if card.pids is None:
        text = f"cannot be told ({card.processes_error}): runs bear PROCESS_UNKNOWN"
        return warn("other processes", text, "run outside the container, or with --pid=host")
    if card.pids:
        named = ",".join(map(str, card.pids))
        cure = f"end them or wait: ps -o pid,user,etime,args -p {named}"
        text = f"{len(card.pids)} compute on it: the joules would be theirs too"
        return warn("other processes", text, cure)
    drawing = f", {len(card.graphics)} draw" if card.graphics else ""
    return ok("other processes", f"none compute on it{drawing}")


def _calibration(card: CardFacts, _: DeviceFacts) -> Check:
    if card.calibrated_at is None:
        text = "none stored for this card, driver and VBIOS"
        return warn("calibration", text, f"bench calibrate --gpu {card.index}")
    return ok("calibration", f"of {card.calibrated_at}")


SETTINGS: tuple[Callable[[CardFacts, DeviceFacts], Check], ...] = (
    _persistence,
    _power_limit,
    _compute_mode,
    _sharing,
    _display,
    _processes,
    _calibration,
)
