"""SHA-256d in CUDA C++ (``sha256d.cuh``) compiled and launched by CuPy.

Source: FIPS 180-4; Bitcoin's header layout. The arithmetic lives in the ``.cuh``; here are its
launches, its result buffers and its identity.
"""

from __future__ import annotations

import ctypes
import struct
import uuid
from pathlib import Path
from typing import Any

import numpy as np

from . import header
from .compression import message_blocks
from .scanner import CAPACITY, Slot, SlotScanner, Work, complete

THREADS_PER_BLOCK = 256
BLOCKS_PER_SM = 4
"""1024 threads: resident on every architecture from sm_75 on at up to 64 registers."""
SOURCE = Path(__file__).with_name("sha256d.cuh")
OPTIONS = ("--std=c++17", "--maxrregcount=48")

_WORK = np.dtype([("words", np.uint32, header.WORK_WORDS)])

# ---- Plain reference ----------------------------------------------------------------------------

reference = header.scan_reference

# ---- Fast version: sha256d.cuh ------------------------------------------------------------------


def _compile(cupy: Any) -> Any:
    return cupy.RawModule(code=SOURCE.read_text(encoding="utf-8"), options=OPTIONS)


# ---- Launcher -----------------------------------------------------------------------------------


class _CupySlot:
    def __init__(self, cupy: Any, kernel: Any, blocks: int, capacity: int) -> None:
        self._kernel = kernel
        self._blocks = blocks
        self._capacity = capacity
        self._stream = cupy.cuda.Stream(non_blocking=True)
        with self._stream:
            self._found = cupy.zeros(1 + capacity, dtype=np.uint32)

    def launch(self, work: Work, first: int, count: int, mask: int) -> None:
        by_value = np.array(work, dtype=np.uint32).view(_WORK)
        scalars = [np.uint32(value) for value in (first, count, mask)]
        with self._stream:
            self._found.data.memset_async(0, 4, self._stream)
            self._kernel(
                (self._blocks,),
                (THREADS_PER_BLOCK,),
                (by_value, *scalars, self._found, np.uint32(self._capacity)),
            )

    def collect(self) -> list[int]:
        with self._stream:
            total = complete(int(self._found[:1].get()[0]), self._capacity)
            nonces: list[int] = np.sort(self._found[1 : 1 + total].get()).tolist()
        return nonces


def _device_uuid(ordinal: int) -> str:
    """The UUID from the driver itself: CuPy's copy in the device properties ends at a zero byte."""
    driver, device, raw = ctypes.CDLL("libcuda.so.1"), ctypes.c_int(), (ctypes.c_ubyte * 16)()
    for call, status in (
        ("cuDeviceGet", driver.cuDeviceGet(ctypes.byref(device), ordinal)),
        ("cuDeviceGetUuid_v2", driver.cuDeviceGetUuid_v2(raw, device)),
    ):
        if status != 0:
            raise OSError(f"{call} failed with CUresult {status}")
    return f"GPU-{uuid.UUID(bytes=bytes(raw))}"


def open_scanner(capacity: int = CAPACITY, blocks: int | None = None) -> SlotScanner:
    """A scanner on the current CUDA device; ``blocks`` defaults to what fills it."""
    import cupy

    device = cupy.cuda.Device()
    properties = cupy.cuda.runtime.getDeviceProperties(device.id)
    grid = blocks or properties["multiProcessorCount"] * BLOCKS_PER_SM
    module = _compile(cupy)
    kernel = module.get_function("sha256d_scan")
    slots: list[Slot] = [_CupySlot(cupy, kernel, grid, capacity) for _ in range(2)]
    message_kernel = module.get_function("sha256_message")
    return SlotScanner(
        slots,
        lambda message: _digest(cupy, message_kernel, message),
        blocks=grid,
        threads_per_block=THREADS_PER_BLOCK,
        device_uuid=_device_uuid(device.id),
    )


# ---- Verification -------------------------------------------------------------------------------


def _digest(cupy: Any, message_kernel: Any, message: bytes) -> bytes:
    """SHA-256 of a message by one CUDA thread through the ``.cuh``'s compression."""
    words = np.array(message_blocks(message), dtype=np.uint32)
    digest = cupy.zeros(8, dtype=np.uint32)
    message_kernel((1,), (1,), (cupy.asarray(words), np.uint32(len(words)), digest))
    return struct.pack(">8I", *digest.get().tolist())
