"""How CUDA counts the GPUs, for ``bench doctor``: its driver library's version and UUIDs.

``python -P -m bench.meters.cuda_order PARENT_PID``, started by ``Apart``. No context is made on
any card. Functions and types are those of NVIDIA's public cuda.h.
"""

from __future__ import annotations

import ctypes
import signal
import sys
import uuid
from typing import Any

from bench.machine import die_with_parent
from bench.meters.apart import Teller

LIBRARY = "libcuda.so.1"
UUID_BYTES = 16


class CudaError(Exception):
    """A call that CUDA refused, with its CUresult."""

    def __init__(self, call: str, code: int) -> None:
        super().__init__(f"{call} failed with error {code}")
        self.call = call
        self.code = code


def look(teller: Teller) -> None:
    """Tell of the newest CUDA that the driver serves and of each GPU by ordinal."""
    try:
        cuda = ctypes.CDLL(LIBRARY)
    except OSError:
        teller.found({"found": False})
        return
    teller.found({"found": True})
    try:
        version = _number(cuda, teller, "cuDriverGetVersion")
        teller.found({"version": (version // 1000, version % 1000 // 10)})
        _call(cuda, teller, "cuInit", 0)
        count = _number(cuda, teller, "cuDeviceGetCount")
        teller.found({"uuids": [_uuid(cuda, teller, ordinal) for ordinal in range(count)]})
    except CudaError as error:
        teller.found({"code": error.code, "call": error.call})


def _uuid(cuda: ctypes.CDLL, teller: Teller, ordinal: int) -> str:
    """As NVML spells it."""
    device, raw = ctypes.c_int(), (ctypes.c_ubyte * UUID_BYTES)()
    _call(cuda, teller, "cuDeviceGet", ctypes.byref(device), ordinal)
    newest = "cuDeviceGetUuid_v2"
    name = newest if hasattr(cuda, newest) else newest.removesuffix("_v2")
    _call(cuda, teller, name, ctypes.byref(raw), device)
    return f"GPU-{uuid.UUID(bytes=bytes(raw))}"


def _number(cuda: ctypes.CDLL, teller: Teller, name: str) -> int:
    value = ctypes.c_int()
    _call(cuda, teller, name, ctypes.byref(value))
    return value.value


def _call(cuda: ctypes.CDLL, teller: Teller, name: str, *arguments: Any) -> None:
    teller.doing(name)
    code = int(getattr(cuda, name)(*arguments))
    if code:
        raise CudaError(name, code)


def main() -> None:
    """Entry point of the process; the parent decides when it ends, so SIGINT is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent(int(sys.argv[1]))
    look(Teller())


if __name__ == "__main__":
    main()
