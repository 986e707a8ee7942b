"""NVIDIA's management library: opening it, the GPUs it lists, and which of them a run may use.

Milliwatts, megahertz and every oddity of nvidia-ml-py stop here. An index is always NVML's own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from bench.machine import sha256_of
from bench.meters.nvml_errors import FUNCTION_NOT_FOUND, ErrorClass, NvmlError
from bench.meters.visible import visible_indices
from bench.ports import MeterError
from bench.records.journal import JsonObject
from bench.records.run import DeviceFacts

LIBRARY = "libnvidia-ml"
STANDARD_FOLDERS = ("/usr/", "/lib", "/run/opengl-driver/", "/nix/store/")
FAKE_SYMBOL = "fakenvml"  # exported by the test library only, so that a run on it is labelled
ON_CPU = "or use --device cpu"
TRIES = 3
CLOCK_SM = 1  # NVML_CLOCK_SM

T = TypeVar("T")


class Nvml:
    """The library, initialised: every call by name, every failure an ``NvmlError``.

    nvidia-ml-py is imported here and only here; it stays initialised until close().
    """

    def __init__(self) -> None:
        """Raises MeterError, in one sentence with the cure, when NVML cannot be used."""
        import pynvml

        self._pynvml = pynvml
        try:
            self.call("nvmlInit")
        except NvmlError as error:
            raise MeterError(f"the GPU cannot be read: {error}, {ON_CPU}") from error

    def call(self, name: str, *arguments: Any) -> Any:
        """Call ``name``; a function that either side lacks is FUNCTION_NOT_FOUND."""
        function = getattr(self._pynvml, name, None)
        if function is None:
            raise NvmlError(FUNCTION_NOT_FOUND, name)
        return self._checked(name, function, *arguments)

    def text(self, name: str, *arguments: Any) -> str:
        """Call ``name`` for a string, whose bytes need not be UTF-8.

        nvidia-ml-py decodes strictly in a wrapper, so the function inside it is called.
        """
        function = getattr(self._pynvml, name)
        raw = self._checked(name, getattr(function, "__wrapped__", function), *arguments)
        return raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw)

    def count(self) -> int:
        """How many GPUs the driver sees."""
        try:
            return int(self.call("nvmlDeviceGetCount"))
        except NvmlError as error:
            raise MeterError(f"the GPUs cannot be counted: {error}, {ON_CPU}") from error

    def open_device(self, selector: int | str) -> Any:
        """A device handle by NVML index or by UUID; MeterError says why there is none."""
        if isinstance(selector, int) and not 0 <= selector < (count := self.count()):
            raise MeterError(no_such_gpu(selector, count))
        by = "Index" if isinstance(selector, int) else "UUID"
        try:
            return self.call(f"nvmlDeviceGetHandleBy{by}", selector)
        except NvmlError as error:
            raise MeterError(f"GPU {selector} cannot be opened: {error}, {ON_CPU}") from error

    def library(self) -> JsonObject:
        """Which library this process really uses, so that a run on a stand-in is labelled.

        ``standard_path`` is False outside the folders a driver is installed to, ``fake`` is True
        of the tests' own library.
        """
        path = _mapped_library()
        return {
            "path": None if path is None else str(path),
            "sha256": None if path is None or not path.exists() else sha256_of(path),
            "version": self.optional(lambda: self.text("nvmlSystemGetNVMLVersion")),
            "standard_path": path is not None and str(path).startswith(STANDARD_FOLDERS),
            "fake": hasattr(self._pynvml.nvmlLib, FAKE_SYMBOL),
        }

    def probe(self, read: Callable[[], T]) -> T | NvmlError:
        """``read()``, tried again if need be, or why the card or the driver does not give it.

        A device that is lost or cannot be used raises MeterError.
        """
        for attempt in range(1, TRIES + 1):
            try:
                return read()
            except NvmlError as error:
                if error.kind in {ErrorClass.FATAL, ErrorClass.LOST}:
                    raise MeterError(f"the GPU cannot be read: {error}, {ON_CPU}") from error
                if error.kind is ErrorClass.ABSENT or attempt == TRIES:
                    return error
        raise AssertionError("the last attempt returns")

    def optional(self, read: Callable[[], T]) -> T | None:
        """As ``probe``, where the reason does not matter."""
        result = self.probe(read)
        return None if isinstance(result, NvmlError) else result

    def close(self) -> None:
        """Shut NVML; the library itself stays mapped until the process ends."""
        try:
            self.call("nvmlShutdown")
        except NvmlError:
            return

    def __enter__(self) -> Nvml:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _checked(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """``NVMLError`` has no hash and cannot be compared with a number: its value is taken."""
        try:
            return function(*arguments)
        except self._pynvml.NVMLError as error:
            raise NvmlError(int(error.value), name) from error
        except self._pynvml.NVMLLibraryMismatchError as error:
            raise NvmlError(FUNCTION_NOT_FOUND, name) from error


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
        if index not in _visible(nvml, count, environ):
            raise MeterError(
                f"GPU {index} ({facts.name}) is hidden by"
                f" CUDA_VISIBLE_DEVICES={environ['CUDA_VISIBLE_DEVICES']}:"
                f" unset it or set it to {facts.uuid}, {ON_CPU}"
            )
        return facts


def first_visible(environ: Mapping[str, str] = os.environ) -> DeviceFacts:
    """The first GPU that the mask leaves; MeterError says why there is none."""
    with Nvml() as nvml:
        count = nvml.count()
        if count == 0:
            raise MeterError(no_such_gpu(0, 0))
        visible = _visible(nvml, count, environ)
        if not visible:
            mask = environ["CUDA_VISIBLE_DEVICES"]
            raise MeterError(f"CUDA_VISIBLE_DEVICES={mask} hides every GPU: unset it, {ON_CPU}")
        return device_facts(nvml, visible[0])


def device_facts(nvml: Nvml, index: int) -> DeviceFacts:
    """What NVML tells of a GPU, SI units; None for what this card or driver does not tell."""
    handle = nvml.open_device(index)

    def number(name: str, convert: Callable[[float], float], *arguments: Any) -> float | None:
        value = nvml.optional(lambda: nvml.call(name, handle, *arguments))
        return None if value is None else convert(value)

    capability = nvml.optional(lambda: nvml.call("nvmlDeviceGetCudaComputeCapability", handle))
    memory = nvml.optional(lambda: nvml.call("nvmlDeviceGetMemoryInfo", handle))
    limits = nvml.optional(
        lambda: nvml.call("nvmlDeviceGetPowerManagementLimitConstraints", handle)
    )
    persistence = nvml.optional(lambda: nvml.call("nvmlDeviceGetPersistenceMode", handle))
    return DeviceFacts(
        kind="gpu",
        name=nvml.optional(lambda: nvml.text("nvmlDeviceGetName", handle)) or f"GPU {index}",
        index=index,
        uuid=nvml.optional(lambda: nvml.text("nvmlDeviceGetUUID", handle)),
        compute_capability=None if capability is None else "{}.{}".format(*capability),
        memory_bytes=None if memory is None else int(memory.total),
        power_limit_w=number("nvmlDeviceGetEnforcedPowerLimit", milli),
        power_limit_default_w=number("nvmlDeviceGetPowerManagementDefaultLimit", milli),
        power_limit_max_w=None if limits is None else milli(limits[1]),
        sm_clock_max_hz=number("nvmlDeviceGetMaxClockInfo", mega, CLOCK_SM),
        driver=nvml.optional(lambda: nvml.text("nvmlSystemGetDriverVersion")),
        vbios=nvml.optional(lambda: nvml.text("nvmlDeviceGetVbiosVersion", handle)),
        persistence_mode=None if persistence is None else bool(persistence),
        nvml_library=nvml.library(),
    )


def milli(value: float) -> float:
    """Thousandths of a unit in units: NVML's mW and mJ."""
    return value / 1000


def mega(value: float) -> float:
    """Millions of a unit in units: NVML's MHz."""
    return value * 1e6


def no_such_gpu(index: int, count: int) -> str:
    """The sentence for an index beyond the GPUs there are."""
    if count == 0:
        return f"the NVIDIA driver sees no GPU: check nvidia-smi, {ON_CPU}"
    known = "index 0" if count == 1 else f"indices 0 to {count - 1}"
    return f"there is no GPU {index}: this machine has {count} ({known}); choose one, {ON_CPU}"


def _visible(nvml: Nvml, count: int, environ: Mapping[str, str]) -> list[int]:
    """NVML orders GPUs by PCI bus; CUDA does so when told to, and among equal GPUs."""
    mask = environ.get("CUDA_VISIBLE_DEVICES")
    if mask is None:
        return list(range(count))
    gpus = [_identity(nvml, index) for index in range(count)]
    same = len({name for _, name in gpus}) == 1
    same_order = same or environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID"
    try:
        return visible_indices(mask, [uuid for uuid, _ in gpus], same_order=same_order)
    except ValueError as error:
        raise MeterError(f"{error}: set CUDA_DEVICE_ORDER=PCI_BUS_ID or give UUIDs") from error


def _identity(nvml: Nvml, index: int) -> tuple[str | None, str | None]:
    """(UUID, name) of a GPU, each None when it does not answer."""
    try:
        handle = nvml.call("nvmlDeviceGetHandleByIndex", index)
        return nvml.text("nvmlDeviceGetUUID", handle), nvml.text("nvmlDeviceGetName", handle)
    except NvmlError:
        return None, None


def _mapped_library() -> Path | None:
    """The file this process has mapped as NVML, from /proc/self/maps."""
    for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines():
        parts = line.split(maxsplit=5)
        if len(parts) == 6 and Path(parts[5]).name.startswith(LIBRARY):
            return Path(parts[5])
    return None
