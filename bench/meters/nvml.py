"""The NVIDIA GPUs of this machine: what each is, which a run may use, and who is on it already.

Milliwatts and megahertz stop here. An index is always NVML's own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from bench.meters.nvml_errors import NOT_SUPPORTED, NvmlError
from bench.meters.nvml_library import ON_CPU, Nvml, mega, milli, no_such_gpu
from bench.meters.nvml_processes import mps_daemon, survey
from bench.meters.visible import Mask, Unreadable, read_mask
from bench.ports import MeterError
from bench.records.run import DeviceFacts

CLOCK_SM = 1  # NVML_CLOCK_SM
SLOWDOWN = 1  # NVML_TEMPERATURE_THRESHOLD_SLOWDOWN
# nvmlGpuVirtualizationMode_t: none and pass-through are whole GPUs, the rest are shared
WHOLE = frozenset({0, 1})
MASK = "CUDA_VISIBLE_DEVICES"


def list_gpus() -> list[DeviceFacts]:
    """Every GPU that answers, by NVML index; MeterError when NVML itself cannot be used."""
    with Nvml() as nvml:
        gpus = []
        for index in range(nvml.count()):
            try:
                gpus.append(device_facts(nvml, index))
            except MeterError:
                continue
        return gpus


def resolve(index: int, environ: Mapping[str, str] = os.environ) -> DeviceFacts:
    """The GPU with this NVML index; MeterError when there is none or the mask hides it."""
    with Nvml() as nvml:
        count = nvml.count()
        if not 0 <= index < count:
            raise MeterError(no_such_gpu(index, count))
        facts = device_facts(nvml, index)
        mask = _mask(nvml, count, environ)
        if index not in mask.indices:
            raise MeterError(
                f"GPU {index} ({facts.name}) is hidden by {MASK}={environ[MASK]}{_why(mask)}:"
                f" unset it or set it to {facts.uuid}, {ON_CPU}"
            )
        return facts


def first_visible(environ: Mapping[str, str] = os.environ) -> DeviceFacts:
    """The first GPU that the mask leaves; MeterError says why there is none."""
    with Nvml() as nvml:
        count = nvml.count()
        if count == 0:
            raise MeterError(no_such_gpu(0, 0))
        mask = _mask(nvml, count, environ)
        if not mask.indices:
            raise MeterError(
                f"{MASK}={environ[MASK]} hides every GPU{_why(mask)}: unset it, {ON_CPU}"
            )
        return device_facts(nvml, mask.indices[0])


def strangers(uuid: str) -> tuple[int, ...] | None:
    """Processes that compute on this GPU, for a look before the run; None: it cannot be told.

    MeterError when the GPU cannot be opened.
    """
    with Nvml() as nvml:
        handle = nvml.open_device(uuid)
        found = nvml.optional(lambda: survey(nvml, handle))
        return None if found is None else found.pids


def device_facts(nvml: Nvml, index: int) -> DeviceFacts:
    """What NVML tells of a GPU, SI units; None for what this card or driver does not tell."""
    handle = nvml.open_device(index)

    def ask(name: str, *arguments: Any) -> Any:
        return nvml.optional(lambda: nvml.call(name, handle, *arguments))

    def number(name: str, convert: Callable[[float], float], *arguments: Any) -> float | None:
        value = ask(name, *arguments)
        return None if value is None else convert(value)

    def text(name: str) -> str | None:
        return nvml.optional(lambda: nvml.text(name, handle))

    capability = ask("nvmlDeviceGetCudaComputeCapability")
    memory = ask("nvmlDeviceGetMemoryInfo")
    limits = ask("nvmlDeviceGetPowerManagementLimitConstraints")
    mode = ask("nvmlDeviceGetVirtualizationMode")
    return DeviceFacts(
        kind="gpu",
        name=text("nvmlDeviceGetName") or f"GPU {index}",
        index=index,
        uuid=text("nvmlDeviceGetUUID"),
        compute_capability=None if capability is None else "{}.{}".format(*capability),
        memory_bytes=None if memory is None else int(memory.total),
        power_limit_w=number("nvmlDeviceGetEnforcedPowerLimit", milli),
        power_limit_default_w=number("nvmlDeviceGetPowerManagementDefaultLimit", milli),
        power_limit_max_w=None if limits is None else milli(limits[1]),
        sm_clock_max_hz=number("nvmlDeviceGetMaxClockInfo", mega, CLOCK_SM),
        driver=nvml.optional(lambda: nvml.text("nvmlSystemGetDriverVersion")),
        vbios=text("nvmlDeviceGetVbiosVersion"),
        persistence_mode=_flag(ask("nvmlDeviceGetPersistenceMode")),
        nvml_library=nvml.library(),
        mig=_mode(nvml, handle, "nvmlDeviceGetMigMode"),
        mps=_mps(nvml, handle),
        vgpu=None if mode is None else mode not in WHOLE,
        display=_flag(ask("nvmlDeviceGetDisplayActive")),
        ecc=_mode(nvml, handle, "nvmlDeviceGetEccMode"),
        temperature_slowdown_c=number("nvmlDeviceGetTemperatureThreshold", float, SLOWDOWN),
    )


def _flag(value: int | None) -> bool | None:
    return None if value is None else bool(value)


def _mode(nvml: Nvml, handle: Any, name: str) -> bool | None:
    """A mode of which NVML tells (now, after the next reset); off where a card has no such mode."""
    modes = nvml.probe(lambda: nvml.call(name, handle))
    if isinstance(modes, NvmlError):
        return False if modes.code == NOT_SUPPORTED else None
    return bool(modes[0])


def _mps(nvml: Nvml, handle: Any) -> bool | None:
    """Whether work on this GPU goes, or would go, through an MPS server."""
    if mps_daemon():
        return True
    found = nvml.optional(lambda: survey(nvml, handle))
    return None if found is None else found.mps


def _mask(nvml: Nvml, count: int, environ: Mapping[str, str]) -> Mask:
    """NVML orders GPUs by PCI bus; CUDA does so when told to, and among equal GPUs."""
    if environ.get(MASK) is None:
        return read_mask(None, [None] * count, same_order=True)
    gpus = [_identity(nvml, index) for index in range(count)]
    same = len({name for _, name in gpus}) == 1
    same_order = same or environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID"
    try:
        return read_mask(environ[MASK], [uuid for uuid, _ in gpus], same_order=same_order)
    except Unreadable as error:
        raise MeterError(f"{error}: set CUDA_DEVICE_ORDER=PCI_BUS_ID or give UUIDs") from error


def _why(mask: Mask) -> str:
    return "" if mask.ended is None else f" ({mask.ended})"


def _identity(nvml: Nvml, index: int) -> tuple[str | None, str | None]:
    """(UUID, name) of a GPU, each None when it does not answer."""
    try:
        handle = nvml.call("nvmlDeviceGetHandleByIndex", index)
        return nvml.text("nvmlDeviceGetUUID", handle), nvml.text("nvmlDeviceGetName", handle)
    except NvmlError:
        return None, None
