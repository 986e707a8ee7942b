"""SHA-256d in CUDA C++ (``sha256d.cuh``) compiled by NVRTC and launched by CuPy.

Source: FIPS 180-4; Bitcoin's header layout. The arithmetic lives in the ``.cuh``; here are its
launches, its result buffers and its identity.
"""

from __future__ import annotations

import ctypes
import functools
import struct
import uuid
from collections.abc import Sequence
from typing import Any

import numpy as np

from . import header
from .compression import message_blocks
from .cuda_source import FACTORS, KERNEL, MESSAGE_KERNEL, SOURCE, VARIANTS, launch_words
from .geometry import Geometry, Multiprocessor, candidates, remembered
from .scanner import CAPACITY, Slot, SlotScanner, Work, complete
from .toolchain import Binary, architecture_for, compile_cuda

_READ_AHEAD = 256
"""Words of each list that come back with the launch: its count and what few hits a piece has."""

_TRIAL_PASSES = 64
"""Nonces of each thread in a trial launch: a millisecond or two, long beside its start."""

# ---- Plain reference ----------------------------------------------------------------------------

reference = header.scan_reference

# ---- Fast version: sha256d.cuh ------------------------------------------------------------------


def variants() -> tuple[str, ...]:
    """The kernels of this back end, best known first."""
    return tuple(VARIANTS)


def require(variant: str) -> None:
    """Refuse with ValueError a variant that this back end lacks."""
    if variant not in VARIANTS:
        raise ValueError(f"kernel: cupy has no variant {variant!r}, only {', '.join(VARIANTS)}")


def compiled(variant: str, capability: int) -> Binary:
    """The variant's binary for a device of this compute capability (90 is 9.0), kept on disk."""
    source = SOURCE.read_text(encoding="utf-8")
    return compile_cuda(source, architecture_for(capability), VARIANTS[variant].options)


# ---- Launcher -----------------------------------------------------------------------------------


class _ScanKernel:
    """The loaded kernel with what every launch of it has in common."""

    def __init__(self, cupy: Any, function: Any, midstates: int, capacity: int) -> None:
        self._cupy = cupy
        self._function = function
        self.midstates = midstates
        self.capacity = capacity
        self.registers: int = function.num_regs

    def buffer(self) -> Any:
        """An empty result buffer on the device: a counted list of nonces for each header."""
        return self._cupy.zeros((self.midstates, 1 + self.capacity), dtype=np.uint32)

    def launch(
        self, shape: tuple[int, int], works: Sequence[Work], scalars: Sequence[int], found: Any
    ) -> None:
        """Queue on the current stream, ``shape`` blocks × threads; first, count and mask follow."""
        self._function(
            (shape[0],),
            (shape[1],),
            (
                _by_value(launch_words(tuple(works))),
                _by_value(FACTORS),
                *(np.uint32(value) for value in scalars),
                found,
                np.uint32(self.capacity),
            ),
        )


def _by_value(words: Any) -> Any:
    """The words as one structure, which CuPy copies into the kernel's parameters."""
    return words.view(np.dtype([("words", np.uint32, len(words))]))


class _CupySlot:
    """A stream of its own; the host touches it only to queue a piece and to wait for one."""

    def __init__(self, cupy: Any, kernel: _ScanKernel, shape: tuple[int, int]) -> None:
        self._kernel = kernel
        self._shape = shape
        self._stream = cupy.cuda.Stream(non_blocking=True)
        self._done = cupy.cuda.Event(block=True, disable_timing=True)
        with self._stream:
            self._found = kernel.buffer()
        size = (kernel.midstates, min(_READ_AHEAD, 1 + kernel.capacity))
        pinned = cupy.cuda.alloc_pinned_memory(4 * size[0] * size[1])
        self._ahead = np.frombuffer(pinned, np.uint32, size[0] * size[1]).reshape(size)

    def launch(self, works: Sequence[Work], first: int, count: int, mask: int) -> None:
        with self._stream:
            for found in self._found:
                found.data.memset_async(0, 4, self._stream)
            self._kernel.launch(self._shape, works, (first, count, mask), self._found)
            for found, ahead in zip(self._found, self._ahead, strict=True):
                found.data.copy_to_host_async(ahead.ctypes.data, ahead.nbytes, self._stream)
            self._done.record(self._stream)

    def collect(self) -> list[list[int]]:
        self._done.synchronize()
        lists = []
        for found, ahead in zip(self._found, self._ahead, strict=True):
            total = complete(int(ahead[0]), self._kernel.capacity)
            nonces = ahead[1 : 1 + total]
            if total > len(nonces):
                with self._stream:
                    nonces = found[1 : 1 + total].get()
            lists.append(np.sort(nonces).tolist())
        return lists


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


def open_scanner(
    variant: str | None = None, capacity: int = CAPACITY, geometry: Geometry | None = None
) -> SlotScanner:
    """A scanner on the current CUDA device.

    ``geometry`` defaults to the fastest on this device, tried once and remembered by its UUID and
    the binary. ``ToolMissingError`` without NVRTC, ValueError for an unknown variant.
    """
    import cupy

    variant = variant or variants()[0]
    require(variant)
    device = cupy.cuda.Device()
    facts = cupy.cuda.runtime.getDeviceProperties(device.id)
    binary = compiled(variant, int(device.compute_capability))
    module = cupy.RawModule(path=str(binary.cubin))
    kernel = _ScanKernel(cupy, module.get_function(KERNEL), VARIANTS[variant].midstates, capacity)
    multiprocessors, device_uuid = facts["multiProcessorCount"], _device_uuid(device.id)
    if geometry is None:
        sm = Multiprocessor(facts["maxThreadsPerMultiProcessor"], facts["regsPerMultiprocessor"])
        geometry = remembered(
            (device_uuid, variant, binary.cubin.stem),
            candidates(sm, kernel.registers),
            functools.partial(_trial_s, cupy, kernel, multiprocessors),
        )
    shape = (multiprocessors * geometry.blocks_per_sm, geometry.threads)
    slots: list[Slot] = [_CupySlot(cupy, kernel, shape) for _ in range(2)]
    return SlotScanner(
        slots,
        functools.partial(_digest, cupy, module.get_function(MESSAGE_KERNEL)),
        variant=variant,
        midstates=kernel.midstates,
        blocks=shape[0],
        threads_per_block=shape[1],
        device_uuid=device_uuid,
    )


def _trial_s(cupy: Any, kernel: _ScanKernel, multiprocessors: int, geometry: Geometry) -> float:
    """Seconds per nonce in one launch of this geometry, by the device's own clock."""
    works = [(0,) * header.WORK_WORDS] * kernel.midstates
    shape = (multiprocessors * geometry.blocks_per_sm, geometry.threads)
    nonces = shape[0] * shape[1] * _TRIAL_PASSES
    begun, ended = cupy.cuda.Event(), cupy.cuda.Event()
    with cupy.cuda.Stream(non_blocking=True) as stream:
        found = kernel.buffer()
        begun.record(stream)
        kernel.launch(shape, works, (0, nonces, header.share_mask(32)), found)
        ended.record(stream)
        ended.synchronize()
    elapsed_ms: float = cupy.cuda.get_elapsed_time(begun, ended)
    return elapsed_ms / 1000 / nonces


# ---- Verification -------------------------------------------------------------------------------


def _digest(cupy: Any, message_kernel: Any, message: bytes) -> bytes:
    """SHA-256 of a message by one CUDA thread through the ``.cuh``'s compression."""
    words = np.array(message_blocks(message), dtype=np.uint32)
    digest = cupy.zeros(8, dtype=np.uint32)
    arguments = (cupy.asarray(words), np.uint32(len(words)), digest, _by_value(FACTORS))
    message_kernel((1,), (1,), arguments)
    return struct.pack(">8I", *digest.get().tolist())
