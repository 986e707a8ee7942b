"""NVIDIA's management library itself: loading it, calling it, and which file it really is.

Every oddity of nvidia-ml-py stops here; a failure is an ``NvmlError``, whatever raised it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from bench.machine import sha256_of
from bench.meters.nvml_errors import FUNCTION_NOT_FOUND, ErrorClass, NvmlError
from bench.ports import MeterError
from bench.records.journal import JsonObject

LIBRARY = "libnvidia-ml"
STANDARD_FOLDERS = ("/usr/", "/lib", "/run/opengl-driver/", "/nix/store/")
FAKE_SYMBOL = "fakenvml"  # exported by the test library only, so that a run on it is labelled
ON_CPU = "or use --device cpu"
TRIES = 3

T = TypeVar("T")


class Nvml:
    """The library, initialised: every call by name, every failure an ``NvmlError``.

    ``bindings`` is the module nvidia-ml-py, which is imported here and only here, or one like it.
    It stays initialised until close().
    """

    def __init__(self, bindings: Any = None) -> None:
        """Raises MeterError, in one sentence with the cure, when NVML cannot be used."""
        if bindings is None:
            import pynvml

            bindings = pynvml
        self._pynvml = bindings
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


def _mapped_library() -> Path | None:
    """The file this process has mapped as NVML, from /proc/self/maps."""
    for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines():
        if line.rpartition("/")[2].startswith(LIBRARY):
            return Path(line.split(maxsplit=5)[5])
    return None
